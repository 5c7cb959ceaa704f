"""Nearest neighbours by hand, points at random, in a lattice and in clusters."""

import math

import numpy as np
import pytest

from jaxseg.errors import DataError
from jaxseg.metrics import point_pattern


def _scores(*images):
    return point_pattern.scores(np.stack([point_pattern.measure(*i) for i in images]))


def test_four_points_by_hand():
    points = np.array([[0.0, 0], [3, 4], [3, 9], [0, 1]])
    wanted = [1, 18**0.5, 5, 1]
    assert point_pattern.nearest_distances(points) == pytest.approx(wanted)
    found = _scores((points, (10, 20)))
    mean = sum(wanted) / 4
    at_random = 0.5 * math.sqrt(200 / 4)
    corrected = at_random + (0.0514 + 0.0412 / 2) * 60 / 4
    variance = 0.070 * 200 / 16 + 0.035 * 60 * math.sqrt(200) / 4**2.5
    assert (found.images, found.points) == (1, 4)
    assert found.mean_distance == pytest.approx(mean)
    assert found.index_uncorrected == pytest.approx(mean / at_random)
    assert found.index == pytest.approx(mean / corrected)
    assert found.z == pytest.approx((mean - corrected) / math.sqrt(variance))


def test_points_at_random():
    """Of 400 images of 30 points, the index is 1 and z has a variance of 1.

    Their standard errors are 0.006 and 0.07; without correction the index is 1.08.
    """
    rng = np.random.default_rng(0)
    frame = (60.0, 90.0)
    rows = [
        point_pattern.measure(rng.random((30, 2)) * frame, frame) for _ in "x" * 400
    ]
    found = point_pattern.scores(np.stack(rows))
    assert found.index == pytest.approx(1, abs=0.015)
    assert found.index_uncorrected > 1.06
    z = np.array([point_pattern.scores(row[None]).z for row in rows])
    assert np.var(z) == pytest.approx(1, abs=0.2)
    assert found.z == pytest.approx(z.sum() / 20)  # sqrt(400)


def test_a_lattice_and_clusters():
    y, x = (side.ravel() for side in np.indices((10, 10)) * 10.0)
    lattice = np.stack([y, x], axis=1)
    found = _scores((lattice, (100, 100)))
    # distance 10 at one point in 100: twice that of points at random, without edges
    assert found.mean_distance == 10 and found.index_uncorrected == pytest.approx(2)
    assert 1.8 < found.index < 2 and found.z > 10
    clusters = np.concatenate([lattice[::4], lattice[::4] + 0.5])
    found = _scores((clusters, (100, 100)))
    assert found.mean_distance == pytest.approx(0.5**0.5)
    assert found.index < 0.2 and found.z < -8


def test_unit_order_and_images_without_points():
    rng = np.random.default_rng(1)
    images = [(rng.random((n, 2)) * (40, 70), (40.0, 70.0)) for n in (2, 9, 0, 30, 1)]
    found = _scores(*images)
    assert (found.images, found.points) == (3, 41)
    assert _scores(*images[::-1]) == found
    micrometres = _scores(*((0.5 * p, (20.0, 35.0)) for p, _ in images))
    assert micrometres.mean_distance == pytest.approx(found.mean_distance / 2)
    assert micrometres.index == pytest.approx(found.index)
    turned = _scores(*((p[:, ::-1], (70.0, 40.0)) for p, _ in images))
    assert turned.index == pytest.approx(found.index)
    nothing = _scores(images[2], images[4])
    assert nothing == (0, 0, None, None, None, None)
    assert point_pattern.nearest_distances(images[4][0]).shape == (0,)
    assert point_pattern.nearest_distances(np.zeros((2, 2))).tolist() == [0, 0]


def test_points_beyond_the_frame_are_refused():
    with pytest.raises(DataError, match="50 x 3, but the frame is 40 x 70"):
        point_pattern.measure(np.array([[0.0, 0], [50, 3]]), (40, 70))
