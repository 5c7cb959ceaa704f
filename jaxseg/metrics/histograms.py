"""Exact bins for probabilities, fine at both ends.

A saturated model crowds its scores at 0 and at 1, where equal bins see nothing. Here a
bin is a range of float32 bit patterns of min(p, 1 - p): 1024 bins in every octave, from
1/2 down to the smallest normal float, and from 1/2 up until 1 - p (which is exact
there) is 0. Every bin is open below and closed above, so `p > t` counted directly and
counted from the bins agree bit for bit whenever t is an edge. p = 0 and p = 1 have bins
of their own.
"""

import numpy as np
from jaxtyping import Float, Int

from jaxseg.metrics.histogram import CHUNK

_MANTISSA = 10
_SHIFT = 23 - _MANTISSA
_HALF = 126 << _MANTISSA  # the kept bits of 0.5
_FLOOR = (1 << _MANTISSA) - 1  # of everything below 2^-126
_LOW = _HALF - _FLOOR  # bins of (0, 1/2]
_HIGH = (23 << _MANTISSA) + 1  # bins of (1/2, 1]: 1 - p is 0 or at least 2^-24
BINS = 1 + _LOW + _HIGH

EMPTY, MIXED = -1, -2  # of `values`: nothing seen; more than one value, or not looked
_LOOK = 4096  # an image in more bins than this is not searched for ties


def bins(score: Float[np.ndarray, "n"]) -> Int[np.ndarray, "n"]:
    """Bin of each float32 probability, int32 in [0, BINS); monotone in the score.

    Scores a rounding error outside [0, 1] count as 0 and 1; NaN must not come here.
    """
    low = (score <= 0.5).astype(np.int32)
    nearer = np.subtract(np.float32(1), score)
    np.minimum(nearer, score, out=nearer)
    code = nearer.view(np.int32)  # ordered like the floats it holds, from 0 up
    np.maximum(code, 0, out=code)
    code -= low  # closed above: an edge belongs to the bin below it
    code >>= _SHIFT
    np.maximum(code, _FLOOR, out=code)
    code -= _HALF
    low -= 1
    code ^= low  # c below 1/2, -1 - c above: the mirror
    code += _LOW + 1
    np.minimum(code, BINS - 1, out=code)
    if score.size and score.min() <= 0:
        code -= score <= 0
    return code


def _edges() -> np.ndarray:
    """Threshold t of each bin: a score lies in this bin or above when score > t."""
    codes = np.arange(_FLOOR + 1, _HALF + 1, dtype=np.int32) << _SHIFT
    half = codes.view(np.float32).astype(np.float64)  # 2^-126 ... 1/2
    # Above 1/2 float32 steps by 2^-24: rounding an edge down moves no score across it.
    high = np.floor((1 - half[: -_HIGH - 1 : -1]) * 2**24) / 2**24
    return np.concatenate([[-1.0, 0.0], half[:-1], high])


def _grid() -> np.ndarray:
    coarse = [2.0**e * (1 + i / 8) for e in range(-18, -4) for i in range(8)]
    fine = [2.0**e * (1 + i / 32) for e in range(-4, -1) for i in range(32)]
    low = np.array(coarse + fine)
    return np.concatenate([low, [0.5], 1 - low[::-1]])


LOWER = _edges()  # f64 [BINS], each an exact float32; -1 means "below every score"
GRID = _grid()  # f64 [417], the thresholds an operating point may take
_STARTS = np.concatenate([[0], np.searchsorted(LOWER, GRID)])


def at_most_one_value() -> np.ndarray:
    """Bool [BINS]: bins in which there is room for one float32 value only."""
    one = np.zeros(BINS, bool)
    one[[0, -1]] = True
    one[np.searchsorted(LOWER, 1 - 2.0**-13) :] = True
    return one


def coarse(histogram: Int[np.ndarray, "2 bins"]) -> Int[np.ndarray, "2 cells"]:
    """The same histogram in the 418 cells that the thresholds of GRID cut."""
    return np.add.reduceat(histogram, _STARTS, axis=-1)


def above(cells: Int[np.ndarray, "*n cells"]) -> Int[np.ndarray, "*n thresholds"]:
    """How many scores exceed each threshold of GRID, int64."""
    tail = cells[..., :0:-1].astype(np.int64)
    return np.cumsum(tail, axis=-1)[..., ::-1]


def nearest(threshold: float) -> tuple[int, bool]:
    """Position in GRID of the nearest threshold, and whether it is exactly that."""
    at = int(np.argmin(np.abs(GRID - threshold)))
    return at, float(GRID[at]) == threshold


def values(score, codes, counts) -> Int[np.ndarray, "cells"]:
    """The one value each cell has seen, as int32 bits; EMPTY or MIXED otherwise.

    `codes` says in which cell each score lies, `counts` how many lie in each. It tells
    ties from crowds. Where scores are spread over thousands of cells there is nothing
    to gain, so those cells are called MIXED without looking.
    """
    if np.count_nonzero(counts) > _LOOK:
        return np.where(counts > 0, np.int32(MIXED), np.int32(EMPTY))
    seen = np.full(len(counts), EMPTY, np.int32)
    parts = [slice(i, i + CHUNK) for i in range(0, len(codes), CHUNK)]
    for part in parts:
        seen[codes[part]] = _bits(score[part])
    differ = [codes[p][seen[codes[p]] != _bits(score[p])] for p in parts]
    for part in differ:
        seen[part] = MIXED
    return seen


def _bits(score) -> np.ndarray:
    return np.maximum(np.ascontiguousarray(score).view(np.int32), 0)


def join(a: Int[np.ndarray, "bins"], b: Int[np.ndarray, "bins"]):
    """What two sets of scores have seen together; order does not matter."""
    differ = np.where((a == b) | (b == EMPTY), a, MIXED)
    return np.where(a == EMPTY, b, differ)
