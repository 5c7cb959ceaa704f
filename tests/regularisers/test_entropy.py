"""Entropy: between 0 and 1, over unlabelled pixels only."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
import scipy.special
import scipy.stats

from jaxseg.regularisers import entropy
from jaxseg.types import IGNORE

loss = entropy.loss


def test_equals_scipy_over_the_unlabelled_pixels():
    rng = np.random.default_rng(0)
    logits = 2 * rng.normal(size=(2, 5, 4, 3))
    mask = rng.choice([0, 2, IGNORE], (2, 5, 4))
    p = scipy.special.softmax(logits, -1)
    want = [
        np.mean([scipy.stats.entropy(q, base=3) for q in p[b][mask[b] == IGNORE]])
        for b in range(2)
    ]
    got = loss(jnp.asarray(logits, jnp.float32), jnp.asarray(mask))
    np.testing.assert_allclose(got, want, rtol=1e-5)


@pytest.mark.parametrize("classes", [2, 5])
def test_no_opinion_costs_one_and_certainty_nothing(classes):
    mask = jnp.full((1, 3, 3), IGNORE)
    blank = jnp.zeros((1, 3, 3, classes))
    np.testing.assert_allclose(loss(blank, mask), [1.0], rtol=1e-6)
    for size in (200.0, 3e38):
        sure = blank.at[..., 1].set(size)
        np.testing.assert_array_equal(loss(sure, mask), [0.0])


def test_labelled_pixels_change_nothing_finite_or_not():
    rng = np.random.default_rng(1)
    logits = jnp.asarray(rng.normal(size=(1, 4, 4, 2)), jnp.float32)
    mask = jnp.asarray(rng.choice([0, 1, IGNORE], (1, 4, 4)))
    slope = jax.grad(lambda x: loss(x, mask).sum())
    for value in (1e4, np.inf, np.nan):
        other = jnp.where((mask != IGNORE)[..., None], value, logits)
        np.testing.assert_array_equal(loss(other, mask), loss(logits, mask))
        np.testing.assert_array_equal(slope(other), slope(logits))
    full = jnp.zeros_like(mask)
    assert loss(logits, full) == 0
