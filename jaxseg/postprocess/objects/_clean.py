"""Cleans the objects of a label map, one by one; every step is off by default.

The steps come in this order: holes are filled, objects are opened, and small, jagged
and surplus ones are dropped. Filling holes adds background pixels to an object, all the
others only remove pixels, and none changes which object a pixel belongs to.
"""

import math
from collections.abc import Iterator
from typing import Any

import cv2
import numpy as np
from jaxtyping import Bool, Int, Int32
from scipy import ndimage

from jaxseg.errors import ConfigError

OFF: dict[str, Any] = {
    "fill_holes": False,
    "opening": 0,
    "min_area": 0,
    "min_circularity": 0.0,
    "largest": 0,
}
Box = tuple[slice, slice]


def clean(
    labels: Int[np.ndarray, "h w"],
    *,
    fill_holes: bool = False,
    opening: int = 0,
    min_area: int = 0,
    min_circularity: float = 0.0,
    largest: int = 0,
) -> Int32[np.ndarray, "h w"]:
    """The cleaned label map, numbered by `numbered`.

    `fill_holes` fills the background that an object encloses. `opening` is the radius,
    in pixels, of a disc: what it does not fit into is cut off, and of the pieces the
    largest stays (the first of equal ones). Objects below `min_area` pixels and below
    `min_circularity` (see `circularity`) are dropped, and with `largest` above 0 all
    but so many largest ones (the first of equal ones stay). Raises ConfigError for a
    negative setting.
    """
    for name, value in list(locals().items())[1:]:
        if not 0 <= value < math.inf:
            raise ConfigError(
                f"config.objects.{name} is {value!r}; it must be finite and >= 0."
            )
    out = numbered(labels)
    if fill_holes:
        for i, box, mask in each(out):
            holes = ndimage.binary_fill_holes(mask) & (out[box] == 0)
            out[box][holes] = i
    if opening:
        for _, box, mask in each(out):
            out[box][mask & ~_opened(mask, int(opening))] = 0
    if min_circularity > 0:
        for _, box, mask in each(out):
            if circularity(mask) < min_circularity:
                out[box][mask] = 0
    areas = np.bincount(out.ravel(), minlength=1)
    keep = areas >= max(min_area, 1)
    if largest:
        order = np.argsort(-areas[1:], kind="stable") + 1
        keep[order[int(largest) :]] = False
    return numbered(np.where(keep[out], out, 0))


def numbered(labels: Int[np.ndarray, "h w"]) -> Int32[np.ndarray, "h w"]:
    """The same objects as 1 to n, in the order of their first pixels row by row."""
    flat = labels.ravel()
    inside = np.flatnonzero(flat)
    _, first, rank = np.unique(flat[inside], return_index=True, return_inverse=True)
    order = np.empty(len(first), np.int32)
    order[np.argsort(first)] = np.arange(1, len(first) + 1)
    out = np.zeros(flat.shape, np.int32)
    out[inside] = order[rank]
    return out.reshape(labels.shape)


def each(
    labels: Int[np.ndarray, "h w"],
) -> Iterator[tuple[int, Box, Bool[np.ndarray, "y x"]]]:
    """(id, the box of the object, its pixels in the box) of objects 1 to n."""
    for i, box in enumerate(ndimage.find_objects(labels), 1):
        if box is not None:
            yield i, box, labels[box] == i


def circularity(mask: Bool[np.ndarray, "y x"]) -> float:
    """4 pi area / perimeter^2 of one object.

    The perimeter is estimated from how often lines in four directions cross the border
    (Cauchy-Crofton: Lehmann and Legland, 2012, https://hdl.handle.net/10380/3342), by
    the rule of jaxseg/metrics/object_shapes.py. A disc of 7 pixels across has 0.83, one
    of 31 has 0.96, and a single pixel 1.75.
    """
    padded = np.pad(mask, 1).astype(np.int8)
    straight = _changes(padded[1:], padded[:-1]) + _changes(
        padded[:, 1:], padded[:, :-1]
    )
    slanted = _changes(padded[1:, 1:], padded[:-1, :-1]) + _changes(
        padded[1:, :-1], padded[:-1, 1:]
    )
    # pi times the mean over four directions of crossings x distance of the lines, half
    # of it as a line that enters leaves again
    perimeter = math.pi / 8 * (straight + slanted / math.sqrt(2))
    return 4 * math.pi * np.count_nonzero(mask) / perimeter**2


def _changes(a: np.ndarray, b: np.ndarray) -> int:
    return int(np.count_nonzero(a != b))


def _opened(mask: np.ndarray, radius: int) -> np.ndarray:
    """The largest piece of the opened object; empty where nothing is left."""
    y, x = np.ogrid[-radius : radius + 1, -radius : radius + 1]
    disc = (y**2 + x**2 <= radius**2).astype(np.uint8)
    padded = np.pad(mask, radius + 1).astype(np.uint8)
    opened = cv2.morphologyEx(padded, cv2.MORPH_OPEN, disc)
    inner = slice(radius + 1, -radius - 1)
    _, pieces = cv2.connectedComponents(opened[inner, inner], connectivity=8)
    areas = np.bincount(pieces.ravel())
    areas[0] = 0
    return pieces == areas.argmax() if areas.any() else np.zeros_like(mask)
