"""Training with parts frozen, rates by group, and the watch over gradients."""

import functools
import itertools
import re

import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest
from support import runs, tiny, tiny_encoder
from support.tiny_encoder import Model, adamw, moved, run

from jaxseg import lookup
from jaxseg.devices import sharding
from jaxseg.errors import ConfigError
from jaxseg.experiment import finetune
from jaxseg.run_directory import checkpoint
from jaxseg.train_step import optimizer, parameter_groups, state

ENCODER = ("encoder/*",)


def test_nothing_set_is_the_optimizer_as_it_was():
    config = runs.config("pneumothorax")
    assert finetune.groups(config) is None
    assert finetune.held(config, model := Model()) is model
    schedule = optax.constant_schedule(0.1)
    before = optax.chain(
        optimizer._clip_all(0.01),
        optax.adamw(schedule, weight_decay=0.1, mask=optimizer.decayed),
    )
    ours = run(3, tx=adamw(rate=schedule))[-1]
    assert tiny.leaves_equal(ours, run(3, tx=before)[-1])


def test_frozen_for_ever_stays_bit_for_bit_and_has_no_moments():
    held = parameter_groups.freeze_model(Model(), freeze=ENCODER)
    first, *_, last = run(3, tx=adamw(freeze=ENCODER), held=held)
    assert not [p for p in moved(first.params, last.params) if p[:7] == "encoder"]
    assert moved(first.params, last.params) >= {
        "head/kernel",
        "norm/scale",
    }
    assert set(optimizer.gradient_means(last.opt_state)) == {
        p for p in parameter_groups.paths(first.params) if p[:7] != "encoder"
    }


def test_what_is_frozen_counts_in_no_norm():
    params = tiny_encoder.start().params
    grads = jax.tree.map(jnp.ones_like, params)
    loud = {**grads, "encoder": jax.tree.map(lambda x: 1e6 * x, grads["encoder"])}
    for until in (0, 5):
        tx = adamw(freeze=ENCODER, until=until)
        a, _ = tx.update(grads, tx.init(params), params)
        b, _ = tx.update(loud, tx.init(params), params)
        assert tiny.leaves_equal(a, b)
        assert np.any(a["head"]["kernel"]) and not jax.tree.reduce(
            lambda found, x: found or np.any(x), a["encoder"], False
        )


def test_only_what_is_frozen_for_ever_gets_no_gradient():
    now = tiny_encoder.start()
    image = jnp.ones((1, 16, 16, 1))

    def gradients(until):
        held = parameter_groups.freeze_model(
            Model(), freeze=ENCODER, frozen_until=until
        )

        def loss(params):
            variables = {"params": params, **now.model_state}
            return jnp.sum(held.apply(variables, image, train=False)["logits"])

        found = parameter_groups.paths(jax.grad(loss)(now.params))
        return {p.split("/")[0] for p, grad in found.items() if np.any(grad)}

    assert gradients(0) == {"norm", "head"}
    assert gradients(3) == {"encoder", "norm", "head"}


def test_frozen_until_a_step_then_adam_starts_afresh():
    params = tiny_encoder.start().params
    grads = jax.tree.map(jnp.ones_like, params)
    tx = adamw(freeze=ENCODER, until=2)
    kernel, found = params["encoder"]["level2"]["conv"]["kernel"], []
    opt_state = tx.init(params)
    for _ in range(3):
        updates, opt_state = tx.update(grads, opt_state, params)
        found.append(updates["encoder"]["level2"]["conv"]["kernel"])
    assert not np.any(found[0]) and not np.any(found[1])
    # Adam's first step is the sign times the rate, and the rate is that of step 2
    np.testing.assert_allclose(found[2], -0.01 / 3 * (1 + 0.1 * kernel), rtol=1e-4)


def test_frozen_until_a_step_in_training():
    states = run(4, tx=adamw(freeze=ENCODER, until=2))
    path = "encoder/level2/conv/kernel"
    changed = [path in moved(a.params, b.params) for a, b in itertools.pairwise(states)]
    assert changed == [False, False, True, True]


def test_held_norms_normalise_as_in_evaluation():
    now = tiny_encoder.start()
    variables = {"params": now.params, **now.model_state}
    image = tiny.normalise(tiny.batch()["image"].astype(np.float32) / 255)
    model, options = Model(), dict(train=True, mutable=["batch_stats"])
    plain, _ = model.apply(variables, image, **options)
    held = parameter_groups.freeze_model(model, freeze_norm=("*",))
    still, after = held.apply(variables, image, **options)
    expected = model.apply(variables, image, train=False)
    assert tiny.leaves_equal(still, expected)
    assert not moved(after["batch_stats"], now.model_state["batch_stats"])
    assert not np.allclose(plain["logits"], expected["logits"])


def test_only_the_norms_that_match_are_held():
    held = parameter_groups.freeze_model(Model(), freeze_norm=ENCODER)
    first, last = run(1, tx=adamw(), held=held)
    changed = moved(first.model_state, last.model_state)
    assert changed == {"batch_stats/norm/mean", "batch_stats/norm/var"}
    assert "encoder/level1/norm/scale" in moved(first.params, last.params)


def test_the_norms_of_a_real_model_are_held():
    module = lookup.find("models", "resnet_unet")
    model = module.Model(num_classes=2, **{**module.TINY, "dropout": 0.0})
    image = jax.random.normal(jax.random.key(0), (2, 32, 32, 3))
    init = jax.jit(functools.partial(model.init, train=False))
    variables = init(jax.random.key(1), image)
    held = parameter_groups.freeze_model(model, freeze_norm=("*",))
    options = dict(train=True, mutable=["batch_stats"])
    out, after = jax.jit(functools.partial(held.apply, **options))(variables, image)
    expected = jax.jit(functools.partial(model.apply, train=False))(variables, image)
    assert tiny.leaves_equal(out, expected)
    assert not moved(after["batch_stats"], variables["batch_stats"])


def test_parameters_without_a_gradient_are_named():
    frozen = parameter_groups.groups(tiny_encoder.start().params).frozen
    for weight, expected in ((0.4, []), (0.0, ["Dense_0/bias", "Dense_0/kernel"])):
        last = run(2, tx=adamw(), aux_weight=weight)[-1]
        assert (
            parameter_groups.silent(optimizer.gradient_means(last.opt_state), frozen)
            == expected
        )
    with pytest.raises(ConfigError, match="2 parameter.* them: Dense_0/bias, Dense_0/"):
        parameter_groups.check_silent(optimizer.gradient_means(last.opt_state), frozen)
    frozen = parameter_groups.groups(
        tiny_encoder.start().params, freeze=("Dense_0/*",)
    ).frozen
    assert (
        parameter_groups.silent(optimizer.gradient_means(last.opt_state), frozen) == []
    )


def test_layers_that_start_at_zero_are_silent_for_one_step_only():
    states = run(3, tx=adamw(), model=Model(gain=0.0))
    frozen = parameter_groups.groups(states[0].params).frozen
    late = ["encoder/level2/conv/kernel"]
    dead = parameter_groups.silent(
        optimizer.gradient_means(states[1].opt_state), frozen
    )
    assert set(late) <= set(dead)
    assert (
        parameter_groups.silent(optimizer.gradient_means(states[-1].opt_state), frozen)
        == []
    )


def test_the_table_counts_every_parameter_once():
    config = runs.config("pneumothorax")
    config.transfer.update(freeze=("encoder/level1/*",), layer_decay=0.5)
    now = tiny_encoder.start()
    lines = finetune.overview(config, now).splitlines()
    assert lines[0].split("  ")[0] == "group"
    rows = [re.split("  +", line) for line in lines[1:4]]
    counts = [int(row[1].replace(",", "")) for row in rows]
    assert sum(counts) == state.count(now.params)
    assert "encoder: level1" in lines[1] and lines[1].endswith("the end")
    assert "0.25" in lines[1] and "0.5" in lines[2] and lines[2].endswith("-")
    assert lines[4].startswith("1 frozen batch norms still follow")
    config.transfer.freeze_norm = ENCODER
    assert finetune.overview(config, now).endswith("2 of 3 batch norms keep statistics")


def test_waiting_for_nothing_is_refused():
    config = runs.config("pneumothorax")
    config.transfer.frozen_until = 5
    with pytest.raises(ConfigError, match="frozen_until is 5; it must be 0"):
        finetune.groups(config)


def test_partly_frozen_states_are_sharded_saved_and_restored(tmp_path):
    mesh = sharding.make_mesh(data=2, fsdp=2)
    tx = adamw(freeze=ENCODER, until=2)
    init = dict(model=Model(), tx=tx, image_shape=(16, 16, 1), ema=True)
    shapes = state.abstract(mesh, **init)
    now = state.create(0, shapes, **init)
    manager = checkpoint.open_manager(tmp_path)
    checkpoint.save(manager, now, step=1, meta={})
    back, _, _ = checkpoint.restore(manager, shapes)
    checkpoint.close(manager)
    assert tiny.leaves_equal(*jax.device_get((now, back)))
