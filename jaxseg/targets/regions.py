"""Channels are nested regions, each with a sigmoid of its own: the lung, the infection.

Region 1 is every class above the background; each further region lies within the one
before and leaves out one class of `order`. So with the classes background, lung and
infection the regions are "lung with its infection" and "infection", as doctors speak of
them and as nnU-Net trains them (Isensee et al., 2020, https://arxiv.org/abs/2011.00848,
region-based training). `region_cross_entropy` and `region_dice` learn them.
"""

import functools
from collections.abc import Mapping, Sequence
from typing import Any

import jax
import jax.numpy as jnp
from jaxtyping import Array, Float, Integer

from jaxseg.errors import ConfigError


def channels(num_classes: int, *, order: Sequence[int] = ()) -> int:
    """The number of channels, k - 1. Raises ConfigError for an order that is none."""
    return len(_order(num_classes, order))


def split(
    logits: Float[Array, "b h w r"], num_classes: int, *, order: Sequence[int] = ()
) -> dict[str, Float[Array, "b h w ..."]]:
    """{"logits": log probabilities of classes, "region_logits": as they are}."""
    probability = maps(logits, num_classes, order=order)
    smallest = jnp.finfo(jnp.float32).tiny
    log = jnp.log(jnp.maximum(probability, smallest))
    return {"logits": log, "region_logits": logits}


def truth(
    mask: Integer[Array, "b h w"],
    instances: Integer[Array, "b h w"] | None,
    num_classes: int,
    *,
    order: Sequence[int] = (),
) -> dict[str, Array]:
    """{"true_regions": f32 [b, h, w, k - 1]}: 1 in a region; objects are not needed.

    A pixel that is not labelled is 0 in all of them; losses leave it out by its mask.
    """
    inner = _order(num_classes, order)
    regions = [
        functools.reduce(jnp.logical_or, [mask == c for c in inner[i:]])
        for i in range(len(inner))
    ]
    return {"true_regions": jnp.stack(regions, -1).astype(jnp.float32)}


def maps(
    logits: Float[Array, "b h w r"], num_classes: int, *, order: Sequence[int] = ()
) -> Float[Array, "b h w k"]:
    """Probabilities of the classes: what a region has more than the next one inside.

    A region is as probable as the least probable of those around it allows, so that
    they are nested and the classes add up to 1.
    """
    inner = _order(num_classes, order)
    nested = jax.lax.cummin(jax.nn.sigmoid(logits.astype(jnp.float32)), axis=3)
    outer = jnp.concatenate([jnp.ones_like(nested[..., :1]), nested], -1)
    rings = outer - jnp.concatenate([nested, jnp.zeros_like(nested[..., :1])], -1)
    ring_of = {label: ring for ring, label in enumerate((0, *inner))}
    return jnp.stack([rings[..., ring_of[k]] for k in range(num_classes)], -1)


def MAPS(settings: Mapping[str, Any]) -> tuple[str, ...]:
    """The names of maps beside the classes: none."""
    return ()


def _order(num_classes: int, order: Sequence[int]) -> tuple[int, ...]:
    """The classes above 0 from the outermost ring to the innermost region."""
    inner = tuple(order) or tuple(range(1, num_classes))
    if sorted(inner) != list(range(1, num_classes)):
        raise ConfigError(
            f"config.target.regions.order is {inner}, but must name each of the classes"
            f" 1 to {num_classes - 1} once, the outermost first; () is that order."
        )
    return inner
