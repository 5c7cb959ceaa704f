"""Computes cross-entropy that counts the inside of objects more than their borders.

    loss = 1/n sum_i W_i (-log p_y),   W = w_max (D / D_max)^p,  1 on the background

over the n labelled pixels i of one image; `_emphasis` says what D is. For two classes
it is the weighted binary cross-entropy of SegDecNet (Bozic, Tabernik and Skocaj, 2021,
https://arxiv.org/abs/2104.06064), which divides by n too, not by the sum of weights.

An image without any labelled pixel costs 0 and still counts in the mean of its batch:
the fewer masks there are, the less this term weighs beside one of whole images.
"""

import jax.numpy as jnp
from jaxtyping import Array, Float, Integer

from jaxseg.losses import _emphasis, _pixels


def loss(
    logits: Float[Array, "b h w k"],
    mask: Integer[Array, "b h w"],
    *,
    w_max: float = 1.0,
    power: float = 2.0,
    dilate: int = 1,
    per_object: bool = False,
) -> Float[Array, "b"]:
    """Mean weighted cross-entropy over the labelled pixels of each image; 0 without.

    `w_max` and `power` are those of W; `power` 0 with `w_max` 1 switches it off.
    `dilate` is the window, in pixels, of the maximum that the label is replaced by, 1
    leaves it. With `per_object` D_max is that of each object. Raises ConfigError for
    negative settings and even windows.
    """
    _emphasis.check(w_max, power, dilate)
    mask = _emphasis.dilated(mask, dilate)
    logits, truth, counts = _pixels.prepare(logits, mask)
    weight = _emphasis.weights(truth, w_max=w_max, power=power, per_object=per_object)
    cost = -_pixels.log_softmax_at(logits, truth)
    return _pixels.mean_labelled(jnp.multiply(weight, cost), counts)
