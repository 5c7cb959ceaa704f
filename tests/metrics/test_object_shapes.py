"""Tables of objects: by hand, against scikit-image, and what discs should have."""

import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import ndimage
from skimage import measure as skimage

from jaxseg.errors import DataError
from jaxseg.metrics import _label_maps, object_shapes

SKIMAGE = {
    "area_px": "area",
    "diameter_px": "equivalent_diameter_area",
    "centroid_y_px": "centroid-0",
    "centroid_x_px": "centroid-1",
    "top_px": "bbox-0",
    "left_px": "bbox-1",
    "bottom_px": "bbox-2",
    "right_px": "bbox-3",
    "mean_intensity_0": "mean_intensity-0",
    "mean_intensity_2": "mean_intensity-2",
}


def _blobs(rng, shape=(40, 56)):
    """A label map 0, 1 to n of touching blobs of all shapes, and its smooth field."""
    field = ndimage.gaussian_filter(rng.normal(size=shape), 2)
    low, high = (ndimage.label(m)[0] for m in (field < -0.02, field > 0.0))
    return low + np.where(high, high + low.max(), 0), field


@settings(max_examples=20, deadline=None)
@given(st.integers(0, 2**32 - 1))
def test_columns_are_those_of_scikit_image(seed):
    rng = np.random.default_rng(seed)
    places, field = _blobs(rng)
    image = rng.integers(0, 2**16, (*places.shape, 3), np.uint16)
    # ids that are neither near nor in the order of the places
    ids = 2**32 - 1 - rng.permutation(3 * places.max())[: places.max() + 1]
    ids[0] = 0
    table = object_shapes.measure(
        ids.astype(np.uint32)[places], image=image, probability=field
    )
    order = np.argsort(ids[1:])
    np.testing.assert_array_equal(table["id"], ids[1:][order])
    names = {name.split("-")[0] for name in SKIMAGE.values()}
    theirs = skimage.regionprops_table(places, image, properties=sorted(names))
    for ours, name in SKIMAGE.items():
        np.testing.assert_allclose(table[ours], theirs[name][order], err_msg=name)
    crofton = [
        skimage.perimeter_crofton(np.pad(places == k, 1), directions=4)
        for k in range(1, places.max() + 1)
    ]
    np.testing.assert_allclose(table["perimeter_px"], np.array(crofton)[order])
    frame = np.ones(places.shape, bool)
    frame[1:-1, 1:-1] = False
    cut = np.isin(1 + order, places[frame])
    np.testing.assert_array_equal(table["touches_border"], cut)
    means = ndimage.mean(field, places, 1 + order)
    np.testing.assert_allclose(table["mean_probability"], means, atol=1e-12)
    turned = object_shapes.measure(ids[places].T)
    for ours, theirs in (("perimeter_px",) * 2, ("centroid_x_px", "centroid_y_px")):
        np.testing.assert_allclose(turned[ours], table[theirs])


def test_a_square_and_a_pixel_by_hand():
    label_map = np.zeros((30, 20), np.uint16)
    label_map[5:15, 3:13] = 7
    label_map[29, 19] = 2
    intensity = np.arange(600).reshape(30, 20)
    table = object_shapes.measure(label_map, image=intensity, um_per_px=(0.5, 0.25))
    assert table["id"].tolist() == [2, 7]
    assert table["area_px"].tolist() == [1, 100]
    # 20 pairs along rows, as many along columns, 38 along each diagonal
    square = math.pi / 8 * (20 + 20 + 76 / math.sqrt(2))
    pixel = math.pi / 8 * (2 + 2 + 4 / math.sqrt(2))
    assert table["perimeter_px"] == pytest.approx([pixel, square])
    assert square == pytest.approx(36.8, abs=0.05)
    assert table["circularity"] == pytest.approx([1.75, 0.93], abs=0.006)
    box = [table[f"{side}_px"].tolist() for side in ("top", "left", "bottom", "right")]
    assert box == [[29, 5], [19, 3], [30, 15], [20, 13]]
    assert table["centroid_y_px"].tolist() == [29, 9.5]
    assert table["centroid_x_px"].tolist() == [19, 7.5]
    assert table["touches_border"].tolist() == [True, False]
    assert table["mean_intensity_0"].tolist() == [599, 9.5 * 20 + 7.5]
    assert table["area_um2"].tolist() == [0.125, 12.5]
    assert table["diameter_px"][1] == pytest.approx(11.283792)
    assert table["diameter_um"][1] == pytest.approx(11.283792 * math.sqrt(0.125))
    large = np.zeros((102, 102), int)
    large[1:101, 1:101] = 1
    perimeter = object_shapes.measure(large)["perimeter_px"]
    assert perimeter == pytest.approx([378], abs=0.5)


@pytest.mark.parametrize("rows", [1, 3, 39])
def test_bands_change_nothing(monkeypatch, rows):
    """Whole numbers have the same bits; sums of fractions are rounded otherwise."""
    rng = np.random.default_rng(rows)
    label_map, field = _blobs(rng)
    label_map[10:30, [0, -1]] = 77  # from the end of a row to the start of the next
    image = rng.integers(0, 2**16, label_map.shape)
    options = {"image": image, "probability": field}
    whole = object_shapes.measure(label_map, **options)
    monkeypatch.setattr(_label_maps, "BAND", rows * label_map.shape[1] + 1)
    parts = object_shapes.measure(label_map, **options)
    assert len(list(_label_maps.bands(label_map.shape))) == -(-40 // rows)
    fractions = parts.pop("mean_probability")
    np.testing.assert_allclose(fractions, whole.pop("mean_probability"), rtol=1e-12)
    for name, column in whole.items():
        np.testing.assert_array_equal(parts[name], column, err_msg=name)


def test_formulas():
    one = np.array([100.0])
    found = object_shapes.circularity(one, np.array([40.0]))
    assert found == pytest.approx([0.785398], abs=5e-7)
    area = np.array([69.143412])  # pixels, of the mean bead
    diameter = object_shapes.equivalent_diameter(area)
    assert diameter == pytest.approx([9.382757], abs=5e-7)


@pytest.mark.parametrize(
    "diameter, error, least, most",
    [
        (5, 0.013, 0.90, 1.09),
        (8, 0.009, 0.88, 1.07),
        (20, 0.002, 0.93, 1.03),
        (50, 0.002, 0.97, 1.02),
    ],
)
def test_discs_are_round(diameter, error, least, most):
    """On average over their places between the pixels; in steps of an eighth."""
    y, x = np.indices((54, 54))
    places = [(a / 8, b / 8) for a in range(8) for b in range(8)]
    tables = [
        object_shapes.measure(
            ((y - 26 - a) ** 2 + (x - 26 - b) ** 2 <= diameter**2 / 4).astype(np.uint8)
        )
        for a, b in places
    ]
    perimeter, circularity, area = (
        np.concatenate([t[key] for t in tables])
        for key in ("perimeter_px", "circularity", "area_px")
    )
    assert perimeter.mean() == pytest.approx(math.pi * diameter, rel=error)
    assert area.mean() == pytest.approx(math.pi * diameter**2 / 4, rel=0.02)
    assert least < circularity.min() and circularity.max() < most


def test_no_object_and_no_pixel():
    options = {"um_per_px": (1.0, 1.0)}
    for shape in ((4, 5), (0, 5), (4, 0)):
        empty = np.zeros(shape, np.int32)
        table = object_shapes.measure(
            empty, image=np.zeros((*shape, 2)), probability=np.zeros(shape), **options
        )
        assert [len(column) for column in table.values()] == [0] * 17
    one = np.ones((2, 2), int)
    full = object_shapes.measure(one, image=one, probability=one / 2, **options)
    assert set(full) | {"mean_intensity_1"} == set(table)
    assert full["touches_border"].all() and full["bottom_px"] == 2


@pytest.mark.parametrize("size", [(0.0, 1.0), (1.0, -1.0), (1.0, math.nan)])
def test_a_pixel_has_a_size(size):
    with pytest.raises(DataError, match="both must be above 0"):
        object_shapes.measure(np.ones((2, 2), int), um_per_px=size)


def test_image_and_probability_are_of_the_same_pixels():
    one = np.ones((2, 3), int)
    with pytest.raises(DataError, match=r"the image is \[3, 2, 1\]"):
        object_shapes.measure(one, image=np.ones((3, 2, 1)))
    with pytest.raises(DataError, match=r"the probability is \[2, 2\]"):
        object_shapes.measure(one, probability=np.ones((2, 2)))
