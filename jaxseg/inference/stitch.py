"""Predicts an image by tiles so that every pixel is as in one piece.

A network of convolutions sees a bounded part of the image around each pixel. Tiles that
begin at multiples of its stride, of which only what lies that far from a cut is used,
give what the whole image would (the valid region: Ronneberger et al., 2015,
https://arxiv.org/abs/1505.04597, "overlap-tile"). How far it sees is measured.
"""

import functools
import math
from collections.abc import Callable
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Float, UInt

from jaxseg.errors import ConfigError

_STRIDES = (1, 2, 4, 8, 16, 32)
_ACROSS = 32  # pixels of the probes along the other axis


class Field(NamedTuple):
    """What a network sees around a pixel."""

    margin: int  # pixels to each side, at most
    stride: int  # of its coarsest map: what shifts by this much is predicted alike


@functools.lru_cache(maxsize=16)
def field(model: Any, *, channels: int, longest: int = 1024) -> Field | None:
    """The Field of a Linen module of `jaxseg/models/`; None where it has no end.

    One pixel at a time becomes NaN, and what becomes NaN in the answer saw it: whatever
    the weights, as 0 x NaN is NaN. Networks that mix all pixels, by attention or by
    norms of the image at hand, have no end, and those that see further than a third of
    `longest` pixels count as such.
    """
    middle, most = longest // 2, _STRIDES[-1]
    reach = np.zeros((2, 2 * most, 2), np.int64)  # axis, place: before and after
    probe = _probe(model, channels, longest)
    for axis in range(2):
        for k in range(2 * most):
            seen = probe(axis, middle - most + k)
            if seen is None:
                return None
            reach[axis, k] = seen
    margin = int(reach.max())
    if margin > longest // 3:
        return None
    for stride in _STRIDES:
        if (reach[:, stride:] == reach[:, :-stride]).all():
            return Field(margin, stride)
    return None


@functools.lru_cache(maxsize=16)
def sees_all(model: Any, *, channels: int, longest: int = 1024) -> bool:
    """Whether a network sees so far that `field` would have no end for it.

    One probe along the height tells, where `field` needs many: a network that mixes all
    pixels does so from anywhere.
    """
    reach = _probe(model, channels, longest)(0, longest // 2)
    return reach is None or max(reach) > longest // 3


def _probe(
    model: Any, channels: int, longest: int
) -> Callable[[int, int], tuple[int, int] | None]:
    """(axis, place of one pixel) -> pixels before and after it that see it.

    None where one at an end of the image sees it, or none at all.
    """
    init = functools.partial(model.init, train=False)
    small = jax.ShapeDtypeStruct((1, _ACROSS, _ACROSS, channels), np.float32)
    shapes = jax.eval_shape(init, jax.random.key(0), small)
    weights = jax.tree.map(lambda leaf: jnp.zeros(leaf.shape, leaf.dtype), shapes)

    @jax.jit
    def blind(image):
        answer = model.apply(weights, image, train=False)["logits"]
        return jnp.isnan(answer).any(-1)

    def probe(axis, place):
        size = (longest, _ACROSS) if axis == 0 else (_ACROSS, longest)
        image = np.zeros((1, *size, channels), np.float32)
        at = [_ACROSS // 2, _ACROSS // 2]
        at[axis] = place
        image[0, at[0], at[1]] = np.nan
        seen = np.flatnonzero(np.asarray(blind(image))[0].any(1 - axis))
        if not len(seen) or seen[0] == 0 or seen[-1] == longest - 1:
            return None
        return int(place - seen[0]), int(seen[-1] - place)

    return probe


class Cut(NamedTuple):
    """A tile along one axis."""

    start: int
    first: int  # of the pixels that are used; they end before `last`
    last: int


def cuts(length: int, tile: int, of: Field) -> list[Cut]:
    """The tiles of an axis whose length is a multiple of the stride.

    One of the whole length where it is not longer than a tile. Raises ConfigError for a
    tile that is no multiple of the stride, or has nothing to use between its margins.
    """
    if length <= tile:
        return [Cut(0, 0, length)]
    step = (tile - 2 * of.margin) // of.stride * of.stride
    if tile % of.stride or step < of.stride:
        least = math.ceil(2 * of.margin / of.stride + 1) * of.stride
        raise ConfigError(
            f"tiles of {tile} pixels cannot be joined exactly: the network sees "
            f"{of.margin} pixels to each side and has a stride of {of.stride}; give a "
            f"multiple of {of.stride} from {least} on."
        )
    starts = [*range(0, length - tile, step), length - tile]
    firsts = [start + of.margin * (start > 0) for start in starts]
    lasts = [*firsts[1:], length]
    return [Cut(*each) for each in zip(starts, firsts, lasts, strict=True)]


class Plan(NamedTuple):
    """The tiles of one image, numbered row by row; used as `tiles.Grid` is."""

    size: tuple[int, int]  # of the image
    wide: tuple[int, int]  # of the image, grown to multiples of the stride
    tile: tuple[int, int]  # cut off where the image is smaller
    rows: tuple[Cut, ...]
    columns: tuple[Cut, ...]

    @property
    def count(self) -> int:
        """The number of tiles."""
        return len(self.rows) * len(self.columns)

    def start(self, number: int) -> tuple[int, int]:
        """Top and left of a tile."""
        row, column = divmod(number, len(self.columns))
        return self.rows[row].start, self.columns[column].start


def plan(size: tuple[int, int], tile: tuple[int, int], of: Field) -> Plan:
    """The Plan of an image of `size` (h, w); raises what `cuts` does."""
    height, width = (n + -n % of.stride for n in size)
    rows, columns = cuts(height, tile[0], of), cuts(width, tile[1], of)
    small = min(tile[0], height), min(tile[1], width)
    return Plan(size, (height, width), small, tuple(rows), tuple(columns))


def grown(
    image: UInt[np.ndarray, "h w c"], of: Field
) -> UInt[np.ndarray, "height width c"]:
    """The image at multiples of the stride: its edges repeated, as the networks do."""
    grow = [(0, -n % of.stride) for n in image.shape[:2]]
    return np.pad(image, (*grow, (0, 0)), mode="edge")


class Canvas:
    """Joins the predictions of the tiles of one image, always in their order."""

    def __init__(self, plan: Plan):
        self.plan, self.added = plan, 0
        self._joined: np.ndarray | None = None

    @property
    def whole(self) -> bool:
        """Whether every tile was added."""
        return self.added == self.plan.count

    def add(self, probability: Float[np.ndarray, "height width k"]) -> None:
        """Adds the prediction of the next tile."""
        if self._joined is None:
            shape = (*self.plan.wide, probability.shape[-1])
            self._joined = np.zeros(shape, np.float32)
        row, column = divmod(self.added, len(self.plan.columns))
        y, x = self.plan.rows[row], self.plan.columns[column]
        self._joined[y.first : y.last, x.first : x.last] = probability[
            y.first - y.start : y.last - y.start, x.first - x.start : x.last - x.start
        ]
        self.added += 1

    def probability(self) -> Float[np.ndarray, "h w k"]:
        """The probabilities f32 of the image; call it when it is `whole`."""
        height, width = self.plan.size
        return np.ascontiguousarray(self._joined[:height, :width])
