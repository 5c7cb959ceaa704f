"""Cleaning drops pixels of objects, fills holes, and does nothing unasked."""

import inspect

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from support import label_maps

from jaxseg import errors
from jaxseg.postprocess import objects
from jaxseg.postprocess.objects import _clean

small_maps = (
    st.integers(0, 2**32 - 1)
    .map(lambda seed: np.random.default_rng(seed).integers(0, 4, (3, 3)).repeat(4, 0))
    .map(lambda blocks: blocks.repeat(3, 1))
)
cleanings = st.fixed_dictionaries(
    {
        "opening": st.integers(0, 2),
        "min_area": st.integers(0, 60),
        "min_circularity": st.floats(0, 1),
        "largest": st.integers(0, 3),
    }
)


@settings(max_examples=60, deadline=None, derandomize=True)
@given(labels=small_maps, cleaning=cleanings, order=st.permutations([1, 2, 3]))
def test_cleaning_only_removes_and_knows_no_order_of_ids(labels, cleaning, order):
    out = _clean.clean(labels, **cleaning)
    for i in range(1, out.max() + 1):  # each is a part of one object
        assert len(np.unique(labels[out == i])) == 1
    assert not out[labels == 0].any()
    other = np.array([0, *order])[labels]
    np.testing.assert_array_equal(_clean.clean(other, **cleaning), out)
    np.testing.assert_array_equal(_clean.clean(out, **cleaning), out)
    ids = np.unique(out[out > 0])
    assert ids.tolist() == [*range(1, len(ids) + 1)]


@settings(max_examples=30, deadline=None, derandomize=True)
@given(labels=small_maps)
def test_filling_holes_only_adds_background(labels):
    out = _clean.clean(labels, fill_holes=True)
    np.testing.assert_array_equal(np.where(labels > 0, out, 0), _clean.numbered(labels))


def test_every_step_is_off_by_default():
    parameters = inspect.signature(_clean.clean).parameters.values()
    defaults = {p.name: p.default for p in parameters if p.name != "labels"}
    assert defaults == objects.CLEANING
    labels = np.array([[0, 7, 7], [3, 0, 7]])
    assert _clean.clean(labels).tolist() == [[0, 1, 1], [2, 0, 1]]


def test_a_hole_is_filled_and_another_object_in_it_stays():
    labels = label_maps.discs((21, 21), [(10, 10, 9)])
    labels[7:14, 7:14] = 0
    labels[9:12, 9:12] = 2
    out = _clean.clean(labels, fill_holes=True)
    assert (out[9:12, 9:12] == 2).all() and (out[7:9, 7:14] == 1).all()


def test_opening_cuts_off_what_the_disc_does_not_fit_into():
    labels = label_maps.discs((21, 40), [(10, 8, 6), (10, 30, 7)])
    labels[10, 8:30] = 1  # a line from one to the other, of the first
    out = _clean.clean(np.where(labels > 0, 1, 0), opening=2)
    np.testing.assert_array_equal(  # the larger piece stays
        out, label_maps.discs((21, 40), [(10, 30, 7)])
    )
    assert not _clean.clean(np.eye(5, dtype=int), opening=1).any()


def test_small_and_jagged_and_surplus_objects_are_dropped():
    labels = label_maps.discs((24, 50), [(8, 8, 3), (10, 20, 6), (12, 35, 6)])
    areas = np.bincount(labels.ravel())[1:]
    assert areas.tolist() == [29, 113, 113]

    def left(**cleaning):
        out = _clean.clean(labels, **cleaning)
        return [*np.unique(labels[out > 0])]

    assert left(min_area=29) == [1, 2, 3] and left(min_area=30) == [2, 3]
    assert left(largest=1) == [2] and left(largest=2) == [2, 3]  # the first of equals
    labels[20, 2:48] = 4  # a line
    assert left(min_circularity=0.6) == [1, 2, 3]
    assert left(min_circularity=0.85) == [2, 3]


@pytest.mark.parametrize("radius, expected", [(3, 0.83), (8, 0.91), (15, 0.96)])
def test_circularity_of_discs(radius, expected):
    size = 2 * radius + 1
    mask = label_maps.discs((size, size), [(radius, radius, radius)]) > 0
    assert round(_clean.circularity(mask), 2) == expected
    bar = np.ones((2, 20), bool)
    assert _clean.circularity(bar) < 0.4


@pytest.mark.parametrize("name", [*objects.CLEANING])
def test_a_negative_setting_is_refused(name):
    with pytest.raises(errors.ConfigError, match=f"config.objects.{name} is -1"):
        _clean.clean(np.zeros((2, 2), int), **{name: -1})
