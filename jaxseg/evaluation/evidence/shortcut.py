"""Scores a classifier again without the object, and with nothing but the object.

A classifier that ranks images without their lungs nearly as well as with them has
learned something else: Maguolo and Nanni, 2021, https://arxiv.org/abs/2004.12823,
covered the lungs so and found it of COVID-19 films of several sources.
"""

from typing import Any

import numpy as np
from jaxtyping import Float, Int

from jaxseg.data import prepared
from jaxseg.evaluation.evidence import covered, whole_scores
from jaxseg.evaluation.image_classes import resample
from jaxseg.inference import whole_split
from jaxseg.metrics import bootstrap, classification, image_classification

MARGIN = 0.05  # above 0.5: what is no accident may still be of no consequence
SHARE = 0.5  # of what the area has above 0.5
RULE = (
    f"kept: without the object the lower end of the area is above {0.5 + MARGIN:g}, "
    f"and more than {SHARE:.0%} of what it has above 0.5 is left; lost: the upper end "
    "says the opposite of either; no_score: the area as it is does not exceed 0.5 by "
    "its whole interval, so nothing can be kept; unclear: the interval does not decide"
)
_DETAIL = {
    "as_is": "the images as they are",
    "erased": "the object and 3 % of the longer side around it replaced by the mean of "
    "the rest",
    "only": "all but the object and 3 % around it replaced by the mean of these",
}


def score(
    scorer: whole_split.Scorer,
    variables: Any,
    split: prepared.Split,
    erased: tuple[int, ...],
    *,
    width: int,
    seed: int = 0,
    resamples: int = bootstrap.RESAMPLES,
) -> dict[str, Any]:
    """Assembles "shortcut" of eval/<split>.json.

    `erased` are ids of pixel classes, `width` is how many numbers the head says. Images
    in which nothing, or everything, is of them are left out of all three scores. Means
    are over the classes of which there are images of both kinds.
    """
    used = covered.usable(split, erased)
    inputs = {
        "as_is": split,
        "erased": covered.of(split, erased, only=False),
        "only": covered.of(split, erased, only=True),
    }
    said = {
        name: whole_scores.scores(scorer, variables, view, width, used)
        for name, view in inputs.items()
    }
    place = sorted(used)
    truth = whole_scores.truth(split, width)[place]
    groups = [split.groups[i] for i in place]
    titles = whole_scores.names(split, width)
    rows = [
        {"input": name, "detail": _DETAIL[name]}
        | _ranked(values[place], truth, groups, titles, seed, resamples)
        for name, values in said.items()
    ]
    return {
        "erased": [split.classes[k] for k in erased],
        "images": len(place),
        "left_out": len(split) - len(place),
        "groups": len(set(groups)),
        "rows": rows,
        "verdict": verdict(*rows[:2]),
        "rule": RULE,
    }


def _ranked(
    said: Float[np.ndarray, "n m"],
    truth: Int[np.ndarray, "n m"],
    groups: list[str],
    titles: list[str],
    seed: int,
    resamples: int,
) -> dict[str, Any]:
    each = [
        classification.ranking(column, label)["roc_auc"]
        for column, label in zip(said.T, truth.T, strict=True)
    ]
    again = resample.resample(
        said,
        truth,
        [None] * len(titles),
        groups,
        exclusive=False,  # areas need no answer
        seed=seed,
        resamples=resamples,
    )
    value = image_classification.mean(each)
    ends = again.ends("roc_auc_mean") if value is not None else (None, None)
    return {
        "roc_auc_mean": value,
        "low": ends[0],
        "high": ends[1],
        "classes": [
            {"name": name, "roc_auc": value}
            for name, value in zip(titles, each, strict=True)
        ],
    }


def verdict(whole: dict[str, Any], without: dict[str, Any]) -> str:
    """Whether the score is kept without the object, by RULE: schemas.Verdict."""
    if None in (whole["low"], without["low"]):
        return "undefined"
    if whole["low"] <= 0.5:
        return "no_score"
    floor, half = 0.5 + MARGIN, 0.5 + SHARE * (whole["roc_auc_mean"] - 0.5)
    if without["low"] > floor and without["roc_auc_mean"] > half:
        return "kept"
    return "lost" if without["high"] <= max(floor, half) else "unclear"
