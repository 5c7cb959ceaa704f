"""Total variation: worked by hand, and loops over pixels."""

import jax.numpy as jnp
import numpy as np
import pytest
import scipy.special

from jaxseg import errors
from jaxseg.regularisers import total_variation

loss = total_variation.loss


def logits_of(p):
    """Logits whose softmax is (1 - p, p)."""
    p = np.asarray(p)[None]
    with np.errstate(divide="ignore"):
        z = np.clip(np.log(p) - np.log(1 - p), -50, 50)
    return jnp.asarray(np.stack([0 * z, z], -1), jnp.float32)


def test_worked_by_hand():
    # down |1 - 0| + |.5 - .5|, right |.5 - 0| + |.5 - 1|: 2 over 4 pixels
    logits, mask = logits_of([[0, 0.5], [1, 0.5]]), jnp.zeros((1, 2, 2), jnp.int32)
    np.testing.assert_allclose(loss(logits, mask), [2 / 4], rtol=1e-6)
    down = loss(logits[:, :, :1], mask[:, :, :1])  # the column 0, 1 alone
    right = loss(logits[:, :1], mask[:, :1])  # the row 0, .5 alone
    np.testing.assert_allclose([down[0], right[0]], [1 / 2, 0.5 / 2], rtol=1e-6)


def test_a_certain_guess_costs_its_border():
    p = np.zeros((8, 9))
    p[2:5, 3:7] = 1  # 3 x 4 pixels, a border of 14 sides
    mask = jnp.zeros((1, 8, 9), jnp.int32)
    np.testing.assert_allclose(loss(logits_of(p), mask), [14 / 72], rtol=1e-6)
    p[2:5, 7:] = 1  # to the edge of the image, which is no border: 3 + 6 + 6 sides
    np.testing.assert_allclose(loss(logits_of(p), mask), [15 / 72], rtol=1e-6)


@pytest.mark.parametrize("classes", [None, (0, 1, 2), (2,)])
def test_equals_loops_over_pixels(classes):
    logits = np.random.default_rng(0).normal(size=(2, 5, 4, 3))
    p = scipy.special.softmax(logits, -1)
    want = np.zeros(2)
    for b in range(2):
        for y in range(5):
            for x in range(4):
                for c in classes or (1, 2):
                    if y:
                        want[b] += abs(p[b, y, x, c] - p[b, y - 1, x, c])
                    if x:
                        want[b] += abs(p[b, y, x, c] - p[b, y, x - 1, c])
    want /= 5 * 4 * len(classes or (1, 2))
    mask = jnp.zeros((2, 5, 4), jnp.int32)
    got = loss(jnp.asarray(logits, jnp.float32), mask, classes=classes)
    np.testing.assert_allclose(got, want, rtol=1e-5)


@pytest.mark.parametrize("classes", [(), (2,), (-1,), (1, 1)])
def test_classes_that_are_not_there_are_refused(classes):
    with pytest.raises(errors.ConfigError, match="some of 0 to 1, each once"):
        loss(jnp.zeros((1, 2, 2, 2)), jnp.zeros((1, 2, 2), jnp.int32), classes=classes)
