"""Regularisers as terms of a config: found, given what they ask for, and trained."""

import functools

import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest
from support import runs, tiny

from jaxseg import errors, lookup
from jaxseg.config import check
from jaxseg.experiment import from_config
from jaxseg.train_step import state, step
from jaxseg.types import IGNORE

PIXELS = np.array([[20, 10]])  # of background and cell


def clicks(seed):
    """A batch of which only every fifth row and third column is labelled."""
    batch = tiny.batch(seed)
    kept = np.full_like(batch["mask"], IGNORE)
    kept[:, ::5, ::3] = batch["mask"][:, ::5, ::3]
    return batch | {"mask": kept}


def config_of(**terms):
    config = runs.config("pneumothorax")
    with config.unlocked():
        config.loss = {name: {"weight": 1.0} | more for name, more in terms.items()}
    return config


def start(mesh, **changes):
    settings = tiny.settings(**changes)
    init = {"model": settings.model, "tx": settings.tx}
    init |= {"image_shape": (16, 16, 1), "ema": settings.ema > 0}
    begin = state.create(0, state.abstract(mesh, **init), **init)
    return begin, jax.jit(functools.partial(step.train_step, settings=settings))


def one_device():
    axes = (jax.sharding.AxisType.Auto,) * 2
    return jax.make_mesh(
        (1, 1), ("data", "fsdp"), axis_types=axes, devices=jax.devices()[:1]
    )


def test_a_step_with_image_and_teacher_trains_and_is_finite():
    terms = {"partial_cross_entropy": {}, "total_variation": {"weight": 0.01}}
    terms |= {"entropy": {"weight": 0.01}, "gated_crf": {"weight": 0.01, "radius": 2}}
    terms |= {"neighbourhood": {"radius": 2, "confidence": 0.6}}
    config = config_of(**terms)
    config.optim.ema = 0.8
    now, run = start(one_device(), losses=from_config.losses(config, PIXELS), ema=0.8)
    numbers = []
    for k in range(30):
        now, more = run(now, clicks(k))
        numbers.append(jax.device_get(more))
    assert now.bad_total == 0
    assert all(np.isfinite(x).all() for x in jax.tree.leaves((now, numbers)))
    name = "loss/partial_cross_entropy"
    assert numbers[-1][name] < 0.5 * numbers[0][name]
    assert {f"loss/{name}" for name in terms} < set(numbers[0])
    assert {f"loss/aux_{name}" for name in terms} < set(numbers[0])
    assert any(n["loss/neighbourhood"] > 0 for n in numbers)


def test_the_term_gets_the_augmented_image_and_the_average_of_parameters():
    def turned(image, mask, key):
        return 1 - image[:, ::-1], mask[:, ::-1]

    config = config_of(neighbourhood={"radius": 2, "confidence": 0.5})
    config.optim.ema = 0.9
    terms = from_config.losses(config, PIXELS)
    model = tiny.Model(norm=False)
    changes = {"losses": terms, "model": model, "ema": 0.9, "augment": turned}
    now, run = start(one_device(), tx=optax.sgd(3.0), **changes)
    now = now.replace(ema_params=jax.tree.map(lambda x: -2 * x, now.params))
    batch = clicks(0)
    image = 1 - jnp.asarray(batch["image"][:, ::-1], jnp.float32) / 255
    mask = jnp.asarray(batch["mask"][:, ::-1])

    def logits(params):
        found = model.apply({"params": params}, tiny.normalise(image), train=True)
        return found["logits"]

    teacher = jax.nn.softmax(logits(now.ema_params))
    fn = terms["neighbourhood"][0]
    want = jnp.mean(fn(logits(now.params), mask, image=image, teacher=teacher))
    wrong = jax.nn.softmax(logits(now.params))
    other = jnp.mean(fn(logits(now.params), mask, image=image, teacher=wrong))
    assert want > 0 and abs(want - other) > 0.01
    _, numbers = run(now, batch)
    np.testing.assert_allclose(numbers["loss/neighbourhood"], want, rtol=1e-5)


def test_a_term_with_a_teacher_needs_the_average_of_parameters():
    config = config_of(partial_cross_entropy={}, neighbourhood={})
    with pytest.raises(errors.ConfigError, match="loss.neighbourhood .*optim.ema"):
        from_config.losses(config, PIXELS)
    config.optim.ema = 0.99
    assert set(from_config.losses(config, PIXELS)) == set(config.loss)
    config.optim.ema = 0.0
    config.loss.neighbourhood.weight = 0.0  # off, so nothing is asked for
    assert set(from_config.losses(config, PIXELS)) == {"partial_cross_entropy"}


def test_a_term_is_found_in_either_folder_and_a_wrong_name_lists_both():
    check.check(config_of(dice={}, gated_crf={}))
    for wrong, words in (("gated_cfr", "did you mean 'gated_crf'"), ("x", "choose")):
        config = config_of(dice={}, **{wrong: {}})
        for run in (check.check, lambda c: from_config.losses(c, PIXELS)):
            with pytest.raises(errors.ConfigError, match=words) as caught:
                run(config)
            assert "jaxseg/losses/ and jaxseg/regularisers/" in str(caught.value)
    for name in ("dice", "entropy"):
        assert repr(name) in str(caught.value)
    assert lookup.check(lookup.TERMS, "entropy") == "regularisers"
