"""Chooses on validation how objects are looked for, and freezes it.

Every combination of the settings in the GRID of the rule is tried on every image, with
every smallest area of an object; the one with the highest objective, pooled over the
images, is kept. So is that of the baseline, which needs no model and gets the same
chance.
"""

import math
from collections.abc import Iterable
from typing import Any

import numpy as np
from absl import logging
from jaxtyping import Float
from scipy import ndimage

from jaxseg.data import objects as ids
from jaxseg.data import pipeline
from jaxseg.evaluation import count, object_baselines, operating_point, post_process
from jaxseg.evaluation.objects import _rows
from jaxseg.evaluation.objects.finding import Finding, at_native, named_maps
from jaxseg.labels import IGNORE
from jaxseg.metrics import instances
from jaxseg.postprocess import objects

Maps = Iterable[tuple[int, np.ndarray]]
_THREADS = 2


def choose(
    maps: Maps, split: Any, finding: Finding, view: pipeline.View
) -> dict[str, Any]:
    """What is frozen of objects: the settings of rule and baseline with their scores.

    `maps` are those of `whole_split.maps` of this process; every process gets the same.
    Ties go to the combination that comes first in GRID, then to the smallest area.
    Where the objective is undefined (no object in the split and none predicted) the
    first ones are kept, with a value of None, and a warning is logged. `margin_px` is
    that of the counting frame: as wide as the largest true object. Raises ConfigError
    for a rule without settings, and what `objects.find` does.
    """
    smallest = _smallest(split, finding)
    of_rule = post_process.combinations(finding.rule, objects.FOLDER)
    of_baseline = post_process.grid(object_baselines.GRID)
    tried, simple = (
        [(settings, area) for settings in grid for area in smallest]
        for grid in (of_rule, of_baseline)
    )

    def one(item: tuple[int, np.ndarray]) -> dict[str, np.ndarray]:
        example = split[int(item[0])]
        truth, ignore = ids.of_example(example), example["mask"] == IGNORE
        maps, scale = at_native(item[1], finding, view, truth.shape)
        there = named_maps(maps, finding, scale)

        def measured(labels: np.ndarray) -> list[np.ndarray]:
            rows = []
            for area in smallest:
                fewer = objects.without_small(labels, area)
                if not rows or fewer.max() < labels.max():
                    labels = fewer
                    rows.append(instances.measure(truth, labels, ignore=ignore))
                else:
                    rows.append(rows[-1])
            return rows

        by_rule = [
            row
            for settings in of_rule
            for row in measured(
                objects.find(there, finding.rule, settings, finding.cleaning)
            )
        ]
        by_baseline = [
            row
            for settings in of_baseline
            for row in measured(
                object_baselines.otsu_watershed(example["image"], **settings)
            )
        ]
        return {
            "index": np.int64(item[0]),
            "rule": np.stack(by_rule),
            "baseline": np.stack(by_baseline),
            "reach": np.int64(_longest_side(truth)),
        }

    empty = {
        "index": np.zeros(0, np.int64),
        "rule": np.zeros((0, len(tried), len(instances.FIELDS))),
        "baseline": np.zeros((0, len(simple), len(instances.FIELDS))),
        "reach": np.zeros(0, np.int64),
    }
    whole = _rows.gather(count.in_threads(one, maps, _THREADS), empty)
    values, simple_values = (
        [value(finding.objective, whole[side][:, k]) for k in range(len(grid))]
        for side, grid in (("rule", tried), ("baseline", simple))
    )
    best, simplest = _best(values), _best(simple_values)
    if values[best] is None:
        logging.warning(
            "%s is undefined on %s (it has no objects?): %s keeps its first settings.",
            finding.objective,
            split.name,
            finding.rule,
        )
    (settings, area), (simple_settings, simple_area) = tried[best], simple[simplest]
    return {
        "rule": finding.rule,
        "settings": settings,
        "cleaning": {**finding.cleaning, "min_area": area},
        "objective": finding.objective,
        "value": values[best],
        "margin_px": max(1, int(whole["reach"].max(initial=1))),
        "baseline": {
            "settings": {**simple_settings, "min_area": simple_area},
            "value": simple_values[simplest],
        },
        **operating_point.source(split),
    }


def _best(values: list[float | None]) -> int:
    scored = [-math.inf if value is None else value for value in values]
    return int(np.argmax(scored))


def value(objective: str, rows: Float[np.ndarray, "n 42"]) -> float | None:
    """The objective (of objects.OBJECTIVES) pooled over the rows of images."""
    scores = instances.scores(instances.total(rows))
    if objective == "aji":
        out = float(scores["aji"])
    else:
        name, _, percent = objective.rpartition("_")
        out = float(scores[name][instances.THRESHOLDS.index(int(percent) / 100)])
    return None if math.isnan(out) else out


def _smallest(split: Any, finding: Finding) -> list[int]:
    """The areas, pixels, that validation chooses the smallest object from."""
    areas = [_areas(ids.of_example(split[index])) for index in range(len(split))]
    together = np.concatenate([np.zeros(0), *areas])
    median = float(np.median(together)) if len(together) else 0.0
    floor = int(finding.cleaning["min_area"])
    return sorted({max(floor, round(s * median)) for s in finding.min_area_shares})


def _areas(labels: np.ndarray) -> np.ndarray:
    return np.bincount(ids.relabelled(labels).ravel())[1:]


def _longest_side(labels: np.ndarray) -> int:
    """The longest side of the bounding boxes of all objects, pixels; 0 without one."""
    boxes = ndimage.find_objects(ids.relabelled(labels))
    return max((s.stop - s.start for box in boxes for s in box), default=0)
