"""Bins are exact: counting from them is counting the pixels."""

import numpy as np
import pytest

from jaxseg.metrics import histograms


def _scores():
    """Smooth, crowded at both ends, on the edges, and one float beside them."""
    rng = np.random.default_rng(0)
    edges = np.concatenate([histograms.GRID, histograms.LOWER[1::97]]).astype(
        np.float32
    )
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


def test_bins_are_monotone():
    score = np.sort(_scores())
    assert (np.diff(histograms.bins(score)) >= 0).all()


def test_counts_above_a_grid_threshold_equal_direct_counts():
    score = _scores()
    counts = np.bincount(histograms.bins(score), minlength=histograms.BINS)
    cells = histograms.coarse(np.stack([counts, counts * 0]))
    direct = [(score > t).sum() for t in histograms.GRID.astype(np.float32)]
    np.testing.assert_array_equal(histograms.above(cells)[0], direct)
    assert not histograms.above(cells)[1].any()


def test_thresholds_are_exact_floats_symmetric_and_cover_both_ends():
    assert (histograms.GRID.astype(np.float32) == histograms.GRID).all()
    assert (np.diff(histograms.GRID) > 0).all() and 0.5 in histograms.GRID
    np.testing.assert_array_equal(histograms.GRID, 1 - histograms.GRID[::-1])
    assert histograms.GRID[0] < 1e-5 and np.diff(histograms.GRID).max() <= 1 / 64
    edges = histograms.LOWER[histograms.LOWER >= 2**-126]
    assert (edges.astype(np.float32) == edges).all()


@pytest.mark.parametrize("score", [0.0, 1.0, 1 - 2**-24, 1 - 2**-14])
def test_bins_with_room_for_one_value_hold_no_other(score):
    score = np.float32(score)
    beside = np.nextafter(score, np.float32([-1, 2])).clip(0, 1)
    code = histograms.bins(np.array([score, *beside[beside != score]], np.float32))
    assert histograms.at_most_one_value()[code[0]]
    assert (code[1:] != code[0]).all()


def test_nearest_threshold():
    assert histograms.nearest(0.5)[1] and not histograms.nearest(0.3)[1]
    assert abs(histograms.GRID[histograms.nearest(0.3)[0]] - 0.3) < 1 / 128


def test_ties_are_seen_and_crowds_are_not_called_ties():
    score = np.float32([0.25, 0.25, 0.75, np.nextafter(np.float32(0.75), 0)])
    code = histograms.bins(score)
    seen = histograms.values(score, code, np.bincount(code, minlength=histograms.BINS))
    assert seen[code[0]] == score[0].view(np.int32)
    assert seen[code[2]] == histograms.MIXED
    assert np.count_nonzero(seen != histograms.EMPTY) == 2

    crowd = np.random.default_rng(0).random(40_000, np.float32)
    code = histograms.bins(crowd)
    seen = histograms.values(crowd, code, np.bincount(code, minlength=histograms.BINS))
    assert (seen[code] == histograms.MIXED).all()


def test_join_is_a_union_whatever_the_order():
    a, b = np.array([-1, -2, 5, 5, 7, -1]), np.array([-1, 5, -1, 5, 8, 3])
    np.testing.assert_array_equal(histograms.join(a, b), [-1, -2, 5, 5, -2, 3])
    np.testing.assert_array_equal(histograms.join(b, a), histograms.join(a, b))
