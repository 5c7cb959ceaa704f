"""Cross-entropy of whole images: one logit, several, and images without a label."""

import functools

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from jaxseg.errors import ConfigError
from jaxseg.losses import image_cross_entropy

compiled = jax.jit(image_cross_entropy.loss, static_argnames="positive_weight")
LABEL = np.array([0, 1, 3, -1])
Z = jnp.array([[0.5], [0.5], [-2.0], [jnp.nan]])


def test_one_logit_by_hand():
    softplus = np.logaddexp(0, [0.5, -0.5, 2.0])
    np.testing.assert_allclose(compiled(Z, LABEL), [*softplus, 0], rtol=1e-6)
    weighted = compiled(Z, LABEL, positive_weight=3.0)
    np.testing.assert_allclose(weighted, [*(softplus * [1, 3, 3]), 0], rtol=1e-6)


def test_an_unknown_label_teaches_nothing():
    gradient = jax.grad(lambda z: compiled(z, LABEL).sum())(Z)
    assert gradient[3] == 0 and (gradient[:3] != 0).all()


def test_several_logits_are_classes():
    logits = jax.random.normal(jax.random.key(0), (4, 4))
    log_p = np.asarray(jax.nn.log_softmax(logits))
    expected = [-log_p[0, 0], -log_p[1, 1], -log_p[2, 3], 0]
    np.testing.assert_allclose(compiled(logits, LABEL), expected, rtol=1e-6)
    cost = compiled(logits[:, :3], LABEL)  # 3 is no class of three
    assert np.isnan(cost[2]) and np.isfinite(cost[jnp.array([0, 1, 3])]).all()


@pytest.mark.parametrize("size", [1e4, 3e38])
def test_extremes_stay_finite(size):
    z = jnp.array([[size], [-size], [size], [0.0]])
    assert np.isfinite(compiled(z, LABEL)).all()
    slope = jax.grad(lambda z: compiled(z, LABEL).sum())(z)
    assert np.isfinite(slope).all()


def test_low_precision_is_computed_in_float32():
    cost = compiled(Z.astype(jnp.bfloat16), LABEL)
    assert cost.dtype == jnp.float32


def test_what_it_cannot_take_is_refused():
    with pytest.raises(ConfigError, match=r"image_logits \(3,\) .* needs \[b, n\]"):
        image_cross_entropy.loss(jnp.zeros(3), jnp.zeros(3, jnp.int32))
    with pytest.raises(ConfigError, match="positive_weight is -1"):
        image_cross_entropy.loss(Z, LABEL, positive_weight=-1.0)
    assert functools.partial(image_cross_entropy.loss)(Z[:3], LABEL[:3]).shape == (3,)
