"""Fits a temperature on validation: one number that softens probabilities.

Guo et al. 2017, https://arxiv.org/abs/1706.04599: p becomes sigmoid(logit(p) / T) with
the T of the lowest pixel NLL. That is monotone in p, so no ranking, no curve and no
decision at a threshold changes with it; only what a probability means does. It is
therefore reported beside the uncalibrated figures and applied nowhere else.
"""

import math
from collections.abc import Callable
from typing import Any

import numpy as np
from absl import logging
from scipy import optimize
from scipy.special import expit

from jaxseg.evaluation import operating_point
from jaxseg.evaluation.tally import Tally
from jaxseg.metrics import calibration
from jaxseg.metrics.calibration import Cells

LIMITS = (1 / 32, 32.0)  # of T: beyond them the data does not decide


def fit(tally: Tally, split: Any) -> dict[str, Any] | None:
    """The temperature of the lowest pixel NLL on this tally, to be frozen; k = 2.

    `value` is None, and a warning is logged, unless both classes are present;
    `at_limit` says that the NLL still falls at an end of LIMITS. None for k > 2, which
    `class_temperature` fits.
    """
    if tally.num_classes != 2:
        return None
    cells = calibration.pixel_cells(tally.pooled, tally.only_value)
    value = before = after = None
    positive, count = int(cells.positives.sum()), int(cells.count.sum())
    if 0 < positive < count:
        value = best(cells)
        before, after = (
            calibration.nll(calibration.scaled(cells, t))[0] for t in (1.0, value)
        )
    else:
        logging.warning("%s has one class only: no temperature.", split.name)
    return {
        "value": value,
        "nll_before": before,
        "nll_after": after,
        "at_limit": value in LIMITS,
        "support_pixels": count,
        "support_positive_pixels": positive,
        **operating_point.source(split),
    }


def best(cells: Cells) -> float:
    """The T in LIMITS of the lowest NLL; 1 when no T changes it.

    Sums are exact (fsum), so the order of the pixels does not matter.
    """
    logit = np.concatenate([cells.logit_low, cells.logit_high])
    negatives, positives = (np.tile(n, 2) for n in (cells.negatives, cells.positives))

    def slope(log_t: float) -> float:  # of the NLL over 1 / T, times the count
        z = logit * math.exp(-log_t)
        return math.fsum(logit * (negatives * expit(z) - positives * expit(-z)))

    return lowest(slope)


def lowest(slope: Callable[[float], float]) -> float:
    """The T in LIMITS of the lowest NLL, from its slope over 1 / T at a given log T.

    The NLL is convex in 1 / T, so its slope has one sign change; found by Brent's
    method in log T. 1 when no T changes it.
    """
    low, high = (math.log(t) for t in LIMITS)
    at_low, at_high = slope(low), slope(high)
    if at_low == at_high == 0:
        return 1.0
    if at_low <= 0:  # sharper is still better
        return LIMITS[0]
    if at_high >= 0:
        return LIMITS[1]
    return math.exp(optimize.brentq(slope, low, high, xtol=1e-10, rtol=1e-12))


def assemble(
    tally: Tally, frozen: dict[str, Any] | None, split: Any
) -> dict[str, Any] | None:
    """The block `calibration` of eval/<split>.json for two classes.

    `pixel` are all labelled pixels; `image` takes the highest probability of an image
    for that of any foreground in it; `after_temperature` is pixels again with p scaled
    by the frozen temperature (None without one). `frozen` is None for a run from before
    there was one. Raises ConfigError as `operating_point.is_optimistic` does.
    """
    if frozen is not None:
        optimistic = operating_point.is_optimistic(
            frozen, split, "temperature was fitted"
        )
        frozen = {**frozen, "optimistic": optimistic}
    cells = calibration.pixel_cells(tally.pooled, tally.only_value)
    labelled = tally.pixels > 0  # an image without labels is neither kind
    image = calibration.exact_cells(
        tally.max_probability[labelled], tally.positive[labelled]
    )
    pixel, after = calibration.figures(cells), None
    if frozen and frozen["value"] is not None:
        scaled = calibration.figures(calibration.scaled(cells, frozen["value"]))
        as_before = {key: pixel[key] for key in ("certain", "certain_wrong")}
        after = {"pixel": scaled | as_before}
    return {
        "pixel": pixel,
        "image": {"score": "max_probability"} | calibration.figures(image),
        "temperature": frozen,
        "after_temperature": after,
    }
