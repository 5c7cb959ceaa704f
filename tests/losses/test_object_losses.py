"""Losses of depths, rays and gaps between objects, by hand and by brute force."""

import functools

import beartype
import jax
import jax.numpy as jnp
import numpy as np
import pytest
from jaxtyping import jaxtyped
from scipy import ndimage
from support import label_maps

from jaxseg import errors
from jaxseg.losses import border_cross_entropy, cross_entropy, distance, star_rays
from jaxseg.losses import object_probability as probability
from jaxseg.types import IGNORE

MODULES = {"distance": distance, "object_probability": probability, "rays": star_rays}
each = pytest.mark.parametrize("name", MODULES)


@functools.cache
def compiled(name):
    return jax.jit(jaxtyped(typechecker=beartype.beartype)(MODULES[name].loss))


def example(name):
    """(what is right, what is predicted as it is right, mask), two images."""
    rng = np.random.default_rng(0)
    depth = rng.uniform(0.1, 1, (2, 5, 6)).astype(np.float32)
    depth[:, :2] = 0
    mask = (depth > 0).astype(np.uint8)
    mask[:, 4, 3:] = IGNORE
    if name == "distance":
        return (depth,), depth, mask
    if name == "object_probability":
        sure = np.clip(depth, 1e-6, 1 - 1e-6)
        return (depth,), np.log(sure / (1 - sure)), mask
    rays = rng.uniform(1, 9, (2, 5, 6, 4)).astype(np.float32) * (depth > 0)[..., None]
    return (rays, depth), rays, mask


@each
def test_right_answers_cost_nothing_and_wrong_ones_do(name):
    truth, right, mask = example(name)
    cost = compiled(name)(right, *truth, mask)
    assert cost.shape == (2,) and cost.dtype == jnp.float32
    np.testing.assert_allclose(cost, 0, atol=2e-6)
    assert (compiled(name)(right + 1, *truth, mask) > 0.04).all()
    half = compiled(name)(jnp.asarray(right + 1, jnp.bfloat16), *truth, mask)
    assert half.dtype == jnp.float32


@each
def test_what_is_guessed_at_ignored_pixels_changes_nothing(name):
    truth, right, mask = example(name)
    guess = right + 0.5
    ignored = (mask == IGNORE).reshape(*mask.shape, *[1] * (right.ndim - 3))
    slope = jax.jit(jax.grad(lambda g: compiled(name)(g, *truth, mask).sum()))
    for value in (np.inf, np.nan, 1e6):
        other = np.where(ignored, value, guess).astype(np.float32)
        np.testing.assert_array_equal(
            compiled(name)(other, *truth, mask), compiled(name)(guess, *truth, mask)
        )
        np.testing.assert_array_equal(slope(other), slope(guess))
        assert np.isfinite(slope(other)).all()
    nothing = np.full_like(mask, IGNORE)
    assert (compiled(name)(guess, *truth, nothing) == 0).all()


@each
def test_following_the_gradient_lowers_the_loss(name):
    truth, right, mask = example(name)
    guess = jnp.asarray(right) * 0.5 + 0.3
    slope = jax.grad(lambda g: compiled(name)(g, *truth, mask).sum())(guess)
    lower = compiled(name)(guess - 0.5 * slope, *truth, mask)
    assert (lower < compiled(name)(guess, *truth, mask)).all()


def test_smooth_l1_of_objects_and_background_by_hand():
    true = np.array([[[0, 0, 0, 1.0]]], np.float32)
    guess = np.array([[[0.05, 0.3, 0, 0.6]]], np.float32)
    mask = np.array([[[0, 0, 0, 1]]], np.uint8)
    # background: (0.05^2 / 0.2 + 0.3 - 0.05 + 0) / 3; objects: 0.4 - 0.05
    expected = ((0.0125 + 0.25) / 3 + 0.35) / 2
    np.testing.assert_allclose(distance.loss(guess, true, mask), [expected], rtol=1e-5)
    empty = distance.loss(guess, 0 * true, mask)  # only one mean
    np.testing.assert_allclose(empty, [(0.0125 + 0.25 + 0.55) / 4], rtol=1e-5)
    with pytest.raises(errors.ConfigError, match="beta is 0"):
        distance.loss(guess, true, mask, beta=0)


def test_binary_cross_entropy_by_hand():
    t, p = 0.25, 0.5
    logits, mask = np.zeros((1, 1, 1), np.float32), np.ones((1, 1, 1), np.uint8)
    expected = t * np.log(t / p) + (1 - t) * np.log((1 - t) / (1 - p))
    cost = probability.loss(logits, np.full((1, 1, 1), t, np.float32), mask)
    np.testing.assert_allclose(cost, [expected], rtol=1e-5)


def test_rays_of_deep_pixels_count_most_by_hand():
    true = np.array([5.0, 3.0, 0.0]).reshape(1, 1, 3, 1) * np.ones((1, 1, 3, 4))
    guess = true + np.array([1.0, -2.0, 50.0]).reshape(1, 1, 3, 1)
    depth = np.array([[[1.0, 0.5, 0.0]]], np.float32)
    mask = np.array([[[1, 1, 0]]], np.uint8)
    cost = star_rays.loss(*np.float32([guess, true]), depth, mask)
    np.testing.assert_allclose(cost, [(1 * 1 + 0.5 * 2) / 1.5], rtol=1e-6)
    assert star_rays.loss(*np.float32([guess, true]), 0 * depth, mask) == 0


DISCS = [(8, 8, 5), (8, 18, 5), (18, 12, 4), (3, 26, 2)]


def _weights(ids, w0, sigma, gap):
    """By a distance transform of every object."""
    far = [ndimage.distance_transform_edt(ids != i) for i in range(1, ids.max() + 1)]
    first, second = np.sort(far, 0)[:2]
    apart = (ids > 0) & (second < gap + 1)
    weight = w0 * np.exp(-((first + second) ** 2) / (2 * sigma**2))
    return np.where((ids == 0) | apart, weight, 0), apart


@pytest.mark.parametrize("gap", [0, 2])
def test_gaps_between_objects_weigh_as_in_u_net(gap):
    ids = label_maps.discs((24, 30), DISCS)
    mask = (ids > 0).astype(np.uint8)
    mask[:2] = IGNORE
    settings = {"w0": 10.0, "sigma": 3.0, "gap": gap}
    run = jax.jit(functools.partial(border_cross_entropy.weigh, **settings))
    weight, apart = run(mask[None], ids[None])
    expected, gaps = _weights(ids, **settings)
    near = expected > 10 * np.exp(-(9**2) / 18)  # within 3 sigma, both
    np.testing.assert_allclose(weight[0][near], expected[near], rtol=1e-5)
    assert near.sum() > 100 and (weight[0] <= expected + 1e-5).all()
    np.testing.assert_array_equal(
        apart[0], np.where(mask == IGNORE, IGNORE, mask * ~gaps)
    )
    assert gaps.any() == (gap > 0)


def test_the_weighted_mean_of_cross_entropy():
    ids = label_maps.discs((24, 30), DISCS)[None]
    mask = (ids > 0).astype(np.uint8)
    logits = np.random.default_rng(0).normal(size=(1, 24, 30, 2)).astype(np.float32)
    shape = {"w0": 4.0, "sigma": 2.0, "gap": 1}
    loss = jax.jit(functools.partial(border_cross_entropy.loss, **shape))
    weigh = jax.jit(functools.partial(border_cross_entropy.weigh, **shape))
    weight, apart = weigh(mask, ids)
    each = -np.take_along_axis(
        np.asarray(jax.nn.log_softmax(logits)), np.asarray(apart)[..., None], -1
    )[..., 0]
    np.testing.assert_allclose(
        loss(logits, mask, ids), [np.mean(each * (1 + weight))], rtol=1e-5
    )
    shape |= {"class_weights": (0.5, 2.0)}
    weighted = jax.jit(functools.partial(border_cross_entropy.loss, **shape))
    mask[:, :9] = IGNORE
    logits[:, :9] = np.nan  # of pixels that are not labelled
    alone = weighted(logits, mask, 0 * ids)
    plain = cross_entropy.loss(logits, mask, class_weights=(0.5, 2.0))
    np.testing.assert_allclose(alone, plain, rtol=1e-6)
    assert np.isfinite(alone).all() and weighted(logits, mask, ids) > alone
    assert weighted(logits, np.full_like(mask, IGNORE), ids) == 0


@pytest.mark.parametrize("wrong", [{"w0": -1}, {"sigma": 0}, {"gap": -1}])
def test_a_setting_that_is_none_is_refused(wrong):
    arrays = jnp.zeros((1, 4, 4, 2)), *[jnp.zeros((1, 4, 4), jnp.int32)] * 2
    with pytest.raises(errors.ConfigError, match=f"{[*wrong][0]} is"):
        border_cross_entropy.loss(*arrays, **wrong)
