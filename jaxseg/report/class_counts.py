"""Counts each class in each image, and resamples the mean of a metric over classes."""

from collections.abc import Sequence

import numpy as np

from jaxseg.metrics import paired_test
from jaxseg.report import derived_numbers
from jaxseg.report.read import Split


def of_split(split: Split) -> list[paired_test.Images] | None:
    """The images once for each foreground class that the truth has, in order of ids.

    None of two classes, and where the table of images has no columns of classes. True
    negatives are not among those columns: they are 0 here, for metrics without them.
    """
    names, rows = derived_numbers.classes(split)[1:], split["images"]
    columns = [f"{kind}/{c}" for c in names for kind in ("truth_pixels", "dice")]
    if len(names) < 2 or not rows or not all(column in rows[0] for column in columns):
        return None
    return [
        paired_test.images([row | of_class(row, name) for row in rows])
        for name in names
        if any(row[f"truth_pixels/{name}"] for row in rows)
    ]


def of_class(row: dict, name: str) -> dict[str, int]:
    """tp, fp, fn of a class from its pixels and its Dice, which is 2 tp / their sum."""
    truth, predicted, dice = (
        row[f"{kind}/{name}"] or 0
        for kind in ("truth_pixels", "predicted_pixels", "dice")
    )
    hits = round(dice * (truth + predicted) / 2)
    return {
        "tp": hits,
        "fp": int(predicted) - hits,
        "fn": int(truth) - hits,
        "tn": 0,
    }


def resample(
    names: Sequence[str], runs: Sequence[list[paired_test.Images]], *, resamples: int
) -> paired_test.Drawn:
    """As `paired_test.resample`, of means over the classes on which each is defined.

    `runs` are of `of_split`. Raises DataError unless all runs hold the same images,
    groups and truths of every class.
    """
    each = [
        paired_test.resample(names, of_class, resamples=resamples)
        for of_class in zip(*runs, strict=True)
    ]
    return paired_test.Drawn(
        value=_mean([drawn["value"] for drawn in each]),
        samples=_mean([drawn["samples"] for drawn in each]),
        groups=each[0]["groups"],
    )


def _mean(parts: list[np.ndarray]) -> np.ndarray:
    """The mean over parts that are defined; NaN where none is."""
    stacked = np.stack(parts)
    defined = ~np.isnan(stacked)
    total, count = np.where(defined, stacked, 0).sum(axis=0), defined.sum(axis=0)
    return np.where(count > 0, total / np.maximum(count, 1), np.nan)
