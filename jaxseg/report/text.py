"""Prints numbers and names: every number of a report of a run comes through here."""

import math
from collections.abc import Mapping, Sequence
from typing import Any

UNDEFINED = "n/a"
LABELS = {
    "dice_pooled": "Dice, all pixels pooled",
    "iou_pooled": "IoU, all pixels pooled",
    "precision_pooled": "Precision, all pixels pooled",
    "recall_pooled": "Recall, all pixels pooled",
    "specificity_pooled": "Specificity, all pixels pooled",
    "accuracy_pooled": "Accuracy, all pixels pooled",
    "balanced_accuracy_pooled": "Balanced accuracy, all pixels pooled",
    "matthews_pooled": "Matthews correlation, all pixels pooled",
    "dice_image_skip_empty": "Dice per image, empty pairs left out",
    "iou_image_skip_empty": "IoU per image, empty pairs left out",
    "precision_image_skip_empty": "Precision per image, empty pairs left out",
    "dice_positives": "Dice per image, positives only",
    "iou_positives": "IoU per image, positives only",
    "precision_positives": "Precision per image, positives only",
    "recall_positives": "Recall per image, positives only",
    "specificity_positives": "Specificity per image, positives only",
    "dice_kaggle": "Dice per image, Kaggle rule",
    "iou_kaggle": "IoU per image, Kaggle rule",
    "hd95_image_skip_empty": "HD95 per image, pixels",
    "hd_image_skip_empty": "Hausdorff distance per image, pixels",
    "assd_image_skip_empty": "Mean surface distance (ASSD) per image, pixels",
    "nsd_image_skip_empty": "Surface Dice per image",
    "boundary_iou_image_skip_empty": "Boundary IoU per image",
    "precision_tolerant_image_skip_empty": "Tolerant precision per image",
    "recall_tolerant_image_skip_empty": "Tolerant recall per image",
    "f1_tolerant_image_skip_empty": "Tolerant F1 per image",
    "precision_tolerant_pooled": "Tolerant precision, all pixels pooled",
    "recall_tolerant_pooled": "Tolerant recall, all pixels pooled",
    "f1_tolerant_pooled": "Tolerant F1, all pixels pooled",
    "object_f1_50": "F1 of objects at IoU 0.5",
    "object_f1_75": "F1 of objects at IoU 0.75",
    "object_precision_50": "Precision of objects at IoU 0.5",
    "object_recall_50": "Recall of objects at IoU 0.5",
    "object_accuracy_50": "Accuracy of objects at IoU 0.5",
    "object_accuracy_75": "Accuracy of objects at IoU 0.75",
    "object_accuracy_mean": "Accuracy of objects, mean over IoU 0.5 to 0.95",
    "object_panoptic_quality_50": "Panoptic quality at IoU 0.5",
    "object_mean_true_score_50": "Mean IoU of true objects, missed ones as 0",
    "object_mean_matched_score_50": "Mean IoU of matched objects",
    "object_aji": "Aggregated Jaccard index (AJI)",
    "object_f1_50_images": "F1 of objects at IoU 0.5, mean over images",
    "count_mae": "Mean absolute error of the count, objects an image",
    "count_relative_error": "Relative error of the count, mean over images",
    "count_bias": "Bias of the count (predicted - true), objects an image",
    "all_empty": "all empty",
    "all_foreground": "all foreground",
    "majority_class": "majority class",
    "all_one_class": "all of the most frequent foreground class",
    "best_global_threshold": "best grey threshold",
    "nearest_training_image": "mask of the nearest training image",
    "otsu_watershed": "threshold and watershed",
}
_POLICIES = {
    "matthews_pooled": "pixels of all images are summed, then divided once; n/a where "
    "nothing or everything is truth or prediction",
    "pooled": "pixels of all images are summed, then divided once",
    "skip_empty": "mean over images; empty truth with empty prediction is left "
    "out, empty truth with any predicted pixel is 0",
    "positives": "mean over images with a non-empty truth",
    "kaggle": "mean over all images; empty truth with empty prediction is 1, "
    "empty truth with any predicted pixel is 0",
}


def number(value: float | None, style: str = "score") -> str:
    """The one way a number is printed; `n/a` when it is undefined.

    Styles: score (0.712), percent (71.2 %), count (12,047), seconds (1 h 23 min),
    plain (as short as four significant digits allow; integers in full).
    """
    if value is None or not math.isfinite(value):
        return UNDEFINED
    if style == "count":
        return f"{round(value):,}"
    if style == "percent":
        share = 100 * value
        return f"{share:.2g} %" if 0 < abs(share) < 1 else f"{share:.1f} %"
    if style == "seconds":
        return _duration(value)
    if style == "plain":
        whole = float(value).is_integer() and abs(value) < 1e15
        return f"{round(value):,}" if whole else f"{value:.4g}"
    if style == "score":
        return f"{value:.2g}" if 0 < abs(value) < 0.01 else f"{value:.3f}"
    raise ValueError(f"number has no style {style!r}.")


def _duration(seconds: float) -> str:
    minutes, rest = divmod(round(seconds), 60)
    hours, minutes = divmod(minutes, 60)
    if hours:
        return f"{hours:,} h {minutes:02d} min"
    return f"{minutes} min {rest:02d} s" if minutes else f"{seconds:.3g} s"


def interval(value: float | None, low: float | None, high: float | None) -> str:
    """`0.712 [0.650, 0.770]`, or the number alone where no interval is known."""
    if value is None or low is None or high is None:
        return number(value)
    return f"{number(value)} [{number(low)}, {number(high)}]"


def span(row: Mapping[str, Any]) -> str:
    """`0.650 to 0.770`, or nothing where a row has no interval."""
    if None in (row["low"], row["high"]):
        return ""
    return f"{number(row['low'])} to {number(row['high'])}"


def scored(row: Mapping[str, Any]) -> str:
    """A metric row as text; an absent class reads `n/a (support 0)`."""
    if row["value"] is None:
        return f"{UNDEFINED} (support {number(row['support_images'] or 0, 'count')})"
    return interval(row["value"], row["low"], row["high"])


def plain(value: Any) -> str:
    """Any JSON value on one line; what is not set says so."""
    if value is None:
        return "not set"
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, int | float):
        return number(value, "plain")
    if isinstance(value, Mapping):
        return ", ".join(f"{k} {plain(v)}" for k, v in value.items()) or "empty"
    if isinstance(value, Sequence) and not isinstance(value, str):
        return ", ".join(plain(v) for v in value) or "empty"
    return str(value) or "empty"


def dotted(value: Any, prefix: str = "") -> dict[str, Any]:
    """{"a": {"b": 1}} as {"a.b": 1}, in its own order."""
    if not isinstance(value, Mapping) or not value:
        return {prefix: value}
    start = f"{prefix}." if prefix else ""
    parts = [dotted(inner, f"{start}{key}") for key, inner in value.items()]
    return {key: inner for part in parts for key, inner in part.items()}


def flat(value: Any, prefix: str = "") -> list[tuple[str, str]]:
    """(dotted key, text) pairs of a nested mapping, in its own order."""
    return [(key, plain(inner)) for key, inner in dotted(value, prefix).items()]


def label(name: str) -> str:
    """The human words for a metric or baseline; its own name made readable if new."""
    return LABELS.get(name, name.replace("_", " "))


def policy(name: str) -> str:
    """What the name of a metric promises about empty masks and averaging."""
    texts = (text for suffix, text in _POLICIES.items() if name.endswith(suffix))
    return next(texts, "policy not recorded")


def area(share: float | None) -> str:
    """A minimum area, which is a share of the labelled pixels of an image."""
    if share is None:
        return UNDEFINED
    return "none" if share == 0 else f"{number(share, 'percent')} of an image"


def rule(point: Mapping[str, Any]) -> dict[str, str]:
    """What an operating point holds besides threshold and area, where it matters."""
    if "settings" in point:  # of a rule of postprocess/, or of the user's own
        return {name: plain(value) for name, value in point["settings"].items()}
    top, gate = point.get("top_threshold"), point.get("gate")
    top = None if top == point.get("threshold") else top
    parts = {"top threshold": top, "gate": gate}
    return {name: number(value) for name, value in parts.items() if value is not None}


def plural(count: float, one: str, many: str | None = None) -> str:
    """`1 image`, `2 images`."""
    return f"{number(count, 'count')} {one if count == 1 else many or one + 's'}"
