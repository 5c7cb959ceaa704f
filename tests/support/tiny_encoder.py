"""A model of an encoder with two blocks and batch norms, and a few steps of it."""

import functools

import flax.linen as nn
import jax
import numpy as np
from support import tiny

from jaxseg.train_step import optimizer, parameter_groups, state, step


class Level(nn.Module):
    gain: float = 1.0

    @nn.compact
    def __call__(self, x, *, train: bool):
        x = nn.Conv(4, (3, 3), name="conv")(x)
        # Flax's own, with the field, and with the argument: both must be held
        if self.name == "level1":
            return nn.BatchNorm(use_running_average=not train, name="norm")(x)
        start = nn.initializers.constant(self.gain)
        norm = nn.BatchNorm(name="norm", scale_init=start)
        return norm(x, use_running_average=not train)


class Encoder(nn.Module):
    gain: float = 1.0

    @nn.compact
    def __call__(self, x, *, train: bool):
        x = nn.relu(Level(name="level1")(x, train=train))
        return x + Level(self.gain, name="level2")(x, train=train)


class Model(nn.Module):
    """Two blocks in an encoder, a norm and two heads behind it."""

    gain: float = 1.0

    @nn.compact
    def __call__(self, image, *, train: bool):
        x = Encoder(self.gain, name="encoder")(image, train=train)
        x = nn.BatchNorm(use_running_average=not train, name="norm")(x)
        return {"logits": nn.Dense(2, name="head")(x), "aux": nn.Dense(2)(x)}


def optimiser(*, until=0, rate=lambda count: 0.01 / (1.0 + count), **options):
    groups = functools.partial(parameter_groups.groups, **options) if options else None
    return optimizer.make(
        rate, weight_decay=0.1, clip_norm=0.01, groups=groups, frozen_until=until
    )


def run(steps, *, tx, model=None, held=None, **changes):
    """The states before and after each step."""
    model = model or Model()
    init = dict(model=model, tx=tx, image_shape=(16, 16, 1), ema=False)
    now = jax.jit(functools.partial(state.init, **init))(jax.random.key(0))
    settings = tiny.settings(model=held or model, tx=tx, **changes)
    advance = jax.jit(functools.partial(step.train_step, settings=settings))
    out = [now]
    for k in range(steps):
        now, _ = advance(now, tiny.batch(k))
        out.append(now)
    return jax.device_get(out)


def moved(before, after) -> set[str]:
    """The paths at which two trees differ."""
    before, after = parameter_groups.paths(before), parameter_groups.paths(after)
    return {p for p in before if not np.array_equal(before[p], after[p])}


def start():
    """A state at step 0."""
    return run(0, tx=optimiser())[0]
