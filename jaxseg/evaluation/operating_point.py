"""The operating point: chosen on one split, frozen, applied to another.

A threshold chosen on the images it is reported on flatters the model. So a point
carries the hash of the split it was chosen on, and applying it to the same images under
another name is refused. The split it was chosen on may be reported as itself: its point
is then marked `optimistic`.

For more than two classes the point holds offsets, which `class_choices` chooses. For
two, the search here tries every setting at once. A rule has two parts: which pixels are
foreground (p > threshold), and which images are left alone instead of emptied. What an
image adds to the sums is known once for each threshold, so the second part is one
matrix product.
"""

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

import numpy as np
from absl import logging
from jaxtyping import Float

from jaxseg.errors import ConfigError
from jaxseg.evaluation import metric_table
from jaxseg.evaluation.tally import Decided, Tally, above, at, nearest
from jaxseg.metrics import overlap
from jaxseg.postprocess import decision

_IMAGES = 256  # at a time: bounds the memory
_UNIT = 2.0**32


def choose(
    tally: Tally,
    split: Any,
    *,
    objective: str = "dice_pooled",
    min_areas: Sequence[float] = decision.MIN_AREAS,
    rule: str = "threshold",
) -> dict[str, Any]:
    """The settings of a rule with the highest objective on `split`, to be frozen.

    A pixel is foreground when p > threshold. When an image becomes empty is what the
    rules differ in:

    threshold: when fewer pixels than `min_area` (a share of the labelled ones) are
        foreground;
    triplet: when fewer than `min_area` have p > top_threshold >= threshold (first place
        of SIIM-ACR Pneumothorax Segmentation, 2019);
    gate: as threshold, and when its max_probability is not above `gate`.

    Thresholds, top thresholds and gates are those of decision.GRID. Ties go to the
    simpler rule (top_threshold = threshold, gate None), then to the smallest area, the
    threshold nearest 0.5, and the lower. Where the objective is undefined (no
    foreground in the truth) the point is 0.5, with value None, and a warning is logged.
    Raises ConfigError for an unknown objective or rule, for areas outside [0, 1] and
    for more than two classes.
    """
    _check(tally, objective, min_areas, rule)
    areas = np.array(sorted(min_areas), np.float64)
    value = _SEARCH[rule](tally, objective, areas)
    layer, area, place, best = 0, 0, nearest(0.5), None
    if np.isnan(value).all():
        logging.warning(
            "%s is undefined on %s (no foreground in its truth?): the operating "
            "point stays at 0.5.",
            objective,
            split.name,
        )
    else:
        best = float(np.nanmax(value))
        tied = zip(*np.nonzero(value == best), strict=True)
        layer, area, place = min(
            tied, key=lambda x: (*x[:2], abs(decision.THRESHOLDS[x[2]] - 0.5), x[2])
        )
    threshold = float(decision.THRESHOLDS[place])
    extra = float(decision.COARSE[layer - 1]) if layer else None
    point = {
        "threshold": threshold,
        "min_area": float(areas[area]),
        "top_threshold": extra if layer and rule == "triplet" else threshold,
        "gate": extra if rule == "gate" else None,
        "rule": rule,
        "objective": objective,
        "value": best,
        **source(split),
    }
    if rule != "threshold" and best is not None:  # their search rounds to 1e-9
        counts = metric_table.of_class(at(tally, **decision.settings(point)), 1)
        point["value"] = overlap.value(objective, counts)
    return point


def _check(tally: Tally, objective: str, min_areas: Sequence[float], rule: str) -> None:
    for name, value, choices in (
        ("objective", objective, decision.OBJECTIVES),
        ("rule", rule, decision.RULES),
    ):
        if value not in choices:
            raise ConfigError(f"{name} {value!r}: choose one of {list(choices)}.")
    if not min_areas or not all(0 <= area <= 1 for area in min_areas):
        raise ConfigError(
            f"min_areas {list(min_areas)}: give shares of the image from 0 to 1."
        )
    if tally.num_classes != 2:
        raise ConfigError(
            f"An operating point needs 2 classes, not {tally.num_classes}; "
            "with more, the most probable class is taken."
        )


def apply(tally: Tally, point: dict[str, Any] | None, split: Any) -> Decided:
    """The counts of `split` at a frozen point; None is argmax, for k > 2.

    The point comes back with `optimistic`: whether it was chosen on these very images.
    A point with `settings` or `offsets` needs the tally of its own rule: such a rule
    was counted by `post_process.retally` or by `count.count_ways`. Raises ConfigError
    as `is_optimistic` does.
    """
    offsets = tally.num_classes > 2 and bool(point) and "offsets" in point
    if not offsets and not needs_threshold(tally, point):
        return Decided(tally, None)
    point = {**point, "optimistic": is_optimistic(point, split, _chosen(point))}
    if offsets or "settings" in point:  # counted by its rule already
        return Decided(tally, point)
    return Decided(at(tally, **decision.settings(point)), point)


def _chosen(point: Mapping[str, Any]) -> str:
    return "offsets were chosen" if "offsets" in point else "threshold was chosen"


def needs_threshold(tally: Tally, point: Mapping[str, Any] | None) -> bool:
    """Returns whether there are two classes; ConfigError when `point` disagrees."""
    two = tally.num_classes == 2
    if (point is not None) != two or (two and "offsets" in point):
        raise ConfigError(
            f"A frozen threshold is needed for 2 classes and refused for more; the "
            f"tally has {tally.num_classes} and the point is {point}."
        )
    return two


def source(split: Any) -> dict[str, str]:
    """Names the images that something was chosen on."""
    return {"source_split": split.name, "split_hash": split.hash}


def is_optimistic(
    frozen: Mapping[str, Any], split: Any, what: str = "threshold was chosen"
) -> bool:
    """Returns whether a frozen number was chosen on these very images.

    Raises ConfigError when it was, but under another name than its `source_split`.
    """
    same = frozen["split_hash"] == split.hash
    if same and frozen["source_split"] != split.name:
        raise ConfigError(
            f"The {what} on {frozen['source_split']!r}, and {split.name!r} has the "
            f"same images (hash {split.hash}): a result on them would be optimistic. "
            f"Report it as {frozen['source_split']!r}, or use other images."
        )
    return same


def best_threshold(tally: Tally, objective: str) -> float | None:
    """The threshold of decision.THRESHOLDS with the highest objective, no other rule.

    Ties go to the one nearest 0.5, then to the lower. None where it is undefined.
    """
    (value,) = by_threshold(tally, objective, np.zeros(1))[0]
    if np.isnan(value).all():
        return None
    tied = decision.THRESHOLDS[value == np.nanmax(value)]
    return float(min(tied, key=lambda t: (abs(t - 0.5), t)))


def by_threshold(
    tally: Tally, metric: str, areas: Float[np.ndarray, "areas"]
) -> Float[np.ndarray, "1 areas thresholds"]:
    """The metric at every minimum area and every threshold of decision.THRESHOLDS."""
    summed = np.zeros((4, 1, len(areas), len(decision.THRESHOLDS)))
    for _, wrong, right, truth, pixels in _parts(tally):
        for i, area in enumerate(areas):
            keep = wrong + right >= area * pixels
            counts = overlap.split_counts(
                truth, (wrong + right) * keep, right * keep, pixels
            )
            summed[:, 0, i] += overlap.terms(metric, **counts).sum(axis=1)
    return overlap.divide(metric, summed)


def by_triplet(
    tally: Tally, metric: str, areas: Float[np.ndarray, "areas"]
) -> Float[np.ndarray, "tops areas thresholds"]:
    """The metric where `area` must lie above a top threshold, else the image is empty.

    The first top is the threshold itself (`by_threshold`, to 1e-9), the others are
    decision.COARSE; NaN where the top is below the threshold.
    """
    value = _layers(tally, metric, areas, gated=False)
    below = decision.COARSE[:, None, None] < decision.THRESHOLDS
    return np.concatenate([value[:1], np.where(below, np.nan, value[1:])])


def by_gate(
    tally: Tally, metric: str, areas: Float[np.ndarray, "areas"]
) -> Float[np.ndarray, "gates areas thresholds"]:
    """The metric where an image is empty unless its max_probability exceeds a gate.

    The first gate is none (`by_threshold`, to 1e-9), the others are decision.COARSE.
    """
    return _layers(tally, metric, areas, gated=True)


_SEARCH = {"threshold": by_threshold, "triplet": by_triplet, "gate": by_gate}


def _layers(
    tally: Tally, metric: str, areas: Float[np.ndarray, "areas"], *, gated: bool
) -> Float[np.ndarray, "layers areas thresholds"]:
    coarse, thresholds = decision.COARSE, decision.THRESHOLDS
    summed = np.zeros((4, 1 + len(coarse), len(areas), len(thresholds)))
    for part, wrong, right, truth, pixels in _parts(tally):
        counts = overlap.split_counts(truth, wrong + right, right, pixels)
        nothing = overlap.split_counts(truth, 0 * truth, 0 * truth, pixels)
        empty = _exact(metric, nothing)
        gain = _exact(metric, counts) - empty  # over leaving the image empty
        summed += empty.sum(axis=1)[..., None, None]
        shown = (tally.max_probability[part, None] > coarse).T.astype(np.float64)
        for i, area in enumerate(areas):
            keep = wrong + right >= area * pixels
            kept = gain * keep
            summed[:, 0, i] += kept.sum(axis=1)
            large = keep[:, :: decision.STEP].T.astype(np.float64)
            summed[:, 1:, i] += shown @ kept if gated else large @ gain
    return overlap.divide(metric, summed)


def _exact(metric: str, counts: Mapping[str, np.ndarray]) -> np.ndarray:
    """Terms as whole multiples of 2^-32: no order of summing them changes a bit.

    A matrix product promises no order. Exact for up to 2^21 images and 2^53 pixels.
    """
    terms = overlap.terms(metric, **counts)
    return np.rint(terms * _UNIT) / _UNIT if metric in overlap.PER_IMAGE else terms


def _parts(tally: Tally) -> Iterator[tuple]:
    """(slice, wrong [m, t], right [m, t], truth [m, 1], pixels [m, 1]) of m images."""
    truth, pixels = tally.truth[:, 1:], tally.pixels[:, None]
    for start in range(0, len(tally.index), _IMAGES):
        part = slice(start, start + _IMAGES)
        wrong, right = np.moveaxis(above(tally.scores[part]), 1, 0)
        yield part, wrong, right, truth[part], pixels[part]
