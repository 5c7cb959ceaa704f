"""Computes soft Dice of nested regions, all images of the batch pooled into one.

    loss = 1 - (2 sum p t + smooth) / (sum p + sum t + smooth), mean over the regions

of config.target.name "regions", with the sigmoid p of each region: batch Dice of
region-based training (Isensee et al., 2020, https://arxiv.org/abs/2011.00848). What an
image without a region means is that of dice_batch: its false alarms enter the one sum.
"""

import jax
import jax.numpy as jnp
from jaxtyping import Array, Float, Integer

from jaxseg.losses import _pixels


def loss(
    region_logits: Float[Array, "b h w r"],
    true_regions: Float[Array, "b h w r"],
    mask: Integer[Array, "b h w"],
    *,
    smooth: float = 1.0,
) -> Float[Array, "b"]:
    """One minus the mean Dice, once for each image with a labelled pixel, else 0.

    Raises ConfigError for `smooth` below 0.
    """
    _pixels.not_negative(smooth=smooth)
    labelled = _pixels.labelled(mask)
    z = jnp.where(labelled[..., None], region_logits.astype(jnp.float32), 0.0)
    p = jax.nn.sigmoid(z) * labelled[..., None]
    both, predicted, present = (
        jnp.sum(part, (0, 1, 2)) for part in (p * true_regions, p, true_regions)
    )
    score = _pixels.ratio(2 * both + smooth, predicted + present + smooth)
    return jnp.where(jnp.any(labelled, (1, 2)), 1 - jnp.mean(score), 0.0)
