"""Focal loss: worked by hand, against optax, and where its slope could explode."""

import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest

from jaxseg import errors
from jaxseg.losses import cross_entropy, focal


def pair(seed=0):
    rng = np.random.default_rng(seed)
    z = jnp.asarray(3 * rng.normal(size=(2, 4, 3)), jnp.float32)
    return z, jnp.asarray(rng.integers(0, 2, (2, 4, 3)))


def test_worked_by_hand():
    # p of the truth .9 .6 .8, gamma 2:
    # (.01 * 0.1053605 + .16 * 0.5108256 + .04 * 0.2231436) / 3
    z = jnp.log(jnp.asarray([[[9.0, 1.5, 0.25]]]))
    logits = jnp.stack([0 * z, z], -1)
    got = focal.loss(logits, jnp.asarray([[[1, 1, 0]]]))
    np.testing.assert_allclose(got, [0.0305705], rtol=1e-5)


@pytest.mark.parametrize("gamma, alpha", [(2.0, None), (0.5, 0.25)])
def test_two_classes_equal_the_sigmoid_form_of_optax(gamma, alpha):
    z, mask = pair()
    logits = jnp.stack([0 * z, z], -1)
    weights = None if alpha is None else (1 - alpha, alpha)
    want = optax.losses.sigmoid_focal_loss(
        z, mask.astype(jnp.float32), alpha=alpha, gamma=gamma
    )
    got = focal.loss(logits, mask, gamma=gamma, class_weights=weights)
    np.testing.assert_allclose(got, want.mean((1, 2)), rtol=2e-5)


def test_gamma_zero_is_cross_entropy():
    z, mask = pair()
    logits = jnp.stack([0 * z, z], -1)
    np.testing.assert_allclose(
        focal.loss(logits, mask, gamma=0.0), cross_entropy.loss(logits, mask), rtol=1e-5
    )


@pytest.mark.parametrize("gamma", [0.0, 0.5, 1.0, 5.0])
def test_slopes_stay_finite_for_every_gamma(gamma):
    z, mask = pair()
    for size in (0.0, 1.0, 30.0, 1e4):
        logits = size * jnp.stack([0 * z, z], -1)
        slope = jax.grad(lambda x: focal.loss(x, mask, gamma=gamma).sum())(logits)
        assert np.isfinite(slope).all()


def test_a_negative_gamma_is_refused():
    z, mask = pair()
    with pytest.raises(errors.ConfigError, match="gamma is -1.0"):
        focal.loss(jnp.stack([0 * z, z], -1), mask, gamma=-1.0)
