"""Channels are the logits of the classes of the data: nothing else is learnt."""

from collections.abc import Mapping
from typing import Any

import jax
from jaxtyping import Array, Float, Integer


def channels(num_classes: int) -> int:
    """The number of channels, one a class."""
    return num_classes


def split(
    logits: Float[Array, "b h w n"], num_classes: int
) -> dict[str, Float[Array, "b h w ..."]]:
    """{"logits": [b, h, w, k]}, as they are."""
    return {"logits": logits}


def truth(
    mask: Integer[Array, "b h w"],
    instances: Integer[Array, "b h w"] | None,
    num_classes: int,
) -> dict[str, Array]:
    """Nothing beside the mask; objects are not needed."""
    return {}


def maps(logits: Float[Array, "b h w n"], num_classes: int) -> Float[Array, "b h w k"]:
    """Probabilities of the classes."""
    return jax.nn.softmax(logits, axis=-1)


def MAPS(settings: Mapping[str, Any]) -> tuple[str, ...]:
    """The names of maps beside the classes: none."""
    return ()
