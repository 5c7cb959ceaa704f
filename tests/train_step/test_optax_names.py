"""Any optimizer of optax learns by its name; what is none is named with the nearest."""

import jax.numpy as jnp
import numpy as np
import optax
import pytest

from jaxseg.errors import ConfigError
from jaxseg.train_step import optimizer

PARAMS = {"a": {"kernel": jnp.array([[1.0, -2.0]])}, "b": {"bias": jnp.array([0.5])}}
GRADS = {"a": {"kernel": jnp.array([[0.3, 0.1]])}, "b": {"bias": jnp.array([0.0])}}


def _make(name, **fields):
    return optimizer.make(
        lambda count: 0.1, weight_decay=0.2, clip_norm=0.0, name=name, fields=fields
    )


def _step(tx):
    state = tx.init(PARAMS)
    updates, state = tx.update(GRADS, state, PARAMS)
    return updates, optimizer.gradient_means(state)


@pytest.mark.parametrize("name", ["adam", "lion", "lamb", "rmsprop", "nadamw"])
def test_updates_are_those_of_optax_and_gradients_are_watched(name):
    if not hasattr(optax, name):
        name = "radam"
    updates, means = _step(_make(name))
    more = {"weight_decay": 0.2, "mask": optimizer.decayed}
    more = more if name in ("lion", "lamb", "nadamw") else {}
    wanted, _ = _step(getattr(optax, name)(0.1, **more))
    for part, leaf in (("a", "kernel"), ("b", "bias")):
        np.testing.assert_allclose(updates[part][leaf], wanted[part][leaf], rtol=1e-6)
    assert np.any(means["a/kernel"]) and not np.any(means["b/bias"])


def test_fields_reach_the_optimizer_and_a_wrong_one_is_refused():
    plain, _ = _step(_make("sgd", nesterov=False))
    nesterov, _ = _step(_make("sgd"))
    assert not np.allclose(plain["a"]["kernel"], nesterov["a"]["kernel"])
    with pytest.raises(ConfigError, match="fields=.'betta': 0.9.*does not take.*betta"):
        _make("adamw", betta=0.9)


@pytest.mark.parametrize("name", ["adamww", "lbfgs", "scale_by_adam", "chain", "jax"])
def test_what_cannot_learn_is_refused(name):
    with pytest.raises(ConfigError, match=f"config.optim.name is '{name}'"):
        _make(name)


def test_a_constant_rate_stays_after_the_warm_up():
    rate = optimizer.learning_rate_schedule(
        learning_rate=0.5,
        warmup_steps=2,
        total_steps=10,
        final_scale=0.0,
        shape="constant",
    )
    np.testing.assert_allclose([rate(s) for s in (0, 1, 2, 9)], [0, 0.25, 0.5, 0.5])
