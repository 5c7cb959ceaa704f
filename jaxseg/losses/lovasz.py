"""Computes Lovász-softmax: a convex surface over the IoU of each image.

    loss = mean over classes of  sum_j e_(j) (J_j - J_(j-1))

e = |y - p| of the labelled pixels of one image in falling order, J_j = the Jaccard loss
when the first j of them are wrong. Berman et al., 2018, https://arxiv.org/abs/1705.08790

What an empty mask means: a class without a pixel costs its largest probability, times
`absent_weight` (0, "present classes only", is what the paper trains with).

It sorts all pixels of each image and class, which is slow on a CPU.
"""

from collections.abc import Sequence

import jax
import jax.numpy as jnp
from jaxtyping import Array, Float, Integer

from jaxseg.losses import _pixels


def loss(
    logits: Float[Array, "b h w k"],
    mask: Integer[Array, "b h w"],
    *,
    classes: Sequence[int] | None = None,
    absent_weight: float = 1.0,
) -> Float[Array, "b"]:
    """The Lovász extension of 1 - IoU, mean over `classes` (None: all but 0).

    0 without labels. Raises ConfigError for a class that is not there and for a
    negative setting.
    """
    _pixels.not_negative(absent_weight=absent_weight)
    logits, truth, counts = _pixels.prepare(logits, mask)
    chosen = _pixels.foreground(classes, logits.shape[-1])
    probability = jax.nn.softmax(logits)
    probability = jnp.stack([probability[..., c] for c in chosen], -1)
    right = _pixels.is_class(truth, chosen).astype(jnp.float32)  # [b, h, w, n]
    error = jnp.abs(right - probability) * counts[..., None]
    flat = [_rows(part) for part in (error, right, counts[..., None] * (1 - right))]
    error, right, wrong = jax.lax.sort([-flat[0], *flat[1:]], num_keys=1)
    slope = jax.lax.stop_gradient(_slope(right, wrong))
    cost = jnp.sum(-error * slope, -1)  # [b, n]
    return _pixels.mean_classes(cost, jnp.sum(right, -1), absent_weight)


def _rows(part):
    """[b, h, w, n] -> [b, n, h w]."""
    batch, _, _, classes = part.shape
    return jnp.moveaxis(part, -1, 1).reshape(batch, classes, -1)


def _slope(right, wrong):
    """What each pixel, worst first, adds to the Jaccard loss; [b, n, h w]."""
    present = jnp.sum(right, -1, keepdims=True)
    left = present - jnp.cumsum(right, -1)
    union = present + jnp.cumsum(wrong, -1)
    jaccard = 1 - left / jnp.maximum(union, 1.0)
    return jnp.diff(jaccard, axis=-1, prepend=0.0)
