"""Measures the objects of a label map: sizes, shapes, places and intensities.

The perimeter is that of the Crofton formula with four directions: rows, columns and
both diagonals are lines that cross the object's boundary, and the mean number of
crossings gives its length (Serra, 1982, Image Analysis and Mathematical Morphology;
Legland et al., 2007, https://doi.org/10.5566/ias.v26.p83-92; the same rule as
`skimage.measure.perimeter_crofton(directions=4)`):

    perimeter = pi / 8 (straight + diagonal / sqrt(2))

`straight` counts the pairs of neighbours in rows and columns of which only one is in
the object, `diagonal` those along both diagonals. Pixels of other objects and beyond
the image are outside. For discs whose centres lie anywhere between pixels, the mean
error is at most 1 % from a diameter of 5 pixels on; the polygon through border pixels
is 14 % short at 5 and 4 % at 10. Sides that run along rows or columns come out short: a
square of 10 pixels has 36.8, one of 100 pixels has 378.

Circularity is 4 pi area / perimeter^2: 1 for a disc, less for all else. It is not cut
off at 1, about which discs scatter: from 0.88 to 1.08 below 20 pixels of diameter, from
0.97 to 1.02 at 50. A single pixel has 1.75.
"""

import math
from typing import NamedTuple

import numpy as np
from jaxtyping import Bool, Float, Int, Integer, Shaped

from jaxseg.errors import DataError
from jaxseg.metrics import _label_maps


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

    Rows are read in bands: of memory-mapped arrays, little is in memory at a time.

    Raises DataError for what is no label map, for an image or probability of another
    size, and for a pixel size that is not above 0.
    """
    _label_maps.check(label_map)
    ids = _label_maps.ids(label_map)
    fields = []
    if image is not None:
        _label_maps.check_same_size(label_map, image, "the image")
        channels = math.prod(image.shape[2:])
        names = [f"mean_intensity_{c}" for c in range(channels)]
        fields.append((names, image.reshape(*label_map.shape, channels)))
    if probability is not None:
        _label_maps.check_same_size(label_map, probability, "the probability")
        fields.append((["mean_probability"], probability[..., None]))
    sums = _summed(label_map, ids, fields)
    area, box = sums.area, sums.box
    perimeter = math.pi / 8 * (sums.straight + sums.diagonal / math.sqrt(2))
    columns = {
        "id": ids,
        "area_px": area,
        "diameter_px": equivalent_diameter(area),
        "perimeter_px": perimeter,
        "circularity": circularity(area, perimeter),
        "centroid_y_px": sums.y / area,
        "centroid_x_px": sums.x / area,
        **dict(zip(("top_px", "left_px", "bottom_px", "right_px"), box.T, strict=True)),
        "touches_border": touches_border(box, label_map.shape),
        **{name: column / area for name, column in sums.fields.items()},
    }
    if um_per_px is not None:
        columns["area_um2"] = area * _pixel_area(um_per_px)
        columns["diameter_um"] = equivalent_diameter(columns["area_um2"])
    return columns


class _Sums(NamedTuple):
    """Sums over the pixels of each of n objects, to which bands of rows are added."""

    area: Int[np.ndarray, "n"]
    y: Float[np.ndarray, "n"]
    x: Float[np.ndarray, "n"]
    box: Int[np.ndarray, "n 4"]
    straight: Int[np.ndarray, "n"]  # neighbours in rows and columns, one outside
    diagonal: Int[np.ndarray, "n"]
    fields: dict[str, Float[np.ndarray, "n"]]


def _summed(
    label_map: Integer[np.ndarray, "h w"],
    ids: Integer[np.ndarray, "n"],
    fields: list[tuple[list[str], np.ndarray]],
) -> _Sums:
    """Adds up the bands; `fields` are names of channels and an array [h, w, c]."""
    n, (height, width) = len(ids), label_map.shape
    whole, fraction = np.zeros((3, n), np.int64), np.zeros((2, n))
    box = np.tile(np.array([height, width, 0, 0]), (n, 1))
    names = [name for group, _ in fields for name in group]
    sums = _Sums(whole[0], *fraction, box, *whole[1:], {k: np.zeros(n) for k in names})
    for rows in _label_maps.bands(label_map.shape):
        above, below = max(rows.start - 1, 0), min(rows.stop + 1, height)
        near = _label_maps.renumbered(np.asarray(label_map[above:below]), ids)
        places = near[rows.start - above :][: rows.stop - rows.start]
        outside = (above == rows.start, below == rows.stop), (1, 1)
        _add_crossings(sums, np.pad(near, outside))
        first, length = _label_maps.runs(places)
        of = places.ravel()[first] - 1
        inside = of >= 0
        for group, field in fields:
            for c, name in enumerate(group):
                values = np.asarray(field[rows, :, c], np.float64).ravel()
                run = np.add.reduceat(values, first)[inside]
                sums.fields[name][:] += np.bincount(of[inside], run, n)
        y, x = np.divmod(first[inside], width)
        _add_runs(sums, of[inside], y + rows.start, x, length[inside])
    return sums


def _add_runs(
    sums: _Sums,
    of: Int[np.ndarray, "r"],
    y: Int[np.ndarray, "r"],
    x: Int[np.ndarray, "r"],
    length: Int[np.ndarray, "r"],
) -> None:
    """Adds stretches of rows, each of an object `of`, which begin at (y, x)."""
    n = len(sums.area)
    sums.area[:] += np.bincount(of, length, n).astype(np.int64)  # exact
    sums.y[:] += np.bincount(of, y * length, n)
    sums.x[:] += np.bincount(of, (x + (length - 1) / 2) * length, n)
    top, left, bottom, right = sums.box.T
    np.minimum.at(top, of, y)
    np.minimum.at(left, of, x)
    np.maximum.at(bottom, of, y + 1)
    np.maximum.at(right, of, x + length)


def _add_crossings(sums: _Sums, padded: Int[np.ndarray, "h w"]) -> None:
    """Counts neighbours of which one only is in an object, once, from its inner side.

    Only the objects' pixels within the outermost rows and columns are looked at.
    """
    middle, n = padded[1:-1, 1:-1], len(sums.area)
    for down in (-1, 0, 1):
        for right in (-1, 0, 1):
            if not (down or right):
                continue
            rows = slice(1 + down, padded.shape[0] - 1 + down)
            columns = slice(1 + right, padded.shape[1] - 1 + right)
            edge = middle[padded[rows, columns] != middle]
            counts = sums.diagonal if down and right else sums.straight
            counts[:] += np.bincount(edge, minlength=n + 1)[1:]


def equivalent_diameter(area: Shaped[np.ndarray, "n"]) -> Float[np.ndarray, "n"]:
    """Diameter of a disc of the same area, 2 sqrt(area / pi)."""
    return 2 * np.sqrt(area / math.pi)


def circularity(
    area: Shaped[np.ndarray, "n"], perimeter: Float[np.ndarray, "n"]
) -> Float[np.ndarray, "n"]:
    """4 pi area / perimeter^2, as it comes: small discs may exceed 1.

    Cox, 1927, A method of assigning numerical and percentage values to the degree of
    roundness of sand grains, Journal of Paleontology 1, 179 to 183.
    """
    return 4 * math.pi * area / perimeter**2


def touches_border(
    boxes: Int[np.ndarray, "n 4"], shape: tuple[int, int]
) -> Bool[np.ndarray, "n"]:
    """Whether each object has a pixel in the first or last row or column."""
    return (boxes[:, :2] == 0).any(axis=1) | (boxes[:, 2:] == shape).any(axis=1)


def _pixel_area(um_per_px: tuple[float, float]) -> float:
    height, width = um_per_px
    if not (0 < height < math.inf and 0 < width < math.inf):
        raise DataError(
            f"a pixel is {height} x {width} micrometres, but both must be above 0: "
            "give its true size, or none to measure in pixels only."
        )
    return height * width
