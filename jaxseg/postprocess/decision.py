"""The decision rule: probabilities become class ids at a frozen operating point.

A pixel is foreground above a threshold, and an image with too little to show is left
empty. With more than two classes a pixel gets the class of the highest log-probability
plus the offset of that class; without offsets, the most probable class.
`evaluation/tally.at` counts the same rule from histograms, at every setting of GRID.
"""

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from jaxtyping import Bool, Float, UInt8

from jaxseg import lookup
from jaxseg.errors import ConfigError, DataError

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
RULES = ("threshold", "triplet", "gate")  # for two classes
CLASS_RULES = ("offsets", "argmax")  # for more
AUTO = "auto"  # threshold for two classes, offsets for more


def _thresholds() -> Float[np.ndarray, "417"]:
    """Exact float32 values, symmetric about 1/2 and finer towards both ends."""
    coarse = [2.0**e * (1 + i / 8) for e in range(-18, -4) for i in range(8)]
    fine = [2.0**e * (1 + i / 32) for e in range(-4, -1) for i in range(32)]
    low = np.array(coarse + fine)
    return np.concatenate([low, [0.5], 1 - low[::-1]])


THRESHOLDS = _thresholds()  # f64 [417]
STEP = 4
COARSE = THRESHOLDS[::STEP]  # f64 [105], the top thresholds and gates that are tried
# Shares of the image, so that a point fits images of other sizes: at 1024 x 1024 these
# are 0, 105, 262, 524, 1049, 2097 and 4194 pixels.
MIN_AREAS = (0.0, 0.0001, 0.00025, 0.0005, 0.001, 0.002, 0.004)
GRID = {
    "threshold": THRESHOLDS,
    "min_area": MIN_AREAS,
    "top_threshold": COARSE,
    "gate": COARSE,
}


def apply(
    probability: Float[np.ndarray, "h w k"],
    *,
    threshold: float | None = None,
    min_area: float = 0.0,
    top_threshold: float | None = None,
    gate: float | None = None,
    labelled: Bool[np.ndarray, "h w"] | None = None,
) -> UInt8[np.ndarray, "h w"]:
    """Class ids: p > threshold, or the most probable class without a threshold.

    With a threshold `probability` may hold the foreground alone. The image becomes
    empty when fewer of its pixels than `min_area` (a share) lie above `top_threshold`,
    which is `threshold` unless given; and when no pixel lies above `gate`. Only the
    pixels of `labelled` (None: all of them) decide whether it does.
    """
    if threshold is None:
        return probability.argmax(axis=-1).astype(np.uint8)
    score = probability[..., -1]
    deciding = score.ravel() if labelled is None else score[labelled]
    top = threshold if top_threshold is None else top_threshold
    area = np.count_nonzero(deciding > np.float32(top))
    shown = area >= min_area * deciding.size
    if gate is not None:
        shown &= float(deciding.max(initial=0)) > gate
    return ((score > np.float32(threshold)) & shown).astype(np.uint8)


def rule_for(rule: str, num_classes: int) -> str:
    """The rule that config.operating_point.rule means for this number of classes.

    Above two classes the rules for two mean "argmax", as they always did. Raises
    ConfigError for a rule that this number of classes has not.
    """
    if rule == AUTO:
        return "threshold" if num_classes == 2 else "offsets"
    if num_classes == 2 and rule in CLASS_RULES:
        raise ConfigError(
            f"config.operating_point.rule {rule!r} is for more than 2 classes, and the "
            f"data has 2: leave it at {AUTO!r}, or choose one of {list(RULES)}."
        )
    if num_classes > 2 and rule in RULES:
        return "argmax"
    if num_classes > 2 and rule not in CLASS_RULES:
        raise ConfigError(
            f"config.operating_point.rule {rule} needs 2 classes, not {num_classes}: "
            f"leave it at {AUTO!r}."
        )
    return rule


def class_weights(offsets: Sequence[float]) -> Float[np.ndarray, "k"]:
    """exp(offset) of each class, float64 numbers that float32 holds exactly.

    The product with a float32 probability is then exact in float64: adding offsets to
    log-probabilities is comparing such products, and offsets of 0 are argmax bit for
    bit.
    """
    return np.exp(np.asarray(offsets, np.float64)).astype(np.float32).astype(np.float64)


def by_offsets(
    probability: Float[np.ndarray, "*n k"], offsets: Sequence[float]
) -> UInt8[np.ndarray, "*n"]:
    """Class ids argmax_c(log p_c + offset_c); the lowest class wins a tie.

    Raises ConfigError unless there is one offset for each class.
    """
    if len(offsets) != probability.shape[-1]:
        raise ConfigError(
            f"The operating point holds {len(offsets)} offsets, but the model predicts "
            f"{probability.shape[-1]} classes: it belongs to another model."
        )
    weights = class_weights(offsets)
    best = probability[..., 0] * weights[0]
    answer = np.zeros(best.shape, np.uint8)
    for c in range(1, len(weights)):
        score = probability[..., c] * weights[c]
        better = score > best
        answer[better] = c
        np.maximum(best, score, out=best)
    return answer


def settings(point: Mapping[str, Any] | None) -> dict[str, Any]:
    """Returns what an operating point, also one of an older run, says to `apply`."""
    return {name: point[name] for name in GRID if name in point} if point else {}


def check(point: Mapping[str, Any] | None, *, num_classes: int, source: str) -> None:
    """Raises DataError, naming `source`, for a point that no search can have chosen.

    That is a rule there is none of, a threshold or share outside 0 to 1, and offsets of
    another number of classes.
    """
    if point is None:
        return
    rule, offsets = point.get("rule", AUTO), point.get("offsets")
    own = [name for name in lookup.names("postprocess") if name != "decision"]
    rules = [AUTO, *RULES, *CLASS_RULES, *own]
    if rule not in rules and "." not in rule:
        raise DataError(
            f"{source}: operating_point.rule is {rule!r}: {lookup.hint(rule, rules)}"
        )
    for name in GRID:
        value = point.get(name)
        if value is not None and not 0 <= value <= 1:
            raise DataError(
                f"{source}: operating_point.{name} is {value}; it is from 0 to 1."
            )
    if offsets is not None and len(offsets) != num_classes:
        raise DataError(
            f"{source}: operating_point.offsets holds {len(offsets)} numbers; the run "
            f"has {num_classes} classes."
        )


def decide(
    probability: Float[np.ndarray, "h w k"],
    point: Mapping[str, Any] | None,
    labelled: Bool[np.ndarray, "h w"] | None = None,
) -> UInt8[np.ndarray, "h w"]:
    """Class ids by a frozen operating point, whatever its rule (None: argmax).

    A rule that is none of RULES is a file beside this one, or a module of the user's
    own: its `apply(probability, **settings)` returns the mask. Raises ConfigError when
    it returns something else.
    """
    if point and "offsets" in point:
        return by_offsets(probability, point["offsets"])
    if not point or "settings" not in point:
        return apply(probability, labelled=labelled, **settings(point))
    rule = lookup.find("postprocess", point["rule"])
    mask = np.asarray(rule.apply(probability, **point["settings"]))
    if mask.shape != probability.shape[:2] or not np.isin(mask, (0, 1)).all():
        raise ConfigError(
            f"apply() of {point['rule']} must return a mask of 0 and 1 with the shape "
            f"{probability.shape[:2]}; it returned {mask.dtype} {mask.shape} from "
            f"{mask.min(initial=0)} to {mask.max(initial=0)}."
        )
    return mask.astype(np.uint8)
