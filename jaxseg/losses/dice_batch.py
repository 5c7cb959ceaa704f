"""Computes soft Dice with all images of the batch pooled into one.

    loss = 1 - (2 sum p y + smooth) / (sum p + sum y + smooth), mean over classes

sums over the labelled pixels of the whole batch, on all devices (of one slice when
gradients are accumulated). Isensee et al., nnU-Net, 2021,
https://doi.org/10.1038/s41592-020-01008-z, who call it batch Dice.

What an empty mask means: little. Its false positives enter the one sum of the batch,
so a stray pixel in a healthy image costs what it costs in any other. A class that the
whole batch lacks costs 1 - smooth / (sum p + smooth), times `absent_weight`.

Every image with a labelled pixel gets the same number, so the mean over them is the
loss; an image without any (padding is all IGNORE) adds nothing to it and gets 0.
"""

from collections.abc import Sequence

import jax.numpy as jnp
from jaxtyping import Array, Float, Integer

from jaxseg.losses import _pixels
from jaxseg.types import IGNORE


def loss(
    logits: Float[Array, "b h w k"],
    mask: Integer[Array, "b h w"],
    *,
    smooth: float = 1.0,
    classes: Sequence[int] | None = None,
    absent_weight: float = 1.0,
) -> Float[Array, "b"]:
    """One minus the Dice of the whole batch, once for each image that has labels.

    Settings and errors as in dice.
    """
    _pixels.not_negative(smooth=smooth, absent_weight=absent_weight)
    sums = _pixels.overlap(logits, mask, classes)
    both, probability, truth = (jnp.sum(part, 0) for part in sums)
    cost = 1 - _pixels.ratio(2 * both + smooth, probability + truth + smooth)
    pooled = _pixels.mean_classes(cost, truth, absent_weight)
    return jnp.where(jnp.any(mask != IGNORE, (1, 2)), pooled, 0.0)
