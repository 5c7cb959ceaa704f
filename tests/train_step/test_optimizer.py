"""SGD equals PyTorch's rule by hand, in every group of parameters."""

import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest
from support import runs, tiny, tiny_encoder

from jaxseg import errors
from jaxseg.config import check
from jaxseg.devices import sharding
from jaxseg.experiment import build
from jaxseg.train_step import optimizer, parameter_groups, state

# nnU-Net v2's trainer (Isensee et al., 2021) in the keys of a config: 2-D plan, batch
# Dice + cross-entropy, SGD with Nesterov momentum 0.99, poly 0.9, 1000 epochs of 250
# steps. Its weight decay also takes biases and norms; ours takes weights alone.
NNUNET = {
    "epochs": 1000,
    "steps_per_epoch": 250,
    "model.name": "unet",
    "model.unet.widths": (32, 64, 128, 256, 512, 512, 512),
    "model.unet.norm": "instance",
    "model.unet.conv_bias": True,
    "model.unet.activation": "leaky_relu",
    "model.unet.down": "strided",
    "model.unet.deep_supervision": True,
    "data.fit": "crop",
    "data.foreground_share": 0.33,
    "eval.mirror": True,
    "aux_weight": 0.0,
    "loss.cross_entropy.weight": 1.0,
    "loss.cross_entropy.class_weights": None,
    "loss.dice_batch.weight": 1.0,
    "loss.dice_batch.smooth": 1e-5,
    "optim.name": "sgd",
    "optim.learning_rate": 1e-2,
    "optim.momentum": 0.99,
    "optim.weight_decay": 3e-5,
    "optim.warmup_steps": 0,
    "optim.schedule": "poly",
    "optim.power": 0.9,
    "optim.clip_norm": 12.0,
    "augment.flip_horizontal": 0.5,
    "augment.flip_vertical": 0.5,
    "augment.rotate_degrees": 180.0,
    "augment.rotate_probability": 0.2,
    "augment.scale": (0.7, 1.4),
    "augment.scale_probability": 0.2,
    "augment.shift": 0.0,
    "augment.brightness": 0.25,
    "augment.brightness_probability": 0.15,
    "augment.contrast": 0.25,
    "augment.contrast_probability": 0.15,
    "augment.gamma": 0.5,
    "augment.gamma_probability": 0.3,
    "augment.noise": 0.3,
    "augment.noise_probability": 0.1,
}


def test_the_names_are_those_that_a_config_may_have():
    assert check.OPTIMIZERS == optimizer.NAMES and check.RATES == optimizer.SHAPES


def test_sgd_is_the_rule_of_pytorch_with_coupled_decay():
    rates, decay, momentum = (0.5, 0.4, 0.2, 0.1), 0.1, 0.9
    params = {"kernel": jnp.array([[1.0, -2.0]]), "bias": jnp.array([0.5])}
    tx = optimizer.make(
        lambda count: jnp.asarray(rates)[count],
        name="sgd",
        momentum=momentum,
        weight_decay=decay,
        clip_norm=0.0,
    )
    weight, bias = np.array([[1.0, -2.0]]), np.array([0.5])
    trace = [0.0, 0.0]
    now = tx.init(params)
    for step, rate in enumerate(rates):
        grads = {"kernel": jnp.array([[0.3, step]]), "bias": jnp.array([-0.2 * step])}
        updates, now = tx.update(grads, now, params)
        params = optax.apply_updates(params, updates)
        # torch.optim.SGD(nesterov=True, weight_decay=0.1 for the weight alone)
        g = [np.array([[0.3, step]]) + decay * weight, np.array([-0.2 * step])]
        trace = [momentum * v + x for v, x in zip(trace, g, strict=True)]
        weight = weight - rate * (g[0] + momentum * trace[0])
        bias = bias - rate * (g[1] + momentum * trace[1])
    np.testing.assert_allclose(params["kernel"], weight, rtol=1e-5)
    np.testing.assert_allclose(params["bias"], bias, rtol=1e-5)


def test_the_gradient_is_clipped_before_decay_and_momentum():
    params = {"kernel": jnp.array([[3.0, 4.0]])}
    tx = optimizer.make(
        lambda count: 1.0, name="sgd", momentum=0.0, weight_decay=0.1, clip_norm=1.0
    )
    grads = {"kernel": jnp.array([[30.0, 40.0]])}
    updates, _ = tx.update(grads, tx.init(params), params)
    np.testing.assert_allclose(updates["kernel"], [[-0.9, -1.2]], rtol=1e-6)


def test_clipping_is_that_of_optax():
    keys = iter(jax.random.split(jax.random.key(0), 4))
    shapes = {"bias": (7,), "kernel": (80, 90), "scale": (), "position": (3, 5)}
    grads = {k: jax.random.normal(next(keys), shape) for k, shape in shapes.items()}
    squares = [np.sum(np.square(g, dtype=np.float64)) for g in grads.values()]
    norm = float(optimizer.global_norm(grads))
    np.testing.assert_allclose(norm, np.sqrt(sum(squares)), rtol=1e-6)
    for limit in (0.5 * norm, 2 * norm):
        tx = optimizer.make(
            lambda count: 1.0,
            name="sgd",
            momentum=0.0,
            weight_decay=0.0,
            clip_norm=limit,
            fields={"nesterov": False},
        )
        ours, _ = tx.update(grads, tx.init(grads), grads)
        want, _ = optax.clip_by_global_norm(limit).update(grads, optax.EmptyState())
        for name in grads:
            np.testing.assert_allclose(-ours[name], want[name], rtol=1e-6)
    assert float(optimizer.global_norm({})) == 0


def _sgd(**options):
    def groups(params):
        return parameter_groups.groups(params, **options)

    return optimizer.make(
        lambda count: 0.01,
        name="sgd",
        momentum=0.9,
        weight_decay=0.1,
        clip_norm=0.0,
        groups=groups if options else None,
    )


def test_sgd_keeps_parameter_groups():
    plain, doubled = (
        tiny_encoder.run(1, tx=tx) for tx in (_sgd(), _sgd(encoder_scale=2.0))
    )
    before, *after = (s.params for s in (plain[0], plain[1], doubled[1]))
    change = [jax.tree.map(lambda a, b: a - b, a, before) for a in after]
    for (path, one), other in zip(
        parameter_groups.paths(change[0]).items(),
        jax.tree.leaves(change[1]),
        strict=True,
    ):
        factor = 2.0 if path.startswith("encoder") else 1.0
        np.testing.assert_allclose(other, factor * one, rtol=1e-3, atol=5e-7)
    frozen = tiny_encoder.run(2, tx=_sgd(freeze=("encoder/*",)))
    moved = tiny_encoder.moved(frozen[0].params, frozen[-1].params)
    assert moved and not [p for p in moved if p.startswith("encoder")]


def test_sgd_shows_parameters_without_a_gradient_although_they_decay():

    model = tiny.Model(norm=False)
    settings = {"losses": {"cross_entropy": (tiny.loss, 1.0)}, "aux_weight": 0.0}
    states = tiny_encoder.run(2, tx=_sgd(), model=model, **settings)
    seen = optimizer.gradient_means(states[-1].opt_state)
    assert {p for p, yes in seen.items() if not yes.any()} == {"aux/kernel", "aux/bias"}
    assert tiny_encoder.moved(states[0].params, states[-1].params) >= {"aux/kernel"}
    with pytest.raises(errors.ConfigError, match="aux/bias, aux/kernel"):
        parameter_groups.check_silent(
            jax.tree.unflatten(jax.tree.structure(states[0].params), [*seen.values()]),
            jax.tree.map(lambda _: False, states[0].params),
        )


@pytest.mark.parametrize(
    "changes, message",
    [
        ({"optim.name": "sdg"}, "optim.name is 'sdg': did you mean 'sgd'"),
        ({"optim.schedule": "polly"}, "optim.schedule is 'polly': did you mean 'poly'"),
    ],
)
def test_a_choice_that_is_none_is_said_before_jax_starts(changes, message):
    with pytest.raises(errors.ConfigError, match=message):
        check.check(runs.config("folder", **{"data.dir": "x", **changes}))


@pytest.mark.parametrize(
    "options, message",
    [
        ({"name": "adamm"}, "optim.name is 'adamm'"),
        ({"momentum": 1.0}, "momentum is 1.0"),
    ],
)
def test_an_optimizer_that_is_none(options, message):
    with pytest.raises(errors.ConfigError, match=message):
        optimizer.make(lambda count: 1.0, weight_decay=0, clip_norm=0, **options)
    for wrong in ({"shape": "step"}, {"shape": "poly", "power": 0.0}):
        with pytest.raises(errors.ConfigError, match="config.optim"):
            optimizer.learning_rate_schedule(
                learning_rate=1.0,
                warmup_steps=0,
                total_steps=9,
                final_scale=0.0,
                **wrong,
            )


def test_the_recipe_of_nnunet_can_be_written_down_and_takes_a_step():
    config = runs.config("clicks", **NNUNET)
    config.supervision.name = "full"
    config.loss.partial_cross_entropy.weight = 0.0
    config.model.unet.widths = (4, 6, 8, 8)  # of its seven levels, on 32 x 32 pixels
    check.check(config)
    experiment = build.load(config, batch_size=8)
    assert experiment.plan.total_steps == 250_000 and experiment.plan.epochs == 1000
    np.testing.assert_allclose(experiment.rate(0), 1e-2, rtol=1e-6)
    np.testing.assert_allclose(experiment.rate(125_000), 1e-2 * 0.5**0.9, rtol=1e-4)
    now = state.create(0, experiment.abstract, **experiment.init)
    before = jax.device_get(now.params)
    batches = build.train_batches(experiment, steps=1)
    now, numbers = experiment.train_step(
        now, sharding.put(next(batches), experiment.mesh)
    )
    batches.close()
    assert np.isfinite(float(numbers["loss"])) and int(numbers["bad"]) == 0
    assert tiny_encoder.moved(before, jax.device_get(now.params))
