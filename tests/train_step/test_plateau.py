"""The learning rate falls when validation stalls, and goes on falling after a kill."""

import json
import types

import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest
from support import runs, tiny

from jaxseg.errors import ConfigError, Preempted
from jaxseg.train import loop, stop
from jaxseg.train_step import optimizer, plateau

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


@pytest.mark.parametrize("groups", [None, "encoder"])
@pytest.mark.parametrize("name", ["adamw", "sgd"])
def test_the_factor_in_the_state_scales_the_update(name, groups):
    params = {"encoder": jnp.ones((2, 2)), "head": jnp.ones((2, 2))}
    if groups:
        frozen = {"encoder": True, "head": False}
        scales = {"encoder": 1.0, "head": 2.0}
        groups = lambda tree: types.SimpleNamespace(frozen=frozen, scales=scales)  # noqa: E731
    tx = optimizer.make(
        optax.constant_schedule(0.1),
        weight_decay=0.1,
        clip_norm=1.0,
        name=name,
        groups=groups,
        slowed=True,
    )
    whole = tx.init(params)
    half = optimizer.with_factor(whole, 0.5)
    assert jax.tree.structure(half) == jax.tree.structure(whole)
    grads = jax.tree.map(lambda x: 0.3 * x, params)
    (full, _), (less, kept) = (tx.update(grads, s, params) for s in (whole, half))
    np.testing.assert_allclose(less["head"], 0.5 * full["head"], rtol=1e-6)
    assert np.abs(full["head"]).min() > 0
    again, _ = tx.update(grads, kept, params)  # the factor stays
    assert np.abs(again["head"]).max() < np.abs(full["head"]).max()


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


def test_a_run_that_goes_on_has_the_rate_it_had(tmp_path, monkeypatch, caplog):
    changes = {"epochs": 4, "eval.surface": False, "optim.schedule": "plateau"}
    changes |= {"optim.warmup_epochs": 0.0}
    changes |= {"optim.plateau.patience": 1, "optim.plateau.threshold": 1.0}
    config = runs.config("pneumothorax", **runs.SMALL, **changes)
    with caplog.at_level("INFO"):
        loop.train_and_evaluate(config, tmp_path / "straight")
    words = "was not more than 1 (config.optim.plateau.threshold) above 0."
    assert caplog.text.count(words) >= 2
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
    config.epochs = 5
    with caplog.at_level("INFO"):
        loop.train_and_evaluate(config, tmp_path / "stopped")
    (last,) = runs.history(tmp_path / "stopped")[4:]
    np.testing.assert_allclose(float(last["learning_rate"]), full / 8, rtol=1e-6)
    said = f"{full / 4:.3g} at step {4 * steps}; it goes on at {full / 8:.3g}, 0.125"
    assert f"the learning rate was {said}" in caplog.text
    assert "'plateau' of" not in caplog.text
