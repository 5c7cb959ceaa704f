"""Overlap metrics from exact counts, each with its empty-mask policy in its name.

A metric is a formula on four numbers summed over images, so the same terms serve the
value, its bootstrap interval and the search for a threshold. Counts are int64 and are
divided once, at the end.

Only families that mean something are offered for a formula. Recall and specificity skip
no empty pair: a false positive would be a recall of 0, an empty pair is a specificity
of 1. The Kaggle rule is one for Dice and IoU.
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
    "accuracy": "(TP + TN) / (TP + FP + FN + TN)",
    "balanced_accuracy": "(TP / (TP + FN) + TN / (TN + FP)) / 2",
    "matthews": "(TP TN - FP FN) / sqrt((TP + FP) (TP + FN) (TN + FP) (TN + FN))",
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
_OWN = {  # what a policy does not say of its own formula
    "balanced_accuracy_pooled": "n/a also when the class fills every image",
    "matthews_pooled": "0/0 (nothing or everything is truth or prediction) is n/a, "
    "where scikit-learn says 0",
    "precision_image_skip_empty": "a truth with nothing predicted counts 0",
    "precision_positives": "a truth with nothing predicted counts 0",
    "specificity_positives": "an image that the class fills is left out too",
}
_OFFERED = {
    "pooled": tuple(_FORMULA),
    "image_skip_empty": ("dice", "iou", "precision"),
    "positives": ("dice", "iou", "precision", "recall", "specificity"),
    "kaggle": ("dice", "iou"),
}
_PARTS = {
    f"{formula}_{family}": (formula, family)
    for family, formulas in _OFFERED.items()
    for formula in formulas
}
POOLED = tuple(name for name, (_, family) in _PARTS.items() if family == "pooled")
PER_IMAGE = tuple(name for name in _PARTS if name not in POOLED)
METRICS = POOLED + PER_IMAGE


def policy(name: str) -> str:
    """Says in words what the metric is and what it does with empty masks."""
    formula, family = _PARTS[name]
    words = f"{_FORMULA[formula]}; {_FAMILY[family]}"
    return f"{words}; {_OWN[name]}" if name in _OWN else words


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
    """Returns numerator and denominator."""
    if formula == "dice":
        return 2 * tp, 2 * tp + fp + fn
    if formula == "accuracy":
        return tp + tn, tp + fp + fn + tn
    below = {"iou": fp + fn + tp, "precision": tp + fp, "recall": tp + fn}
    return (tn, tn + fp) if formula == "specificity" else (tp, below[formula])


def _matthews(tp, fp, fn, tn):
    """Computes in float64 throughout: off by a few roundings, whatever cancels."""
    sides = np.stack([tp + fp, tp + fn, tn + fp, tn + fn]).astype(np.float64)
    defined = (sides > 0).all(axis=0)
    above = np.multiply(tp, tn, dtype=np.float64) - np.multiply(fp, fn, dtype=float)
    below = np.where(defined, np.sqrt(sides).prod(axis=0), 1)
    return np.where(defined, np.clip(above / below, -1, 1), np.nan)


def _ratio(formula: str, tp, fp, fn, tn) -> Float[np.ndarray, "*n"]:
    """The formula; NaN for 0/0."""
    if formula == "matthews":
        return _matthews(tp, fp, fn, tn)
    if formula == "balanced_accuracy":
        return sum(_ratio(f, tp, fp, fn, tn) for f in ("recall", "specificity")) / 2
    above, below = _fraction(formula, tp, fp, fn, tn)
    return np.where(below > 0, above / np.where(below > 0, below, 1), np.nan)


def terms(name: str, *, tp, fp, fn, tn) -> Float[np.ndarray, "4 *n"]:
    """f64 [4, *n]: the four numbers of each image that are summed before `divide`.

    Pooled: tp, fp, fn and tn themselves (exact below 2^53). Means over images: the
    ratio, whether the image is in the mean, whether the class is in it, and 0.
    """
    formula, family = _PARTS[name]
    if family == "pooled":
        return np.stack([tp, fp, fn, tn]).astype(np.float64)
    above, below = _fraction(formula, tp, fp, fn, tn)
    truth, touched = tp + fn, tp + fp + fn > 0
    ratio = above / np.maximum(below, 1)
    if family == "kaggle":
        inside = tp + fp + fn + tn > 0  # an image without labels is not empty
        ratio, present = np.where(touched, ratio, 1.0), inside
    else:
        inside = truth > 0 if family == "positives" else touched
        inside = inside & (below > 0) if formula == "specificity" else inside
        present = truth
    ratio = np.where(inside, ratio, 0.0)
    return np.stack([ratio, inside, present, inside * 0]).astype(np.float64)


def divide(name: str, summed: Float[np.ndarray, "4 *n"]) -> Float[np.ndarray, "*n"]:
    """The metric from summed terms; NaN where it is undefined."""
    formula, family = _PARTS[name]
    if family == "pooled":
        present = _truth(formula, *summed) > 0
        return np.where(present, _ratio(formula, *summed), np.nan)
    ratios, inside, present, _ = summed
    defined = (inside > 0) & (present > 0)
    return np.where(defined, ratios / np.where(defined, inside, 1), np.nan)


def _truth(formula: str, tp, fp, fn, tn):
    """Counts the pixels of the kind that the formula is about."""
    return tn + fp if formula == "specificity" else tp + fn


def each(name: str, counts: dict[str, np.ndarray]) -> list[float | None]:
    """The pooled metric of every image by itself; None for 0/0, whatever is absent."""
    ratio = _ratio(_PARTS[name][0], **counts).tolist()
    return [None if math.isnan(r) else r for r in ratio]


def value(name: str, counts: dict[str, np.ndarray]) -> float | None:
    """The metric over all images, or None where it is undefined (an absent class).

    `counts` holds tp, fp, fn and tn, int64 [images]. Sums are correctly rounded, so the
    order of the images cannot change the last bit.
    """
    formula, family = _PARTS[name]
    if family == "pooled":
        summed = [int(counts[key].sum()) for key in ("tp", "fp", "fn", "tn")]
        if formula == "matthews":
            return _exact_matthews(*summed)
    else:
        summed = [math.fsum(row) for row in terms(name, **counts)]
    result = float(divide(name, np.array(summed, np.float64)))
    return None if math.isnan(result) else result


def _exact_matthews(tp: int, fp: int, fn: int, tn: int) -> float | None:
    """Computes in whole numbers: the fourth power of 2e8 pixels fits no float exactly.

    The square is a ratio of integers, rounded once; so a perfect prediction is 1.
    """
    above = tp * tn - fp * fn
    below = (tp + fp) * (tp + fn) * (tn + fp) * (tn + fn)
    return math.copysign(math.sqrt(above**2 / below), above) if below else None


def support(name: str, counts: dict[str, np.ndarray]) -> tuple[int, int]:
    """Counts the images and truth pixels behind the metric, as its policy says."""
    formula, family = _PARTS[name]
    truth = _truth(formula, **counts)
    inside = truth > 0 if family == "pooled" else terms(name, **counts)[1] > 0
    return int(inside.sum()), int(truth[inside].sum())


def mean_of_present(values: list[float | None]) -> float | None:
    """Mean over classes that have a value; None when none has."""
    present = [v for v in values if v is not None]
    return math.fsum(present) / len(present) if present else None
