"""Compares the predicted rays of each pixel of an object with the true ones.

    loss = sum_i t_i mean_k |r_ik - s_ik| / sum_i t_i

over the labelled pixels i of objects of one image, rays k in pixels, t the depth of a
pixel in its object. Deep pixels count most, as objects are drawn from their rays
(Schmidt et al., 2018, https://arxiv.org/abs/1806.03535).
"""

import jax.numpy as jnp
from jaxtyping import Array, Float, Integer

from jaxseg.losses import _pixels


def loss(
    rays: Float[Array, "b h w n"],
    true_rays: Float[Array, "b h w n"],
    true_distance: Float[Array, "b h w"],
    mask: Integer[Array, "b h w"],
) -> Float[Array, "b"]:
    """Mean absolute error in pixels, weighted by depth; 0 for an image without objects.

    With n_rays such as 32 it is about the error of the radius of an object.
    """
    counts = jnp.where(_pixels.labelled(mask), true_distance, 0.0)
    there = (counts > 0)[..., None]
    off = jnp.abs(jnp.where(there, rays.astype(jnp.float32) - true_rays, 0.0))
    total = jnp.sum(counts, (1, 2))
    cost = jnp.sum(jnp.mean(off, -1) * counts, (1, 2))
    return cost / jnp.where(total > 0, total, 1.0)
