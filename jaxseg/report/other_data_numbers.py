"""Computes how far scores on other data are from those of the test set."""

from collections.abc import Sequence
from typing import Any

import numpy as np
from jaxtyping import Float

from jaxseg.metrics import bootstrap, overlap, paired_test
from jaxseg.report import class_counts, derived_numbers
from jaxseg.report.read import Row, Split

NAMES = ("dice_pooled", "dice_positives", "iou_pooled", "precision_pooled")
NAMES += ("recall_pooled",)
_RESAMPLES = 2000


def gaps(
    test: Split, other: Split, shared: Sequence[str] | None = None
) -> list[dict[str, Any]]:
    """A row for each of NAMES: its `name`, value `there`, in the `test` set, and the
    `paired_test.Difference` of the first minus the second.

    Without `shared` the groups of either set are drawn on their own. With it, ids that
    both sets have, both are measured on these images alone, and on the very same
    resamples of their groups. Above two classes values are means over the classes that
    both sets show. [] where no pixel was scored, or no class is in both.
    """
    splits = (other, test)
    if not all(map(derived_numbers.pixels_trained, splits)):
        return []
    tables = [_rows(split, shared) for split in splits]
    counted = _by_class(derived_numbers.classes(test), tables)
    if not counted or not all(tables):
        return []
    groups = [images["group"] for images in counted[0]]
    if shared is not None:
        groups[0] = groups[1]  # the same images: one drawing for both
    drawn = [
        [
            _resampled(images, group, seed=0 if shared is not None else side)
            for images in (both[side] for both in counted)
        ]
        for side, group in enumerate(groups)
    ]
    value = [_mean([_values(both[side]) for both in counted]) for side in (0, 1)]
    again = [_mean(parts) for parts in drawn]
    rows = []
    for m, name in enumerate(NAMES):
        few = min(len(set(group)) for group in groups)
        ends = float(value[0][m]), float(value[1][m])
        gap = paired_test.difference(ends, (again[0][m], again[1][m]), few)
        there, here = (None if np.isnan(one) else one for one in ends)
        rows.append({"name": name, "there": there, "test": here, **gap})
    return rows


def _rows(split: Split, shared: Sequence[str] | None) -> list[Row]:
    """The rows of the images that are compared."""
    if shared is None:
        return split["images"]
    wanted = set(shared)
    return [row for row in split["images"] if row["id"] in wanted]


def _by_class(
    names: Sequence[str], tables: Sequence[list[Row]]
) -> list[list[paired_test.Images]]:
    """[the images of either table] for each class that has pixels in both."""
    if len(names) == 2:
        return [[paired_test.images(rows) for rows in tables]]
    shown = [
        name
        for name in names[1:]
        if all(any(row.get(f"truth_pixels/{name}") for row in rows) for rows in tables)
    ]
    return [
        [
            paired_test.images([row | class_counts.of_class(row, name) for row in rows])
            for rows in tables
        ]
        for name in shown
    ]


def _values(images: paired_test.Images) -> Float[np.ndarray, "m"]:
    """The metrics of all images; NaN where one is undefined."""
    return np.array([overlap.value(name, images["counts"]) for name in NAMES], float)


def _resampled(
    images: paired_test.Images, groups: Sequence[str], *, seed: int
) -> Float[np.ndarray, "m resamples"]:
    """The metrics again on resamples of the groups; equal seeds draw equal groups."""
    terms = np.stack([overlap.terms(name, **images["counts"]) for name in NAMES])
    return bootstrap.resample(NAMES, terms, groups, seed=seed, resamples=_RESAMPLES)


def _mean(parts: Sequence[np.ndarray]) -> np.ndarray:
    """The mean over classes; NaN where any of them is undefined."""
    return np.mean(np.stack(parts), axis=0)
