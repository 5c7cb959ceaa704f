"""Every file in regularisers/: finite, sharded, compiled, and downhill."""

import functools
import inspect

import beartype
import jax
import jax.numpy as jnp
import numpy as np
import pytest
from jaxtyping import jaxtyped

from jaxseg import errors, lookup
from jaxseg.types import IGNORE

NAMES = lookup.names("regularisers")
each = pytest.mark.parametrize("name", NAMES)
GIVEN = {"image", "label", "teacher"}  # what the step gives to those that ask


@functools.cache
def typed(name):
    """fn(logits, batch) of the term, its shapes and types checked, not compiled."""
    fn = lookup.find("regularisers", name).loss
    asked = GIVEN & {*inspect.signature(fn).parameters}
    checked = jaxtyped(typechecker=beartype.beartype)(fn)

    def call(logits, batch):
        return checked(logits, batch["mask"], **{k: batch[k] for k in asked})

    return call


@functools.cache
def compiled(name):
    return jax.jit(typed(name))


@functools.cache
def gradient(name):
    return jax.jit(jax.grad(lambda *pair: typed(name)(*pair).sum()))


def example(seed=0, classes=3):
    """Logits [4, 12, 9, k]; a few clicks on three stripes that the teacher knows."""
    rng = np.random.default_rng(seed)
    stripes = np.broadcast_to(np.arange(9) // 3, (4, 12, 9))
    mask = np.full((4, 12, 9), IGNORE, np.uint8)
    mask[:, 3::5] = np.where(np.arange(9) % 3 == 1, stripes, IGNORE)[:, 3::5]
    image = stripes[..., None] / 4 + rng.uniform(0, 0.05, (4, 12, 9, 2))
    teacher = np.where(stripes[..., None] == np.arange(classes), 0.9, 0.05)
    batch = {"image": image.astype(np.float32), "teacher": teacher.astype(np.float32)}
    batch |= {"mask": mask, "label": np.array([1, 0, 2, 1], np.int32)}
    batch = {k: jnp.asarray(v) for k, v in batch.items()}
    logits = jnp.asarray(rng.normal(size=(4, 12, 9, classes)), jnp.float32)
    return logits, batch


def rows(batch, order):
    return {k: v[order] for k, v in batch.items()}


def test_the_folder_holds_what_the_recipe_names():
    wanted = {"total_variation", "entropy", "gated_crf", "neighbourhood"}
    wanted |= {"image_label"}
    assert wanted <= set(NAMES)
    assert not set(NAMES) & set(lookup.names("losses"))  # config.loss has one namespace


@each
def test_one_number_an_image_that_is_not_negative(name):
    cost = compiled(name)(*example())
    assert cost.shape == (4,) and cost.dtype == jnp.float32
    assert (cost > 0).all()


@each
def test_value_and_gradient_are_finite_at_the_extremes(name):
    logits, batch = example()
    agree = (2.0 * (batch["teacher"] > 0.5) - 1).astype(jnp.float32)
    grids = [1e4 * agree, -1e4 * agree, 1e4 * logits, 0 * logits, 1e4 + 0 * logits]
    for grid in [*grids, 3e38 * agree]:
        assert np.isfinite(compiled(name)(grid, batch)).all()
        assert np.isfinite(gradient(name)(grid, batch)).all()


@each
def test_an_image_of_padding_is_finite(name):
    logits, batch = example()
    batch["mask"] = batch["mask"].at[1].set(IGNORE)
    batch["image"] = batch["image"].at[1].set(0)
    for teacher in (1 / 3, 0.0, jnp.eye(3)[0]):
        batch["teacher"] = batch["teacher"].at[1].set(teacher)
        assert np.isfinite(compiled(name)(logits, batch)).all()
        assert np.isfinite(gradient(name)(logits, batch)).all()


@each
def test_following_the_gradient_lowers_it(name):
    logits, batch = example()
    before = compiled(name)(logits, batch)
    after = compiled(name)(logits - 0.5 * gradient(name)(logits, batch), batch)
    assert (after < before).all()


@each
def test_image_and_teacher_get_no_gradient(name):
    logits, batch = example()
    given = {k: batch[k] for k in GIVEN - {"label"}}  # whole numbers have no slope

    def cost(given):
        return typed(name)(logits, batch | given).sum()

    for slope in jax.jit(jax.grad(cost))(given).values():
        assert (slope == 0).all()


@each
def test_compiled_equals_eager(name):
    logits, batch = example()
    np.testing.assert_allclose(
        compiled(name)(logits, batch), typed(name)(logits, batch), rtol=1e-5
    )


@each
def test_permuting_examples_permutes_costs(name):
    logits, batch = example()
    order = np.array([2, 0, 3, 1])
    np.testing.assert_allclose(
        compiled(name)(logits[order], rows(batch, order)),
        compiled(name)(logits, batch)[order],
        rtol=1e-6,
    )


@each
def test_low_precision_logits_are_computed_in_float32(name):
    logits, batch = example()
    half = logits.astype(jnp.bfloat16)
    cost = compiled(name)(half, batch)
    assert cost.dtype == jnp.float32
    np.testing.assert_array_equal(cost, compiled(name)(half.astype(jnp.float32), batch))
    batch["mask"] = batch["mask"].astype(jnp.int32)
    np.testing.assert_array_equal(cost, compiled(name)(half, batch))


@each
def test_a_batch_cut_over_devices_costs_the_same(name):
    logits, batch = example()
    mesh = jax.make_mesh((4,), ("data",), axis_types=(jax.sharding.AxisType.Auto,))
    parts = jax.device_put((logits, batch), jax.NamedSharding(mesh, jax.P("data")))
    for fn in (compiled(name), gradient(name)):
        np.testing.assert_allclose(fn(*parts), fn(logits, batch), rtol=1e-5, atol=1e-7)


@each
def test_members_trained_together_cost_what_each_costs(name):
    logits, batch = example()
    members = jnp.stack([logits, 2 * logits[::-1]])
    together = jax.jit(jax.vmap(jax.grad(lambda *a: typed(name)(*a).sum()), (0, None)))
    for got, one in zip(together(members, batch), members, strict=True):
        np.testing.assert_allclose(got, gradient(name)(one, batch), atol=1e-6)


@each
def test_shapes_that_do_not_fit_are_named(name):
    fn = lookup.find("regularisers", name).loss
    given = {"image": jnp.zeros((1, 4, 4, 1)), "teacher": jnp.zeros((1, 4, 4, 2))}
    given["label"] = jnp.ones(1, jnp.int32)
    more = {k: v for k, v in given.items() if k in inspect.signature(fn).parameters}
    with pytest.raises(errors.ConfigError, match="at least 2 classes"):
        fn(jnp.zeros((1, 4, 4, 1)), jnp.zeros((1, 4, 4), jnp.int32), **more)
    with pytest.raises(errors.ConfigError, match=r"\(1, 4, 5\)"):
        fn(jnp.zeros((1, 4, 4, 2)), jnp.zeros((1, 4, 5), jnp.int32), **more)
