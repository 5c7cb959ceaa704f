"""Catches what the real pipeline feeds to network and losses, on its way.

The real train step runs with a model that passes on what it is given, so that whatever
the step does to an image and its mask, a mistake too, is seen as it is.
"""

import types
from collections.abc import Callable
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
import optax

from jaxseg.data import pipeline
from jaxseg.devices import sharding
from jaxseg.experiment import build
from jaxseg.inference import forward, tiled_split
from jaxseg.train_step import step
from jaxseg.types import TrainState

IMAGES = 32  # looked at, or a little more: whole batches
# settings of data/augment.py that change tones and move nothing
_TONES = ("brightness", "contrast", "gamma", "noise")


class Stages(NamedTuple):
    """The same images on their way; all [n, h, w, ...]."""

    image: np.ndarray  # u8 or u16, as read
    mask: np.ndarray  # u8, as read
    augmented: np.ndarray  # f32 in [0, 1]
    network: np.ndarray  # f32, what the network gets in training
    changed: np.ndarray  # u8, the mask that belongs to `augmented`
    scored: np.ndarray  # f32, what the network would get of `image` in evaluation
    validation: np.ndarray  # f32, what it gets of images of validation


def stages(experiment: build.Experiment) -> Stages:
    """The first batches of training and of validation, caught stage by stage."""
    count = max(1, IMAGES // experiment.plan.batch_size)
    batches = list(build.train_batches(experiment, steps=count))
    catch = catcher(experiment)
    rows = [
        (b["image"], b["mask"], *catch(b, k), evaluated(experiment, b))
        for k, b in enumerate(batches)
    ]
    split = experiment.splits["validation"]
    size = min(IMAGES, len(split))
    view = experiment.scorer.view
    if view.fit == "crop":
        tiles = [(i, 0) for i in range(size)]
        first = tiled_split.batches(split, view, tiles, batch_size=size)
    else:
        first = pipeline.eval_batches(split, view, batch_size=size)
    validation = evaluated(experiment, next(first))
    first.close()
    return Stages(*map(np.concatenate, zip(*rows, strict=True)), validation)


def catcher(experiment: build.Experiment, *, tones: bool = True) -> Callable:
    """(batch, step) -> (image augmented, image for the network, mask), one real step.

    Without `tones`, augmentation only moves pixels.
    """
    settings = experiment.settings
    options = dict(settings.augment_options)
    if not tones:
        options |= {name: 0.0 for name in _TONES if name in options}

    def run(batch, number):
        caught: dict[str, Any] = {}

        def keep(image):
            caught["augmented"] = image
            return settings.normalise(image)

        def apply(variables, image, *, train, **_):
            caught["network"] = image
            shape = (*image.shape[:3], 2)
            return {"logits": jnp.zeros(shape) + variables["params"]["w"]}, {}

        def loss(logits, mask):
            caught["mask"] = mask
            return jnp.sum(logits, (1, 2, 3))

        catching = settings._replace(
            normalise=keep,
            model=types.SimpleNamespace(apply=apply),
            losses={"caught": (loss, 1.0)},
            tx=optax.identity(),
            accumulate=1,
            target=None,
            augment_options=options,
        )
        step.train_step(_state(number), batch, catching)
        return caught["augmented"], caught["network"], caught["mask"]

    compiled = jax.jit(run)

    def catch(batch, number: int) -> tuple[np.ndarray, ...]:
        on_device = sharding.put(dict(batch), experiment.mesh)
        return tuple(np.asarray(x) for x in compiled(on_device, jnp.int32(number)))

    return catch


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


def evaluated(experiment: build.Experiment, batch) -> np.ndarray:
    """f32 [b, h, w, c]: what the network gets of a batch in evaluation."""
    caught = {}

    def apply(variables, image, *, train):
        caught["image"] = image
        return {"logits": image[..., :1]}

    model = types.SimpleNamespace(apply=apply)

    def run(batch):
        forward.predict({}, batch, model=model, normalise=experiment.parts.normalise)
        return caught["image"]

    return np.asarray(jax.jit(run)(dict(batch)))
