"""Fits a regularised logistic regression, and scores it on images it was not fitted on.

A yardstick of how much a few numbers tell of a label, not a model to use: linear,
without a choice to make, the same for the same numbers.
"""

from typing import NamedTuple

import numpy as np
from jaxtyping import Bool, Float, Int
from scipy import optimize, special

from jaxseg.metrics import bootstrap, classification

PENALTY = 0.1  # half of it times the squared weights, beside the mean loss of an image
FOLDS = 5
_STEPS = 100  # of L-BFGS, at most


class Told(NamedTuple):
    """How well a label is told on images that were not fitted on: an area under ROC."""

    value: float | None  # None: an order of one kind alone
    low: float | None
    high: float | None


def fit(
    numbers: Float[np.ndarray, "n d"], positive: Bool[np.ndarray, "n"]
) -> Float[np.ndarray, "d+1"]:
    """Weights and, last, the offset of least mean log loss + PENALTY / 2 |weights|^2.

    Cox, 1958, https://doi.org/10.1111/j.2517-6161.1958.tb00292.x, with the penalty of
    le Cessie and van Houwelingen, 1992, https://doi.org/10.2307/2347628; the offset is
    free. Solved by L-BFGS.
    """
    sign = np.where(positive, 1.0, -1.0)

    def loss(weights):
        margin = sign * (numbers @ weights[:-1] + weights[-1])
        value = np.logaddexp(0, -margin).mean() + PENALTY / 2 * np.sum(
            weights[:-1] ** 2
        )
        pull = -sign * special.expit(-margin) / len(sign)
        slope = np.append(numbers.T @ pull + PENALTY * weights[:-1], pull.sum())
        return value, slope

    start = np.zeros(numbers.shape[1] + 1)
    return optimize.minimize(
        loss, start, jac=True, method="L-BFGS-B", options={"maxiter": _STEPS}
    ).x


def held_out(
    numbers: Float[np.ndarray, "n d"],
    positive: Bool[np.ndarray, "n"],
    fold: Int[np.ndarray, "n"],
) -> Float[np.ndarray, "n"]:
    """The log odds of each image by the fit to all other folds.

    Numbers are standardised by those that are fitted on. A fold beside which one kind
    is missing gets 0: it cannot be told.
    """
    out = np.zeros(len(positive))
    for number in np.unique(fold):
        rest, own = fold != number, fold == number
        if not 0 < positive[rest].sum() < rest.sum():
            continue
        middle, spread = numbers[rest].mean(0), numbers[rest].std(0)
        scaled = (numbers - middle) / np.where(spread > 0, spread, 1)
        weights = fit(scaled[rest], positive[rest])
        out[own] = scaled[own] @ weights[:-1] + weights[-1]
    return out


def folds(groups: list[str], *, seed: int = 0) -> Int[np.ndarray, "n"]:
    """The fold of each image; those of one group share theirs."""
    names, code = np.unique(np.array(groups, str), return_inverse=True)
    order = np.random.default_rng(seed).permutation(len(names))
    return (order % FOLDS)[code]


def told(
    score: Float[np.ndarray, "n"],
    positive: Bool[np.ndarray, "n"],
    groups: list[str],
    *,
    level: float,
    resamples: int = 500,
) -> Told:
    """The area under the ROC curve, with its percentile interval over groups."""
    value = classification.ranking(score, positive.astype(int))["roc_auc"]
    names, code = np.unique(np.array(groups, str), return_inverse=True)
    if value is None or len(names) < 2:
        return Told(value, None, None)
    parts = [
        classification.resampled(score, positive, taken[:, code])["roc_auc"]
        for taken in bootstrap.draws(len(names), seed=0, resamples=resamples)
    ]
    return Told(value, *bootstrap.interval(np.concatenate(parts), level=level))
