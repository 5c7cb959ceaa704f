"""Cross-entropy over clicks: worked by hand, and no prior from the ratio of clicks."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from jaxseg import errors
from jaxseg.losses import cross_entropy, partial_cross_entropy
from jaxseg.types import IGNORE

loss = partial_cross_entropy.loss


def binary(z, marks):
    """A row of pixels with logits (0, z), the softmax of which is a sigmoid of z."""
    z = jnp.asarray([[z]], jnp.float32)
    return jnp.stack([0 * z, z], -1), jnp.asarray([[marks]])


def test_worked_by_hand():
    # ln(1 + e^-2) = .126928, ln(1 + e^-1) = .313262, ln(1 + e^.5) = .974077
    pair = binary([2.0, 1.0, -0.5, -1.0], [1, 1, 1, 0])
    np.testing.assert_allclose(loss(*pair, balance="pixels"), [0.431882], rtol=2e-6)
    np.testing.assert_allclose(loss(*pair), [0.392342], rtol=2e-6)


def test_an_unlabelled_pixel_is_not_there():
    pair = binary([2.0, -1.0, 5.0], [1, 0, IGNORE])
    for balance in ("class", "pixels"):
        got = loss(*pair, balance=balance)
        np.testing.assert_allclose(got, [0.220095], rtol=2e-6)
    for z, mark, want in ((2.0, 1, 0.126928), (-1.0, 0, 0.313262), (0.0, 1, 0.693147)):
        got = loss(*binary([z, 9.0], [mark, IGNORE]))
        np.testing.assert_allclose(got, [want], rtol=3e-6)


@pytest.mark.parametrize("balance", ["class", "pixels"])
def test_without_a_label_there_is_no_loss_and_no_gradient(balance):
    logits, mask = binary([2.0, -1.0, 5.0], [IGNORE] * 3)
    cost, slope = jax.value_and_grad(lambda x: loss(x, mask, balance=balance).sum())(
        logits
    )
    assert cost == 0 and (slope == 0).all()


def test_equals_loops_over_pixels():
    rng = np.random.default_rng(0)
    logits = rng.normal(size=(3, 5, 4, 4))
    mask = rng.choice([0, 1, 3, IGNORE], (3, 5, 4), p=[0.3, 0.1, 0.1, 0.5])
    mask[2] = IGNORE
    mask[2, 1, 1] = 3  # one class alone
    want = []
    for b in range(3):
        costs = {}
        for y, x in np.argwhere(mask[b] != IGNORE):
            p = np.exp(logits[b, y, x]) / np.exp(logits[b, y, x]).sum()
            costs.setdefault(mask[b, y, x], []).append(-np.log(p[mask[b, y, x]]))
        want.append(np.mean([np.mean(each) for each in costs.values()]))
    got = loss(jnp.asarray(logits, jnp.float32), jnp.asarray(mask))
    np.testing.assert_allclose(got, want, rtol=1e-5)


def test_over_pixels_it_is_cross_entropy():
    rng = np.random.default_rng(1)
    logits = jnp.asarray(rng.normal(size=(2, 6, 5, 3)), jnp.float32)
    mask = jnp.asarray(rng.choice([0, 1, 2, IGNORE], (2, 6, 5)))
    np.testing.assert_array_equal(
        loss(logits, mask, balance="pixels"), cross_entropy.loss(logits, mask)
    )


def test_the_ratio_of_clicks_is_no_prior():
    """What 50 + 10 clicks teach where all pixels look the same: nothing, or ln 5."""
    mask = jnp.asarray([[[1] * 50 + [0] * 10]])

    def slope(z, balance):
        logits = lambda z: binary([z] * 60, [0])[0]  # noqa: E731
        return jax.grad(lambda z: loss(logits(z), mask, balance=balance).sum())(z)

    assert abs(slope(0.0, "class")) < 1e-6 < -slope(0.0, "pixels")
    assert abs(slope(1.609438, "pixels")) < 1e-6 < slope(1.609438, "class")


def test_another_balance_is_refused():
    with pytest.raises(errors.ConfigError, match="balance is 'clicks': choose one of"):
        loss(*binary([0.0], [1]), balance="clicks")
