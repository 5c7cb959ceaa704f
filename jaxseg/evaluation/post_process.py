"""Chooses and counts a rule of postprocess/ that reads whole probability maps.

A threshold is counted from histograms at every setting at once. Another rule, a file of
postprocess/ or a module of the user's own, is run on every image instead: with each of
its settings on validation, with the frozen ones after that. For two classes.
"""

import itertools
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

import numpy as np
from absl import logging

from jaxseg import lookup
from jaxseg.devices import sharding
from jaxseg.errors import ConfigError
from jaxseg.evaluation import count, operating_point
from jaxseg.evaluation.tally import Tally, with_foreground
from jaxseg.labels import IGNORE
from jaxseg.metrics import overlap
from jaxseg.postprocess import decision

Predictions = Iterable[tuple[int, np.ndarray]]


def combinations(rule: str, folder: str = "postprocess") -> list[dict[str, Any]]:
    """Every combination of the settings in the GRID of a rule, in its order.

    Raises ConfigError for a setting without a value.
    """
    settings = lookup.find(folder, rule).GRID
    if not all(len(values) for values in settings.values()):
        raise ConfigError(
            f"GRID of {rule} is {settings}: give each setting one value or more."
        )
    return grid(settings)


def grid(settings: Mapping[str, Sequence[Any]]) -> list[dict[str, Any]]:
    """Every combination of the values of these settings, the last one fastest."""
    return [
        dict(zip(settings, values, strict=True))
        for values in itertools.product(*settings.values())
    ]


def choose(
    predictions: Predictions,
    tally: Tally,
    split: Any,
    *,
    rule: str,
    objective: str,
    to_native: count.Resize,
) -> dict[str, Any]:
    """The settings of `rule` with the highest objective on `split`, to be frozen.

    `tally` is that of the split; ties go to the setting that comes first in GRID.
    Raises ConfigError for more than two classes, and for a rule that returns no mask.
    """
    if tally.num_classes != 2:
        raise ConfigError(
            f"config.operating_point.rule {rule} needs 2 classes, not "
            f"{tally.num_classes}: leave it at 'threshold'."
        )
    settings = combinations(rule)
    wrong, right = _count(predictions, tally, split, rule, settings, to_native)
    truth, pixels = tally.truth[:, 1], tally.pixels
    values = []
    for k in range(len(settings)):
        predicted = wrong[:, k] + right[:, k]
        counts = overlap.split_counts(truth, predicted, right[:, k], pixels)
        values.append(overlap.value(objective, counts))
    best = max((value for value in values if value is not None), default=None)
    if best is None:
        logging.warning(
            "%s is undefined on %s (no foreground in its truth?): %s keeps its first "
            "settings.",
            objective,
            split.name,
            rule,
        )
    return {
        "rule": rule,
        "settings": settings[values.index(best)],
        "objective": objective,
        "value": best,
        **operating_point.source(split),
    }


def retally(
    predictions: Predictions,
    tally: Tally,
    split: Any,
    point: dict[str, Any],
    *,
    to_native: count.Resize,
) -> Tally:
    """The tally with the confusion of the frozen rule, run on every image."""
    settings = [point["settings"]]
    wrong, right = _count(predictions, tally, split, point["rule"], settings, to_native)
    return with_foreground(tally, wrong[:, 0], right[:, 0])


def _count(
    predictions: Predictions,
    tally: Tally,
    split: Any,
    rule: str,
    settings: Sequence[dict[str, Any]],
    to_native: count.Resize,
) -> tuple[np.ndarray, np.ndarray]:
    """Foreground that is wrong and right, i64 [n, settings], of all processes."""

    def one(item: tuple[int, np.ndarray]) -> tuple[int, list[int], list[int]]:
        index, mask = int(item[0]), split[int(item[0])]["mask"]
        native = count.at_native(item[1], mask.shape, 2, to_native)
        labelled = mask != IGNORE
        wrong, right = [], []
        for setting in settings:
            point = {"rule": rule, "settings": setting}
            marked = (decision.decide(native, point, labelled) == 1) & labelled
            right.append(int(np.count_nonzero(marked & (mask == 1))))
            wrong.append(int(np.count_nonzero(marked)) - right[-1])
        return index, wrong, right

    rows = list(count.in_threads(one, predictions, 2))
    shape = (len(rows), len(settings))
    own = {
        "index": np.array([row[0] for row in rows], np.int64),
        "wrong": np.array([row[1] for row in rows], np.int64).reshape(shape),
        "right": np.array([row[2] for row in rows], np.int64).reshape(shape),
    }
    parts = sharding.gather(own)
    index, wrong, right = (
        np.concatenate([part[name] for part in parts]) for name in own
    )
    order = np.argsort(index)
    order = order[np.searchsorted(index[order], tally.index)]  # as in the tally
    return wrong[order], right[order]
