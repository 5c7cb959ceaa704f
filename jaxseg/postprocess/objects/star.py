"""Finds objects as star-shaped polygons by non-maximum suppression (target star).

Schmidt et al., Cell Detection with Star-Convex Polygons, 2018,
https://arxiv.org/abs/1806.03535. A candidate is a pixel whose object probability is
high enough. Its rays, distances from the pixel to the border of its object in
directions of equal spacing, make a polygon. The most probable candidate is an object;
those that lie in it are not, nor are those whose polygons share too much with it; then
comes the next. Shared pixels are counted as a share of the smaller of two polygons: a
small one within a large one is the same object, though their intersection over union
is low.

Ray k points at the angle 2 pi k / n: ray 0 to the right, and on towards the bottom.
"""

import math
from collections.abc import Mapping
from typing import NamedTuple

import numpy as np
from jaxtyping import Bool, Float, Int, Int32
from skimage import draw

from jaxseg.errors import ConfigError
from jaxseg.postprocess.objects import _clean

GRID = {
    "threshold": (0.2, 0.3, 0.4, 0.5, 0.6, 0.7),
    "overlap": (0.2, 0.3, 0.4, 0.5, 0.6),
}
_LEAST = 1e-3  # of a ray, pixels: a polygon turns no corner inside out


class Star(NamedTuple):
    """The pixels of a polygon within its box of the image."""

    top: int
    left: int
    mask: Bool[np.ndarray, "y x"]
    area: int


def find(
    maps: Mapping[str, Float[np.ndarray, "h w ..."]],
    *,
    threshold: float = 0.5,
    overlap: float = 0.4,
) -> Int32[np.ndarray, "h w"]:
    """Numbered objects; where two overlap, the more probable one has the pixel.

    `threshold` is that of the object probability, `overlap` the largest share of the
    smaller of two objects that both may have. Raises ConfigError where the network
    predicts no rays.
    """
    if "rays" not in maps:
        raise ConfigError(
            "the rule star needs a network that predicts rays: train with "
            "config.target.name='star', or choose another config.objects.rule."
        )
    shape = maps["rays"].shape[:2]
    points = _candidates(maps["distance"], threshold)
    chosen = suppress(points, maps["rays"][points[:, 0], points[:, 1]], shape, overlap)
    labels = np.zeros(shape, np.int32)
    for number, star in reversed(list(enumerate(chosen, 1))):
        y, x = star.mask.shape
        labels[star.top : star.top + y, star.left : star.left + x][star.mask] = number
    return _clean.numbered(labels)


def suppress(
    points: Int[np.ndarray, "n 2"],
    rays: Float[np.ndarray, "n r"],
    shape: tuple[int, int],
    overlap: float,
) -> list[Star]:
    """The polygons that stay of candidates in order, the first before all others."""
    stars: list[Star] = []
    covered = np.zeros(shape, bool)  # by the stars that stay
    boxes = np.empty((len(points), 4), np.int64)  # of the stars that stay
    for point, ray in zip(points, rays, strict=True):
        if covered[tuple(point)]:
            continue
        star = polygon(point, ray, shape)
        if not star.area:
            continue
        top, left = star.top, star.left
        bottom, right = top + star.mask.shape[0], left + star.mask.shape[1]
        n = len(stars)
        near = (boxes[:n, 0] < bottom) & (boxes[:n, 2] > top)
        near &= (boxes[:n, 1] < right) & (boxes[:n, 3] > left)
        if not any(_share(star, stars[i]) > overlap for i in np.flatnonzero(near)):
            boxes[n] = top, left, bottom, right
            stars.append(star)
            covered[top:bottom, left:right] |= star.mask
    return stars


def polygon(
    point: Int[np.ndarray, "2"], rays: Float[np.ndarray, "r"], shape: tuple[int, int]
) -> Star:
    """The pixels of the image of `shape` whose middles lie in the polygon."""
    angle = 2 * math.pi / len(rays) * np.arange(len(rays))
    length = np.maximum(rays.astype(np.float64), _LEAST)
    y, x = point[0] + length * np.sin(angle), point[1] + length * np.cos(angle)
    top, left = max(0, math.floor(y.min())), max(0, math.floor(x.min()))
    bottom = min(shape[0], math.ceil(y.max()) + 1)
    right = min(shape[1], math.ceil(x.max()) + 1)
    mask = draw.polygon2mask(
        (bottom - top, right - left), np.stack([y - top, x - left], -1)
    )
    return Star(top, left, mask, int(np.count_nonzero(mask)))


def _candidates(
    probability: Float[np.ndarray, "h w"], threshold: float
) -> Int[np.ndarray, "n 2"]:
    """Row and column of the candidates, the most probable first.

    Of equally probable ones the first in the image comes first.
    """
    points = np.argwhere(probability > np.float32(threshold))
    order = np.argsort(-probability[points[:, 0], points[:, 1]], kind="stable")
    return points[order]


def _share(a: Star, b: Star) -> float:
    """Pixels of both as a share of the smaller one."""
    top, left = max(a.top, b.top), max(a.left, b.left)
    bottom = min(a.top + a.mask.shape[0], b.top + b.mask.shape[0])
    right = min(a.left + a.mask.shape[1], b.left + b.mask.shape[1])
    one, other = (
        s.mask[top - s.top : bottom - s.top, left - s.left : right - s.left]
        for s in (a, b)
    )
    return np.count_nonzero(one & other) / min(a.area, b.area)
