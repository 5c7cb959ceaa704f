"""The distance transform is exact: SciPy, brute force, any shape, in jit and vmap."""

import jax
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import ndimage

from jaxseg.metrics import distance

WAYS = [distance.squared_distance, jax.jit(distance._at_once)]


def _scipy(inside):
    """Exact squares of one image by SciPy, which refuses one without True."""
    return np.rint(ndimage.distance_transform_edt(~inside) ** 2).astype(np.int32)


def _brute(inside):
    h, w = inside.shape
    y, x = np.indices((h, w))
    best = np.full((h, w), h * h + w * w)
    for v, u in np.argwhere(inside):
        best = np.minimum(best, (y - v) ** 2 + (x - u) ** 2)
    return best


def _images(h, w):
    """Images in which each way through the search is taken."""
    rng = np.random.default_rng(h * w)
    y, x = np.indices((h, w))
    empty = np.zeros((h, w), bool)
    one, corner = empty.copy(), empty.copy()
    one[h // 2, w // 3] = corner[-1, 0] = True
    return np.stack(
        [
            empty,  # no distance
            ~empty,
            one,  # one column, far away
            corner,
            x < w / 2,  # many columns inside, one that matters
            y == x * h // w,  # a diagonal: every column matters
            rng.random((h, w)) < 0.3,  # stops at once
            rng.random((h, w)) < 0.02,
            np.hypot(y - h / 3, x - w / 2) < h / 4,
        ]
    )


@pytest.mark.parametrize("way", WAYS)
@pytest.mark.parametrize("size", [(70, 90), (90, 33), (1, 80), (80, 1), (1, 1)])
def test_squares_are_exact(way, size):
    images = _images(*size)
    found = np.asarray(way(images))
    assert found.dtype == np.int32 and found.shape == images.shape
    for image, squares in zip(images, found, strict=True):
        np.testing.assert_array_equal(squares, _brute(image))
        if image.any():
            np.testing.assert_array_equal(squares, _scipy(image))


def test_an_image_without_true_is_farther_than_any_distance():
    corner = np.zeros((2, 40, 60), bool)
    corner[1, 0, 0] = True
    empty, far = np.asarray(distance.squared_distance(corner))
    assert (empty == 40**2 + 60**2).all()
    assert far.max() == far[-1, -1] == 39**2 + 59**2 < 40**2 + 60**2


@settings(max_examples=60, deadline=None)
@given(st.integers(0, 2**32 - 1), st.floats(0.0, 0.2))
def test_random_masks_and_their_mirror_images(seed, share):
    """One shape: compiled once."""
    inside = np.random.default_rng(seed).random((2, 37, 53)) < share
    inside[1] = inside[0, ::-1, ::-1]
    one, mirrored = np.asarray(distance.squared_distance(inside))
    np.testing.assert_array_equal(one, _brute(inside[0]))
    np.testing.assert_array_equal(one, mirrored[::-1, ::-1])


def test_inside_jit_and_vmap():
    images = _images(20, 30)

    @jax.jit
    def weight(mask):
        far = distance.squared_distance(mask[None])[0]
        return 1.0 / (1.0 + far)

    for way in (jax.vmap(weight), jax.jit(jax.vmap(weight))):
        found = np.asarray(way(images))
        wanted = 1.0 / (1.0 + np.stack([_brute(i) for i in images]))
        np.testing.assert_allclose(found, wanted, rtol=1e-5)


def test_a_batch_is_its_images():
    images = _images(24, 18)
    whole = np.asarray(distance.squared_distance(images))
    alone = [np.asarray(distance.squared_distance(i[None]))[0] for i in images]
    np.testing.assert_array_equal(whole, np.stack(alone))


def test_sizes_that_overflow_are_refused():
    with pytest.raises(ValueError, match="30000 x 30000 pixels overflow int32"):
        jax.eval_shape(
            distance.squared_distance, jax.ShapeDtypeStruct((1, 30000, 30000), bool)
        )
