"""Computes soft Dice of each image.

    loss = 1 - (2 sum p y + smooth) / (sum p + sum y + smooth), mean over classes

sums over the labelled pixels of one image. Milletari et al., V-Net, 2016,
https://arxiv.org/abs/1606.04797, with plain instead of squared sums, as in Drozdzal
et al., 2016, https://arxiv.org/abs/1608.04117

What an empty mask means: a class without a pixel in this image can lose by false
positives alone, 1 - smooth / (sum p + smooth). An empty prediction costs nothing. With
smooth = 1, predicted pixels that sum to 1 cost 0.5, and at 512 x 512 even p = 0.0001
everywhere costs 0.96, so in a set of mostly empty images these rule. Larger `smooth`
(in pixels), `absent_weight` below 1, or dice_batch soften that. With smooth = 0 the
cost is 1 for any prediction and teaches nothing. `absent_weight` = 0 leaves such
classes out: Dice of positives only, and an empty image costs 0.
"""

from collections.abc import Sequence

from jaxtyping import Array, Float, Integer

from jaxseg.losses import _pixels


def loss(
    logits: Float[Array, "b h w k"],
    mask: Integer[Array, "b h w"],
    *,
    smooth: float = 1.0,
    classes: Sequence[int] | None = None,
    absent_weight: float = 1.0,
) -> Float[Array, "b"]:
    """One minus Dice, mean over `classes` (None: all but 0); 0 without labels.

    `smooth` is in pixels. Raises ConfigError for a class that is not there and for
    negative settings.
    """
    _pixels.not_negative(smooth=smooth, absent_weight=absent_weight)
    both, probability, truth = _pixels.overlap(logits, mask, classes)
    cost = 1 - _pixels.ratio(2 * both + smooth, probability + truth + smooth)
    return _pixels.mean_classes(cost, truth, absent_weight)
