"""Computes what a run that looks for objects says of them, beside two baselines."""

import math
from collections.abc import Mapping
from typing import Any, Literal

from jaxseg.report import derived_numbers
from jaxseg.report.read import Row, Run, Split
from jaxseg.report.text import UNDEFINED, number
from jaxseg.run_directory.object_schemas import ObjectResult

F1, MAE, BIAS = "object_f1_50", "count_mae", "count_bias"
UNITS = {"um": "µm", "px": "pixels"}
_OBJECTS_AN_IMAGE = (MAE, BIAS)  # no shares: they may be large

Answer = Literal["yes", "no", "unclear"]


def of_split(split: Split) -> ObjectResult | None:
    """What was scored of objects; None for a run that looks for none."""
    return split["result"].get("objects")


def rows(split: Split) -> list[Row]:
    """The rows of all metrics of objects; [] for a run that looks for none."""
    listed = (of_split(split) or {}).get("metrics") or []
    return [_with_interval(dict(metric)) for metric in listed]


def _with_interval(row: Row) -> Row:
    """The row, without an interval where one image cannot have any."""
    alone = row["support_images"] is not None and row["support_images"] < 2
    return row | {"low": None, "high": None} if alone else row


def row(split: Split, name: str) -> Row:
    """The row of a metric of objects; {} where it was not scored."""
    return next((r for r in rows(split) if r["name"] == name), {})


def baselines(split: Split, name: str) -> dict[str, float]:
    """baseline -> its value of a metric of objects, of those that have one."""
    listed = (of_split(split) or {}).get("baselines") or []
    values = {base["name"]: base["metrics"].get(name) for base in listed}
    return {base: value for base, value in values.items() if value is not None}


def best(bars: Mapping[str, float], better: str) -> str:
    """The baseline that is hardest to beat."""
    return (max if better == "higher" else min)(bars, key=lambda base: bars[base])


def beats(row: Row, bar: float) -> Answer:
    """Is a score better than `bar`, by its whole interval? `no`: not even its value.

    "zero", which has no worse side, is never asked.
    """
    if row["better"] == "higher":
        return derived_numbers.above(row, bar)
    mirrored = {"value": -row["value"], "low": None}
    if row["high"] is not None:
        mirrored["low"] = -row["high"]
    return derived_numbers.above(mirrored, -bar)


def optimistic(split: Split) -> list[str]:
    """Why scores of objects flatter the model; [] when nothing says so."""
    record = of_split(split)
    if record is None:
        return []
    same = record["split_hash"] == split["result"].get("split_hash")
    if record["optimistic"] or same or record["source_split"] == split["name"]:
        return ["the settings of the rule of objects were chosen on these images"]
    return []


def flattered(run: Run, split: Split) -> list[str]:
    """`optimistic`, and what else was chosen on these images for objects: the step."""
    return [*optimistic(split), *derived_numbers.checkpoint_chosen(run, split)]


def value(name: str, score: float | None) -> str:
    """A score in print: objects an image with two decimals, a bias with its sign."""
    if name in _OBJECTS_AN_IMAGE:
        return amount(score, sign=name == BIAS)
    return number(score)


def amount(size: float | None, *, sign: bool = False) -> str:
    """`0.31`, `12.4`, `10,612`: what is no share, in as many digits as can be read.

    With `sign`, a difference: `+0.31`, `-4.20`, `0`.
    """
    if size is None or not math.isfinite(size):
        return UNDEFINED
    if size == 0:
        return "0"
    plus = "+" if sign else ""
    if abs(size) < 0.01:
        return f"{size:{plus}.2g}"
    return f"{size:{plus},.{2 if abs(size) < 10 else 1 if abs(size) < 100 else 0}f}"


def span(row: Mapping[str, Any]) -> str:
    """`0.91 to 0.95`, or nothing where a row has no interval."""
    if None in (row["low"], row["high"]):
        return ""
    return f"{value(row['name'], row['low'])} to {value(row['name'], row['high'])}"


def interval(row: Mapping[str, Any]) -> str:
    """`0.93 [0.91, 0.95]`, or the number alone where no interval is known."""
    shown = value(row["name"], row["value"])
    if None in (row["value"], row["low"], row["high"]):
        return shown
    ends = (value(row["name"], row[end]) for end in ("low", "high"))
    return f"{shown} [{', '.join(ends)}]"


def foreground_iou(split: Split) -> Row | None:
    """`iou_pooled` of the foreground, the mean where there are several classes."""
    names = derived_numbers.classes(split)
    of_pixels = [_with_interval(r) for r in derived_numbers.metric_rows(split)]
    scored = [r for r in of_pixels if r["name"] == "iou_pooled"]
    scored = [r for r in scored if r["value"] is not None]
    scored = [r for r in scored if r["class"] not in names[:1]]
    mean = [r for r in scored if r["class"] == derived_numbers.MEAN]
    return next(iter(mean or scored), None)
