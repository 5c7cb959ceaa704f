"""Exact histograms of probabilities, with bins that are fine at both ends.

A saturated model crowds its scores at 0 and at 1, where equal bins resolve nothing.
Here a bin is a range of float32 bit patterns of min(p, 1 - p): 1024 bins in every
octave, from 1/2 down to the smallest normal float, and from 1/2 up until 1 - p (which
is exact there) is 0. Every bin is open below and closed above, so `p > t` counted
directly and counted from the bins agree bit for bit whenever t is an edge. p = 0 and
p = 1 have bins of their own.
"""

import threading
from collections.abc import Callable

import numpy as np
from jaxtyping import Float, Int

_CHUNK = 1 << 14  # pixels at a time
_MANTISSA = 10
_SHIFT = 23 - _MANTISSA
_HALF = 126 << _MANTISSA  # the kept bits of 0.5
_FLOOR = (1 << _MANTISSA) - 1  # of everything below 2^-126
_LOW = _HALF - _FLOOR  # bins of (0, 1/2]
_HIGH = (23 << _MANTISSA) + 1  # bins of (1/2, 1]: 1 - p is 0 or at least 2^-24
BINS = 1 + _LOW + _HIGH

EMPTY, MIXED = -1, -2  # of `only_values`: no value; several, or not searched
_SEARCHED = 4096  # an image in more bins than this is not searched for ties
_thread = threading.local()


def count_codes(
    encode: Callable[[slice], Int[np.ndarray, "m"]], n: int, size: int
) -> tuple[Int[np.ndarray, "size"], Int[np.ndarray, "n"]]:
    """Returns how often each code in [0, size) occurs, int64, and the n codes.

    `encode` gives the codes of one stretch of pixels. They are written into one buffer
    that each thread keeps, because fresh memory costs more here than arithmetic (every
    page has to be faulted in): so they are valid until the thread calls again.
    """
    buffer = getattr(_thread, "buffer", None)
    if buffer is None or len(buffer) < n:
        _thread.buffer = buffer = np.empty(n, np.intp)
    for start in range(0, n, _CHUNK):
        part = slice(start, min(start + _CHUNK, n))
        buffer[part] = encode(part)
    codes = buffer[:n]
    return np.bincount(codes, minlength=size).astype(np.int64, copy=False), codes


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


def _edges() -> Float[np.ndarray, "bins"]:
    """Threshold t of each bin: a score lies in this bin or above when score > t."""
    codes = np.arange(_FLOOR + 1, _HALF + 1, dtype=np.int32) << _SHIFT
    half = codes.view(np.float32).astype(np.float64)  # 2^-126 ... 1/2
    # Above 1/2 float32 steps by 2^-24: rounding an edge down moves no score across it.
    high = np.floor((1 - half[: -_HIGH - 1 : -1]) * 2**24) / 2**24
    return np.concatenate([[-1.0, 0.0], half[:-1], high])


LOWER = _edges()  # f64 [BINS], each an exact float32; -1 means "below every score"


def at_most_one_value() -> np.ndarray:
    """Bool [BINS]: bins in which there is room for one float32 value only."""
    one = np.zeros(BINS, bool)
    one[[0, -1]] = True
    one[np.searchsorted(LOWER, 1 - 2.0**-13) :] = True
    return one


def only_values(
    score: Float[np.ndarray, "n"],
    codes: Int[np.ndarray, "n"],
    counts: Int[np.ndarray, "bins"],
) -> Int[np.ndarray, "bins"]:
    """The one value in each bin, as int32 bits; EMPTY or MIXED where there is none.

    `codes` says in which bin each score lies, `counts` how many lie in each. It tells
    ties from crowds. Where scores are spread over thousands of bins there is nothing
    to gain, so those bins are called MIXED without a search.
    """
    if np.count_nonzero(counts) > _SEARCHED:
        return np.where(counts > 0, np.int32(MIXED), np.int32(EMPTY))
    value = np.full(len(counts), EMPTY, np.int32)
    parts = [slice(i, i + _CHUNK) for i in range(0, len(codes), _CHUNK)]
    for part in parts:
        value[codes[part]] = _bits(score[part])
    differ = [codes[p][value[codes[p]] != _bits(score[p])] for p in parts]
    for part in differ:
        value[part] = MIXED
    return value


def _bits(score: Float[np.ndarray, "n"]) -> Int[np.ndarray, "n"]:
    return np.maximum(np.ascontiguousarray(score).view(np.int32), 0)


def join_only_values(
    a: Int[np.ndarray, "bins"], b: Int[np.ndarray, "bins"]
) -> Int[np.ndarray, "bins"]:
    """Returns the `only_values` of two sets of scores together, in any order."""
    differ = np.where((a == b) | (b == EMPTY), a, MIXED)
    return np.where(a == EMPTY, b, differ)
