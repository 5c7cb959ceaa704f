"""The operating point: chosen on one split, frozen, applied to another.

A threshold chosen on the images it is reported on flatters the model. So a point
carries the hash of the split it was chosen on, and applying it to the same images under
another name is refused. The split it was chosen on may be reported as itself: its point
is then marked `optimistic`.
"""

import dataclasses
from collections.abc import Sequence
from typing import Any

import numpy as np
from absl import logging

from jaxseg.errors import ConfigError
from jaxseg.metrics import bins, counts, intensity, table
from jaxseg.metrics.tally import Applied, Tally, at

OBJECTIVES = (
    "dice_pooled",
    "iou_pooled",
    "dice_image_skip_empty",
    "iou_image_skip_empty",
    "dice_positives",
    "iou_positives",
    "dice_kaggle",
    "iou_kaggle",
)
# Shares of the image, so that a point fits images of other sizes: at 1024 x 1024 these
# are 0, 105, 262, 524, 1049, 2097 and 4194 pixels.
MIN_AREAS = (0.0, 0.0001, 0.00025, 0.0005, 0.001, 0.002, 0.004)
_ROWS = 256  # images at a time: bounds the memory


def choose(
    tally: Tally,
    *,
    source_split: str,
    split_hash: str,
    objective: str = "dice_pooled",
    min_areas: Sequence[float] = MIN_AREAS,
) -> dict[str, Any]:
    """The threshold and minimum area with the highest objective on this tally (k = 2).

    A pixel is foreground when p > threshold, for thresholds of bins.GRID; an image with
    fewer such pixels than `min_area` (a share of its labelled pixels) becomes empty.
    Ties go to the smallest area, then to the threshold nearest 0.5, then to the lower.
    Where the objective is undefined (no foreground in the truth) the point is 0.5, with
    value None, and a warning is logged. Raises ConfigError for an unknown objective,
    for areas outside [0, 1] and for more than two classes.
    """
    if objective not in OBJECTIVES:
        raise ConfigError(f"objective {objective!r}: choose one of {list(OBJECTIVES)}.")
    if not min_areas or not all(0 <= area <= 1 for area in min_areas):
        raise ConfigError(
            f"min_areas {list(min_areas)}: give shares of the image from 0 to 1."
        )
    if tally.truth.shape[1] != 2:
        raise ConfigError(
            f"An operating point needs 2 classes, not {tally.truth.shape[1]}; "
            "with more, the most probable class is taken."
        )
    areas = np.array(sorted(min_areas), np.float64)
    value = _search(tally, objective, areas)
    area, place, best = 0, bins.nearest(0.5)[0], None
    if np.isnan(value).all():
        logging.warning(
            "%s has no foreground: %s is undefined, the operating point stays at 0.5.",
            source_split,
            objective,
        )
    else:
        best = float(np.nanmax(value))
        tied = zip(*np.nonzero(value == best), strict=True)
        area, place = min(tied, key=lambda x: (x[0], abs(bins.GRID[x[1]] - 0.5), x[1]))
    return {
        "threshold": float(bins.GRID[place]),
        "min_area": float(areas[area]),
        "objective": objective,
        "value": best,
        "source_split": source_split,
        "split_hash": split_hash,
    }


def _search(tally: Tally, metric: str, areas: np.ndarray) -> np.ndarray:
    """The metric at every minimum area and threshold, f64 [areas, thresholds]."""
    summed = np.zeros((3, len(areas), len(bins.GRID)))
    for start in range(0, len(tally.index), _ROWS):
        part = slice(start, start + _ROWS)
        wrong, right = np.moveaxis(bins.above(tally.scores[part]), 1, 0)  # [m, t]
        pixels = tally.pixels[part, None]
        truth = tally.truth[part, 1:]
        for i, area in enumerate(areas):
            keep = wrong + right >= area * pixels
            found = counts.split_counts(
                truth, (wrong + right) * keep, right * keep, pixels
            )
            summed[:, i] += counts.terms(metric, **found).sum(axis=1)
    return counts.divide(summed)


def apply(
    tally: Tally, point: dict[str, Any] | None, *, split: str, split_hash: str
) -> Applied:
    """The counts of `split` at a frozen point; `point` is None for k > 2 (argmax).

    The point comes back with `optimistic`: whether it was chosen on these very images.
    Raises ConfigError when these are the images it was chosen on, but under another
    name than the `source_split` of the point.
    """
    if not _needs_point(tally, point):
        return Applied(tally, None)
    optimistic = _same_images(point, split, split_hash)
    picked = at(tally, threshold=point["threshold"], min_area=point["min_area"])
    return Applied(picked, {**point, "optimistic": optimistic})


def _needs_point(tally: Tally, point: dict[str, Any] | None) -> bool:
    two = tally.truth.shape[1] == 2
    if (point is not None) != two:
        raise ConfigError(
            f"A frozen threshold is needed for 2 classes and refused for more; the "
            f"tally has {tally.truth.shape[1]} and the point is {point}."
        )
    return two


def _same_images(point: dict[str, Any], split: str, split_hash: str) -> bool:
    same = point["split_hash"] == split_hash
    if same and point["source_split"] != split:
        raise ConfigError(
            f"The threshold was chosen on {point['source_split']!r}, and {split!r} has "
            f"the same images (hash {split_hash}): a result on them would be "
            f"optimistic. Report it as {point['source_split']!r}, or use other images."
        )
    return same


def choose_baseline(
    tally: Tally, *, source_split: str, split_hash: str
) -> dict[str, Any] | None:
    """The best global threshold on the intensity of the image; None for k > 2.

    Threshold and polarity ("bright" or "dark" is foreground) with the highest pooled
    Dice on this tally, to be frozen like an operating point.
    """
    if tally.truth.shape[1] != 2:
        return None
    threshold, polarity, value = intensity.best(tally.levels)
    return {
        "threshold": threshold,
        "polarity": polarity,
        "objective": "dice_pooled",
        "value": value,
        "source_split": source_split,
        "split_hash": split_hash,
    }


def baselines(
    tally: Tally, point: dict[str, Any] | None, *, split: str, split_hash: str
) -> list[dict[str, Any]]:
    """Rows {name, detail, metrics} of what needs no model, on the images of `tally`.

    For k = 2: all_empty, all_foreground, best_global_threshold with `point` of
    `choose_baseline`. For more classes: all_empty, averaged over present classes.
    Raises ConfigError as `apply` does.
    """
    none = np.zeros(len(tally.index), np.int64)
    empty = "every pixel is background"
    if not _needs_point(tally, point):
        return [_baseline(tally, "all_empty", empty, none, none)]
    optimistic = _same_images(point, split, split_hash)
    rule = "at or above" if point["polarity"] == "bright" else "below"
    detail = (
        f"foreground is {rule} level {point['threshold']} of 256 ({intensity.RULE}); "
        f"chosen on {point['source_split']} for pooled Dice"
        + (", these very images: optimistic" if optimistic else "")
    )
    wrong, right = intensity.predicted(
        tally.levels, threshold=point["threshold"], polarity=point["polarity"]
    ).T
    every = "every pixel is foreground"
    return [
        _baseline(tally, "all_empty", empty, none, none),
        _baseline(tally, "all_foreground", every, *tally.truth.T),
        _baseline(tally, "best_global_threshold", detail, wrong, right),
    ]


def _baseline(tally: Tally, name: str, detail: str, wrong, right) -> dict[str, Any]:
    """Row of a rule that takes `wrong` + `right` pixels of each image as class 1."""
    predicted, hits = np.zeros_like(tally.truth), np.zeros_like(tally.truth)
    predicted[:, 0], hits[:, 0] = (
        tally.pixels - wrong - right,
        tally.truth[:, 0] - wrong,
    )
    predicted[:, 1], hits[:, 1] = wrong + right, right
    guess = dataclasses.replace(tally, predicted=predicted, hits=hits)
    return {"name": name, "detail": detail, "metrics": table.summary(guess)}
