"""Cross-entropy: worked by hand, against optax, and the scale of class weights."""

import jax.numpy as jnp
import numpy as np
import optax
import pytest

from jaxseg import errors
from jaxseg.losses import cross_entropy
from jaxseg.types import IGNORE


def three():
    """Probabilities .9 .6 .2 of class 1 where the truth is 1 1 0."""
    p = np.array([0.9, 0.6, 0.2])
    logits = np.stack([0 * p, np.log(p / (1 - p))], -1).reshape(1, 1, 3, 2)
    return jnp.asarray(logits, jnp.float32), jnp.asarray([[[1, 1, 0]]])


def test_worked_by_hand():
    # (-ln .9 - ln .6 - ln .8) / 3 = (0.1053605 + 0.5108256 + 0.2231436) / 3
    np.testing.assert_allclose(cross_entropy.loss(*three()), [0.2797766], rtol=1e-5)
    # (2 * 0.1053605 + 2 * 0.5108256 + 0.5 * 0.2231436) / 3
    weighted = cross_entropy.loss(*three(), class_weights=(0.5, 2.0))
    np.testing.assert_allclose(weighted, [0.4479813], rtol=1e-5)


def test_smoothing_worked_by_hand():
    # s = 0.1: 0.9 of the above + 0.1 / 2 of the sum over both classes, each weighted:
    # sum_i w_0 (-ln(1 - p)) = 0.5 (2.3025851 + 0.9162907 + 0.2231436) = 1.7210097
    # sum_i w_1 (-ln p) = 2 (0.1053605 + 0.5108256 + 1.6094379) = 4.4512480
    got = cross_entropy.loss(*three(), class_weights=(0.5, 2.0), label_smoothing=0.1)
    want = 0.9 * 0.4479813 + 0.05 * (1.7210097 + 4.4512480) / 3
    np.testing.assert_allclose(got, [want], rtol=1e-5)


def test_equals_optax():
    rng = np.random.default_rng(0)
    logits = jnp.asarray(rng.normal(size=(2, 4, 3, 5)), jnp.float32)
    mask = jnp.asarray(rng.integers(0, 5, (2, 4, 3)))
    pixels = optax.losses.softmax_cross_entropy_with_integer_labels(logits, mask)
    np.testing.assert_allclose(
        cross_entropy.loss(logits, mask), pixels.mean((1, 2)), rtol=1e-5
    )
    targets = optax.losses.smooth_labels(jnp.eye(5)[mask], 0.2)
    smooth = optax.losses.softmax_cross_entropy(logits, targets).mean((1, 2))
    got = cross_entropy.loss(logits, mask, label_smoothing=0.2)
    np.testing.assert_allclose(got, smooth, rtol=1e-5)


def test_a_large_common_offset_loses_no_digits():
    logits, mask = three()
    far = jnp.asarray([[[[0.0, 0.5]]]])
    want = cross_entropy.loss(far, mask[:, :, :1])
    np.testing.assert_allclose(
        cross_entropy.loss(far + 8192.0, mask[:, :, :1]), want, rtol=1e-6
    )


def test_weights_of_the_data_set_keep_the_scale():
    # N / (2 n_c) for 3 pixels of class 0 and 1 of class 1: 2/3 and 2, mean weight 1.
    blank, mask = jnp.zeros((1, 2, 2, 2)), jnp.asarray([[[0, 0], [0, 1]]])
    got = cross_entropy.loss(blank, mask, class_weights=(2 / 3, 2.0))
    np.testing.assert_allclose(got, [np.log(2)], rtol=1e-6)


def test_weights_still_count_in_an_image_without_positives():
    # Ratio 107.45 background to one foreground pixel: weights 0.504653 and 54.225.
    weights = (108.45 / (2 * 107.45), 108.45 / 2)
    np.testing.assert_allclose(weights, (0.504653, 54.225), rtol=1e-6)
    mask = jnp.asarray([[[0, 0]], [[1, 1]], [[1, IGNORE]]])
    got = cross_entropy.loss(jnp.zeros((3, 1, 2, 2)), mask, class_weights=weights)
    want = np.log(2) * np.array([0.504653, 54.225, 54.225])
    np.testing.assert_allclose(got, want, rtol=1e-5)


@pytest.mark.parametrize(
    "settings, words",
    [
        ({"class_weights": (1.0, 1.0, 1.0)}, "has 2 classes"),
        ({"class_weights": (-1.0, 1.0)}, "finite weight >= 0"),
        ({"class_weights": (float("nan"), 1.0)}, "finite weight >= 0"),
        ({"label_smoothing": 1.0}, "label_smoothing"),
    ],
)
def test_wrong_settings_are_named(settings, words):
    with pytest.raises(errors.ConfigError, match=words):
        cross_entropy.loss(*three(), **settings)
