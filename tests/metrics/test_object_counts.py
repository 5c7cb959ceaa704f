"""Counts by hand, degenerate splits, and distributions of sizes against SciPy."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import stats
from sklearn import metrics as sklearn

from jaxseg.errors import DataError
from jaxseg.metrics import object_counts

UNDEFINED = ("mae", "mean_relative_error_positives", "bias", "sd", "low", "high", "r2")


def _agreement(truth, predicted):
    return object_counts.agreement(np.array(truth, int), np.array(predicted, int))


def test_four_images_by_hand():
    """Differences 3, -5, 10, 0: squares about the bias of 2 are 1, 49, 64, 4."""
    found = _agreement([100, 120, 80, 95], [103, 115, 90, 95])
    wanted = {
        "images": 4,
        "images_positive": 4,
        "true_objects": 395,
        "predicted_objects": 403,
        "mae": 4.5,
        "mean_relative_error_positives": 0.049167,
        "bias": 2,
        "sd": 6.271629,
        "low": -10.292393,
        "high": 14.292393,
        "r2": 1 - 134 / 818.75,  # true - 98.75: 1.25, 21.25, -18.75, -3.75
    }
    assert found == pytest.approx(wanted, abs=5e-7)


def test_images_without_objects_have_no_relative_error():
    found = _agreement([0, 0, 4, 10], [3, 0, 5, 8])
    assert found["mean_relative_error_positives"] == pytest.approx((1 / 4 + 2 / 10) / 2)
    assert (found["images"], found["images_positive"]) == (4, 2)
    assert found["mae"] == 6 / 4 and found["bias"] == 2 / 4
    none = _agreement([0, 0], [1, 2])
    assert none["mean_relative_error_positives"] is None and none["r2"] is None
    assert none["sd"] == pytest.approx(0.5**0.5)


def test_no_image_and_one_image():
    nothing = _agreement([], [])
    assert [nothing[key] for key in UNDEFINED] == [None] * 7
    one = _agreement([4], [5])
    assert [one[key] for key in UNDEFINED] == [1, 0.25, 1, None, None, None, None]
    with pytest.raises(DataError, match=r"\[2\] true and \[1\] predicted"):
        _agreement([1, 2], [1])


@settings(max_examples=40, deadline=None)
@given(st.lists(st.tuples(st.integers(0, 9999), st.integers(0, 9999)), min_size=2))
def test_against_numpy_and_in_any_order(pairs):
    truth, predicted = np.array(pairs).T
    found = object_counts.agreement(truth, predicted)
    assert found == object_counts.agreement(truth[::-1], predicted[::-1])
    gaps = predicted - truth
    assert found["sd"] == pytest.approx(np.std(gaps, ddof=1), abs=1e-9)
    assert found["high"] - found["low"] == pytest.approx(2 * 1.96 * found["sd"])
    if truth.min() < truth.max():
        assert found["r2"] == pytest.approx(sklearn.r2_score(truth, predicted))
    back = object_counts.agreement(predicted, truth)
    assert back["bias"] == -found["bias"] and back["mae"] == found["mae"]


_SIZES = st.lists(st.lists(st.integers(0, 40), max_size=5), max_size=4)


@settings(max_examples=40, deadline=None)
@given(_SIZES, _SIZES)
def test_sizes_against_scipy(truth, predicted):
    """Quarters of a pixel, so that sizes are tied; pooled however they are split."""
    sides = [[np.array(s, float) / 4 for s in sizes] for sizes in (truth, predicted)]
    found = object_counts.size_distance(*sides)
    pooled = [np.concatenate([[], *side]) for side in sides]
    if not all(map(len, pooled)):
        assert found is None
        return
    assert found == pytest.approx(stats.wasserstein_distance(*pooled), abs=1e-12)
    assert object_counts.size_distance(*([side] for side in pooled)) == found
    moved = object_counts.size_distance([pooled[0]], [pooled[0] + 2.5])
    assert moved == pytest.approx(2.5)


def test_every_figure_has_its_policy():
    assert tuple(object_counts.POLICY) == UNDEFINED
