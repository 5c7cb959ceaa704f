"""The learning rate falls when validation stalls, and goes on falling after a kill."""

import json

import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest
from support import runs, tiny

from jaxseg.errors import ConfigError, Preempted
from jaxseg.train import loop, stop
from jaxseg.train_step import optimizer, plateau, state, step

SETTINGS = {"epochs": 1, "factor": 0.5, "patience": 2, "threshold": 0.01}


def _scales(values, **changes) -> list[float]:
    notes, scales = plateau.START, []
    for value in values:
        notes = plateau.update(notes, value, **{"min_scale": 0.0} | SETTINGS | changes)
        scales.append(notes["scale"])
    return scales


def test_the_rate_falls_after_so_many_epochs_without_a_better_score():
    # 0.5 is the best; 0.505 is not above the threshold, 0.52 is
    assert _scales([0.5, 0.505, 0.4, 0.52, 0.5, None]) == [1, 1, 0.5, 0.5, 0.5, 0.25]
    assert _scales([0.5, 0.4, 0.4, 0.4, 0.4], epochs=2) == [1, 0.5, 0.25, 0.125, 0.0625]
    assert _scales([None] * 4) == [1, 0.5, 0.5, 0.25]


def test_the_seventh_cut_ends_at_the_smallest_rate():
    scales = _scales([0.5] * 16, min_scale=1e-6 / 1e-4)
    rates = sorted({1e-4 * scale for scale in scales}, reverse=True)
    np.testing.assert_allclose(rates[-2:], [1.5625e-6, 1e-6])
    assert len(rates) == 8 and _scales([0.5] * 3, min_scale=3.0) == [1, 1, 1]


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"factor": 1.0}, r"plateau.factor is 1; it must be between 0 and 1"),
        ({"patience": 0}, "plateau.patience is 0; it must be 1 epoch or more"),
        ({"threshold": -1}, "plateau.threshold is -1"),
        ({"min_rate": 0.1}, "plateau.min_rate is 0.1; it must be from 0 to the rate"),
    ],
)
def test_settings_with_which_the_rate_could_not_fall_are_refused(changes, message):
    settings = {"factor": 0.5, "patience": 2, "threshold": 0.0, "min_rate": 1e-6}
    with pytest.raises(ConfigError, match=message):
        plateau.check(rate=1e-3, **settings | changes)


def test_the_factor_in_the_state_scales_the_update():
    settings = tiny.settings(tx=optax.sgd(0.1))
    init = {"model": settings.model, "tx": settings.tx, "image_shape": (16, 16, 1)}
    now = state.init(jax.random.key(0), **init, ema=False, plateau=True)
    half = now.replace(rate_scale=jnp.float32(0.5))
    steps = [step.train_step(s, tiny.batch(), settings)[0] for s in (now, half)]
    moved = [s.params["head"]["kernel"] - now.params["head"]["kernel"] for s in steps]
    np.testing.assert_allclose(moved[1], 0.5 * moved[0], rtol=1e-4, atol=1e-8)
    assert float(steps[1].rate_scale) == 0.5
    assert state.init(jax.random.key(0), **init, ema=False).rate_scale is None


def test_the_rate_stays_after_the_warm_up():
    rate = optimizer.learning_rate_schedule(
        learning_rate=0.1,
        warmup_steps=4,
        total_steps=20,
        final_scale=0.0,
        shape="plateau",
    )
    assert [round(float(rate(k)), 4) for k in (0, 2, 4, 19)] == [0, 0.05, 0.1, 0.1]


def test_each_tensor_is_clipped_by_itself():
    tx = optimizer.make(
        lambda count: 1.0,
        weight_decay=0.0,
        clip_norm=1.0,
        clip_each=True,
        name="sgd",
        momentum=0.0,
    )
    params = {"a": jnp.zeros(2), "b": jnp.zeros(2), "c": jnp.zeros(2)}
    grads = {"a": jnp.array([3.0, 4.0]), "b": jnp.array([0.3, 0.4]), "c": jnp.zeros(2)}
    updates, _ = tx.update(grads, tx.init(params), params)
    np.testing.assert_allclose(updates["a"], [-0.6, -0.8], rtol=1e-6)
    np.testing.assert_allclose(updates["b"], [-0.3, -0.4], rtol=1e-6)
    np.testing.assert_array_equal(updates["c"], 0)


def test_a_run_that_goes_on_has_the_rate_it_had(tmp_path, monkeypatch):
    changes = {"epochs": 4, "eval.surface": False, "optim.schedule": "plateau"}
    changes |= {"optim.warmup_epochs": 0.0}
    changes |= {"optim.plateau.patience": 1, "optim.plateau.threshold": 1.0}
    config = runs.config("pneumothorax", **runs.SMALL, **changes)
    loop.train_and_evaluate(config, tmp_path / "straight")
    rates = [float(row["learning_rate"]) for row in runs.history(tmp_path / "straight")]
    full = config.optim.learning_rate
    np.testing.assert_allclose(rates, [full, full, full / 2, full / 4], rtol=1e-6)
    steps = json.loads((tmp_path / "straight/run.json").read_text())["steps_per_epoch"]
    with monkeypatch.context() as patch:
        at = 2 * steps + 1  # within an epoch whose rate was lowered
        patch.setattr(stop.Stop, "by", lambda self, manager, step: step == at)
        with pytest.raises(Preempted):
            loop.train_and_evaluate(config, tmp_path / "stopped")
    loop.train_and_evaluate(config, tmp_path / "stopped")
    assert runs.history(tmp_path / "stopped") == runs.history(tmp_path / "straight")
    assert tiny.leaves_equal(
        runs.last_state(tmp_path / "stopped", config),
        runs.last_state(tmp_path / "straight", config),
    )
