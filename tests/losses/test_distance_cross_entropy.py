"""Weights by depth, thicker labels, and the cross-entropy that they enter."""

import functools

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from scipy import ndimage

from jaxseg.errors import ConfigError
from jaxseg.losses import _emphasis, cross_entropy, distance_cross_entropy
from jaxseg.types import IGNORE


@functools.cache
def weighing(**settings):
    settings = {"w_max": 1.0, "power": 2.0, "per_object": False} | settings
    return jax.jit(functools.partial(_emphasis.weights, **settings))


def blobs(seed=0, size=(37, 29)) -> np.ndarray:
    """u8 [2, h, w]: objects of several depths on background."""
    rng = np.random.default_rng(seed)
    smooth = ndimage.gaussian_filter(rng.normal(size=(2, *size)), (0, 2, 2))
    return (smooth > 0.05).astype(np.uint8)


def test_weights_across_a_bar_by_hand():
    """Depths 1, 2, 3, 2, 1 with w_max 3 and p 2."""
    mask = np.zeros((1, 30, 9), np.uint8)
    mask[:, :, 2:7] = 1
    row = np.asarray(weighing(w_max=3.0)(mask))[0, 15]
    deep = [1 / 3, 4 / 3, 3, 4 / 3, 1 / 3]
    np.testing.assert_allclose(row, [1, 1, *deep, 1, 1], rtol=1e-6)


@pytest.mark.parametrize("w_max, power", [(1.0, 1.0), (10.0, 2.0), (3.0, 0.5)])
def test_weights_are_those_of_an_exact_distance_transform(w_max, power):
    mask = blobs()
    own = np.asarray(weighing(w_max=w_max, power=power)(mask))
    for one, weight in zip(mask, own, strict=True):
        depth = ndimage.distance_transform_edt(one)
        expected = np.where(one, w_max * (depth / depth.max()) ** power, 1.0)
        np.testing.assert_allclose(weight, expected, rtol=1e-5)


def test_weights_of_each_object_have_their_own_largest_depth():
    mask = np.concatenate([blobs(1), _spiral()[None]])
    own = np.asarray(weighing(power=1.0, per_object=True)(mask))
    for one, weight in zip(mask, own, strict=True):
        depth = ndimage.distance_transform_edt(one)
        objects, number = ndimage.label(one, np.ones((3, 3)))
        largest = ndimage.maximum(depth, objects, range(1, number + 1))
        expected = np.where(one, depth / np.append(1, largest)[objects], 1.0)
        np.testing.assert_allclose(weight, expected, rtol=1e-6)


def _spiral() -> np.ndarray:
    """One long winding object of varying width, as the largest depth travels it."""
    mask = np.zeros((37, 29), np.uint8)
    for i in range(0, 36, 4):
        mask[i : i + 2] = 1
        side = slice(0, 2) if i % 8 else slice(-2, None)
        mask[i : i + 5, side] = 1
    mask[:3, :7] = 1
    return mask


def test_without_background_or_foreground_the_weights_are_plain():
    mask = np.stack([np.ones((6, 7)), np.zeros((6, 7)), np.full((6, 7), IGNORE)])
    own = np.asarray(weighing(w_max=3.0)(mask.astype(np.uint8)))
    assert (own[0] == 3).all() and (own[1:] == 1).all()


def test_what_is_not_labelled_is_no_background():
    mask = blobs(2)
    hidden = mask.copy()
    hidden[:, 20:] = IGNORE
    cut = weighing(w_max=3.0)(mask[:, :20])
    np.testing.assert_allclose(weighing(w_max=3.0)(hidden)[:, :20], cut, rtol=1e-6)


@pytest.mark.parametrize("size", [1, 3, 7])
def test_dilation_is_a_maximum_over_a_square(size):
    mask = np.where(blobs(3) * np.random.default_rng(0).random((2, 37, 29)) > 0.9, 2, 0)
    mask[0, 3, 3] = 1
    grown = jax.jit(functools.partial(_emphasis.dilated, size=size))(mask)
    exact = ndimage.maximum_filter(mask, (1, size, size), mode="constant")
    np.testing.assert_array_equal(grown, exact)


def test_dilation_leaves_and_ignores_what_is_not_labelled():
    mask = np.zeros((1, 5, 9), np.uint8)
    mask[0, 2, 1], mask[0, :, 6:] = 1, IGNORE
    grown = np.asarray(_emphasis.dilated(mask, 3))[0]
    assert (grown[:, 6:] == IGNORE).all() and not grown[:, 3:6].any()
    assert grown[:, :6].sum() == 9


def test_switched_off_it_is_plain_cross_entropy_and_on_it_is_weighted():
    rng = np.random.default_rng(0)
    logits, mask = jnp.asarray(rng.normal(size=(2, 37, 29, 2)), jnp.float32), blobs()
    plain = cross_entropy.loss(logits, mask)
    off = distance_cross_entropy.loss(logits, mask, power=0.0)
    np.testing.assert_allclose(off, plain, rtol=1e-6)
    odds = np.asarray(logits[..., 1] - logits[..., 0], np.float64)
    cost = np.logaddexp(0, np.where(mask == 1, -odds, odds))
    weight = np.asarray(weighing(w_max=3.0)(mask))
    on = jax.jit(functools.partial(distance_cross_entropy.loss, w_max=3.0))
    np.testing.assert_allclose(on(logits, mask), (weight * cost).mean((1, 2)), 1e-5)


@pytest.mark.parametrize(
    "settings, words",
    [
        ({"w_max": -1.0}, "w_max is -1.0, but must be finite and >= 0"),
        ({"power": float("nan")}, "power is nan"),
        ({"dilate": 4}, "dilate is 4, but must be an odd number"),
        ({"dilate": 0}, "dilate is 0"),
    ],
)
def test_settings_out_of_range_are_refused(settings, words):
    logits, mask = jnp.zeros((1, 8, 8, 2)), jnp.zeros((1, 8, 8), jnp.int32)
    with pytest.raises(ConfigError, match=words):
        distance_cross_entropy.loss(logits, mask, **settings)
