"""Cross-entropy at 1/8 of the size: soft labels by hand, what is not labelled."""

import functools

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from jaxseg.errors import ConfigError
from jaxseg.losses import coarse_cross_entropy, distance_cross_entropy
from jaxseg.types import IGNORE


@functools.cache
def compiled(**settings):
    return jax.jit(functools.partial(coarse_cross_entropy.loss, **settings))


@functools.cache
def slope(**settings):
    return jax.jit(jax.grad(lambda *pair: compiled(**settings)(*pair).sum()))


def pooled(values: np.ndarray) -> np.ndarray:
    """[h, w] -> [y, x]: reflected 8 pixels, means of 17 x 17 at stride 8."""
    wide = np.pad(values.astype(float), 8, mode="reflect")
    starts = [range(0, n, 8) for n in values.shape]
    return np.array(
        [[wide[y : y + 17, x : x + 17].mean() for x in starts[1]] for y in starts[0]]
    )


def example(size=(40, 29), seed=0):
    """(odds f32 [2, y, x], logits of (0, odds), mask with some foreground)."""
    rng = np.random.default_rng(seed)
    cells = tuple(-(-n // 8) for n in size)
    odds = rng.normal(size=(2, *cells)).astype(np.float32)
    mask = np.zeros((2, *size), np.uint8)
    mask[0, 3:21, 5:17], mask[1, 9:12] = 1, 1
    return odds, jnp.stack([jnp.zeros_like(odds), odds], -1), mask


@pytest.mark.parametrize("size", [(640, 232), (40, 29), (33, 24), (9, 100)])
def test_soft_labels_are_means_of_reflected_windows_on_the_grid_of_logits(size):
    rng = np.random.default_rng(1)
    values = (rng.random(size) > 0.8).astype(np.float32)
    own = jax.jit(coarse_cross_entropy.soft)(values[None, ..., None])[0, ..., 0]
    assert own.shape == tuple(-(-n // 8) for n in size)
    assert size != (640, 232) or own.shape == (80, 29)
    np.testing.assert_allclose(own, pooled(values), atol=1e-6)


@pytest.mark.parametrize("dilate, w_max, power", [(1, 1.0, 0.0), (3, 3.0, 2.0)])
def test_it_is_weighted_binary_cross_entropy_of_soft_labels(dilate, w_max, power):
    odds, logits, mask = example()
    settings = {"dilate": dilate, "w_max": w_max, "power": power}
    emphasis = distance_cross_entropy._emphasis
    grown = np.asarray(emphasis.dilated(mask, dilate))
    weight = emphasis.weights(grown, w_max=w_max, power=power, per_object=False)
    for i, cost in enumerate(compiled(**settings)(logits, mask)):
        y, w = pooled(grown[i]), pooled(np.asarray(weight[i]))
        assert ((y > 0) & (y < 1)).any()
        z = odds[i].astype(float)
        each = y * np.logaddexp(0, -z) + (1 - y) * np.logaddexp(0, z)
        np.testing.assert_allclose(cost, (w * each).mean(), rtol=1e-5)


def test_a_cell_counts_by_the_share_of_its_window_that_is_labelled():
    odds, logits, mask = example()
    mask[:, :, 21:] = IGNORE
    for i, cost in enumerate(compiled(power=0.0)(logits, mask)):
        share = pooled(mask[i] != IGNORE)
        y = pooled(mask[i] == 1) / np.maximum(share, 1e-9)
        z = odds[i].astype(float)
        each = y * np.logaddexp(0, -z) + (1 - y) * np.logaddexp(0, z)
        np.testing.assert_allclose(cost, (share * each).sum() / share.sum(), rtol=1e-5)


def test_cells_that_see_no_label_may_hold_anything():
    _, logits, mask = example()
    assert not np.isfinite(compiled()(logits.at[:, :, 3].set(jnp.nan), mask)).any()
    mask[:, :, 16:] = IGNORE  # the last column of cells sees pixels 16 to 28
    for value in (jnp.nan, jnp.inf, 1e4):
        other = logits.at[:, :, 3].set(value)
        np.testing.assert_array_equal(compiled()(other, mask), compiled()(logits, mask))
        gradient = np.asarray(slope()(other, mask))
        np.testing.assert_array_equal(gradient, slope()(logits, mask))
        assert not gradient[:, :, 3].any() and gradient[:, :, :3].any()


@pytest.mark.parametrize("power", [0.0, 2.0])
def test_an_image_without_labels_is_exactly_free_and_touches_no_other(power):
    """It counts in the mean of its batch all the same: see the module."""
    _, logits, mask = example()
    blind = mask.copy()
    blind[1] = IGNORE
    bad = logits.at[1].set(jnp.inf)
    cost = compiled(power=power)(bad, blind)
    assert cost[1] == 0 and cost[0] == compiled(power=power)(logits, mask)[0]
    gradient = np.asarray(slope(power=power)(bad, blind))
    assert (gradient[1] == 0).all() and np.abs(gradient[0]).max() > 0


def test_an_image_of_background_learns_as_fully_labelled():
    _, logits, mask = example()
    assert (np.asarray(slope()(logits, np.zeros_like(mask)))[..., 1] > 0).all()


def test_three_classes_have_three_soft_labels_and_other_values_are_not_finite():
    mask = example()[2]
    mask[0, 25:, 20:] = 2
    logits = jax.random.normal(jax.random.key(0), (2, 5, 4, 3))
    log_p = np.asarray(jax.nn.log_softmax(logits), float)
    labels = np.stack([pooled(mask[0] == c) for c in range(3)], -1)
    expected = -(labels * log_p[0]).sum(-1).mean()
    cost = compiled(power=0.0)(logits, mask)
    np.testing.assert_allclose(cost[0], expected, rtol=1e-5)
    mask[1, 0, 0] = 3
    cost = compiled(power=0.0)(logits, mask)
    assert np.isfinite(cost[0]) and not np.isfinite(cost[1])


def test_logits_of_another_grid_and_settings_out_of_range_are_refused():
    _, logits, mask = example()
    with pytest.raises(ConfigError, match=r"needs \[b, 5, 4, k\].*segdecnet"):
        coarse_cross_entropy.loss(logits[:, 1:], mask)
    with pytest.raises(ConfigError, match="dilate is 2"):
        coarse_cross_entropy.loss(logits, mask, dilate=2)
