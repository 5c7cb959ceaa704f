"""Every file in losses/: right answers are free, ignored pixels are not there."""

import functools

import beartype
import jax
import jax.numpy as jnp
import numpy as np
import pytest
from jaxtyping import jaxtyped

from jaxseg import errors, lookup
from jaxseg.train_step import step
from jaxseg.types import IGNORE

# those that learn from objects: test_object_losses.py
NAMES = [
    name
    for name in lookup.names("losses")
    if {*step.asks_for(lookup.find("losses", name).loss)} == {"logits", "mask"}
]
each = pytest.mark.parametrize("name", NAMES)


@functools.cache
def typed(name):
    """The loss with its shapes and types checked, not compiled."""
    return jaxtyped(typechecker=beartype.beartype)(lookup.find("losses", name).loss)


@functools.cache
def compiled(name):
    return jax.jit(typed(name))


@functools.cache
def gradient(name):
    return jax.jit(jax.grad(lambda *pair: typed(name)(*pair).sum()))


def example(seed=0, classes=3):
    """Logits [4, 6, 5, k] and a mask with every class in every image, some ignored."""
    rng = np.random.default_rng(seed)
    mask = rng.integers(0, classes, (4, 6, 5)).astype(np.uint8)
    mask[:, 0, :classes] = np.arange(classes)
    mask[:, 5, 2:] = IGNORE
    return jnp.asarray(rng.normal(size=(4, 6, 5, classes)), jnp.float32), mask


def sure(mask, classes=3, size=50.0):
    """Logits that name the mask's class with confidence `size`."""
    return size * (2.0 * (mask[..., None] == np.arange(classes)) - 1).astype(np.float32)


def test_the_folder_holds_the_losses_of_the_recipe():
    assert {"cross_entropy", "dice", "dice_batch", "focal", "tversky"} <= set(NAMES)


@each
def test_right_answers_cost_nothing_and_wrong_ones_do(name):
    _, mask = example()
    right = compiled(name)(sure(mask), mask)
    assert right.shape == (4,) and right.dtype == jnp.float32
    np.testing.assert_allclose(right, 0, atol=1e-6)
    swapped = (mask + 1) % 3
    assert (compiled(name)(sure(swapped), mask) > 0.4).all()


@each
def test_gradients_are_finite_at_the_extremes(name):
    logits, mask = example()
    grids = [sure(mask, size=1e4), sure((mask + 1) % 3, size=1e4), 1e4 * logits]
    for grid in [*grids, 0 * logits, 1e4 + 0 * logits, sure(mask, size=3e38)]:
        assert np.isfinite(compiled(name)(jnp.asarray(grid), mask)).all()
        assert np.isfinite(gradient(name)(jnp.asarray(grid), mask)).all()


@each
def test_following_the_gradient_lowers_the_loss(name):
    logits, mask = example()
    before = compiled(name)(logits, mask)
    after = compiled(name)(logits - 0.5 * gradient(name)(logits, mask), mask)
    assert (after < before).all()


@each
def test_compiled_equals_eager(name):
    logits, mask = example()
    np.testing.assert_allclose(
        compiled(name)(logits, mask), typed(name)(logits, jnp.asarray(mask)), rtol=1e-5
    )


@each
def test_permuting_examples_permutes_losses(name):
    logits, mask = example()
    order = np.array([2, 0, 3, 1])
    np.testing.assert_allclose(
        compiled(name)(logits[order], mask[order]),
        compiled(name)(logits, mask)[order],
        rtol=1e-6,
    )


@each
def test_what_is_guessed_at_ignored_pixels_changes_nothing(name):
    logits, mask = example()
    ignored = (mask == IGNORE)[..., None]
    assert ignored.any()
    for value in (1e4, np.inf, np.nan):
        other = jnp.where(ignored, value, logits)
        np.testing.assert_array_equal(
            compiled(name)(other, mask), compiled(name)(logits, mask)
        )
        slope = gradient(name)(other, mask)
        np.testing.assert_array_equal(slope, gradient(name)(logits, mask))
        assert (np.asarray(slope)[np.broadcast_to(ignored, slope.shape)] == 0).all()


@each
def test_an_ignored_half_is_like_no_half(name):
    logits, mask = example()
    rest = mask.copy()
    rest[:, 3:] = IGNORE
    np.testing.assert_allclose(
        compiled(name)(logits, rest),
        compiled(name)(logits[:, :3], mask[:, :3]),
        rtol=1e-5,
    )


@each
def test_an_image_without_labels_is_exactly_free_and_touches_no_other(name):
    logits, mask = example()
    mask[2] = IGNORE
    cost, slope = compiled(name)(logits, mask), gradient(name)(logits, mask)
    assert cost[2] == 0 and (slope[2] == 0).all()
    others = np.array([0, 1, 3])
    np.testing.assert_allclose(
        cost[others], compiled(name)(logits[others], mask[others]), rtol=1e-5
    )
    nothing = np.full_like(mask, IGNORE)
    assert (compiled(name)(logits, nothing) == 0).all()
    assert (gradient(name)(logits, nothing) == 0).all()


@each
def test_a_value_that_is_no_class_is_not_finite(name):
    logits, mask = example()
    mask[1, 2, 2] = 7
    assert not np.isfinite(compiled(name)(logits, mask)[1])


@each
def test_low_precision_logits_are_computed_in_float32(name):
    logits, mask = example()
    half = logits.astype(jnp.bfloat16)
    cost = compiled(name)(half, mask)
    assert cost.dtype == jnp.float32
    np.testing.assert_array_equal(cost, compiled(name)(half.astype(jnp.float32), mask))
    signed = compiled(name)(half, mask.astype(np.int32))
    np.testing.assert_array_equal(cost, signed)


@each
def test_a_batch_cut_over_devices_costs_the_same(name):
    logits, mask = example()
    mesh = jax.make_mesh((4,), ("data",), axis_types=(jax.sharding.AxisType.Auto,))
    cut = jax.NamedSharding(mesh, jax.P("data"))
    parts = jax.device_put(logits, cut), jax.device_put(mask, cut)
    np.testing.assert_allclose(
        compiled(name)(*parts), compiled(name)(logits, mask), rtol=1e-6
    )


@each
def test_shapes_that_do_not_fit_are_named(name):
    loss = lookup.find("losses", name).loss
    with pytest.raises(errors.ConfigError, match="at least 2 classes"):
        loss(jnp.zeros((1, 4, 4, 1)), jnp.zeros((1, 4, 4), jnp.int32))
    with pytest.raises(errors.ConfigError, match=r"\(1, 4, 5\)"):
        loss(jnp.zeros((1, 4, 4, 2)), jnp.zeros((1, 4, 5), jnp.int32))
