"""Heads of whole images: what they read, and what flows back into the model."""

import functools

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from jaxseg.errors import ConfigError
from jaxseg.models import _heads

FEATURES = jax.random.normal(jax.random.key(0), (2, 9, 14, 6))
LOGITS = jax.random.normal(jax.random.key(1), (2, 70, 110, 3))
PARTS = ("features", "maximum", "average")


@functools.cache
def head(**multipliers):
    """(a head whose norms and convolutions all have effect, its variables)."""
    named = {f"{name}_multiplier": by for name, by in multipliers.items()}
    module = _heads.SegDec(widths=(3, 4), kernel=3, **named)
    init = functools.partial(module.init, train=False)
    return module, jax.jit(init)(jax.random.key(2), FEATURES, LOGITS)


def gradients(**multipliers):
    """The gradients of the decision into features and logits."""
    module, variables = head(**multipliers)

    @functools.partial(jax.grad, argnums=(0, 1))
    def slope(features, logits):
        return module.apply(variables, features, logits, train=True).sum()

    return jax.jit(slope)(FEATURES, LOGITS)


@pytest.mark.parametrize("by", [0.0, 0.25, 1.0])
def test_a_multiplier_changes_no_value_and_multiplies_the_gradient(by):
    x = jnp.array([0.3, -2.0, 5.0])
    y, back = jax.vjp(lambda x: _heads.multiply_gradient(x, by), x)
    np.testing.assert_allclose(y, x, rtol=1e-6)
    np.testing.assert_array_equal(back(jnp.ones(3))[0], np.full(3, by, np.float32))


def test_with_multipliers_of_0_nothing_flows_back_and_the_head_learns():
    features, logits = gradients(**dict.fromkeys(PARTS, 0.0))
    assert (features == 0).all() and (logits == 0).all()
    module, variables = head(**dict.fromkeys(PARTS, 0.0))

    def cost(variables):
        return module.apply(variables, FEATURES, LOGITS, train=True).sum()

    for path, leaf in jax.tree_util.tree_leaves_with_path(
        jax.jit(jax.grad(cost))(variables)
    ):
        assert np.abs(leaf).max() > 0, path


def test_each_multiplier_lets_its_own_part_through():
    """What flows back is a sum of three parts, each times its multiplier."""
    alone = {name: gradients(**{name: 1.0}) for name in PARTS}
    assert (alone["features"][0] != 0).any() and (alone["features"][1] != 0).any()
    for name in ("maximum", "average"):
        assert (alone[name][0] == 0).all() and (alone[name][1] != 0).any()
    by = {"features": 0.5, "maximum": 0.25, "average": 1.0}
    found = gradients(**by)
    for i in (0, 1):
        expected = sum(by[name] * alone[name][i] for name in PARTS)
        np.testing.assert_allclose(found[i], expected, rtol=1e-5, atol=1e-7)


def test_the_last_layer_reads_maximum_and_average_of_map_and_log_odds():
    module, variables = head()
    x, rest = module.apply(
        variables, FEATURES, LOGITS, train=False, capture_intermediates=True
    )
    last = rest["intermediates"]["level2"]["__call__"][0]
    assert last.shape == (2, 2, 3, 4)  # 9x14, 4x7, 2x3: odd ends are dropped
    odds = jax.nn.logsumexp(LOGITS[..., 1:], -1) - LOGITS[..., 0]
    parts = [last.max((1, 2)), last.mean((1, 2))]
    parts += [odds.max((1, 2))[:, None], odds.mean((1, 2))[:, None]]
    out = variables["params"]["out"]
    expected = jnp.concatenate(parts, -1) @ out["kernel"] + out["bias"][None]
    np.testing.assert_allclose(x, expected, rtol=1e-5, atol=1e-5)


def test_log_odds_of_two_classes_are_the_logit_and_average_to_the_grid():
    z = jax.random.normal(jax.random.key(3), (1, 16, 24))
    pair = jnp.stack([jnp.zeros_like(z), z], -1)
    np.testing.assert_allclose(_heads.log_odds(pair), z, rtol=1e-6)
    cells = _heads._averaged(z[..., None], (2, 3))[..., 0]
    blocks = np.asarray(z).reshape(1, 2, 8, 3, 8).mean((2, 4))
    np.testing.assert_allclose(cells, blocks, rtol=1e-4, atol=1e-6)


@pytest.mark.parametrize("size", [(1, 1), (3, 5), (8, 7), (16, 16)])
def test_the_largest_value_of_a_channel_and_its_gradient(size):
    x = jax.random.normal(jax.random.key(0), (2, *size, 3))
    y, back = jax.vjp(_heads.largest, x)
    np.testing.assert_array_equal(y, x.max((1, 2)))
    hit = x == y[:, None, None]
    np.testing.assert_array_equal(back(jnp.ones_like(y))[0], hit.astype(jnp.float32))
    shared = back(jnp.ones_like(y))[0].sum((1, 2))
    tied = jax.vjp(_heads.largest, jnp.zeros_like(x))[1](jnp.ones_like(y))[0]
    np.testing.assert_allclose(tied.sum((1, 2)), shared)
    assert (tied >= 0).all()


@pytest.mark.parametrize("size", [(2, 1), (1, 3), (3, 3), (5, 4)])
def test_small_maps_keep_two_pixels_for_the_norm(size):
    features = jax.random.normal(jax.random.key(0), (2, *size, 3))
    init = functools.partial(_heads.SegDec().init_with_output, train=False)
    shape, _ = jax.eval_shape(init, jax.random.key(0), features, LOGITS)
    assert shape.shape == (2, 1)
    for _ in range(3):
        features = _heads.halved(features)
    assert features.shape[1] * features.shape[2] >= 2


@pytest.mark.parametrize("pool, parts", [("average", 1), ("maximum", 1), ("both", 2)])
def test_the_pooled_head_by_hand(pool, parts):
    module = _heads.Pooled(pool=pool, outputs=3)
    y, variables = module.init_with_output(
        jax.random.key(0), FEATURES, LOGITS, train=False
    )
    pooled = {"average": FEATURES.mean((1, 2)), "maximum": FEATURES.max((1, 2))}
    x = jnp.concatenate([*pooled.values()], -1) if pool == "both" else pooled[pool]
    out = variables["params"]["out"]
    assert out["kernel"].shape == (6 * parts, 3)
    np.testing.assert_allclose(y, x @ out["kernel"] + out["bias"][None], rtol=1e-5)


def test_the_pooled_head_has_dropout_in_training_alone():
    module = _heads.Pooled(dropout=0.5)
    run = functools.partial(
        module.apply, module.init(jax.random.key(0), FEATURES, LOGITS, train=False)
    )
    still = run(FEATURES, LOGITS, train=False)
    moved = run(FEATURES, LOGITS, train=True, rngs={"dropout": jax.random.key(1)})
    assert (still != moved).all()


@pytest.mark.parametrize(
    "module, words",
    [
        (_heads.SegDec(features_multiplier=1.5), "features_multiplier is 1.5"),
        (_heads.SegDec(average_multiplier=-0.1), "average_multiplier is -0.1"),
        (_heads.SegDec(kernel=4), "kernel is 4"),
        (_heads.SegDec(widths=()), "widths is"),
        (_heads.SegDec(sqrt_of="x"), "sqrt_of is 'x'"),
        (_heads.Pooled(pool="sum"), "pool is 'sum'"),
        (_heads.Pooled(dropout=1.0), "dropout is 1.0"),
        (_heads.Pooled(outputs=0), "outputs is 0"),
    ],
)
def test_fields_that_are_no_choice_are_refused(module, words):
    with pytest.raises(ConfigError, match=words):
        jax.eval_shape(
            functools.partial(module.init, train=False),
            jax.random.key(0),
            FEATURES,
            LOGITS,
        )


def test_a_map_of_one_pixel_is_refused():
    with pytest.raises(ConfigError, match="a single pixel.*'pooled'"):
        _heads.SegDec().init(
            jax.random.key(0), FEATURES[:, :1, :1], LOGITS, train=False
        )
