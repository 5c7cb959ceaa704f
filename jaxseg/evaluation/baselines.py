"""Scores what needs no model: the baselines to beat, on the same images."""

import dataclasses
from collections.abc import Sequence
from typing import Any

import numpy as np

from jaxseg.evaluation import image_threshold, metric_table, operating_point
from jaxseg.evaluation.tally import Tally, with_foreground
from jaxseg.metrics import overlap


def choose(
    tally: Tally, *, source_split: str, split_hash: str
) -> dict[str, Any] | None:
    """The best global threshold on the intensity of the image; None for k > 2.

    Threshold and polarity ("bright" or "dark" is foreground) with the highest pooled
    Dice on this tally, to be frozen like an operating point.
    """
    if tally.num_classes != 2:
        return None
    threshold, polarity, value = image_threshold.best(tally.levels)
    return {
        "threshold": threshold,
        "polarity": polarity,
        "objective": "dice_pooled",
        "value": value,
        "source_split": source_split,
        "split_hash": split_hash,
    }


def rows(
    tally: Tally,
    point: dict[str, Any] | None,
    *,
    split: str,
    split_hash: str,
    classes: Sequence[str] | None = None,
) -> list[dict[str, Any]]:
    """Rows {name, detail, metrics} of what needs no model, on the images of `tally`.

    For k = 2: all_empty, all_foreground, majority_class, and best_global_threshold with
    `point` of `choose`. For more classes: all_empty, majority_class and
    all_one_class (the most frequent foreground class); their rows also hold `classes`,
    {class name: {metric: value}}, with the names in `classes`. Raises ConfigError as
    `operating_point.apply` does.
    """
    k = tally.num_classes
    classes = classes or [f"class {c}" for c in range(k)]
    empty = all_of(tally, 0, "all_empty", "background", classes)
    frequent = majority(tally, classes)
    if not operating_point.needs_point(tally, point):
        return [empty, frequent, one_class(tally, classes)]
    optimistic = operating_point.is_optimistic(
        point, split=split, split_hash=split_hash
    )
    rule = "at or above" if point["polarity"] == "bright" else "below"
    detail = (
        f"foreground is {rule} level {point['threshold']} of 256 "
        f"({image_threshold.RULE}); chosen on {point['source_split']} for pooled Dice"
        + (", these very images: optimistic" if optimistic else "")
    )
    wrong, right = image_threshold.predicted(
        tally.levels, threshold=point["threshold"], polarity=point["polarity"]
    ).T
    by_intensity = with_foreground(tally, wrong, right)
    return [
        empty,
        all_of(tally, 1, "all_foreground", "foreground", classes),
        frequent,
        row(by_intensity, "best_global_threshold", detail, classes),
    ]


def all_of(
    tally: Tally, c: int, name: str, why: str, classes: Sequence[str]
) -> dict[str, Any]:
    """Row of the rule that every pixel is of class c."""
    confusion = np.zeros_like(tally.confusion)
    confusion[:, :, c] = tally.truth
    constant = dataclasses.replace(tally, confusion=confusion)
    return row(constant, name, f"every pixel is {why}", classes)


def majority(tally: Tally, classes: Sequence[str]) -> dict[str, Any]:
    """Row of the most frequent class of these images; the lower class wins a tie."""
    c, why = _most(tally, 0, classes, "class")
    return all_of(tally, c, "majority_class", why, classes)


def one_class(tally: Tally, classes: Sequence[str]) -> dict[str, Any]:
    """Row of the most frequent foreground class; the lower class wins a tie."""
    c, why = _most(tally, 1, classes, "foreground class")
    return all_of(tally, c, "all_one_class", why, classes)


def _most(
    tally: Tally, first: int, classes: Sequence[str], kind: str
) -> tuple[int, str]:
    total = tally.truth.sum(axis=0)
    c = first + int(np.argmax(total[first:]))
    share = total[c] / max(total.sum(), 1)
    why = f"{classes[c]!r}, the most frequent {kind} of these images"
    return c, f"{why} ({share:.2%} of their pixels)"


def row(tally: Tally, name: str, detail: str, classes: Sequence[str]) -> dict[str, Any]:
    """{name, detail, metrics} of a rule with these counts; for k > 2 also {classes}.

    `metrics` are of the foreground, averaged over its present classes; `classes` holds
    those of each class by its name, of background the pooled ones.
    """
    out = {"name": name, "detail": detail, "metrics": metric_table.summary(tally)}
    if tally.num_classes == 2:
        return out
    return out | {"classes": {t: _each(tally, c) for c, t in enumerate(classes)}}


def _each(tally: Tally, c: int) -> dict[str, float | None]:
    counts = metric_table.of_class(tally, c)
    names = overlap.METRICS if c else overlap.POOLED
    return {name: overlap.value(name, counts) for name in names}
