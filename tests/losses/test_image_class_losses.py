"""Losses of classes of whole images: by hand, unknown answers, and what is refused."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from jaxseg.errors import ConfigError
from jaxseg.losses import image_class_binary_cross_entropy as binary
from jaxseg.losses import image_class_cross_entropy as exclusive

Z = np.array([[1.0, -0.5, 2.0], [0.0, 3.0, -1.0], [0.3, 0.1, 0.2]], np.float32)
ONE = np.array([[0, 0, 1], [1, 0, 0], [-1, -1, -1]], np.int8)
SEVERAL = np.array([[1, 0, 1], [0, -1, 0], [-1, -1, -1]], np.int8)
BOTH = pytest.mark.parametrize("module, truth", [(exclusive, ONE), (binary, SEVERAL)])


def log_softmax(z):
    return z - np.log(np.exp(z).sum(-1, keepdims=True))


def softplus(z):
    return np.logaddexp(0, z)


def test_the_softmax_of_the_class_by_hand():
    log_p = log_softmax(Z)
    plain = [-log_p[0, 2], -log_p[1, 0], 0]
    np.testing.assert_allclose(exclusive.loss(Z, ONE), plain, rtol=1e-6)
    weights = (2.0, 0.5, 3.0)
    weighted = exclusive.loss(Z, ONE, class_weights=weights)
    np.testing.assert_allclose(weighted, [3 * plain[0], 2 * plain[1], 0], rtol=1e-6)
    # 0.7 of the class, 0.3 shared by all, each by its own weight
    smooth = exclusive.loss(Z, ONE, class_weights=weights, label_smoothing=0.3)
    spread = (-log_p * weights).mean(-1)
    want = 0.7 * np.array([3 * plain[0], 2 * plain[1]]) + 0.3 * spread[:2]
    np.testing.assert_allclose(smooth, [*want, 0], rtol=1e-6)


def test_each_class_by_hand():
    first = (softplus(-1.0) + softplus(-0.5) + softplus(-2.0)) / 3
    second = (softplus(0.0) + softplus(-1.0)) / 3  # one of three is unknown
    np.testing.assert_allclose(binary.loss(Z, SEVERAL), [first, second, 0], rtol=1e-6)
    weighted = binary.loss(Z, SEVERAL, positive_weights=(2.0, 5.0, 4.0))
    first = (2 * softplus(-1.0) + softplus(-0.5) + 4 * softplus(-2.0)) / 3
    np.testing.assert_allclose(weighted, [first, second, 0], rtol=1e-6)


@BOTH
def test_what_is_unknown_teaches_nothing(module, truth):
    z = jnp.where(truth < 0, jnp.nan, Z)
    gradient = np.asarray(jax.grad(lambda x: module.loss(x, truth).sum())(z))
    assert (gradient[truth < 0] == 0).all()
    assert (gradient[truth >= 0] != 0).all() and np.isfinite(gradient).all()
    assert np.isfinite(module.loss(z, truth)).all()


@BOTH
@pytest.mark.parametrize("size", [1e4, 3e38])
def test_extremes_stay_finite_and_right_answers_cost_nothing(module, truth, size):
    right = jnp.asarray(size * (2.0 * (truth == 1) - 1), jnp.float32)
    np.testing.assert_allclose(module.loss(right, truth), 0, atol=1e-6)
    for z in (right, -right):
        assert np.isfinite(jax.grad(lambda x: module.loss(x, truth).sum())(z)).all()
    assert module.loss(jnp.asarray(Z, jnp.bfloat16), truth).dtype == jnp.float32


@BOTH
def test_another_number_of_logits_is_refused(module, truth):
    with pytest.raises(ConfigError, match=r"\(3, 1\) .* needs a logit for each"):
        module.loss(Z[:, :1], truth)


@pytest.mark.parametrize(
    "call, words",
    [
        (lambda: exclusive.loss(Z, ONE, class_weights=(1.0, 2.0)), "give 3 numbers"),
        (lambda: exclusive.loss(Z, ONE, class_weights=(1.0, -2.0, 1.0)), "at least 0"),
        (lambda: exclusive.loss(Z, ONE, label_smoothing=1.0), "label_smoothing is 1.0"),
        (
            lambda: binary.loss(Z, SEVERAL, positive_weights=(1.0,)),
            "positive_weights of image_class_binary_cross_entropy is",
        ),
    ],
)
def test_settings_that_fit_no_class_are_refused(call, words):
    with pytest.raises(ConfigError, match=words):
        call()
