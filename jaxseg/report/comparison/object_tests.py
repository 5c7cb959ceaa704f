"""Resamples scores of objects from the counts that the table of images holds."""

from collections.abc import Sequence

import numpy as np
from jaxtyping import Float

from jaxseg.errors import DataError
from jaxseg.metrics import bootstrap, paired_test
from jaxseg.report.object_numbers import F1, MAE
from jaxseg.report.read import Split

NAMES = (F1, MAE)
_COLUMNS = ("true_objects", "predicted_objects", F1)


def testable(splits: Sequence[Split]) -> bool:
    """Whether every split was scored by objects, image by image."""
    return all(
        split["images"] and all(name in split["images"][0] for name in _COLUMNS)
        for split in splits
    )


def resample(splits: Sequence[Split], *, resamples: int) -> paired_test.Drawn:
    """As `paired_test.resample`, of `NAMES`: both are ratios of sums over images.

    Raises DataError unless all splits hold the same images with as many true objects.
    """
    tables = [sorted(split["images"], key=lambda row: row["id"]) for split in splits]
    keys = [[(row["id"], _count(row, _COLUMNS[0])) for row in rows] for rows in tables]
    if any(other != keys[0] for other in keys[1:]):
        raise DataError(
            "a paired test wants the same images with the same objects in all runs: "
            "score them on the same split."
        )
    groups = [row.get("group") or row["id"] for row in tables[0]]
    terms = np.stack([part for rows in tables for part in _terms(rows)])
    names = NAMES * len(splits)
    samples = bootstrap.resample(
        names, terms, groups, divide=_divide, resamples=resamples
    )
    value = np.array([float(_divide("", one.sum(-1))) for one in terms])
    shape = (len(splits), len(NAMES))
    return paired_test.Drawn(
        value=value.reshape(shape),
        samples=samples.reshape(*shape, -1),
        groups=len(set(groups)),
    )


def _terms(rows: Sequence[dict]) -> list[Float[np.ndarray, "2 n"]]:
    """Of F1 and of the count error: what stands above and below the line."""
    true, predicted = (
        np.array([_count(row, name) for row in rows], float) for name in _COLUMNS[:2]
    )
    # F1 is 2 x matched / (true + predicted), undefined where there is neither
    f1 = np.array([row[F1] or 0.0 for row in rows])
    twice_matched = np.rint(f1 * (true + predicted))
    error = np.abs(predicted - true)
    return [
        np.stack([twice_matched, true + predicted]),
        np.stack([error, np.ones_like(error)]),
    ]


def _count(row: dict, name: str) -> int:
    return int(row[name] or 0)


def _divide(_: str, terms: np.ndarray) -> np.ndarray:
    above, below = terms[0], terms[1]
    return np.where(below > 0, above / np.where(below > 0, below, 1), np.nan)
