"""Settings that change over training, and the learning rate."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from jaxseg import errors, schedule
from jaxseg.train_step import optimizer


@pytest.mark.parametrize(
    "value,progress,expected",
    [
        (0.3, 0.9, 0.3),
        (2, 0.0, 2.0),
        (((0.0, 0.8), (1.0, 0.4)), 0.25, 0.7),
        (((0.2, 1.0), (0.4, 0.0)), 0.0, 1.0),
        (((0.2, 1.0), (0.4, 0.0)), 0.9, 0.0),
    ],
)
def test_numbers_stay_and_knots_are_joined_by_lines(value, progress, expected):
    schedule.check(value, name="x")
    np.testing.assert_allclose(schedule.at(value, progress), expected, rtol=1e-6)
    traced = jax.jit(lambda p: schedule.at(value, p, xp=jnp))(progress)
    np.testing.assert_allclose(traced, expected, rtol=1e-6)


@pytest.mark.parametrize(
    "value", ["0.5", ((0.0, 1.0, 2.0),), ((0.5, 1), (0.2, 2)), ((0.0, 1), (1.5, 0)), ()]
)
def test_what_is_no_schedule_is_refused_with_its_name(value):
    with pytest.raises(errors.ConfigError, match="config.loss.dice.weight"):
        schedule.check(value, name="loss.dice.weight")


def test_the_learning_rate_rises_and_falls_along_a_cosine():
    rate = optimizer.learning_rate_schedule(
        learning_rate=0.1, warmup_steps=10, total_steps=110, final_scale=0.01
    )
    np.testing.assert_allclose(rate(0), 0.0)
    np.testing.assert_allclose(rate(10), 0.1, rtol=1e-6)
    np.testing.assert_allclose(rate(60), 0.1 * (0.5 + 0.005), rtol=1e-5)
    np.testing.assert_allclose(rate(110), 0.001, rtol=1e-4)
    with pytest.raises(errors.ConfigError, match="must be above 0"):
        optimizer.learning_rate_schedule(
            learning_rate=0, warmup_steps=0, total_steps=9, final_scale=0
        )


@pytest.mark.parametrize("warmup, final", [(0, 0.0), (10, 0.1)])
def test_the_learning_rate_falls_along_a_power(warmup, final):
    rate = optimizer.learning_rate_schedule(
        learning_rate=0.01,
        warmup_steps=warmup,
        total_steps=1000,
        final_scale=final,
        shape="poly",
        power=0.9,
    )
    steps = np.array([warmup, 300, 500, 999])
    left = 1 - (steps - warmup) / (1000 - warmup)
    want = 0.01 * (final + (1 - final) * left**0.9)
    np.testing.assert_allclose([rate(s) for s in steps], want, rtol=2e-4)
    np.testing.assert_allclose(rate(1000), 0.01 * final, atol=1e-9)
    if warmup:
        np.testing.assert_allclose([rate(0), rate(5)], [0.0, 0.005], rtol=1e-6)


def test_weights_decay_and_biases_norms_and_position_tables_do_not():
    params = {
        "conv": {"kernel": jnp.ones((3, 3)), "bias": jnp.ones(3)},
        "norm": {"scale": jnp.ones(3)},
        "attention": {"bias_table": jnp.ones((9, 2))},
    }
    assert optimizer.decayed(params) == {
        "conv": {"kernel": True, "bias": False},
        "norm": {"scale": False},
        "attention": {"bias_table": False},
    }
