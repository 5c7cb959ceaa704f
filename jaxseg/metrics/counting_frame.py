"""Counts objects without bias where the edge of the image cuts some of them.

Whoever counts every object that shows in a window counts those that its edge cuts, and
counts them once more in the next window: in windows of 256 pixels, discs of 50 come out
41 % too many and squares of that side 43 %. To leave out all that touch the edge is as
wrong the other way. There are two remedies. Both are right for objects of any size and
shape, as long as the window was placed without regard to them.

`frame` is the unbiased counting frame of Gundersen, 1977, Notes on the estimation of
the numerical density of arbitrary profiles: the edge effect, Journal of Microscopy 111,
219 to 223. It is a rectangle within the image with a forbidden line around two of its
sides: the line comes from the upper edge of the image, runs down the column left of the
frame, along the row below it, and from there, under the frame's last column, down to
the lower edge. An object is counted when it has a pixel in the frame and none on the
line. If frames tile the plane, each object in one piece (8-connected) is counted in
exactly one of them, so the count over the area of the frame is the density. The margin
around the frame (the guard area) shows whether an object reaches the line, so it has to
be as wide as the largest object. `undecided` is the number of counted objects that the
edge of the image cuts, which might reach the line outside the image: when it is not 0,
take a wider margin.

`weighted_objects` are the weights of Miles and Lantuejoul (Miles, 1974, On the
elimination of edge effects in planar sampling, in Harding and Kendall, Stochastic
Geometry; Baddeley and Jensen, 2004, Stereology for Statisticians). Every object that
does not touch the edge is counted with the weight 1 / ((W - w - 1) (H - h - 1)): one
over the number of places that its bounding box of w x h pixels could take in the image
of W x H without touching the edge. This needs no margin and uses more of the image.
Objects nearly as large as the image make it scatter, and larger ones are never counted.
"""

import math
from typing import NamedTuple

import numpy as np
from jaxtyping import Float, Int, Integer
from scipy import ndimage

from jaxseg.errors import ConfigError
from jaxseg.metrics import _label_maps, object_shapes

# of one image: what is summed over images before `densities`
FIELDS = ("objects", "area_px", "frame_objects", "frame_area_px", "undecided")
FIELDS += ("weighted_objects",)


class Frame(NamedTuple):
    """What one counting frame holds."""

    objects: int
    undecided: int  # of these, objects that the edge of the image cuts
    area_px: int


class Densities(NamedTuple):
    """Objects a pixel, of one image or of many; None without an area."""

    naive: float | None  # all that show: too large
    frame: float | None  # of the unbiased counting frame
    weighted: float | None  # of Miles and Lantuejoul


def frame(label_map: Integer[np.ndarray, "h w"], *, margin: int) -> Frame:
    """The count of Gundersen's frame, `margin` pixels from each edge of the image.

    Raises ConfigError for a margin below 1 or one that leaves no frame, and DataError
    for what is no label map.
    """
    places, boxes = _numbered(label_map)
    return _frame(places, boxes, margin)


def weighted_objects(label_map: Integer[np.ndarray, "h w"]) -> float:
    """Estimates how many objects an area of the size of the image holds.

    It uses the weights of Miles and Lantuejoul. Raises DataError for what is no label
    map.
    """
    _, boxes = _numbered(label_map)
    return _weighted(boxes, label_map.shape)


def measure(
    label_map: Integer[np.ndarray, "h w"], *, margin: int
) -> Float[np.ndarray, "6"]:
    """FIELDS of one image, float64, with both remedies beside the naive count.

    Raises as `frame` does.
    """
    places, boxes = _numbered(label_map)
    inner = _frame(places, boxes, margin)
    weighted = _weighted(boxes, places.shape)
    row = (len(boxes), places.size, inner.objects, inner.area_px, inner.undecided)
    return np.array([*row, weighted])


def densities(rows: Float[np.ndarray, "n 6"]) -> Densities:
    """Objects a pixel from the rows of one image or of many, in any order the same."""
    sums = dict(zip(FIELDS, (math.fsum(column) for column in rows.T), strict=True))
    area, inner = sums["area_px"], sums["frame_area_px"]
    return Densities(
        naive=sums["objects"] / area if area else None,
        frame=sums["frame_objects"] / inner if inner else None,
        weighted=sums["weighted_objects"] / area if area else None,
    )


def _numbered(
    label_map: Integer[np.ndarray, "h w"],
) -> tuple[Int[np.ndarray, "h w"], Int[np.ndarray, "n 4"]]:
    """(the label map, numbered 1 to n; top, left, bottom and right of each object)."""
    _label_maps.check(label_map)
    places = _label_maps.renumbered(label_map, _label_maps.ids(label_map))
    slices = ndimage.find_objects(places) if places.size else []
    boxes = [(y.start, x.start, y.stop, x.stop) for y, x in slices]
    return places, np.array(boxes, np.int64).reshape(-1, 4)


def _frame(
    places: Int[np.ndarray, "h w"], boxes: Int[np.ndarray, "n 4"], margin: int
) -> Frame:
    height, width = places.shape
    most = (min(height, width) - 1) // 2
    if not 1 <= margin <= most:
        raise ConfigError(
            f"a margin of {margin} pixels leaves no frame with a guard area in an "
            f"image of {height} x {width}: take one from 1 to {most}."
        )
    top, left, bottom, right = margin, margin, height - margin, width - margin
    counted = np.zeros(len(boxes) + 1, bool)
    counted[places[top:bottom, left:right]] = True
    counted[places[: bottom + 1, left - 1]] = False
    counted[places[bottom, left:right]] = False
    counted[places[bottom:, right - 1]] = False
    counted = counted[1:]  # 0 is background
    cut = object_shapes.touches_border(boxes, places.shape)
    return Frame(
        objects=int(np.count_nonzero(counted)),
        undecided=int(np.count_nonzero(counted & cut)),
        area_px=(bottom - top) * (right - left),
    )


def _weighted(boxes: Int[np.ndarray, "n 4"], shape: tuple[int, int]) -> float:
    whole = boxes[~object_shapes.touches_border(boxes, shape)]
    sides = whole[:, 2:] - whole[:, :2]
    positions = (np.array(shape) - sides - 1).prod(axis=1)
    return math.fsum(shape[0] * shape[1] / positions)
