"""Computes what losses of classes of whole images share: shapes and what is known."""

from collections.abc import Sequence

import jax.numpy as jnp
from jaxtyping import Array, Float, Integer

from jaxseg.errors import ConfigError


def check(
    name: str,
    image_logits: Float[Array, "b m"],
    image_classes: Integer[Array, "b m"],
) -> None:
    """Raises ConfigError unless there is a logit for each class of each image."""
    if image_logits.ndim != 2 or image_logits.shape != image_classes.shape:
        raise ConfigError(
            f"{name} got image_logits {image_logits.shape} and image_classes "
            f"{image_classes.shape}, but needs a logit for each class, [b, m]: set "
            "config.decision.pooled.outputs=0."
        )


def weights(values: Sequence[float], classes: int, *, name: str) -> Array:
    """f32 [m]; ConfigError unless they are one number of at least 0 a class."""
    if len(values) != classes or not all(value >= 0 for value in values):
        raise ConfigError(
            f"{name} is {tuple(values)!r}; give {classes} numbers of at least 0, one "
            "for each class of whole images."
        )
    return jnp.asarray(values, jnp.float32)
