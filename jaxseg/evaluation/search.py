"""A metric at every setting of a rule that decides, for all settings at once (k = 2).

A rule has two parts: which pixels are foreground (p > threshold), and which images are
left alone instead of emptied. What an image adds to the sums is known once for each
threshold, so the second part is one matrix product.
"""

from collections.abc import Iterator

import numpy as np
from jaxtyping import Float

from jaxseg.evaluation.tally import Tally
from jaxseg.metrics import histograms, overlap

_STEP = 4
COARSE = histograms.GRID[::_STEP]  # f64 [105], top thresholds and gates that are tried
_ROWS = 256  # images at a time: bounds the memory
_UNIT = 2.0**32


def by_threshold(
    tally: Tally, metric: str, areas: Float[np.ndarray, "areas"]
) -> Float[np.ndarray, "areas thresholds"]:
    """The metric at every minimum area and threshold of bins.GRID."""
    summed = np.zeros((4, len(areas), len(histograms.GRID)))
    for _, wrong, right, truth, pixels in _parts(tally):
        for i, area in enumerate(areas):
            keep = wrong + right >= area * pixels
            found = overlap.split_counts(
                truth, (wrong + right) * keep, right * keep, pixels
            )
            summed[:, i] += overlap.terms(metric, **found).sum(axis=1)
    return overlap.divide(metric, summed)


def by_triplet(
    tally: Tally, metric: str, areas: Float[np.ndarray, "areas"]
) -> Float[np.ndarray, "tops areas thresholds"]:
    """The metric where `area` must lie above a top threshold, else the image is empty.

    The first top is the threshold itself (`by_threshold`, to 1e-9), the others are
    COARSE; NaN where the top is below the threshold.
    """
    value = _layers(tally, metric, areas, gated=False)
    below = COARSE[:, None, None] < histograms.GRID
    return np.concatenate([value[:1], np.where(below, np.nan, value[1:])])


def by_gate(
    tally: Tally, metric: str, areas: Float[np.ndarray, "areas"]
) -> Float[np.ndarray, "gates areas thresholds"]:
    """The metric where an image is empty unless its max_probability exceeds a gate.

    The first gate is none (`by_threshold`, to 1e-9), the others are COARSE.
    """
    return _layers(tally, metric, areas, gated=True)


def _layers(tally: Tally, metric: str, areas, *, gated: bool) -> np.ndarray:
    summed = np.zeros((4, 1 + len(COARSE), len(areas), len(histograms.GRID)))
    for part, wrong, right, truth, pixels in _parts(tally):
        found = overlap.split_counts(truth, wrong + right, right, pixels)
        none = overlap.split_counts(truth, 0 * truth, 0 * truth, pixels)
        empty = _exact(metric, none)
        gain = _exact(metric, found) - empty  # over leaving the image empty
        summed += empty.sum(axis=1)[..., None, None]
        shown = (tally.max_probability[part, None] > COARSE).T.astype(np.float64)
        for i, area in enumerate(areas):
            keep = wrong + right >= area * pixels
            kept = gain * keep
            summed[:, 0, i] += kept.sum(axis=1)
            large = keep[:, ::_STEP].T.astype(np.float64)
            summed[:, 1:, i] += shown @ kept if gated else large @ gain
    return overlap.divide(metric, summed)


def _exact(metric: str, found: dict[str, np.ndarray]) -> np.ndarray:
    """Terms as whole multiples of 2^-32: no order of summing them changes a bit.

    A matrix product promises no order. Exact for up to 2^21 images and 2^53 pixels.
    """
    terms = overlap.terms(metric, **found)
    return np.rint(terms * _UNIT) / _UNIT if metric in overlap.PER_IMAGE else terms


def _parts(tally: Tally) -> Iterator[tuple]:
    """(slice, wrong [m, t], right [m, t], truth [m, 1], pixels [m, 1]) of m images."""
    for start in range(0, len(tally.index), _ROWS):
        part = slice(start, start + _ROWS)
        wrong, right = np.moveaxis(histograms.above(tally.scores[part]), 1, 0)
        yield part, wrong, right, tally.truth[part, 1:], tally.pixels[part, None]
