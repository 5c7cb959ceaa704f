"""Bins are exact: counting from them is counting the pixels."""

import numpy as np
import pytest

from jaxseg.metrics import histograms


def _scores():
    """Smooth, crowded at both ends, on the edges, and one float beside them."""
    rng = np.random.default_rng(0)
    edges = histograms.LOWER[1::60].astype(np.float32)
    special = [0, 1, 0.5, -0.0, -1e-6, 1 + 1e-6, 1e-38, 1e-45, 2**-24, 1 - 2**-24]
    return np.concatenate(
        [
            rng.random(4000),
            rng.random(2000) ** 40,
            1 - rng.random(2000) ** 12,
            special,
            edges,
            np.nextafter(edges, np.float32(2)),
            np.nextafter(edges, np.float32(-1)),
        ]
    ).astype(np.float32)


def test_every_score_lies_above_its_edge_and_not_above_the_next():
    score = _scores()
    code = histograms.bins(score)
    inside = score.clip(0, 1)
    assert (inside > histograms.LOWER[code]).all()
    assert (inside <= np.append(histograms.LOWER[1:], 1)[code]).all()


def test_edges_are_exact_floats():
    edges = histograms.LOWER[histograms.LOWER >= 2**-126]
    assert (edges.astype(np.float32) == edges).all()


def test_bins_are_monotone():
    score = np.sort(_scores())
    assert (np.diff(histograms.bins(score)) >= 0).all()


@pytest.mark.parametrize("score", [0.0, 1.0, 1 - 2**-24, 1 - 2**-14])
def test_bins_with_room_for_one_value_hold_no_other(score):
    score = np.float32(score)
    beside = np.nextafter(score, np.float32([-1, 2])).clip(0, 1)
    code = histograms.bins(np.array([score, *beside[beside != score]], np.float32))
    assert histograms.at_most_one_value()[code[0]]
    assert (code[1:] != code[0]).all()


def test_ties_are_seen_and_crowds_are_not_called_ties():
    score = np.float32([0.25, 0.25, 0.75, np.nextafter(np.float32(0.75), 0)])
    code = histograms.bins(score)
    value = histograms.only_values(
        score, code, np.bincount(code, minlength=histograms.BINS)
    )
    assert value[code[0]] == score[0].view(np.int32)
    assert value[code[2]] == histograms.MIXED
    assert np.count_nonzero(value != histograms.EMPTY) == 2

    crowd = np.random.default_rng(0).random(40_000, np.float32)
    code = histograms.bins(crowd)
    value = histograms.only_values(
        crowd, code, np.bincount(code, minlength=histograms.BINS)
    )
    assert (value[code] == histograms.MIXED).all()


def test_join_is_a_union_whatever_the_order():
    a, b = np.array([-1, -2, 5, 5, 7, -1]), np.array([-1, 5, -1, 5, 8, 3])
    for pair in ((a, b), (b, a)):
        joined = histograms.join_only_values(*pair)
        np.testing.assert_array_equal(joined, [-1, -2, 5, 5, -2, 3])
