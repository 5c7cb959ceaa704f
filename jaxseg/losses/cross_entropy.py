"""Computes cross-entropy over k classes, with class weights and label smoothing.

    loss = 1/n sum_i [(1 - s) w_y (-log p_y) + s/k sum_c w_c (-log p_c)]

over the n labelled pixels i of one image, y the class of pixel i. Smoothing: Szegedy et
al., Rethinking the Inception Architecture, 2016, https://arxiv.org/abs/1512.00567

The sum is divided by the number of pixels, not by the sum of their weights. With
w_c = N / (k n_c) over the data set the mean weight is 1, so the scale is that of plain
cross-entropy. Dividing each image by its own sum of weights would take them back: an
image without positives would weigh w_0 n / (w_0 n) = 1 whatever w_0 is. (The weighted
loss of PyTorch divides by the sum over the batch, so there the scale of a step depends
on what else is in the batch.)
"""

from collections.abc import Sequence

import jax
import jax.numpy as jnp
from jaxtyping import Array, Float, Integer

from jaxseg.errors import ConfigError
from jaxseg.losses import _pixels


def loss(
    logits: Float[Array, "b h w k"],
    mask: Integer[Array, "b h w"],
    *,
    class_weights: Sequence[float] | None = None,
    label_smoothing: float = 0.0,
) -> Float[Array, "b"]:
    """Mean cross-entropy over the labelled pixels of each image; 0 without any.

    `class_weights` has one number a class, `label_smoothing` is in [0, 1). Raises
    ConfigError otherwise.
    """
    if not 0 <= label_smoothing < 1:
        raise ConfigError(
            f"label_smoothing is {label_smoothing!r}, but must be in [0, 1)."
        )
    classes = logits.shape[-1]
    logits, truth, counts = _pixels.prepare(logits, mask)
    cost = -_pixels.log_softmax_at(logits, truth)
    if class_weights is not None:
        cost = cost * _pixels.weight_map(truth, class_weights, classes)
    if label_smoothing:
        each = -jax.nn.log_softmax(logits)
        if class_weights is not None:
            weights = _pixels.weights_of(class_weights, classes)
            each = each * weights.reshape(1, 1, 1, -1)
        spread = jnp.mean(each, -1)
        cost = (1 - label_smoothing) * cost + label_smoothing * spread
    return _pixels.mean_labelled(cost, counts)
