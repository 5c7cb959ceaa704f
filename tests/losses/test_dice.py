"""Dice: worked by hand, against optax, and what an empty mask means."""

import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest

from jaxseg import errors
from jaxseg.losses import dice


def logits_of(p):
    """Two-class logits with probability `p` of class 1."""
    p = np.asarray(p)
    return jnp.asarray(np.stack([0 * p, np.log(p / (1 - p))], -1), jnp.float32)


def test_worked_by_hand():
    # 2 (.9 + .6) / (.9 + .6 + .2 + 2) = 3 / 3.7 = 0.810811
    logits, mask = logits_of([[[0.9, 0.6, 0.2]]]), jnp.asarray([[[1, 1, 0]]])
    np.testing.assert_allclose(
        1 - dice.loss(logits, mask, smooth=0.0), [0.810811], rtol=1e-6
    )
    # (3 + 1) / (3.7 + 1)
    np.testing.assert_allclose(1 - dice.loss(logits, mask), [4 / 4.7], rtol=1e-5)
    # The background: 2 * .8 / (.1 + .4 + .8 + 1) = 1.6 / 2.3; both: the mean.
    both = dice.loss(logits, mask, smooth=0.0, classes=(0, 1))
    np.testing.assert_allclose(1 - both, [(3 / 3.7 + 1.6 / 2.3) / 2], rtol=1e-5)


def test_equals_optax():
    rng = np.random.default_rng(0)
    logits = jnp.asarray(rng.normal(size=(3, 4, 5, 4)), jnp.float32)
    mask = jnp.asarray(rng.integers(0, 4, (3, 4, 5)))
    want = optax.losses.dice_loss(  # its smooth is added to half of ours
        logits, jnp.eye(4)[mask], smooth=1.0, ignore_background=True
    )
    np.testing.assert_allclose(dice.loss(logits, mask, smooth=2.0), want, rtol=1e-5)


def test_an_empty_mask():
    empty = jnp.zeros((1, 1, 4), jnp.int32)
    # Four pixels guessed at .25 sum to 1: 1 - 1 / (1 + 1).
    quarter = logits_of(np.full((1, 1, 4), 0.25))
    np.testing.assert_allclose(dice.loss(quarter, empty), [0.5], rtol=1e-6)
    np.testing.assert_allclose(
        dice.loss(quarter, empty, absent_weight=0.5), [0.25], rtol=1e-6
    )
    assert dice.loss(quarter, empty, absent_weight=0.0) == 0
    # Met by an empty guess it is free, with and without `smooth`.
    sure = jnp.asarray([[[[500.0, -500.0]] * 4]])
    assert dice.loss(sure, empty) == 0
    assert dice.loss(sure, empty, smooth=0.0) == 0
    # Without `smooth` any guess costs 1 and nothing is learned.
    assert dice.loss(quarter, empty, smooth=0.0) == 1
    slope = jax.grad(lambda x: dice.loss(x, empty, smooth=0.0).sum())(quarter)
    assert (slope == 0).all()
    slope = jax.grad(lambda x: dice.loss(x, empty).sum())(quarter)
    assert (slope[..., 1] > 0).all()  # with it, the guess is pushed down


def test_absent_classes_are_weighted_one_by_one():
    # Class 1 is there (and found), class 2 is not, but is guessed with a sum of 1.
    p = np.array([[[[1e-9, 1.0, 1e-9], [0.5, 1e-9, 0.5], [0.5, 1e-9, 0.5]]]])
    mask = jnp.asarray([[[1, 0, 0]]])
    logits = jnp.asarray(np.log(p), jnp.float32)
    np.testing.assert_allclose(dice.loss(logits, mask), [0.5 / 2], rtol=1e-5)
    np.testing.assert_allclose(dice.loss(logits, mask, absent_weight=0.0), 0, atol=1e-6)


@pytest.mark.parametrize(
    "settings, words",
    [
        ({"classes": (2,)}, "0 to 1"),
        ({"classes": ()}, "0 to 1"),
        ({"classes": (1, 1)}, "each once"),
        ({"smooth": -1.0}, "smooth is -1.0"),
        ({"absent_weight": float("nan")}, "absent_weight is nan"),
    ],
)
def test_wrong_settings_are_named(settings, words):
    with pytest.raises(errors.ConfigError, match=words):
        dice.loss(jnp.zeros((1, 2, 2, 2)), jnp.zeros((1, 2, 2), jnp.int32), **settings)
