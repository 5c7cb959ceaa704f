"""Nested regions: what is true of them, their probabilities, losses and mistakes."""

import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest

from jaxseg import errors
from jaxseg.losses import region_cross_entropy, region_dice
from jaxseg.targets import regions
from jaxseg.types import IGNORE

MASK = jnp.array([[[0, 1, 2, IGNORE]]], jnp.uint8)


def test_a_region_is_its_class_and_every_class_inside():
    inside = regions.truth(MASK, None, 3)["true_regions"][0, 0]
    np.testing.assert_array_equal(inside, [[0, 0], [1, 0], [1, 1], [0, 0]])
    other = regions.truth(MASK, None, 3, order=(2, 1))["true_regions"][0, 0]
    np.testing.assert_array_equal(other, [[0, 0], [1, 1], [1, 0], [0, 0]])


def test_classes_are_the_rings_between_regions():
    odds = jax.scipy.special.logit(jnp.array([[[[0.9, 0.3]]]]))
    classes = regions.maps(odds, 3)[0, 0, 0]
    np.testing.assert_allclose(classes, [0.1, 0.6, 0.3], rtol=1e-5)
    turned = regions.maps(odds, 3, order=(2, 1))[0, 0, 0]
    np.testing.assert_allclose(turned, [0.1, 0.3, 0.6], rtol=1e-5)
    # an infection cannot be more probable than the lung around it
    outside = jax.scipy.special.logit(jnp.array([[[[0.2, 0.7]]]]))
    np.testing.assert_allclose(
        regions.maps(outside, 3)[0, 0, 0], [0.8, 0.0, 0.2], atol=1e-6
    )


def test_logits_are_log_probabilities_of_the_classes():
    z = jnp.asarray(np.random.default_rng(0).normal(size=(1, 4, 5, 3)), jnp.float32)
    parts = regions.split(z, 4)
    np.testing.assert_allclose(
        jax.nn.softmax(parts["logits"]), regions.maps(z, 4), atol=1e-6
    )
    np.testing.assert_array_equal(parts["region_logits"], z)
    gradient = jax.grad(lambda z: jnp.sum(regions.split(z * 90, 4)["logits"]))(z)
    assert np.isfinite(gradient).all()


@pytest.mark.parametrize("order", [(1,), (1, 1), (0, 1), (1, 2, 3)])
def test_an_order_names_every_class_once(order):
    with pytest.raises(errors.ConfigError, match="each of the classes 1 to 2 once"):
        regions.channels(3, order=order)


def test_cross_entropy_by_hand():
    truth = regions.truth(MASK, None, 3)["true_regions"]
    p = np.array([[0.5, 0.25], [0.8, 0.5], [0.9, 0.6], [0.1, 0.1]])
    z = jax.scipy.special.logit(jnp.asarray(p, jnp.float32))[None, None]
    costs = [np.log([0.5, 0.75]), np.log([0.8, 0.5]), np.log([0.9, 0.6])]
    cost = region_cross_entropy.loss(z, truth, MASK)
    np.testing.assert_allclose(cost, [-np.mean(costs)], rtol=1e-5)
    weighted = region_cross_entropy.loss(z, truth, MASK, weights=(0.0, 3.0))
    np.testing.assert_allclose(
        weighted, [-3 * np.sum(np.array(costs)[:, 1]) / 6], rtol=1e-5
    )
    with pytest.raises(errors.ConfigError, match="there are 2 regions"):
        region_cross_entropy.loss(z, truth, MASK, weights=(1.0,))


def test_dice_by_hand():
    truth = regions.truth(MASK, None, 3)["true_regions"]
    p = np.array([[0.5, 0.25], [0.8, 0.5], [0.9, 0.6], [0.1, 0.1]])
    z = jax.scipy.special.logit(jnp.asarray(p, jnp.float32))[None, None]
    outer = 2 * (0.8 + 0.9) / (0.5 + 0.8 + 0.9 + 2)
    inner = 2 * 0.6 / (0.25 + 0.5 + 0.6 + 1)
    cost = region_dice.loss(z, truth, MASK, smooth=0.0)
    np.testing.assert_allclose(cost, [1 - (outer + inner) / 2], rtol=1e-5)


@pytest.mark.parametrize("loss", [region_cross_entropy.loss, region_dice.loss])
def test_what_is_not_labelled_changes_nothing(loss):
    truth = regions.truth(MASK, None, 3)["true_regions"]
    z = jnp.ones((1, 1, 4, 2))
    gradient = jax.grad(lambda z: loss(z, truth, MASK).sum())(z)
    assert (gradient[0, 0, 3] == 0).all() and (gradient[0, 0, :3] != 0).all()
    wild = z.at[0, 0, 3].set(jnp.inf)
    assert loss(wild, truth, MASK) == loss(z, truth, MASK)
    nothing = jnp.full_like(MASK, IGNORE)
    none_true = regions.truth(nothing, None, 3)["true_regions"]
    assert loss(z, none_true, nothing) == 0


def test_regions_are_learnt_from_colours():
    """A pixel's class follows from its colour; a linear layer must learn it."""
    rng = np.random.default_rng(0)
    mask = jnp.asarray(rng.integers(0, 3, (2, 16, 16)), jnp.uint8)
    colour = jax.nn.one_hot(mask, 3)
    weights, tx = jnp.zeros((3, 2)), optax.adam(0.1)
    state = tx.init(weights)
    truth = regions.truth(mask, None, 3)["true_regions"]

    @jax.jit
    def step(weights, state):
        def cost(weights):
            z = colour @ weights
            terms = region_cross_entropy.loss(z, truth, mask)
            return jnp.mean(terms + region_dice.loss(z, truth, mask))

        updates, state = tx.update(jax.grad(cost)(weights), state)
        return optax.apply_updates(weights, updates), state

    for _ in range(60):
        weights, state = step(weights, state)
    answer = regions.maps(colour @ weights, 3).argmax(-1)
    np.testing.assert_array_equal(answer, mask)
