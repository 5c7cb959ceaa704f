"""The decision rule: probabilities become class ids at a frozen operating point."""

from typing import Any

import numpy as np
from jaxtyping import Float, UInt8

from jaxseg.labels import IGNORE

OBJECTIVES = (
    "dice_pooled",
    "iou_pooled",
    "dice_image_skip_empty",
    "iou_image_skip_empty",
    "dice_positives",
    "iou_positives",
    "dice_kaggle",
    "iou_kaggle",
    "matthews_pooled",
)


RULES = ("threshold", "triplet", "gate")


# Shares of the image, so that a point fits images of other sizes: at 1024 x 1024 these
# are 0, 105, 262, 524, 1049, 2097 and 4194 pixels.
MIN_AREAS = (0.0, 0.0001, 0.00025, 0.0005, 0.001, 0.002, 0.004)


def decide(
    probability: Float[np.ndarray, "h w k"],
    mask: UInt8[np.ndarray, "h w"],
    point: dict[str, Any] | None,
) -> UInt8[np.ndarray, "h w"]:
    """Class ids by the rule that was counted (`tally.at_point`), or argmax.

    `probability` may hold the foreground alone. Whether an image becomes empty is
    decided by its labelled pixels.
    """
    if point is None:
        return probability.argmax(axis=-1).astype(np.uint8)
    score, labelled = probability[..., -1], mask != IGNORE
    top, gate = (point.get(key) for key in ("top_threshold", "gate"))
    top = point["threshold"] if top is None else top
    area = np.count_nonzero(score[labelled] > np.float32(top))
    shown = area >= point["min_area"] * np.count_nonzero(labelled)
    if gate is not None:
        shown &= float(score[labelled].max(initial=0)) > gate
    return ((score > np.float32(point["threshold"])) & shown).astype(np.uint8)
