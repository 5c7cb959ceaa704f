"""Counts how far two sets of masks of the same images agree: two raters, or a tool.

Neither is right by itself: Dice and Cohen's kappa (Cohen, 1960, A coefficient of
agreement for nominal scales, https://doi.org/10.1177/001316446002000104) are the same
whichever comes first, and so is F1 of objects that match at an IoU of 0.5.
"""

from collections.abc import Sequence
from typing import Any

import numpy as np
from jaxtyping import Int

from jaxseg.data import objects
from jaxseg.labels import IGNORE
from jaxseg.metrics import instances

POLICY = (
    "pixels that the reference leaves unlabelled count nowhere; objects are the "
    f"connected components of a class ({objects.CONNECTIVITY}) and match at an IoU of "
    "0.5 or more; n/a where neither marks anything"
)


def assemble(split: Any, masks: Any, confusion: Int[np.ndarray, "k k"]) -> dict:
    """Block `agreement` of eval/<split>.json: {"policy", "classes"}, a row a class.

    `split[i]` has the reference, `masks[i]` the other mask, u8 [h, w]; `confusion` are
    the pixels of all images, reference x other.
    """
    k = len(split.classes)
    sums = np.zeros((k, len(instances.FIELDS)))
    for i in range(len(split)):
        truth, other = split[i]["mask"], masks[i]
        ignore = truth == IGNORE
        for c in range(1, k):
            pair = (
                objects.components((one == c).astype(np.uint8))
                for one in (truth, other)
            )
            sums[c] += instances.measure(*pair, ignore=ignore)
    return {
        "policy": POLICY,
        "classes": [_row(split.classes, c, confusion, sums[c]) for c in range(1, k)],
    }


def _row(
    names: Sequence[str], c: int, confusion: np.ndarray, summed: np.ndarray
) -> dict[str, Any]:
    total = float(confusion.sum())
    both = float(confusion[c, c])
    first, second = float(confusion[c].sum()), float(confusion[:, c].sum())
    chance = (first * second + (total - first) * (total - second)) / max(total, 1) ** 2
    same = (total - first - second + 2 * both) / max(total, 1)
    tp, fp, fn, _ = summed[:-2].reshape(4, -1)[:, 0]  # at an IoU of 0.5
    return {
        "class": names[c],
        "dice": 2 * both / (first + second) if first + second else None,
        "kappa": (same - chance) / (1 - chance) if chance < 1 else None,
        "objects": int(tp + fn),
        "other_objects": int(tp + fp),
        "matched_objects": int(tp),
        "object_f1": 2 * tp / (2 * tp + fp + fn) if tp + fp + fn else None,
    }
