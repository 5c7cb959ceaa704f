"""Tversky: worked by hand, against optax, and Dice as its special case."""

import jax.numpy as jnp
import numpy as np
import optax
import pytest

from jaxseg import errors
from jaxseg.losses import dice, tversky


def pair():
    rng = np.random.default_rng(0)
    logits = jnp.asarray(rng.normal(size=(3, 4, 5, 3)), jnp.float32)
    return logits, jnp.asarray(rng.integers(0, 3, (3, 4, 5)))


def test_worked_by_hand():
    # p .9 .6 .2, y 1 1 0: TP 1.5, FP .2, FN .5; 1.5 / (1.5 + .3 * .2 + .7 * .5)
    z = jnp.log(jnp.asarray([[[9.0, 1.5, 0.25]]]))
    logits, mask = jnp.stack([0 * z, z], -1), jnp.asarray([[[1, 1, 0]]])
    got = tversky.loss(logits, mask, smooth=0.0)
    np.testing.assert_allclose(got, [1 - 1.5 / 1.91], rtol=1e-5)
    got = tversky.loss(logits, mask, alpha=1.0, beta=1.0, smooth=0.0)
    np.testing.assert_allclose(got, [1 - 1.5 / 2.2], rtol=1e-5)  # IoU


def test_equal_prices_are_dice():
    got = tversky.loss(*pair(), alpha=0.5, beta=0.5, smooth=1.0)
    np.testing.assert_allclose(got, dice.loss(*pair(), smooth=2.0), rtol=1e-5)


def test_equals_optax():
    logits, mask = pair()
    want = optax.losses.dice_loss(
        logits, jnp.eye(3)[mask], alpha=0.3, beta=0.7, ignore_background=True
    )
    np.testing.assert_allclose(tversky.loss(logits, mask), want, rtol=1e-5)


def test_an_empty_mask():
    # Four pixels at .5 where nothing is: 1 - 1 / (.3 * 2 + 1).
    blank, empty = jnp.zeros((1, 1, 4, 2)), jnp.zeros((1, 1, 4), jnp.int32)
    np.testing.assert_allclose(tversky.loss(blank, empty), [1 - 1 / 1.6], rtol=1e-6)
    assert tversky.loss(blank, empty, absent_weight=0.0) == 0
    sure = jnp.asarray([[[[500.0, -500.0]] * 4]])
    assert tversky.loss(sure, empty, smooth=0.0) == 0


def test_a_negative_price_is_refused():
    with pytest.raises(errors.ConfigError, match="alpha is -0.1"):
        tversky.loss(*pair(), alpha=-0.1)
