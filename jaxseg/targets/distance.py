"""Channels are the classes, and how deep a pixel lies in its object.

The depth is the distance from the nearest pixel that is not of the object, as a share
of the largest one within it: 1 in the middle of every object, small at its border, 0
outside. Its maxima are the seeds of a watershed (config.objects.rule="watershed";
Naylor et al., 2019, https://doi.org/10.1109/TMI.2018.2865709, learn the distance in
pixels).
"""

from collections.abc import Mapping
from typing import Any

import jax
import jax.numpy as jnp
from jaxtyping import Array, Float, Integer

from jaxseg import distances
from jaxseg.errors import ConfigError


def channels(num_classes: int, *, reach: int = 32) -> int:
    """The number of channels, k + 1. Raises ConfigError for a reach below 1 pixel."""
    if not (isinstance(reach, int) and reach >= 1):
        raise ConfigError(
            f"config.target.distance.reach is {reach!r}; give whole pixels, at least 1."
        )
    return num_classes + 1


def split(
    logits: Float[Array, "b h w n"], num_classes: int, *, reach: int = 32
) -> dict[str, Float[Array, "b h w ..."]]:
    """{"logits": [b, h, w, k], "distance": [b, h, w]}."""
    return {"logits": logits[..., :num_classes], "distance": logits[..., num_classes]}


def truth(
    mask: Integer[Array, "b h w"],
    instances: Integer[Array, "b h w"],
    num_classes: int,
    *,
    reach: int = 32,
) -> dict[str, Array]:
    """{"true_distance": f32 [b, h, w]}, from 0 to 1.

    Distances are cut at `reach` pixels before they are divided by the largest one of
    their object: in a larger object all that lies deeper is 1.
    """
    distance = distances.to_other(instances, reach)
    return {"true_distance": distances.share_of_largest(distance, instances)}


def maps(
    logits: Float[Array, "b h w n"], num_classes: int, *, reach: int = 32
) -> Float[Array, "b h w m"]:
    """Probabilities of the k classes of the data, and the distance, cut to [0, 1]."""
    probability = jax.nn.softmax(logits[..., :num_classes], axis=-1)
    distance = jnp.clip(logits[..., num_classes:], 0, 1)
    return jnp.concatenate([probability, distance], axis=-1)


def MAPS(settings: Mapping[str, Any]) -> tuple[str, ...]:
    """The names of the maps beside the classes."""
    return ("distance",)
