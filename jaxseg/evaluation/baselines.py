"""Scores what needs no model: the baselines to beat, on the same images."""

import dataclasses
from typing import Any

import numpy as np
from jaxtyping import Int

from jaxseg.evaluation import (
    image_threshold,
    metric_table,
    nearest_image,
    operating_point,
)
from jaxseg.evaluation.tally import Tally, with_foreground
from jaxseg.metrics import overlap


def choose(tally: Tally, split: Any) -> dict[str, Any] | None:
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
        **operating_point.source(split),
    }


def rows(
    tally: Tally,
    point: dict[str, Any] | None,
    split: Any,
    *,
    copied: Int[np.ndarray, "n k k"] | None = None,
) -> list[dict[str, Any]]:
    """Rows {name, detail, metrics} of what needs no model, on the images of `split`.

    For k = 2: all_empty, all_foreground, majority_class, and best_global_threshold with
    `point` of `choose`. For more classes: all_empty, majority_class and
    all_one_class (the most frequent foreground class); their rows also hold `classes`,
    {class name: {metric: value}}. With `copied`, what `nearest_image.confusion` counted
    on the whole split, nearest_training_image is the last. Raises ConfigError as
    `operating_point.apply` does.
    """
    out = _without_images(tally, point, split)
    if copied is not None:
        nearest = dataclasses.replace(tally, confusion=copied[tally.index])
        out.append(_row(nearest, nearest_image.NAME, nearest_image.DETAIL, split))
    return out


def constants(tally: Tally, split: Any) -> list[dict[str, Any]]:
    """The rows of `rows` that say the same of every pixel."""
    empty = _constant(tally, 0, "all_empty", "background", split)
    majority = _most_frequent(tally, 0, "majority_class", "class", split)
    if tally.num_classes > 2:
        one = _most_frequent(tally, 1, "all_one_class", "foreground class", split)
        return [empty, majority, one]
    return [empty, _constant(tally, 1, "all_foreground", "foreground", split), majority]


def _without_images(
    tally: Tally, point: dict[str, Any] | None, split: Any
) -> list[dict[str, Any]]:
    fixed = constants(tally, split)
    if not operating_point.needs_threshold(tally, point):
        return fixed
    optimistic = operating_point.is_optimistic(point, split)
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
    return [*fixed, _row(by_intensity, "best_global_threshold", detail, split)]


def _constant(tally: Tally, c: int, name: str, why: str, split: Any) -> dict[str, Any]:
    """Row of the rule that every pixel is of class c."""
    confusion = np.zeros_like(tally.confusion)
    confusion[:, :, c] = tally.truth
    constant = dataclasses.replace(tally, confusion=confusion)
    return _row(constant, name, f"every pixel is {why}", split)


def _most_frequent(
    tally: Tally, first: int, name: str, kind: str, split: Any
) -> dict[str, Any]:
    """Row of the most frequent class from `first` on; the lower class wins a tie."""
    total = tally.truth.sum(axis=0)
    c = first + int(np.argmax(total[first:]))
    share = total[c] / max(total.sum(), 1)
    why = f"{split.classes[c]!r}, the most frequent {kind} of these images"
    return _constant(tally, c, name, f"{why} ({share:.2%} of their pixels)", split)


def _row(tally: Tally, name: str, detail: str, split: Any) -> dict[str, Any]:
    """{name, detail, metrics} of a rule with these counts; for k > 2 also {classes}.

    `metrics` are of the foreground, averaged over its present classes; `classes` holds
    those of each class by its name, of background the pooled ones.
    """
    out = {"name": name, "detail": detail, "metrics": metric_table.summary(tally)}
    if tally.num_classes > 2:
        out["classes"] = {t: _each(tally, c) for c, t in enumerate(split.classes)}
    return out


def _each(tally: Tally, c: int) -> dict[str, float | None]:
    counts = metric_table.of_class(tally, c)
    names = overlap.METRICS if c else overlap.POOLED
    return {name: overlap.value(name, counts) for name in names}
