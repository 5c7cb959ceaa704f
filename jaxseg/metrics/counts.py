"""Overlap metrics from exact counts, each with its empty-mask policy in its name.

A metric is a sum of numerators over a sum of denominators, one term an image, so the
same terms serve the value, its bootstrap interval and the search for a threshold.
Counts are int64 and are divided once, at the end.
"""

import math

import numpy as np
from jaxtyping import Float, Int

_FORMULA = {
    "dice": "2 TP / (2 TP + FP + FN)",
    "iou": "TP / (TP + FP + FN)",
    "precision": "TP / (TP + FP)",
    "recall": "TP / (TP + FN)",
    "specificity": "TN / (TN + FP)",
}
_FAMILY = {
    "pooled": "counts summed over all images, then one ratio; n/a when the class is "
    "absent or the ratio is 0/0; support: images with the class",
    "image_skip_empty": "mean over images; an image with empty truth and empty "
    "prediction is left out, empty truth with false positives counts 0; n/a when the "
    "class is absent; support: images in the mean",
    "positives": "mean over images with non-empty truth, all others left out; "
    "support: images in the mean",
    "kaggle": "mean over all images; empty truth and empty prediction counts 1, empty "
    "truth with any predicted pixel counts 0; support: images in the mean",
}
POOLED = tuple(f"{formula}_pooled" for formula in _FORMULA)
PER_IMAGE = tuple(
    f"{formula}_{family}"
    for family in ("image_skip_empty", "positives", "kaggle")
    for formula in ("dice", "iou")
)
METRICS = POOLED + PER_IMAGE


def _parts(name: str) -> tuple[str, str]:
    formula, _, family = name.partition("_")
    return formula, family


def policy(name: str) -> str:
    """What the metric is and what it does with empty masks, in words."""
    formula, family = _parts(name)
    return f"{_FORMULA[formula]}; {_FAMILY[family]}"


def split_counts(
    truth: Int[np.ndarray, "*n"],
    predicted: Int[np.ndarray, "*n"],
    hits: Int[np.ndarray, "*n"],
    pixels: Int[np.ndarray, "*n"],
) -> dict[str, np.ndarray]:
    """tp, fp, fn and tn of one class from its pixels in truth, prediction and both."""
    return {
        "tp": hits,
        "fp": predicted - hits,
        "fn": truth - hits,
        "tn": pixels - predicted - truth + hits,
    }


def _fraction(formula: str, tp, fp, fn, tn):
    if formula == "dice":
        return 2 * tp, 2 * tp + fp + fn
    below = {"iou": fp + fn + tp, "precision": tp + fp, "recall": tp + fn}
    return (tn, tn + fp) if formula == "specificity" else (tp, below[formula])


def terms(name: str, *, tp, fp, fn, tn) -> Float[np.ndarray, "3 *n"]:
    """Numerator, denominator and presence of each image; sum over images, then divide.

    Float64 of whatever shape the counts have (whole numbers below 2^53 stay exact).
    The metric is undefined where the summed presence or denominator is 0.
    """
    formula, family = _parts(name)
    above, below = _fraction(formula, tp, fp, fn, tn)
    truth = tn + fp if formula == "specificity" else tp + fn
    if family == "pooled":
        return np.stack([above, below, truth]).astype(np.float64)
    ratio = above / np.maximum(below, 1)
    if family == "kaggle":
        labelled = (tp + fp + fn + tn) > 0  # an image without labels is not empty
        ratio = np.where(below == 0, 1.0, ratio) * labelled
        return np.stack([ratio, labelled, labelled]).astype(np.float64)
    inside = (truth if family == "positives" else below) > 0
    return np.stack([np.where(inside, ratio, 0.0), inside, truth]).astype(np.float64)


def divide(summed: Float[np.ndarray, "3 *n"]) -> Float[np.ndarray, "*n"]:
    """The metric from summed terms; NaN where it is undefined."""
    above, below, present = summed
    defined = (below > 0) & (present > 0)
    return np.where(defined, above / np.where(defined, below, 1), np.nan)


def each(name: str, counts: dict[str, np.ndarray]) -> list[float | None]:
    """The pooled metric of every image by itself; None for 0/0, whatever is absent."""
    above, below, _ = terms(name, **counts)
    pairs = zip(above.tolist(), below.tolist(), strict=True)
    return [a / b if b > 0 else None for a, b in pairs]


def value(name: str, counts: dict[str, np.ndarray]) -> float | None:
    """The metric over all images, or None where it is undefined (an absent class).

    `counts` holds tp, fp, fn and tn, int64 [images]. Sums are correctly rounded, so the
    order of the images cannot change the last bit.
    """
    summed = [math.fsum(row) for row in terms(name, **counts)]
    return summed[0] / summed[1] if summed[1] > 0 and summed[2] > 0 else None


def support(name: str, counts: dict[str, np.ndarray]) -> tuple[int, int]:
    """Images and truth pixels behind the metric, as its policy says."""
    formula, family = _parts(name)
    other = formula == "specificity"
    truth = counts["tn"] + counts["fp"] if other else counts["tp"] + counts["fn"]
    if family == "pooled":
        images = np.count_nonzero(truth)
    else:
        images = int(terms(name, **counts)[1].sum())
    return int(images), int(truth.sum())


def mean_of_present(values: list[float | None]) -> float | None:
    """Mean over classes that have a value; None when none has."""
    known = [v for v in values if v is not None]
    return math.fsum(known) / len(known) if known else None
