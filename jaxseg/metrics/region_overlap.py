"""AUPRO: how much of every region is covered, as false positives are admitted.

The per-region overlap (PRO) at a threshold is the mean, over the connected regions of
the truth, of the share of each that lies above it: a small defect counts as much as a
large one. It is integrated over the false-positive rate of pixels up to a limit, 0.3
unless told otherwise, and divided by that limit: 1 is perfect. Bergmann et al., 2020,
Uninformed Students, https://arxiv.org/abs/1911.02357; MVTec AD, 2021,
https://doi.org/10.1007/s11263-020-01400-4.
"""

import cv2
import numpy as np
from jaxtyping import Bool, Float, Int

LIMIT = 0.3
POLICY = (
    "mean over 8-connected regions of the truth of the share above a threshold, over "
    "the false-positive rate of all background pixels, trapezoids up to a rate of "
    "{limit:g}, divided by it; thresholds are those of the grid of operating points; "
    "pixels not labelled count nowhere"
)


def measure(
    truth: Bool[np.ndarray, "h w"],
    score: Float[np.ndarray, "h w"],
    thresholds: Float[np.ndarray, "t"],
) -> tuple[Float[np.ndarray, "t"], int]:
    """(the sum over regions of their shares above each threshold, their number).

    A score is above a threshold t when score > t, in float32; `thresholds` rise.
    """
    number, labels = cv2.connectedComponents(truth.view(np.uint8), connectivity=8)
    inside = labels[truth]
    share = 1 / np.bincount(inside, minlength=number)[inside]
    # so many thresholds lie below the score
    below = np.searchsorted(
        thresholds.astype(np.float32), score[truth].astype(np.float32), side="left"
    )
    cells = np.bincount(below, weights=share, minlength=len(thresholds) + 1)
    return np.cumsum(cells[:0:-1])[::-1], number - 1


def area(
    covered: Float[np.ndarray, "*r t"],
    regions: Float[np.ndarray, "*r"],
    false: Float[np.ndarray, "*r t"],
    negatives: Float[np.ndarray, "*r"],
    *,
    limit: float = LIMIT,
) -> Float[np.ndarray, "*r"]:
    """The normalised area from sums over images; NaN without a region or background.

    `covered` and `regions` are those of `measure`, `false` the background pixels above
    each threshold and `negatives` all of them. The curve begins at (0, 0) and ends at
    (1, 1), and is cut at `limit` between the points beside it.
    """
    covered, false = (np.atleast_2d(x).astype(np.float64) for x in (covered, false))
    regions, negatives = (np.atleast_1d(x).astype(float) for x in (regions, negatives))
    defined = (regions > 0) & (negatives > 0)
    ends = np.zeros((len(covered), 1)), np.ones((len(covered), 1))

    def line(sums, total):
        share = sums[:, ::-1] / np.where(defined, total, 1)[:, None]
        return np.concatenate([ends[0], share, ends[1]], axis=1)

    x, y = line(false, negatives), line(covered, regions)
    inside = np.minimum(x, limit)
    step = np.diff(x, axis=1)
    slope = np.diff(y, axis=1) / np.where(step > 0, step, 1)
    width = np.diff(inside, axis=1)
    # of a piece that crosses the limit the part before it counts
    pieces = width * (y[:, :-1] + slope * width / 2)
    return np.where(defined, pieces.sum(axis=1) / limit, np.nan)


def value(
    covered: Float[np.ndarray, "t"],
    regions: int,
    false: Int[np.ndarray, "t"],
    negatives: int,
    *,
    limit: float = LIMIT,
) -> float | None:
    """`area` of one curve; None where it is undefined."""
    found = float(area(covered, regions, false, negatives, limit=limit)[0])
    return None if np.isnan(found) else found
