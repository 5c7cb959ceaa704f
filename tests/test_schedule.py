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
    when = {"epoch": 0, "epochs": 1}
    found = schedule.at(value, progress, **when)
    np.testing.assert_allclose(found, expected, rtol=1e-6)
    traced = jax.jit(lambda p: schedule.at(value, p, xp=jnp, **when))(progress)
    np.testing.assert_allclose(traced, expected, rtol=1e-6)


@pytest.mark.parametrize(
    "value", ["0.5", ((0.0, 1.0, 2.0),), ((0.5, 1), (0.2, 2)), ((0.0, 1), (1.5, 0)), ()]
)
def test_what_is_no_schedule_is_refused_with_its_name(value):
    with pytest.raises(errors.ConfigError, match="config.loss.dice.weight"):
        schedule.check(value, name="loss.dice.weight")


DELTA = 0.01
LAMBDA, DECISION = ("staircase", 1.0, 0.0), ("staircase", 0.0, DELTA)


@pytest.mark.parametrize(
    "epoch, segmentation, decision",
    [(0, 1.0, 0.0), (10, 0.8, 0.002), (25, 0.5, 0.005), (49, 0.02, 0.0098)],
)
def test_stairs_of_50_epochs_by_hand(epoch, segmentation, decision):
    for value, expected in ((LAMBDA, segmentation), (list(DECISION), decision)):
        schedule.check(value, name="x")
        found = schedule.at(value, 0.123, epoch=epoch, epochs=50)
        np.testing.assert_allclose(found, expected, rtol=1e-6)
        assert found.dtype == np.float32


def test_the_loss_of_one_image_by_hand():
    """Epoch 25 of 50, segmentation 0.4, decision 0.2: with a mask, and without."""
    when = {"progress": 0.5, "epoch": 25, "epochs": 50}
    segmentation, decision = (schedule.at(w, **when) for w in (LAMBDA, DECISION))
    np.testing.assert_allclose(segmentation * 0.4 + decision * 0.2, 0.201, rtol=1e-6)
    np.testing.assert_allclose(segmentation * 0.0 + decision * 0.2, 0.001, rtol=1e-6)


def test_a_stair_is_one_number_in_all_steps_of_an_epoch_and_another_in_the_next():
    """At the first and last step of every epoch, of runs of every length up to 120
    epochs, the value inside of a compiled step is that of the epoch."""

    @jax.jit
    def value(step, steps, epochs):
        return schedule.at(LAMBDA, 0.0, epoch=step // steps, epochs=epochs, xp=jnp)

    lengths = [(e, s) for e in range(1, 121) for s in (1, 3, 7, 13_842)]
    rows = np.array(
        [
            (first + offset, steps, epochs, epoch)
            for epochs, steps in lengths
            for epoch, first in enumerate(range(0, epochs * steps, steps))
            for offset in (0, steps - 1)
        ],
        np.int32,
    )
    found = jax.vmap(value)(*rows[:, :3].T)
    exact = np.float32(1) - rows[:, 3].astype(np.float32) / rows[:, 2]
    np.testing.assert_allclose(found, exact, rtol=0, atol=6e-8)
    stairs = np.asarray(found).reshape(-1, 2)
    np.testing.assert_array_equal(stairs[:, 0], stairs[:, 1])  # first step and last
    last = rows[:, 3] == rows[:, 2] - 1
    assert (np.asarray(found)[last] > 0).all()  # the last epoch has 1 / E, not 0


@pytest.mark.parametrize(
    "value", [("staircase", 1.0), ("staircase", 1.0, "0"), ["staircase", 1.0, np.inf]]
)
def test_stairs_without_two_ends_are_refused(value):
    with pytest.raises(errors.ConfigError, match="config.x is .* a staircase has"):
        schedule.check(value, name="x")


def test_the_values_of_a_schedule():
    assert schedule.values(3) == (3.0,)
    assert schedule.values(((0.0, 1.0), (0.5, -2.0))) == (1.0, -2.0)
    assert schedule.values(DECISION) == (0.0, DELTA)


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


@pytest.mark.parametrize("shape", optimizer.SHAPES)
def test_a_rate_without_warm_up_begins_at_its_height_and_warns_of_nothing(
    shape, caplog
):
    rate = optimizer.learning_rate_schedule(
        learning_rate=0.1, warmup_steps=0, total_steps=9, final_scale=0, shape=shape
    )
    np.testing.assert_allclose(rate(0), 0.1, rtol=1e-6)
    assert not caplog.records
