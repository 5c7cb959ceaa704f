"""Computes binary cross-entropy of nested regions, each a yes or no of its own.

    loss = 1/(n r) sum_i sum_r [-t log p - (1 - t) log(1 - p)]

over the n labelled pixels i of one image and the r regions of config.target.name
"regions", as nnU-Net learns them (Isensee et al., 2020,
https://arxiv.org/abs/2011.00848). Without a region of its own an image costs its false
alarms alone.
"""

from collections.abc import Sequence

import jax
import jax.numpy as jnp
from jaxtyping import Array, Float, Integer

from jaxseg.errors import ConfigError
from jaxseg.losses import _pixels


def loss(
    region_logits: Float[Array, "b h w r"],
    true_regions: Float[Array, "b h w r"],
    mask: Integer[Array, "b h w"],
    *,
    weights: Sequence[float] = (),
) -> Float[Array, "b"]:
    """Mean over the labelled pixels and the regions of each image; 0 without any pixel.

    `weights` multiply the regions, the outermost first; () = all 1. Raises ConfigError
    for another number of them and for a negative one.
    """
    count = region_logits.shape[-1]
    if weights and (len(weights) != count or not all(0 <= w < 1e9 for w in weights)):
        raise ConfigError(
            f"weights is {tuple(weights)}, but there are {count} regions: give one "
            "finite weight >= 0 for each."
        )
    labelled = _pixels.labelled(mask)
    z = jnp.where(labelled[..., None], region_logits.astype(jnp.float32), 0.0)
    cost = jax.nn.softplus(z) - true_regions * z
    scale = jnp.asarray(weights or (1.0,) * count, jnp.float32)
    weighted = cost * scale.reshape(1, 1, 1, -1)
    return _pixels.mean_labelled(weighted.mean(-1), labelled.astype(jnp.float32))
