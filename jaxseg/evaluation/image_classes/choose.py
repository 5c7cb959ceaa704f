"""Chooses on validation how classes of whole images are decided and softened.

Each class gets the threshold of its best F1 against the rest; all get one temperature,
that of the lowest log loss (Guo et al., 2017, https://arxiv.org/abs/1706.04599), which
is reported beside the figures as they are and applied nowhere else.
"""

import math
from typing import Any

import numpy as np
from absl import logging
from jaxtyping import Float, Int
from scipy.special import logsumexp, softmax

from jaxseg.evaluation import operating_point, temperature
from jaxseg.evaluation.tally import Tally
from jaxseg.metrics import calibration, classification, image_classification

OBJECTIVE = "f1"
Probability = Float[np.ndarray, "n m"]
Truth = Int[np.ndarray, "n m"]


def choose(tally: Tally, split: Any) -> dict[str, Any]:
    """What is frozen: image_class_schemas.ImageClassChoice.

    A threshold is None, and a warning is logged, where `split` does not both show its
    class and not show it; the temperature where one class alone is shown.
    """
    probability, truth = tally.class_probability.astype(np.float64), tally.class_truth
    names, rows = list(split.image_class_names), []
    for name, score, label in zip(names, probability.T, truth.T, strict=True):
        row = classification.ranking(score, label)
        cut, best = row["best_f1_threshold"], row["best_f1"]
        rows.append({"name": name, "threshold": cut, "value": best})
    if without := [row["name"] for row in rows if row["threshold"] is None]:
        logging.warning(
            "all images of %s are of one kind in %s: no threshold can be chosen.",
            split.name,
            ", ".join(without),
        )
    exclusive = split.image_classes_exclusive
    return {
        "names": names,
        "exclusive": exclusive,
        "objective": OBJECTIVE,
        "classes": rows,
        "temperature": fit(probability, truth, exclusive=exclusive),
        **operating_point.source(split),
    }


def fit(probability: Probability, truth: Truth, *, exclusive: bool) -> dict[str, Any]:
    """The temperature of the lowest log loss, in `temperature.LIMITS`, and that loss.

    The value is None where only one class is shown or, of classes that are not
    exclusive, every known answer is the same: certainty would then be free.
    """
    value = before = after = None
    shown = (truth == 1).any(axis=0).sum()
    kinds = len(np.unique(truth[truth >= 0]))
    if shown > 1 if exclusive else kinds > 1:
        value = _best(probability, truth, exclusive=exclusive)
        before, after = (
            image_classification.calibrated(p, truth, exclusive=exclusive)["log_loss"]
            for p in (probability, soften(probability, value, exclusive=exclusive))
        )
    return {
        "value": value,
        "log_loss_before": before,
        "log_loss_after": after,
        "at_limit": value in temperature.LIMITS,
    }


def soften(probability: Probability, by: float, *, exclusive: bool) -> Probability:
    """softmax(log p / T) of exclusive classes, else sigmoid(logit(p) / T) of each."""
    p = np.clip(probability.astype(np.float64), *calibration.CLIP)
    if exclusive:
        return softmax(np.log(p) / by, axis=1)
    return 1 / (1 + np.exp(-(np.log(p) - np.log1p(-p)) / by))


def _best(probability: Probability, truth: Truth, *, exclusive: bool) -> float:
    if not exclusive:
        cells = image_classification.cells(probability, truth, exclusive=False)
        return temperature.best(cells)
    rows = (truth == 1).any(axis=1)
    logit = np.log(np.clip(probability[rows], *calibration.CLIP))
    right = logit[truth[rows] == 1]

    def slope(log_t: float) -> float:  # of the log loss over 1 / T, times the count
        z = logit * math.exp(-log_t)
        share = np.exp(z - logsumexp(z, axis=1, keepdims=True))
        return math.fsum((share * logit).sum(axis=1) - right)

    return temperature.lowest(slope)
