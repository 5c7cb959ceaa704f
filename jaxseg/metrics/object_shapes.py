"""Measures the objects of a label map: sizes, shapes, places and intensities.

The perimeter is that of the Crofton formula with four directions: rows, columns and
both diagonals are lines that cross the object's boundary, and the mean number of
crossings gives its length (Serra, 1982, Image Analysis and Mathematical Morphology;
Legland et al., 2007, https://doi.org/10.5566/ias.v26.p83-92; the same rule as
`skimage.measure.perimeter_crofton(directions=4)`):

    perimeter = pi / 8 (rows + columns + (diagonals) / sqrt(2))

where each counts pairs of neighbours along it of which one only is in the object.
Pixels of other objects and beyond the frame are outside. On discs whose centres lie
anywhere between pixels, the mean error is at most 1 % from a diameter of 5 pixels on;
counting border pixels is 14 % short at 5 and 4 % at 10. Sides that run along rows and
columns come out short: a square of 10 pixels has 36.8, one of 100 has 378.

Circularity is 4 pi area / perimeter^2: 1 for a disc, less for all else. It is not cut
off at 1, about which discs scatter: from 0.88 to 1.08 below 20 pixels of diameter, from
0.97 to 1.02 at 50. A single pixel has 1.75.
"""

import math

import numpy as np
from jaxtyping import Bool, Float, Int, Integer, Shaped
from scipy import ndimage

from jaxseg.errors import DataError
from jaxseg.metrics import _label_maps

_DIAGONAL = 1 / math.sqrt(2)  # distance of neighbouring diagonals, in pixels


def measure(
    label_map: Integer[np.ndarray, "h w"],
    *,
    image: Shaped[np.ndarray, "h w *c"] | None = None,
    probability: Float[np.ndarray, "h w"] | None = None,
    um_per_px: tuple[float, float] | None = None,
) -> dict[str, np.ndarray]:
    """Columns of a table with one row an object, by ascending id.

    `id`; `area_px`; `diameter_px`, that of a disc of this area, 2 sqrt(area / pi);
    `perimeter_px` and `circularity`; `centroid_y_px` and `centroid_x_px`, where the
    first pixel is (0, 0); the bounding box from `top_px` and `left_px` to `bottom_px`
    and `right_px`, of which the last two are the first pixels beyond it;
    `touches_border`, whether a pixel lies on the frame of the image: such an object may
    be cut. With `image`, `mean_intensity_0` and so on, one a channel; with
    `probability`, `mean_probability`; with `um_per_px` (micrometres a pixel, down and
    right), `area_um2` and `diameter_um`.

    Raises DataError for what is no label map, for an image or probability of another
    size, and for a pixel size that is not above 0.
    """
    ids, places = _label_maps.number(label_map)
    n = len(ids)
    inside = np.flatnonzero(places)
    of = places.ravel()[inside] - 1
    area = np.bincount(of, minlength=n)
    y, x = np.divmod(inside, max(label_map.shape[1], 1))
    box = bounding_boxes(places)
    perimeter = _perimeter(places, n)
    columns = {
        "id": ids,
        "area_px": area,
        "diameter_px": equivalent_diameter(area),
        "perimeter_px": perimeter,
        "circularity": circularity(area, perimeter),
        "centroid_y_px": np.bincount(of, y, n) / area,
        "centroid_x_px": np.bincount(of, x, n) / area,
        **dict(zip(("top_px", "left_px", "bottom_px", "right_px"), box.T, strict=True)),
        "touches_border": touches_border(box, label_map.shape),
    }
    if image is not None:
        _label_maps.check_same_size(label_map, image, "the image")
        channels = image.reshape(label_map.size, math.prod(image.shape[2:]))[inside]
        for c, channel in enumerate(channels.T):
            columns[f"mean_intensity_{c}"] = np.bincount(of, channel, n) / area
    if probability is not None:
        _label_maps.check_same_size(label_map, probability, "the probability")
        inner = probability.ravel()[inside]
        columns["mean_probability"] = np.bincount(of, inner, n) / area
    if um_per_px is not None:
        columns["area_um2"] = area * _pixel_area(um_per_px)
        columns["diameter_um"] = equivalent_diameter(columns["area_um2"])
    return columns


def equivalent_diameter(area: Shaped[np.ndarray, "n"]) -> Float[np.ndarray, "n"]:
    """Diameter of a disc of the same area, 2 sqrt(area / pi)."""
    return 2 * np.sqrt(area / math.pi)


def circularity(
    area: Shaped[np.ndarray, "n"], perimeter: Float[np.ndarray, "n"]
) -> Float[np.ndarray, "n"]:
    """4 pi area / perimeter^2 (Cox, 1927), as it comes: small discs may exceed 1."""
    return 4 * math.pi * area / perimeter**2


def bounding_boxes(places: Int[np.ndarray, "h w"]) -> Int[np.ndarray, "n 4"]:
    """Top, left, bottom and right of the objects 1 to n; the last two are beyond."""
    boxes = ndimage.find_objects(places) if places.size else []
    sides = [(y.start, x.start, y.stop, x.stop) for y, x in boxes]
    return np.array(sides, np.int64).reshape(-1, 4)


def touches_border(
    boxes: Int[np.ndarray, "n 4"], shape: tuple[int, int]
) -> Bool[np.ndarray, "n"]:
    """Whether each object has a pixel in the first or last row or column."""
    return (boxes[:, :2] == 0).any(axis=1) | (boxes[:, 2:] == shape).any(axis=1)


def _perimeter(places: Int[np.ndarray, "h w"], n: int) -> Float[np.ndarray, "n"]:
    """Crofton's formula; what is not of the same object is outside."""
    padded = np.pad(places, 1)
    middle = padded[1:-1, 1:-1]
    crossings = np.zeros((2, n + 1), np.int64)
    for down in (-1, 0, 1):
        for right in (-1, 0, 1):
            if not (down or right):
                continue
            # every crossing is seen once, from its inner side
            rows = slice(1 + down, padded.shape[0] - 1 + down)
            cols = slice(1 + right, padded.shape[1] - 1 + right)
            edge = middle[padded[rows, cols] != middle]
            crossings[abs(down * right)] += np.bincount(edge, minlength=n + 1)
    straight, diagonal = crossings[:, 1:]
    return math.pi / 8 * (straight + _DIAGONAL * diagonal)


def _pixel_area(um_per_px: tuple[float, float]) -> float:
    height, width = um_per_px
    if not (0 < height < math.inf and 0 < width < math.inf):
        raise DataError(
            f"a pixel is {height} x {width} micrometres, but both must be above 0: "
            "give its true size, or none to measure in pixels only."
        )
    return height * width
