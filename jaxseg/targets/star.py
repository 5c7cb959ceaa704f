"""Channels are the classes, an object probability, and rays to the object's border.

StarDist: Schmidt et al., Cell Detection with Star-Convex Polygons, 2018,
https://arxiv.org/abs/1806.03535. Every pixel of an object says how far its border is
in `n_rays` directions, and how deep in the object it lies itself: the deepest pixels
give the best polygons, so this depth is the object probability.

Ray k points at the angle 2 pi k / n: ray 0 to the right, and on towards the bottom. A
predicted ray is between 0 and `reach` pixels, by a sigmoid. In the maps of evaluation
it is a share of `reach`: from 0 to 1 as all maps are, however an image is scaled.
"""

import math
from collections.abc import Mapping
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float, Integer

from jaxseg import distances
from jaxseg.errors import ConfigError


def channels(num_classes: int, *, n_rays: int = 32, reach: int = 64) -> int:
    """The number of channels, k + 1 + n_rays.

    Raises ConfigError for a number of rays that is no multiple of 4, at which a
    mirrored or turned image would have other rays, and for a reach below 1 pixel.
    """
    if not (isinstance(n_rays, int) and n_rays >= 4 and n_rays % 4 == 0):
        raise ConfigError(
            f"config.target.star.n_rays is {n_rays!r}; give a multiple of 4, such as "
            "32, so that the rays of a mirrored object are rays too."
        )
    if not (isinstance(reach, int) and reach >= 1):
        raise ConfigError(
            f"config.target.star.reach is {reach!r}; give whole pixels, at least 1."
        )
    return num_classes + 1 + n_rays


def split(
    logits: Float[Array, "b h w n"],
    num_classes: int,
    *,
    n_rays: int = 32,
    reach: int = 64,
) -> dict[str, Float[Array, "b h w ..."]]:
    """{"logits": [b, h, w, k], "object_logits": [b, h, w], "rays": [b, h, w, n]}.

    Rays are in pixels.
    """
    return {
        "logits": logits[..., :num_classes],
        "object_logits": logits[..., num_classes],
        "rays": reach * jax.nn.sigmoid(logits[..., num_classes + 1 :]),
    }


def truth(
    mask: Integer[Array, "b h w"],
    instances: Integer[Array, "b h w"],
    num_classes: int,
    *,
    n_rays: int = 32,
    reach: int = 64,
) -> dict[str, Array]:
    """{"true_rays": f32 [b, h, w, n] in pixels, "true_distance": f32 [b, h, w]}.

    Both are 0 for a pixel of no object. The distance is that of the target `distance`,
    the object probability that StarDist learns.
    """
    distance = distances.to_other(instances, reach)
    return {
        "true_rays": rays(instances, n_rays, reach),
        "true_distance": distances.share_of_largest(distance, instances),
    }


def rays(
    instances: Integer[Array, "b h w"], n_rays: int, reach: int
) -> Float[Array, "b h w n"]:
    """How far the border of its object is from each pixel, f32 pixels, at most `reach`.

    A ray goes on in steps of one pixel while it meets its object, and ends half a pixel
    before the first pixel that is of none or of another, or outside of the frame,
    along the longer axis: as `star_dist` of stardist.
    """
    angle = 2 * math.pi / n_rays * np.arange(n_rays)
    down, right = np.sin(angle), np.cos(angle)
    half = (0.5 / np.maximum(abs(down), abs(right))).astype(np.float32)
    # sin and cos of whole quarter turns are off by 1e-17, which would round one way
    steps = np.arange(1, reach + 1)
    rows, columns = (
        np.rint(np.round(part, 9)[:, None] * steps).astype(np.int32) + reach
        for part in (down, right)
    )
    padded = jnp.pad(instances, ((0, 0), (reach, reach), (reach, reach)))

    def one(arguments):
        row, column, half = arguments
        inside, length = instances != 0, jnp.zeros(instances.shape, jnp.int32)
        # unrolled: XLA makes one loop over the pixels of it, 4 times as fast as one
        # loop over the steps
        for k in range(reach):
            at = (0, row[k], column[k])
            other = jax.lax.dynamic_slice(padded, at, instances.shape)
            inside = inside & (other == instances)
            length = length + inside
        reached = jnp.minimum(length + half, reach)
        return jnp.where(instances != 0, reached, 0.0)

    every = jax.lax.map(one, tuple(map(jnp.asarray, (rows, columns, half))))
    return jnp.moveaxis(every, 0, -1)


def maps(
    logits: Float[Array, "b h w n"],
    num_classes: int,
    *,
    n_rays: int = 32,
    reach: int = 64,
) -> Float[Array, "b h w m"]:
    """Probabilities of the k classes, the object probability, and rays / `reach`."""
    parts = split(logits, num_classes, n_rays=n_rays, reach=reach)
    return jnp.concatenate(
        [
            jax.nn.softmax(parts["logits"], axis=-1),
            jax.nn.sigmoid(parts["object_logits"])[..., None],
            parts["rays"] / reach,
        ],
        axis=-1,
    )


def MAPS(settings: Mapping[str, Any]) -> tuple[str, ...]:
    """The names of the maps beside the classes: "distance", "ray_0", "ray_1" ..."""
    return ("distance", *(f"ray_{k}" for k in range(settings.get("n_rays", 32))))


def ray_length(*, n_rays: int = 32, reach: int = 64) -> float:
    """The length of a ray that is 1 in the maps, in pixels that the network sees."""
    return float(reach)


def mirror(
    maps: Float[Array, "b h w m"],
    axis: int,
    num_classes: int,
    *,
    n_rays: int = 32,
    reach: int = 64,
) -> Float[Array, "b h w m"]:
    """The maps of the mirrored image: along `axis` (1 = height, 2 = width) the pixels
    change their places, and the rays their names."""
    k = np.arange(n_rays)
    other = -k % n_rays if axis == 1 else (n_rays // 2 - k) % n_rays
    order = [*range(num_classes + 1), *(num_classes + 1 + other)]
    return jnp.flip(maps, axis)[..., np.array(order)]
