"""The loss of validation: the terms of training, of images that nothing changed.

Nothing is augmented, mixed or dropped out, and batch norms use their statistics. A
teacher's answer is the network's own, which is the average where one is kept.
"""

from collections.abc import Mapping, Sequence
from typing import Any

import jax
import jax.numpy as jnp
from jaxtyping import Array, Float

from jaxseg import types
from jaxseg.errors import ConfigError
from jaxseg.train_step import step
from jaxseg.types import Batch


def of_images(
    outputs: Mapping[str, Any], batch: Batch, settings: step.Settings
) -> Float[Array, "b t"]:
    """Every term of the loss of each image, not yet weighed, in the order of `names`.

    A term that is computed at several heads is their sum, weighed as in training.
    `outputs` are those of the model. Raises ConfigError for a loss that does not return
    one number an image.
    """
    image = types.unit_interval(batch["image"])
    mask = batch["mask"]
    inputs = {"image": image, "mask": mask}
    for name in ("label", "image_classes", "instances"):
        inputs |= {name: batch[name]} if name in batch else {}
    for name in ("image_logits", "coarse_logits"):
        inputs |= {name: outputs[name]} if name in outputs else {}
    parts, truth = step.split_outputs(outputs, mask, inputs.get("instances"), settings)
    inputs, mask = inputs | truth, truth.get("mask", mask)
    inputs["teacher"] = jax.nn.softmax(parts["logits"].astype(jnp.float32))
    sums = {name: jnp.zeros(batch["weight"].shape) for name in names(settings)}
    for head in step.heads(parts, mask, None, settings):
        inputs |= {"logits": head.logits, "mask": head.mask}
        for name, (fn, _) in settings.losses.items():
            asked = step.asks_for(fn)
            scale = head.scale(asked)
            if scale is None:
                continue
            values = fn(**{argument: inputs[argument] for argument in asked})
            if jnp.shape(values) != batch["weight"].shape:
                raise ConfigError(
                    f"loss.{name} returned an array {jnp.shape(values)}; a loss "
                    f"returns one number an image, here {batch['weight'].shape}."
                )
            sums[name] = sums[name] + scale * values
    return jnp.stack([sums[name] for name in names(settings)], axis=-1)


def names(settings: step.Settings) -> Sequence[str]:
    """The terms of the loss, in the order of the columns of `of_images`."""
    return [*settings.losses]
