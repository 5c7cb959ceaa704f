"""Labels clicks: so many pixels of each class, the first of an order of all of them.

A strategy puts all pixels of a class into an order, and a budget takes the first of
it, so the 10 clicks of an image contain its 5. Bearman et al., What's the Point, 2016,
https://arxiv.org/abs/1506.02106
"""

import cv2
import numpy as np
from jaxtyping import Bool, Int, UInt8

from jaxseg.errors import ConfigError
from jaxseg.types import IGNORE

SPARSE = True


def label(
    mask: UInt8[np.ndarray, "h w"],
    *,
    rng: np.random.Generator,
    positive: int,
    negative: int,
    strategy: str = "random",
) -> UInt8[np.ndarray, "h w"]:
    """255 but for `positive` pixels of each foreground class and `negative` of class 0.

    A class with fewer pixels than that gives all it has. `strategy` is one of:
    "random"; "centre" (each click the farthest from the edge of the class and from the
    clicks before it); "boundary" (random among the pixels at the edge, then inwards);
    "grid" (a lattice that gets finer, from a random corner). Raises ConfigError for
    another one, and for a negative number of clicks.
    """
    if strategy not in _ORDERS:
        raise ConfigError(
            f"config.supervision.strategy is {strategy!r}: choose one of {[*_ORDERS]}."
        )
    if min(positive, negative) < 0 or positive + negative == 0:
        raise ConfigError(
            f"config.supervision asks for {positive} positive and {negative} negative "
            "clicks an image; give numbers from 0, one of them above."
        )
    out = np.full_like(mask, IGNORE)
    present = [int(c) for c in np.unique(mask) if c != IGNORE]
    # one generator a class, so that a class more or fewer moves no click of another
    for c, own in enumerate(rng.spawn(max(present, default=0) + 1)):
        budget = positive if c else negative
        if c in present and budget:
            order = _ORDERS[strategy](mask == c, budget, own)
            out.reshape(-1)[order[:budget]] = c
    return out


def _random(inside: Bool[np.ndarray, "h w"], count: int, rng) -> Int[np.ndarray, "n"]:
    return rng.permutation(np.flatnonzero(inside))


def _boundary(inside, count, rng):
    pixels = rng.permutation(np.flatnonzero(inside))
    depth = np.ceil(_depth(inside, frame=0).reshape(-1)[pixels])
    return pixels[np.argsort(depth, kind="stable")]


def _centre(inside, count, rng):
    left = inside.copy()
    chosen = []
    noise = rng.random(inside.shape, np.float32) * 1e-3  # decides between equals
    for _ in range(min(count, int(inside.sum()))):
        depth = np.where(left, _depth(left, frame=1) + noise, -1)
        chosen.append(int(depth.argmax()))
        left.reshape(-1)[chosen[-1]] = False
    return np.array(chosen, np.int64)


def _grid(inside, count, rng):
    height, width = inside.shape
    y, x = np.nonzero(inside)
    corner = rng.integers(0, (height, width))
    rank = _interleave((y + corner[0]) % height, (x + corner[1]) % width)
    return (y * width + x)[np.argsort(rank, kind="stable")]


def _depth(inside, *, frame):
    """Distance to the nearest pixel outside; the frame is outside too where it is 1."""
    padded = np.pad(inside.astype(np.uint8), frame)
    depth = cv2.distanceTransform(padded, cv2.DIST_L2, cv2.DIST_MASK_PRECISE)
    return depth[frame : len(depth) - frame, frame : depth.shape[1] - frame]


def _interleave(y, x) -> Int[np.ndarray, "n"]:
    """Rank of a place in a lattice that is refined: reversed bits of y and x in turn.

    Its first 4^k places are a lattice of step 2^(16 - k), as in ordered dithering.
    """
    rank = np.zeros(len(y), np.int64)
    for bit in range(16):
        pair = ((y >> bit & 1) ^ (x >> bit & 1)) << 1 | (y >> bit & 1)
        rank = rank << 2 | pair
    return rank


_ORDERS = {
    "random": _random,
    "centre": _centre,
    "boundary": _boundary,
    "grid": _grid,
}
