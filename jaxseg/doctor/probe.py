"""What the real pipeline feeds to network and losses, caught on its way.

The real train step runs with a model that passes on what it is given, so that whatever
the step does to an image and its mask, a mistake too, is seen as it is.
"""

import functools
import types
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
import optax

from jaxseg.data import pipeline
from jaxseg.devices import sharding
from jaxseg.experiment import build
from jaxseg.inference import forward
from jaxseg.types import TrainState

IMAGES = 32  # looked at, or a little more: whole batches
# settings of data/augment.py that change tones and move nothing
_TONES = ("brightness", "contrast", "gamma", "noise")


class Stages(NamedTuple):
    """The same images on their way; all [n, h, w, ...]."""

    image: np.ndarray  # u8, as read
    mask: np.ndarray  # u8, as read
    augmented: np.ndarray  # f32 in [0, 1]
    network: np.ndarray  # f32, what the network gets in training
    changed: np.ndarray  # u8, the mask that belongs to `augmented`
    scored: np.ndarray  # f32, what the network would get of `image` in evaluation
    validation: np.ndarray  # f32, what it gets of images of validation


def real_step(made: build.Setup) -> functools.partial:
    """The train step of the run before it is compiled, with all it is bound to."""
    return made.train_step.__wrapped__


def stages(made: build.Setup) -> Stages:
    """The first batches of training and of validation, caught stage by stage."""
    count = max(1, IMAGES // made.plan.batch_size)
    batches = list(build.train_batches(made, steps=count))
    catch = catcher(made)
    caught = [catch(batch, k) for k, batch in enumerate(batches)]
    rows = [
        (b["image"], b["mask"], *found, evaluated(made, b))
        for b, found in zip(batches, caught, strict=True)
    ]
    split = made.splits["validation"]
    size = min(IMAGES, len(split))
    first = pipeline.eval_batches(split, made.scorer.view, batch_size=size)
    validation = evaluated(made, next(first))
    first.close()
    return Stages(*map(np.concatenate, zip(*rows, strict=True)), validation)


def catcher(made: build.Setup, *, tones: bool = True):
    """(batch, step) -> (image augmented, image for the network, mask), one real step.

    Without `tones`, augmentation only moves pixels.
    """
    real = real_step(made)
    bound = dict(real.keywords)
    if not tones:
        bound["augment"] = _without_tones(bound["augment"])

    def run(batch, number):
        seen: dict[str, Any] = {}
        normalise = bound["normalise"]

        def keep(image):
            seen["augmented"] = image
            return normalise(image)

        def apply(variables, image, *, train, **_):
            seen["network"] = image
            shape = (*image.shape[:3], 2)
            return {"logits": jnp.zeros(shape) + variables["params"]["w"]}, {}

        def loss(logits, mask):
            seen["mask"] = mask
            return jnp.sum(logits, (1, 2, 3))

        changed = bound | {
            "normalise": keep,
            "model": types.SimpleNamespace(apply=apply),
            "losses": {"seen": (loss, 1.0)},
            "tx": optax.identity(),
            "accumulate": 1,
        }
        real.func(_state(number), batch, **changed)
        return seen["augmented"], seen["network"], seen["mask"]

    compiled = jax.jit(run)

    def caught(batch, number: int):
        found = compiled(sharding.put(dict(batch), made.mesh), jnp.int32(number))
        return tuple(np.asarray(x) for x in found)

    return caught


def _state(number) -> TrainState:
    """A state whose only parameter is a 0."""
    zero = jnp.zeros((), jnp.int32)
    return TrainState(
        step=number,
        params={"w": jnp.zeros(())},
        model_state={},
        opt_state=optax.EmptyState(),
        ema_params=None,
        bad_run=zero,
        bad_total=zero,
    )


def _without_tones(augment):
    """The same augmentation with its changes of tone off, where they can be."""
    if not isinstance(augment, functools.partial):
        return augment
    off = {name: 0.0 for name in _TONES if name in augment.keywords}
    return functools.partial(augment.func, *augment.args, **augment.keywords | off)


def evaluated(made: build.Setup, batch) -> np.ndarray:
    """f32 [b, h, w, c]: what the network gets of a batch in evaluation."""
    seen = {}

    def apply(variables, image, *, train):
        seen["image"] = image
        return {"logits": image[..., :1]}

    model = types.SimpleNamespace(apply=apply)

    def run(batch):
        forward.predict({}, batch, model=model, normalise=made.parts.normalise)
        return seen["image"]

    return np.asarray(jax.jit(run)(dict(batch)))
