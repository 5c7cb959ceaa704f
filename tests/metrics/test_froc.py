"""FROC: a curve worked out by hand, the limits of the rule, order, and intervals."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from jaxseg.metrics import froc

F32 = np.float32


def _mask(*boxes, shape=(12, 16)):
    mask = np.zeros(shape, bool)
    for top, bottom, left, right in boxes:
        mask[top:bottom, left:right] = True
    return mask


def test_one_image_by_hand():
    truth = _mask((0, 3, 0, 3), (3, 5, 3, 5), (8, 11, 0, 2), (8, 11, 9, 12))
    predicted = _mask((2, 4, 2, 4), (9, 10, 1, 3), (10, 12, 1, 2), (0, 2, 12, 14))
    predicted[5, 12] = predicted[6, 13] = True  # joined by a corner: one candidate
    score = np.full(truth.shape, 0.99, F32)
    score[predicted] = 0.6
    score[2, 2], score[9, 2], score[11, 1] = 0.7, 0.8, 0.9
    score[0, 12], score[6, 13] = 0.65, 0.75
    detected, false = froc.measure(truth, predicted, score)
    # (0, 0) and (3, 3) touch at a corner: one component. Three: detected by 0.7; by the
    # higher of 0.9 and 0.8, of which the second is no false positive; not at all
    np.testing.assert_array_equal(detected, F32([-1, 0.7, 0.9]))
    np.testing.assert_array_equal(false, F32([0.65, 0.75]))
    assert detected.dtype == false.dtype == F32


def _row(detected, false, images, **options):
    detected, false = (
        (np.array([i for i, _ in pairs], int), F32([s for _, s in pairs]))
        for pairs in (detected, false)
    )
    groups = options.pop("groups", [f"patient{i}" for i in range(images)])
    return froc.row("cell", detected, false, groups, resamples=100, **options)


def test_a_curve_by_hand():
    """Four images: the rates 1/8 ... 8 allow 0, 1, 2, 4, 8, 16 and 32 of 5 false."""
    detected = [(0, 0.95), (0, 0.8), (1, 0.6), (2, 0.5), (2, 0.2), (3, -1)]
    false = [(0, 0.9), (3, 0.7), (1, 0.5), (3, 0.4), (0, 0.3)]
    row = _row(detected, false, 4)
    # above 0.9 one is detected; above 0.7 two; above 0.5, which is false too, three;
    # above 0.3 four; then all that are detected at all
    wanted = np.array([1, 2, 3, 4, 5, 5, 5]) / 6
    assert row["sensitivity"] == pytest.approx(wanted)
    assert row["mean"] == pytest.approx(wanted.mean())
    assert row["false_positives"] == 5 / 4 and row["found"] == 5
    assert (row["support_components"], row["support_images"]) == (6, 4)
    assert 0 <= row["low"] < row["mean"] < row["high"] <= 1


def test_without_false_positives_or_without_truth():
    row = _row([(0, 0.6), (1, -1)], [], 2)
    assert row["sensitivity"] == [0.5] * 7 and row["false_positives"] == 0
    row = _row([], [(0, 0.6)], 2)
    undefined = [row[k] for k in ("sensitivity", "mean", "low", "high")]
    assert undefined == [None] * 4
    assert row["support_components"] == 0 and row["false_positives"] == 0.5
    assert _row([(0, -1)], [(0, 0.6)], 1)["sensitivity"] == [0.0] * 7
    alone = _row([(0, 0.5)], [(1, 0.6)], 2, groups=["one", "one"])
    assert alone["low"] is alone["high"] is None
    assert _row([], [], 0, groups=[])["mean"] is None


@pytest.mark.parametrize("shape", [(1, 1), (1, 9), (9, 1), (4, 5)])
def test_degenerate_masks(shape):
    empty, full = np.zeros(shape, bool), np.ones(shape, bool)
    score = np.full(shape, 0.25, F32)
    for truth, predicted, wanted in (
        (empty, empty, ([], [])),
        (full, empty, ([-1], [])),
        (empty, full, ([], [0.25])),
        (full, full, ([0.25], [])),
    ):
        detected, false = froc.measure(truth, predicted, score)
        assert (detected.tolist(), false.tolist()) == wanted


def _brute(detected, false, images):
    """Sensitivity at each rate over every cut that could be made."""
    out = []
    cuts = [*np.unique([s for s in (*detected, *false) if s >= 0]), 2.0]
    for rate in froc.RATES:
        kept = [c for c in cuts if (false >= c).sum() <= rate * images]
        out.append(max((detected >= c).mean() for c in kept))
    return out


@settings(max_examples=60, deadline=None)
@given(st.integers(0, 2**32 - 1), st.integers(1, 9), st.integers(0, 40))
def test_any_order_and_every_cut(seed, objects, wrong):
    """Scores of one decimal, so that many are tied."""
    rng = np.random.default_rng(seed)
    detected = rng.integers(1, 11, objects).astype(F32) / 10
    detected[rng.random(objects) < 0.2] = froc.MISSED
    false = rng.integers(1, 11, wrong).astype(F32) / 10
    pairs = [[(rng.integers(3), s) for s in scores] for scores in (detected, false)]
    row = _row(*pairs, 3)
    assert row["sensitivity"] == pytest.approx(_brute(detected, false, 3))
    shuffled = [[p[i] for i in rng.permutation(len(p))] for p in pairs]
    assert _row(*shuffled, 3) == row


def test_resamples_are_curves_of_repeated_images():
    """A weight of two is the same as the image twice."""
    rng = np.random.default_rng(0)
    image = rng.integers(0, 3, 30), rng.integers(0, 3, 20)
    detected, false = (rng.random(n).astype(F32) for n in (30, 20))
    times = np.array([2, 0, 1])
    weights = times[None, image[0]], times[None, image[1]], np.array([3])
    once = froc.curve(detected, false, weights=weights)
    repeated = [
        np.repeat(s, times[i]) for s, i in ((detected, image[0]), (false, image[1]))
    ]
    ones = [np.ones((1, len(s)), int) for s in repeated]
    twice = froc.curve(*repeated, weights=(*ones, np.array([3])))
    np.testing.assert_array_equal(once, twice)
