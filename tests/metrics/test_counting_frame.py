"""Unbiased counts: tiles count once, every place of an object, and a simulation."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import ndimage

from jaxseg.errors import ConfigError, DataError
from jaxseg.metrics import counting_frame

ANY_SIZE = st.integers(2, 9)


def _disc(diameter):
    y, x = np.indices((diameter, diameter)) - (diameter - 1) / 2
    return y**2 + x**2 <= diameter**2 / 4


def test_the_forbidden_line_by_hand():
    """Single pixels in and about a frame of 2 x 3, then such a pixel and one in it."""
    counted = np.zeros((6, 7), int)
    for y, x in np.ndindex(6, 7):
        label_map = np.zeros((6, 7), np.uint8)
        label_map[y, x] = 200
        counted[y, x] = counting_frame.frame(label_map, margin=2).objects
    inside = np.zeros((6, 7), int)
    inside[2:4, 2:5] = 1
    np.testing.assert_array_equal(counted, inside)
    for (y, x), count in {
        (2, 1): 0,  # to the column left of the frame
        (0, 1): 0,  # to its extension upwards
        (4, 1): 0,  # to the corner
        (4, 3): 0,  # to the row below
        (5, 4): 0,  # to the extension downwards, below the last column
        (1, 3): 1,
        (0, 6): 1,
        (3, 6): 1,
        (4, 5): 1,  # to the right of the extension
        (5, 5): 1,
    }.items():
        label_map = np.zeros((6, 7), int)
        label_map[3, 4] = label_map[y, x] = 1
        found = counting_frame.frame(label_map, margin=2)
        cut = count * (y in (0, 5) or x in (0, 6))
        assert found == (count, cut, 6), (y, x)


@settings(max_examples=20, deadline=None)
@given(st.integers(0, 2**32 - 1), ANY_SIZE, ANY_SIZE)
def test_each_object_counts_in_one_tile_only(seed, height, width):
    """Objects of any shape, some larger than a tile, all in one piece."""
    rng = np.random.default_rng(seed)
    field = ndimage.gaussian_filter(rng.normal(size=(14, 14)), rng.uniform(0.4, 2))
    objects, number = ndimage.label(field > rng.uniform(0, 0.1), np.ones((3, 3)))
    margin = 15  # wider than any object
    plane = np.pad(objects, 2 * margin + 9)
    last = len(plane) - margin
    counted = 0
    for top in range(margin, last - height, height):
        for left in range(margin, last - width, width):
            rows = slice(top - margin, top + height + margin)
            columns = slice(left - margin, left + width + margin)
            tile = counting_frame.frame(plane[rows, columns], margin=margin)
            counted += tile.objects
            assert tile.undecided == 0
    assert counted == number


def test_over_all_places_of_an_object_both_remedies_are_exact():
    """An object that is anywhere with one probability: its density is 1 a pixel."""
    bracket = np.ones((5, 4), int)
    bracket[1:4, 1:] = 0
    height, width = 16, 19
    rows = []
    for y, x in np.ndindex(height + 4, width + 3):
        plane = np.zeros((height + 8, width + 6), int)
        plane[y : y + 5, x : x + 4] = bracket
        rows.append(counting_frame.measure(plane[4:-4, 3:-3], margin=5))
    sums = dict(zip(counting_frame.FIELDS, np.sum(rows, axis=0), strict=True))
    assert sums["undecided"] == 0
    assert sums["frame_objects"] == (height - 10) * (width - 10)
    assert sums["weighted_objects"] == pytest.approx(height * width)
    assert sums["objects"] > 1.3 * height * width
    assert sums["area_px"] == height * width * len(rows)


def _plane(rng, side=1024, diameter=50, number=70):
    """A label map that goes on at its other side, of discs that do not overlap."""
    plane, centres = np.zeros((side, side), np.int32), np.zeros((0, 2), int)
    disc = np.argwhere(_disc(diameter))
    while len(centres) < number:
        new = rng.integers(side, size=2)
        apart = np.abs(centres - new)
        apart = np.minimum(apart, side - apart)
        if ((apart**2).sum(axis=1) > (diameter + 1) ** 2).all():
            centres = np.append(centres, [new], axis=0)
            y, x = ((disc + new) % side).T
            plane[y, x] = len(centres)
    return plane


def test_discs_of_50_pixels_in_windows_of_256():
    """160 windows: the naive count is 41 % too high, both remedies are unbiased."""
    rng = np.random.default_rng(0)
    windows = [
        window
        for plane in (_plane(rng) for _ in range(10))
        for band in np.split(plane, 4)
        for window in np.split(band, 4, axis=1)
    ]
    rows = np.stack([counting_frame.measure(w, margin=50) for w in windows])
    assert rows[:, 4].max() == 0
    # places of a disc that shows in the window, over places in the window
    window = np.pad(np.ones((256, 256), bool), 50)
    bias = ndimage.binary_dilation(window, _disc(50)).sum() / 256**2
    assert bias == pytest.approx(1.41, abs=0.005)
    true = 70 / 1024**2
    found = counting_frame.densities(rows)
    each = [counting_frame.densities(row[None]) for row in rows]
    for name, expected in {"naive": bias, "frame": 1, "weighted": 1}.items():
        ratios = [getattr(density, name) / true for density in each]
        error = np.std(ratios, ddof=1) / len(rows) ** 0.5
        assert abs(getattr(found, name) / true - expected) < 2 * error < 0.1
    assert counting_frame.densities(rows[::-1]) == found


def test_no_object_no_area_and_one_that_fills_the_image():
    empty = np.zeros((8, 9), int)
    row = counting_frame.measure(empty, margin=3)
    assert dict(zip(counting_frame.FIELDS, row.tolist(), strict=True)) == {
        "objects": 0,
        "area_px": 72,
        "frame_objects": 0,
        "frame_area_px": 6,
        "undecided": 0,
        "weighted_objects": 0,
    }
    assert counting_frame.densities(row[None]) == (0, 0, 0)
    assert counting_frame.densities(np.zeros((0, 6))) == (None, None, None)
    full = counting_frame.measure(empty + 1, margin=3)
    assert full.tolist() == [1, 72, 0, 6, 0, 0]
    inner = np.pad(np.ones((6, 7), int), 1)  # the largest that touches no edge
    assert counting_frame.weighted_objects(inner) == 72
    assert counting_frame.weighted_objects(np.pad(inner, 1)) == 110 / 9


@pytest.mark.parametrize("margin", [0, -1, 4, 100])
def test_a_margin_leaves_a_guard_area_and_a_frame(margin):
    with pytest.raises(ConfigError, match="8 x 9: take one from 1 to 3"):
        counting_frame.frame(np.zeros((8, 9), int), margin=margin)
    with pytest.raises(DataError, match="of float64"):
        counting_frame.weighted_objects(np.zeros((8, 9)))
