"""The operating point: chosen on one split, frozen, applied to another.

A threshold chosen on the images it is reported on flatters the model. So a point
carries the hash of the split it was chosen on, and applying it to the same images under
another name is refused. The split it was chosen on may be reported as itself: its point
is then marked `optimistic`.
"""

from collections.abc import Sequence
from typing import Any

import numpy as np
from absl import logging

from jaxseg.errors import ConfigError
from jaxseg.evaluation import metric_table, search
from jaxseg.evaluation.tally import Applied, Tally, at_point
from jaxseg.metrics import histograms, overlap
from jaxseg.postprocess import decision


def choose(
    tally: Tally,
    *,
    source_split: str,
    split_hash: str,
    objective: str = "dice_pooled",
    min_areas: Sequence[float] = decision.MIN_AREAS,
    rule: str = "threshold",
) -> dict[str, Any]:
    """The settings of a rule with the highest objective on this tally (k = 2).

    A pixel is foreground when p > threshold, for thresholds of bins.GRID. When an image
    becomes empty is what the rules differ in:

    threshold: when fewer pixels than `min_area` (a share of the labelled ones) are
        foreground;
    triplet: when fewer than `min_area` have p > top_threshold >= threshold (first place
        of SIIM-ACR Pneumothorax Segmentation, 2019); top thresholds of search.COARSE;
    gate: as threshold, and when its max_probability is not above `gate`, of
        search.COARSE.

    Ties go to the simpler rule (top_threshold = threshold, gate None), then to the
    smallest area, the threshold nearest 0.5, and the lower. Where the objective is
    undefined (no foreground in the truth) the point is 0.5, with value None, and a
    warning is logged. Raises ConfigError for an unknown objective or rule, for areas
    outside [0, 1] and for more than two classes.
    """
    _check(tally, objective, min_areas, rule)
    areas = np.array(sorted(min_areas), np.float64)
    value = _values(tally, objective, areas, rule)
    layer, area, place, best = 0, 0, histograms.nearest(0.5)[0], None
    if np.isnan(value).all():
        logging.warning(
            "%s is undefined on %s (no foreground in its truth?): the operating "
            "point stays at 0.5.",
            objective,
            source_split,
        )
    else:
        best = float(np.nanmax(value))
        tied = zip(*np.nonzero(value == best), strict=True)
        layer, area, place = min(
            tied, key=lambda x: (*x[:2], abs(histograms.GRID[x[2]] - 0.5), x[2])
        )
    threshold = float(histograms.GRID[place])
    extra = float(search.COARSE[layer - 1]) if layer else None
    point = {
        "threshold": threshold,
        "min_area": float(areas[area]),
        "top_threshold": extra if layer and rule == "triplet" else threshold,
        "gate": extra if rule == "gate" else None,
        "rule": rule,
        "objective": objective,
        "value": best,
        "source_split": source_split,
        "split_hash": split_hash,
    }
    if rule != "threshold" and best is not None:  # their search rounds to 1e-9
        there = metric_table.of_class(at_point(tally, point), 1)
        point["value"] = overlap.value(objective, there)
    return point


def _check(tally: Tally, objective: str, min_areas: Sequence[float], rule: str) -> None:
    for name, given, known in (
        ("objective", objective, decision.OBJECTIVES),
        ("rule", rule, decision.RULES),
    ):
        if given not in known:
            raise ConfigError(f"{name} {given!r}: choose one of {list(known)}.")
    if not min_areas or not all(0 <= area <= 1 for area in min_areas):
        raise ConfigError(
            f"min_areas {list(min_areas)}: give shares of the image from 0 to 1."
        )
    if tally.truth.shape[1] != 2:
        raise ConfigError(
            f"An operating point needs 2 classes, not {tally.truth.shape[1]}; "
            "with more, the most probable class is taken."
        )


def _values(tally: Tally, objective: str, areas: np.ndarray, rule: str) -> np.ndarray:
    """f64 [layers, areas, thresholds]; layer 0 is the rule "threshold"."""
    if rule == "threshold":
        return search.by_threshold(tally, objective, areas)[None]
    by = search.by_triplet if rule == "triplet" else search.by_gate
    return by(tally, objective, areas)


def apply(
    tally: Tally, point: dict[str, Any] | None, *, split: str, split_hash: str
) -> Applied:
    """The counts of `split` at a frozen point; `point` is None for k > 2 (argmax).

    The point comes back with `optimistic`: whether it was chosen on these very images.
    Raises ConfigError when these are the images it was chosen on, but under another
    name than the `source_split` of the point.
    """
    if not needs_point(tally, point):
        return Applied(tally, None)
    optimistic = same_images(point, split, split_hash)
    return Applied(at_point(tally, point), {**point, "optimistic": optimistic})


def needs_point(tally: Tally, point: dict[str, Any] | None) -> bool:
    two = tally.truth.shape[1] == 2
    if (point is not None) != two:
        raise ConfigError(
            f"A frozen threshold is needed for 2 classes and refused for more; the "
            f"tally has {tally.truth.shape[1]} and the point is {point}."
        )
    return two


def same_images(point: dict[str, Any], split: str, split_hash: str) -> bool:
    same = point["split_hash"] == split_hash
    if same and point["source_split"] != split:
        raise ConfigError(
            f"The threshold was chosen on {point['source_split']!r}, and {split!r} has "
            f"the same images (hash {split_hash}): a result on them would be "
            f"optimistic. Report it as {point['source_split']!r}, or use other images."
        )
    return same
