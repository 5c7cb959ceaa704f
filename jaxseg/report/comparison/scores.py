"""Computes the numbers of a comparison: scores, order, extremes, convergence."""

import math
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from scipy import special

from jaxseg.errors import ConfigError
from jaxseg.metrics import overlap
from jaxseg.report import (
    class_numbers,
    derived_numbers,
    image_class_numbers,
    object_numbers,
)
from jaxseg.report.comparison.group_runs import Unit, several, split_of
from jaxseg.report.read import Row, Run, Split, of_masks, pick

DEFAULT = "dice_pooled"
_LOWER = ("loss", "hd95", "hd", "assd", "ece", "brier", "nll", "count")
OF_PIXELS = ("average_precision", "roc_auc", "ece", "brier", "nll")


def stated_metric(units: Sequence[Unit], wanted: str | None = None) -> str:
    """The metric that orders the runs: the wanted one, or what selected them all.

    Raises ConfigError when no run has it, naming what they have.
    """
    runs = [run for unit in units for run in unit["runs"]]
    chosen = {derived_numbers.selection(run) for run in runs if not of_masks(run)}
    name = wanted or (chosen.pop() if len(chosen) == 1 else None)
    scored = [row["name"] for unit in units for row in score_rows(split_of(unit))]
    if wanted and wanted not in scored:
        listed = ", ".join(dict.fromkeys(scored))
        raise ConfigError(
            f"no run was scored by {wanted!r}; --metric is one of {listed}."
        )
    return next(m for m in (name, DEFAULT, *scored) if m in scored)


def higher(name: str) -> bool:
    """Is more of this metric better?"""
    return name.removeprefix("validation/").split("/")[0].split("_")[0] not in _LOWER


def score_rows(split: Split) -> list[Row]:
    """A row for each metric: of the foreground class, or the mean over several.

    Behind them are those of objects, but for the bias of the count: it has no order,
    and the means over classes of whole images.
    """
    rows = derived_numbers.metric_rows(split) + _more_rows(split) + of_objects(split)
    rows += image_class_numbers.score_rows(split)
    names = derived_numbers.classes(split)
    kept: dict[str, Row] = {}
    for row in sorted(rows, key=lambda row: row["class"] != derived_numbers.MEAN):
        if not names or row["class"] != names[0]:
            kept.setdefault(row["name"], row)
    order = list(dict.fromkeys(row["name"] for row in rows))
    return [kept[name] for name in order if name in kept]


def _more_rows(split: Split) -> list[Row]:
    """Surfaces, ranking and calibration of the one foreground class, where measured."""
    result, keys = split["result"], ("low", "high", "support_images", "support_pixels")
    if len(derived_numbers.classes(split)) > 2:
        return []
    rows = [dict(row) for row in result.get("surface") or []]
    for part in ("curves", "calibration"):
        values = pick(result, part, "pixel") or {}
        rows += [{"name": n, "value": values[n]} for n in OF_PIXELS if n in values]
    blank = dict.fromkeys(keys) | {"class": "all"}
    return [blank | row for row in rows]


def of_objects(split: Split) -> list[Row]:
    """A row for each metric of objects that runs can be put in order by."""
    rows = [row for row in object_numbers.rows(split) if row["better"] != "zero"]
    return [{"support_pixels": None, "class": "all"} | row for row in rows]


def score(
    unit: Unit, metric: str, split: str | None = None, *, kind: str | None = None
) -> Row:
    """Value and interval of a unit: over images of one run, over seeds of several.

    A group has its mean and `values`, one a member, and is undefined where one is.
    `kind` is one of several classes, whose own value is wanted.
    """
    values, rows = [], []
    for run in unit["runs"]:
        where = run["splits"].get(split or unit["images"][0])
        scored = score_rows(where) if where else []
        if where and kind is not None:
            scored = [class_numbers.of_class(where, metric, kind)]
        row = next((r for r in scored if r.get("name") == metric), None)
        rows.append(row or {"value": None, "low": None, "high": None})
        values.append(rows[-1]["value"])
    ends = {key: rows[0][key] for key in ("value", "low", "high")}
    if several(unit):
        ends = dict(zip(ends, t_interval(values), strict=True))
    support = {k: rows[0].get(k) for k in ("support_images", "support_pixels")}
    return {"name": metric, "values": values} | ends | support


def t_interval(values: Sequence[float | None]) -> tuple[float | None, ...]:
    """Mean and ends of its 95 % interval by Student's t; one value has no interval."""
    if not values or None in values:
        return None, None, None
    mean = math.fsum(values) / len(values)
    if len(values) < 2:
        return mean, None, None
    half = special.stdtrit(len(values) - 1, 0.975) * _error(values)
    return mean, mean - half, mean + half


def _error(values: Sequence[float]) -> float:
    """The standard error of the mean."""
    return float(np.std(values, ddof=1) / math.sqrt(len(values)))


def welch(first: Sequence[float], second: Sequence[float]) -> float | None:
    """Two-sided p-value that two groups of seeds have one mean; None if not testable.

    Welch, 1947, https://doi.org/10.1093/biomet/34.1-2.28.
    """
    if min(len(first), len(second)) < 2 or None in (*first, *second):
        return None
    a, b = _error(first) ** 2, _error(second) ** 2
    if a + b == 0:
        return None
    freedom = (a + b) ** 2 / (a**2 / (len(first) - 1) + b**2 / (len(second) - 1))
    t = abs(np.mean(first) - np.mean(second)) / math.sqrt(a + b)
    return float(2 * special.stdtr(freedom, -t))


def rankings(units: Sequence[Unit], metric: str) -> list[list[Unit]]:
    """Units that were judged on the same images, best first; the largest set first."""
    by_images: dict[Any, list[Unit]] = {}
    for i, unit in enumerate(units):
        split, digest = unit["images"]
        # without a hash, no other unit is known to be of the same images
        by_images.setdefault((split, i if digest is None else digest), []).append(unit)
    sign = -1 if higher(metric) else 1

    def place(unit: Unit) -> tuple[bool, float]:
        value = score(unit, metric)["value"]
        return value is None, 0.0 if value is None else sign * value

    return sorted(
        (sorted(alike, key=place) for alike in by_images.values()),
        key=lambda ranking: -len(ranking),
    )


def extremes(
    values: Mapping[str, float | None], *, more: bool
) -> dict[str, Any] | None:
    """Best and worst names (several in a tie), their values, best minus worst.

    `more`: a higher value is better. None without two defined values.
    """
    defined = [v for v in values.values() if v is not None]
    if len(defined) < 2:
        return None
    low, high = min(defined), max(defined)
    best, worst = (high, low) if more else (low, high)
    return {
        "best": [name for name, v in values.items() if v == best],
        "worst": [name for name, v in values.items() if v == worst],
        "best_value": best,
        "worst_value": worst,
        "difference": best - worst,
    }


def reduction(first: float | None, last: float | None) -> float | None:
    """Share of the first loss that is gone at the end; negative when it grew."""
    if first is None or last is None or first <= 0:
        return None
    return (first - last) / first


def convergence(run: Run) -> Row:
    """First and last loss, and the best epoch by the selection metric."""
    _, losses = derived_numbers.column(run, "loss")
    first, last = (float(losses[i]) if losses.size else None for i in (0, -1))
    name = derived_numbers.selection_column(run)
    row = {"first": first, "last": last, "reduction": reduction(first, last)}
    row |= {"column": name, "best": None, "epoch": None, "end": None}
    if name is not None:
        epochs, values = derived_numbers.column(run, name)
        best = derived_numbers.best_index(name, values)
        row |= {"best": values[best], "epoch": epochs[best], "end": values[-1]}
    return row | {"epochs": run["history"][-1]["epoch"]}


def testable(units: Sequence[Unit], wanted: str) -> list[str]:
    """Metrics that a table of counts per image can repeat, the wanted one first.

    With several foreground classes the table holds no TN that fits its other counts.
    """
    split = split_of(units[0])
    scored = [row["name"] for row in score_rows(split)]
    names = [name for name in overlap.METRICS if name in scored]
    if len(derived_numbers.classes(split)) > 2:
        needs_no_tn = ("dice", "iou", "precision", "recall")
        names = [name for name in names if name.split("_")[0] in needs_no_tn]
    return sorted(names, key=lambda name: name != wanted)
