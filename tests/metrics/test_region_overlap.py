"""AUPRO: equal to a loop over regions and thresholds, whatever the sizes."""

import numpy as np
import pytest
from scipy import ndimage

from jaxseg.metrics import region_overlap
from jaxseg.postprocess import decision

EIGHT = np.ones((3, 3))


def _draw(seed, images=4):
    rng = np.random.default_rng(seed)
    for _ in range(images):
        truth = ndimage.binary_opening(rng.random((20, 24)) < 0.45)
        noise = rng.random(truth.shape)
        yield truth, (0.75 * noise + 0.25 * truth).astype(np.float32)


def _brute_force(pairs, limit):
    """The published definition: all thresholds, all regions, points joined by lines."""
    points = [(0.0, 0.0)]
    negatives = sum((~truth).sum() for truth, _ in pairs)
    for threshold in decision.THRESHOLDS[::-1]:
        shares, false = [], 0
        for truth, score in pairs:
            above = score > np.float32(threshold)
            false += (above & ~truth).sum()
            labels, number = ndimage.label(truth, EIGHT)
            shares += [above[labels == i].mean() for i in range(1, number + 1)]
        points.append((false / negatives, np.mean(shares)))
    points.append((1.0, 1.0))
    x, y = np.array(points).T
    grid = np.sort(np.append(x[x < limit], np.linspace(0, limit, 200_001)))
    return np.trapezoid(np.interp(grid, x, y), grid) / limit


def _summed(pairs):
    grid = decision.THRESHOLDS
    parts = [region_overlap.measure(t, s, grid) for t, s in pairs]
    background = np.concatenate([s[~t] for t, s in pairs])
    false = (background[:, None] > grid.astype(np.float32)).sum(0)
    covered = sum(part for part, _ in parts)
    return covered, sum(n for _, n in parts), false, len(background)


@pytest.mark.parametrize("limit", [0.3, 0.05, 1.0])
def test_area_is_that_of_a_loop(limit):
    pairs = list(_draw(0))
    sums = _summed(pairs)
    assert sums[1] > 8
    area = region_overlap.value(*sums, limit=limit)
    assert area == pytest.approx(_brute_force(pairs, limit), abs=2e-5)
    assert 0.1 < area < 0.98


def test_a_small_region_counts_as_much_as_a_large_one():
    truth = np.zeros((20, 20), bool)
    truth[2:12, 2:12], truth[15, 15], truth[16, 16] = True, True, True  # eight ways
    score = np.zeros((20, 20), np.float32)
    score[2:12, 2:12] = 0.9
    covered, regions = region_overlap.measure(truth, score, decision.THRESHOLDS)
    assert regions == 2
    np.testing.assert_allclose(covered[decision.THRESHOLDS < 0.9], 1.0, rtol=1e-12)
    assert not covered[decision.THRESHOLDS > 0.9].any()


def test_perfect_random_and_undefined():
    (truth, _), *_ = _draw(1)
    perfect = region_overlap.value(*_summed([(truth, truth.astype(np.float32))]))
    assert perfect == pytest.approx(1.0)
    noise = np.random.default_rng(0).random((400, 400)).astype(np.float32)
    truth = np.zeros((400, 400), bool)
    truth[100:300, 100:300] = True
    chance = region_overlap.value(*_summed([(truth, noise)]))
    assert chance == pytest.approx(0.15, abs=0.01)  # of the line y = x up to 0.3
    nothing = np.zeros_like(truth)
    assert region_overlap.value(*_summed([(nothing, noise)])) is None
    assert region_overlap.value(*_summed([(~nothing, noise)])) is None
