"""Covers an image of any size by overlapping tiles, and joins what is predicted.

A prediction is least certain at the border of what the network sees, so each tile is
weighted by a Gaussian about its centre (nnU-Net: Isensee et al., 2021,
https://doi.org/10.1038/s41592-020-01008-z). The weights of all tiles sum to 1 at every
pixel. They are a product of weights along the two axes, as the tiles are a grid.
"""

import functools
import math
from typing import NamedTuple

import numpy as np
from jaxtyping import Float

from jaxseg.data import crops

_SIGMA = 1 / 8  # of the side of a tile, as in nnU-Net


class Grid(NamedTuple):
    """The tiles of one image, numbered row by row."""

    size: tuple[int, int]  # of the image: height, width
    tile: tuple[int, int]
    tops: tuple[int, ...]  # below 0 where the image is smaller than the tile
    lefts: tuple[int, ...]
    overlap: float

    @property
    def count(self) -> int:
        """The number of tiles."""
        return len(self.tops) * len(self.lefts)

    def start(self, number: int) -> tuple[int, int]:
        """Top and left of a tile."""
        row, column = divmod(number, len(self.lefts))
        return self.tops[row], self.lefts[column]


@functools.lru_cache(maxsize=4096)
def grid(size: tuple[int, int], tile: tuple[int, int], overlap: float) -> Grid:
    """The fewest evenly spread tiles that overlap by at least `overlap` of a tile.

    An axis that is not longer than the tile has one, the image in its middle.
    """
    tops, lefts = (starts(n, t, overlap) for n, t in zip(size, tile, strict=True))
    return Grid(size, tile, tops, lefts, overlap)


def starts(length: int, tile: int, overlap: float) -> tuple[int, ...]:
    """Where the tiles of one axis begin; `overlap` is a share of the tile, below 1."""
    if length <= tile:
        return (crops.centred(length, tile),)
    step = max(1.0, tile * (1 - overlap))
    gaps = math.ceil((length - tile) / step)
    return tuple(round(k * (length - tile) / gaps) for k in range(gaps + 1))


@functools.lru_cache(maxsize=256)
def weights(length: int, tile: int, overlap: float) -> Float[np.ndarray, "tiles tile"]:
    """The weights f32 of the tiles along an axis, 0 outside the image.

    At every pixel of the image their sum is 1.
    """
    begins = starts(length, tile, overlap)
    distance = np.arange(tile) - (tile - 1) / 2
    bell = np.exp(-0.5 * (distance / (_SIGMA * tile)) ** 2)
    out, total = np.zeros((len(begins), tile)), np.zeros(length)
    places = [np.arange(tile) + begin for begin in begins]
    inside = [(place >= 0) & (place < length) for place in places]
    for place, keep in zip(places, inside, strict=True):
        total[place[keep]] += bell[keep]
    for row, place, keep in zip(out, places, inside, strict=True):
        row[keep] = bell[keep] / total[place[keep]]
    return out.astype(np.float32)


def placed(
    grid: Grid, number: int, probability: Float[np.ndarray, "height width k"]
) -> tuple[tuple[slice, slice], Float[np.ndarray, "rows columns k"]]:
    """(where in the image, what is to be added there) of the prediction of a tile.

    It is weighted, and cut where the tile exceeds the image. A single tile is as it is:
    no rounding.
    """
    inside = tuple(
        slice(max(-s, 0), min(t, n - s))
        for s, t, n in zip(grid.start(number), grid.tile, grid.size, strict=True)
    )
    where = tuple(
        slice(max(s, 0), max(s, 0) + part.stop - part.start)
        for s, part in zip(grid.start(number), inside, strict=True)
    )
    if grid.count == 1:
        return where, np.array(probability[inside], np.float32)
    row, column = divmod(number, len(grid.lefts))
    y = weights(grid.size[0], grid.tile[0], grid.overlap)[row][inside[0]]
    x = weights(grid.size[1], grid.tile[1], grid.overlap)[column][inside[1]]
    return where, probability[inside] * (y[:, None] * x)[..., None]


class Canvas:
    """Sums the predictions of the tiles of one image, always in their order."""

    def __init__(self, grid: Grid):
        self.plan = self.grid = grid
        self.added = 0
        self._sum: np.ndarray | None = None

    @property
    def whole(self) -> bool:
        """Whether every tile was added."""
        return self.added == self.grid.count

    def add(self, probability: Float[np.ndarray, "height width k"]) -> None:
        """Adds the prediction of the next tile."""
        where, part = placed(self.grid, self.added, probability)
        self.added += 1
        if self.grid.count == 1:
            self._sum = part
            return
        if self._sum is None:
            self._sum = np.zeros((*self.grid.size, probability.shape[-1]), np.float32)
        self._sum[where] += part

    def probability(self) -> Float[np.ndarray, "h w k"]:
        """The probabilities f32 of the image; call it when it is `whole`."""
        return np.minimum(self._sum, 1, out=self._sum)  # 1 + a rounding error
