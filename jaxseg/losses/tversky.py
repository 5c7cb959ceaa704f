"""Computes Tversky loss: Dice with its own prices for both kinds of false pixels.

    loss = mean over classes of 1 - (TP + smooth) / (TP + alpha FP + beta FN + smooth)

TP = sum p y, FP = sum p (1 - y), FN = sum (1 - p) y over the labelled pixels of one
image. Salehi et al., 2017, https://arxiv.org/abs/1706.05721, where alpha = 0.3 and
beta = 0.7 were best for small lesions: beta above alpha asks for recall.
alpha = beta = 0.5 is dice with twice the `smooth`; alpha = beta = 1 is soft IoU.

What an empty mask means: as in dice, 1 - smooth / (alpha sum p + smooth), times
`absent_weight`; nothing when the prediction is empty too.
"""

from collections.abc import Sequence

from jaxtyping import Array, Float, Integer

from jaxseg.losses import _pixels


def loss(
    logits: Float[Array, "b h w k"],
    mask: Integer[Array, "b h w"],
    *,
    alpha: float = 0.3,
    beta: float = 0.7,
    smooth: float = 1.0,
    classes: Sequence[int] | None = None,
    absent_weight: float = 1.0,
) -> Float[Array, "b"]:
    """One minus the Tversky index, mean over `classes` (None: all but 0).

    0 without labels. `smooth` is in pixels. Raises ConfigError for a class that is not
    there and for negative settings.
    """
    _pixels.not_negative(
        alpha=alpha, beta=beta, smooth=smooth, absent_weight=absent_weight
    )
    both, probability, truth = _pixels.overlap(logits, mask, classes)
    missed = alpha * (probability - both) + beta * (truth - both)
    cost = 1 - _pixels.ratio(both + smooth, both + missed + smooth)
    return _pixels.mean_classes(cost, truth, absent_weight)
