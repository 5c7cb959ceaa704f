"""Learns from the label of a whole image: is there foreground anywhere?

    z_i = log P_i(any foreground) - log P_i(background)
    Z = 1/r log( 1/n sum_i exp(r z_i) )
    loss = -log sigmoid(Z) of a positive image, -log sigmoid(-Z) of a negative one

over all n pixels i of one image, labelled or not. Z lies between the mean of z (r near
0) and its maximum (r large), so the pixels that look most like foreground learn most,
and none learns nothing. Pooling by log-sum-exp: Pinheiro and Collobert, From
Image-level to Pixel-level Labeling with Convolutional Networks, 2015,
https://arxiv.org/abs/1411.6228 ; there every class is pooled, here all foreground
classes together are pooled against the background, as a record has one label an image.

It says that there is something, not where or how much: a positive image is right as
soon as a few pixels are sure, and images of one kind alone teach nothing.
"""

import math

import jax
import jax.numpy as jnp
from jaxtyping import Array, Float, Integer

from jaxseg.regularisers import _pixels

_HUGE = 1e30  # finite, also when multiplied by the sharpness


def loss(
    logits: Float[Array, "b h w k"],
    mask: Integer[Array, "b h w"],
    *,
    label: Integer[Array, "b"],
    sharpness: float = 5.0,
) -> Float[Array, "b"]:
    """Binary cross-entropy of the pooled image; 0 where `label` is -1, unknown.

    `label` above 0 means foreground of any class, `sharpness` is r. Raises ConfigError
    for one below 0.001 or from 1000 on.
    """
    _pixels.in_range(1e-3, 1e3, sharpness=sharpness)
    logits, _ = _pixels.prepare(logits, mask)
    labelled = label >= 0
    # First of all, so that images without a label, finite or not, change nothing.
    logits = jnp.where(labelled[:, None, None, None], logits, 0.0)
    odds = jax.nn.logsumexp(logits[..., 1:], axis=-1) - logits[..., 0]
    odds = jnp.clip(odds, -_HUGE, _HUGE)
    # Less the largest before the product, which a compiler may not round on the way.
    top = jax.lax.stop_gradient(jnp.max(odds, axis=(1, 2), keepdims=True))
    mean = jax.nn.logsumexp(sharpness * (odds - top), axis=(1, 2))
    pooled = top[:, 0, 0] + (mean - math.log(mask[0].size)) / sharpness
    cost = jax.nn.softplus(jnp.where(label > 0, -pooled, pooled))
    return jnp.where(labelled, cost, 0.0)
