"""Channels are background, the inside of each class, and the border of objects.

The border is a class of its own, so that touching objects have something between them:
the three classes of Caicedo et al., 2019, https://doi.org/10.1002/cyto.a.23863. It is
part of the objects, and evaluation counts it as foreground.
"""

from collections.abc import Mapping
from typing import Any

import jax
import jax.numpy as jnp
from jaxtyping import Array, Float, Integer

from jaxseg import distances
from jaxseg.errors import ConfigError
from jaxseg.types import IGNORE


def channels(num_classes: int, *, width: int = 1) -> int:
    """The number of channels, k + 1. Raises ConfigError for a width below 1 pixel."""
    if not (isinstance(width, int) and width >= 1):
        raise ConfigError(
            f"config.target.border.width is {width!r}; give whole pixels, at least 1."
        )
    return num_classes + 1


def split(
    logits: Float[Array, "b h w n"], num_classes: int, *, width: int = 1
) -> dict[str, Float[Array, "b h w ..."]]:
    """{"logits": [b, h, w, k + 1]}: the border is the last class."""
    return {"logits": logits}


def truth(
    mask: Integer[Array, "b h w"],
    instances: Integer[Array, "b h w"],
    num_classes: int,
    *,
    width: int = 1,
) -> dict[str, Array]:
    """{"mask": [b, h, w]} with class k at the border of objects.

    A pixel of an object is border when a pixel that is not of the object lies within
    `width` pixels of its middle. What is not labelled stays so.
    """
    near = distances.to_other(instances, width + 1) <= width
    edge = (instances != 0) & near & (mask != IGNORE)
    return {"mask": jnp.where(edge, jnp.asarray(num_classes, mask.dtype), mask)}


def maps(
    logits: Float[Array, "b h w n"], num_classes: int, *, width: int = 1
) -> Float[Array, "b h w m"]:
    """Probabilities of the k classes of the data, and that of the border.

    The border belongs to the classes as the inside at this pixel does.
    """
    probability = jax.nn.softmax(logits, axis=-1)
    background, border = probability[..., :1], probability[..., num_classes:]
    inside = probability[..., 1:num_classes]
    share = jax.nn.softmax(logits[..., 1:num_classes], axis=-1)
    return jnp.concatenate([background, inside + border * share, border], axis=-1)


def MAPS(settings: Mapping[str, Any]) -> tuple[str, ...]:
    """The names of the maps beside the classes."""
    return ("border",)
