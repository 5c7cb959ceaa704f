"""Rows of overlap by rule and by threshold: pooled, and mean and deviation over images.

What is a free point is in the name: over "positives" an empty mask scores 0; over "all"
an empty truth with an empty mask scores 1, so a share of the mean is that of empty
images.
"""

import math
from typing import Any

import numpy as np

from jaxseg.evaluation import metric_table
from jaxseg.evaluation.tally import Tally, at, nearest
from jaxseg.metrics import overlap
from jaxseg.postprocess import decision

POLICY = (
    "Precision, recall, F1 and IoU are pooled over the pixels of all images, so F1 is "
    "the pooled Dice; Dice and IoU of positives are mean and deviation over the images "
    "with foreground in their mask, those of all count an empty truth with an empty "
    "mask as 1 and with any predicted pixel as 0; deviations divide by n; images "
    "without a labelled pixel are left out"
)
_GRID = tuple(round(0.05 * i, 2) for i in range(1, 20))
_FAMILY = {"positives": "positives", "all": "kaggle"}


def row(tally: Tally) -> dict[str, float | None]:
    """schemas.OverlapRow of the foreground (k = 2) at the counts of the tally."""
    counts = metric_table.of_class(tally, 1)
    names = ("precision", "recall", "dice", "iou")
    pooled = [overlap.value(f"{name}_pooled", counts) for name in names]
    out = dict(zip(("precision", "recall", "f1", "iou"), pooled, strict=True))
    for short, family in _FAMILY.items():
        for formula in ("dice", "iou"):
            ratio, inside, *_ = overlap.terms(f"{formula}_{family}", **counts)
            values = ratio[inside > 0]
            mean = deviation = None
            if len(values):
                mean = math.fsum(values) / len(values)
                spread = math.fsum((values - mean) ** 2) / len(values)
                deviation = math.sqrt(spread)
            out[f"{formula}_{short}"] = mean
            out[f"{formula}_{short}_deviation"] = deviation
    return out


def support(tally: Tally) -> dict[str, int]:
    """{"images", "positives"}: those with a labelled pixel, and with foreground."""
    labelled = int(np.count_nonzero(tally.pixels))
    return {"images": labelled, "positives": int(np.count_nonzero(tally.positive))}


def thresholds() -> list[float]:
    """The counted thresholds nearest to 0.05, 0.10, ... 0.95."""
    return [float(decision.THRESHOLDS[nearest(t)]) for t in _GRID]


def by_threshold(tally: Tally) -> list[dict[str, Any]]:
    """A schemas.ThresholdRow at each of `thresholds`: p > t, no other rule."""
    return [{"threshold": t} | row(at(tally, threshold=t)) for t in thresholds()]
