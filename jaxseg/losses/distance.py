"""Compares the predicted depth of each pixel in its object with the true one.

    cost(d) = d^2 / (2 beta)  for |d| < beta,  |d| - beta / 2  beyond (smooth L1)
    loss    = (mean of cost over pixels of objects + mean over the others) / 2

Smooth L1: Girshick, Fast R-CNN, 2015, https://arxiv.org/abs/1504.08083. Small objects
cover little of an image: with a mean of two means they count as much as the background.
"""

import jax.numpy as jnp
from jaxtyping import Array, Float, Integer

from jaxseg.errors import ConfigError
from jaxseg.losses import _pixels


def loss(
    distance: Float[Array, "b h w"],
    true_distance: Float[Array, "b h w"],
    mask: Integer[Array, "b h w"],
    *,
    beta: float = 0.1,
) -> Float[Array, "b"]:
    """Smooth L1 over the labelled pixels of each image; 0 without any.

    An image with only one kind of pixels, of objects or of none, has the mean of these.
    Raises ConfigError for a `beta` that is not above 0.
    """
    if not 0 < beta < float("inf"):
        raise ConfigError(f"beta is {beta!r}, but must be finite and > 0.")
    labelled = _pixels.labelled(mask)
    off = jnp.where(labelled, distance.astype(jnp.float32) - true_distance, 0.0)
    size = jnp.abs(off)
    cost = jnp.where(size < beta, off * off / (2 * beta), size - beta / 2)
    inside = true_distance > 0
    kinds = [labelled & inside, labelled & ~inside]
    means = [_pixels.mean_labelled(cost, kind.astype(jnp.float32)) for kind in kinds]
    there = sum(jnp.any(kind, (1, 2)).astype(jnp.float32) for kind in kinds)
    return sum(means) / jnp.maximum(there, 1)
