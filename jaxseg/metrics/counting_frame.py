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
from jaxtyping import Bool, Float, Int, Integer
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
    whole = _objects(label_map)
    return _frame(whole, _on_frame(label_map, whole.ids, margin), margin)


def weighted_objects(label_map: Integer[np.ndarray, "h w"]) -> float:
    """Estimates how many objects an area of the size of the image holds.

    It uses the weights of Miles and Lantuejoul. Raises DataError for what is no label
    map.
    """
    return _weighted(_objects(label_map))


def measure(
    label_map: Integer[np.ndarray, "h w"], *, margin: int
) -> Float[np.ndarray, "6"]:
    """FIELDS of one image, float64, with both remedies beside the naive count.

    Rows are read in bands: of a memory-mapped label map, little is in memory at a time.
    Raises as `frame` does.
    """
    whole = _objects(label_map)
    inner = _frame(whole, _on_frame(label_map, whole.ids, margin), margin)
    row = (len(whole.ids), math.prod(whole.shape), inner.objects, inner.area_px)
    return np.array([*row, inner.undecided, _weighted(whole)])


def densities(rows: Float[np.ndarray, "n 6"]) -> Densities:
    """Objects a pixel from the rows of one image or of many, in any order the same."""
    sums = dict(zip(FIELDS, (math.fsum(column) for column in rows.T), strict=True))
    area, inner = sums["area_px"], sums["frame_area_px"]
    return Densities(
        naive=sums["objects"] / area if area else None,
        frame=sums["frame_objects"] / inner if inner else None,
        weighted=sums["weighted_objects"] / area if area else None,
    )


class _Objects(NamedTuple):
    """The objects of a label map."""

    shape: tuple[int, int]  # of the label map
    ids: Integer[np.ndarray, "n"]
    boxes: Int[np.ndarray, "n 4"]  # top, left, bottom and right of each


def _objects(label_map: Integer[np.ndarray, "h w"]) -> _Objects:
    _label_maps.check(label_map)
    ids = _label_maps.ids(label_map)
    height, width = label_map.shape
    boxes = np.tile(np.array([height, width, 0, 0]), (len(ids), 1))
    for rows in _label_maps.bands(label_map.shape):
        places = _label_maps.renumbered(np.asarray(label_map[rows]), ids)
        for box, there in zip(boxes, ndimage.find_objects(places), strict=False):
            if there is not None:
                (top, bottom), (left, right) = ((s.start, s.stop) for s in there)
                box[:2] = np.minimum(box[:2], (top + rows.start, left))
                box[2:] = np.maximum(box[2:], (bottom + rows.start, right))
    return _Objects((height, width), ids, boxes)


def _on_frame(
    label_map: Integer[np.ndarray, "h w"], ids: Integer[np.ndarray, "n"], margin: int
) -> Bool[np.ndarray, "n"]:
    """Whether each object has a pixel in the frame, and none on the forbidden line."""
    height, width = label_map.shape
    most = (min(height, width) - 1) // 2
    if not 1 <= margin <= most:
        raise ConfigError(
            f"a margin of {margin} pixels leaves no frame with a guard area in an "
            f"image of {height} x {width}: take one from 1 to {most}."
        )
    top, left, bottom, right = margin, margin, height - margin, width - margin
    inside, forbidden = np.zeros((2, len(ids) + 1), bool)
    for rows in _label_maps.bands(label_map.shape):
        places = _label_maps.renumbered(np.asarray(label_map[rows]), ids)
        row = np.arange(rows.start, rows.stop)
        inside[places[(row >= top) & (row < bottom), left:right]] = True
        forbidden[places[row <= bottom, left - 1]] = True
        forbidden[places[row == bottom, left:right]] = True
        forbidden[places[row >= bottom, right - 1]] = True
    return (inside & ~forbidden)[1:]  # 0 is background


def _frame(whole: _Objects, counted: Bool[np.ndarray, "n"], margin: int) -> Frame:
    cut = object_shapes.touches_border(whole.boxes, whole.shape)
    height, width = (side - 2 * margin for side in whole.shape)
    return Frame(
        objects=int(np.count_nonzero(counted)),
        undecided=int(np.count_nonzero(counted & cut)),
        area_px=height * width,
    )


def _weighted(objects: _Objects) -> float:
    shape = objects.shape
    whole = objects.boxes[~object_shapes.touches_border(objects.boxes, shape)]
    sides = whole[:, 2:] - whole[:, :2]
    positions = (np.array(shape) - sides - 1).prod(axis=1)
    return math.fsum(shape[0] * shape[1] / positions)
