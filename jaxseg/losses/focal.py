"""Computes focal loss: cross-entropy that looks away from what is already right.

    loss = 1/n sum_i w_y (1 - p_y)^gamma (-log p_y)

over the n labelled pixels i of one image, y the class of pixel i. Lin et al., Focal
Loss for Dense Object Detection, 2017, https://arxiv.org/abs/1708.02002; the alpha of
the paper is class_weights = (1 - alpha, alpha). Divided by the number of labelled
pixels, as cross_entropy is, so gamma = 0 is cross_entropy.
"""

from collections.abc import Sequence

import jax.numpy as jnp
from jaxtyping import Array, Float, Integer

from jaxseg.losses import _pixels

# (1 - p)^gamma has an infinite slope at p = 1 for gamma < 1; from here on it has none.
_SMALLEST = 1e-30


def loss(
    logits: Float[Array, "b h w k"],
    mask: Integer[Array, "b h w"],
    *,
    gamma: float = 2.0,
    class_weights: Sequence[float] | None = None,
) -> Float[Array, "b"]:
    """Mean focal loss over the labelled pixels of each image; 0 without any.

    Raises ConfigError for a negative `gamma` and for wrong `class_weights`.
    """
    _pixels.not_negative(gamma=gamma)
    classes = logits.shape[-1]
    logits, truth, counts = _pixels.prepare(logits, mask)
    log_p = _pixels.log_softmax_at(logits, truth)
    doubt = jnp.maximum(-jnp.expm1(log_p), _SMALLEST)
    cost = -(doubt**gamma) * log_p
    if class_weights is not None:
        cost = cost * _pixels.weight_map(truth, class_weights, classes)
    return _pixels.mean_labelled(cost, counts)
