"""Calibration: how far a probability can be taken at its word, with proven bounds.

Reliability and calibration error (see `reliability`), Brier score (Brier 1950) and
negative log-likelihood in nats. Everything comes from the pooled histogram: a cell of
it knows its scores up to an interval, every figure is computed in the middle of what
that allows, and its `_error_bound` is no less than the distance to the ends.
"""

import math
from typing import Any, NamedTuple

import numpy as np
from jaxtyping import Bool, Float, Int
from scipy.special import expit

from jaxseg.metrics import histograms as _bins
from jaxseg.metrics import reliability

# Logits are taken of probabilities inside these: the smallest normal float32, and the
# largest float32 below 1. Only 0 and 1 themselves (and denormals) lie outside.
CLIP = (2.0**-126, 1 - 2.0**-24)
FIGURES = ("ece", "ece_confidence", "maximum_calibration_error", "brier", "nll")
VARIANT = (
    f"probability of foreground against the share of foreground, {reliability.ROWS} "
    "rows of equal width; ece_confidence: max(p, 1 - p) against the share of right "
    "answers of p > 0.5"
)
_ROUNDING = 1e-12  # of the float64 arithmetic, added to every bound
_SHOWN = ("from", "to", "mean", "observed", "count")


class Cells(NamedTuple):
    """Scores known up to an interval each, and how many there are by truth.

    Those of `bins` never lie across 1/2, where the answer changes.
    """

    low: Float[np.ndarray, "n"]  # probability of foreground
    high: Float[np.ndarray, "n"]
    logit_low: Float[np.ndarray, "n"]
    logit_high: Float[np.ndarray, "n"]
    negatives: Int[np.ndarray, "n"]
    positives: Int[np.ndarray, "n"]

    @property
    def count(self) -> np.ndarray:
        """Scores in each cell, i64 [n]."""
        return self.negatives + self.positives


def cells(low, high, negatives, positives) -> Cells:
    """Cells of probabilities from `low` to `high`; those without a score are left out.

    Scores a rounding error outside [0, 1] count as 0 and 1.
    """
    counts = [np.asarray(x, np.int64) for x in (negatives, positives)]
    keep = np.flatnonzero(counts[0] + counts[1])
    ends = [np.clip(np.asarray(x, np.float64)[keep], 0, 1) for x in (low, high)]
    return Cells(*ends, *(_logit(p) for p in ends), *(x[keep] for x in counts))


def _logit(p: np.ndarray) -> np.ndarray:
    p = np.clip(p, *CLIP)
    return np.log(p) - np.log1p(-p)


def pixel_cells(
    pooled: Int[np.ndarray, "2 bins"], seen: Int[np.ndarray, "bins"]
) -> Cells:
    """Cells of a pooled histogram over `bins.BINS` bins, rows by truth.

    A bin that has seen one value only (`bins.values`) is known exactly.
    """
    low = np.nextafter(_bins.LOWER.astype(np.float32), np.float32(2))
    high = np.append(_bins.LOWER[1:], 1.0)
    known = seen >= 0
    value = np.where(known, seen, 0).astype(np.int32).view(np.float32)
    return cells(*(np.where(known, value, end) for end in (low, high)), *pooled)


def exact_cells(score: Float[np.ndarray, "n"], positive: Bool[np.ndarray, "n"]):
    """Cells of single scores, with no binning; for one score an image."""
    level, at = np.unique(score, return_inverse=True)
    neg = np.bincount(at[~positive], minlength=len(level))
    pos = np.bincount(at[positive], minlength=len(level))
    return cells(level, level, neg, pos)


def scaled(known: Cells, temperature: float) -> Cells:
    """The cells after p -> sigmoid(logit(p) / temperature), with p inside CLIP."""
    logits = known.logit_low / temperature, known.logit_high / temperature
    return Cells(*(expit(z) for z in logits), *logits, *known[4:])


def figures(known: Cells) -> dict[str, Any]:
    """Every figure with its `_error_bound`; None, with support 0, without a score.

    `variant` says what `ece`, `ece_confidence` and `maximum_calibration_error` (with
    the support of its row) compare. `brier` is the mean of (p - y)^2, `nll` that of
    -log of the probability of the truth, with p inside `clip`: of `certain` scores
    (exactly 0 or 1), `certain_wrong` would make it infinite. `of_prevalence` has both
    of a constant score, the prevalence of these very scores. `rows` draw the diagram.
    """
    n, positive = int(known.count.sum()), int(known.positives.sum())
    table = reliability.rows(known.low, known.high, known.negatives, known.positives)
    names = [key for name in FIGURES for key in (name, f"{name}_error_bound")]
    out: dict[str, Any] = {"variant": VARIANT} | dict.fromkeys(names)
    out |= {"maximum_calibration_error_support": 0, "of_prevalence": None}
    if n:
        out |= _bounded("ece", *reliability.expected(table))
        right = reliability.rows(*_confidence(known))
        out |= _bounded("ece_confidence", *reliability.expected(right))
        *worst, support = reliability.maximum(table)
        out |= _bounded("maximum_calibration_error", *worst)
        out["maximum_calibration_error_support"] = support
        out |= _bounded("brier", *_brier(known)) | _bounded("nll", *nll(known))
        out["of_prevalence"] = _constant(positive / n)
    zero, one = known.high == 0, known.low == 1
    wrong = known.positives[zero].sum() + known.negatives[one].sum()
    out |= {"support": n, "support_positives": positive, "clip": list(CLIP)}
    out["certain"] = int(known.count[zero | one].sum())
    out["certain_wrong"] = int(wrong)
    return out | {"rows": [{key: row[key] for key in _SHOWN} for row in table]}


def _bounded(name: str, figure: float, bound: float) -> dict[str, float]:
    return {name: float(figure), f"{name}_error_bound": float(bound) + _ROUNDING}


def _constant(p: float) -> dict[str, float]:
    entropy = math.fsum(q * -math.log(q) for q in (p, 1 - p) if q)
    return {"brier": p * (1 - p), "nll": entropy}


def _brier(known: Cells) -> tuple[float, float]:
    missing = 1 - known.low, 1 - known.high
    sides = (known.negatives, known.low, known.high), (known.positives, *missing)
    return _mean((n, a * a, b * b) for n, a, b in sides)


def nll(known: Cells) -> tuple[float, float]:
    """(mean negative log-likelihood, its bound) of at least one score, in nats."""
    low, high = known.logit_low, known.logit_high
    sides = (known.negatives, low, high), (known.positives, -low, -high)
    return _mean((n, np.logaddexp(0, a), np.logaddexp(0, b)) for n, a, b in sides)


def _mean(sides) -> tuple[float, float]:
    """Mean and bound of penalties between a and b: monotone in p, so the ends do."""
    middle, half, total = [], [], 0
    for count, a, b in sides:
        middle += (count * ((a + b) / 2)).tolist()
        half += (count * (np.abs(b - a) / 2)).tolist()
        total += int(count.sum())
    return math.fsum(middle) / total, math.fsum(half) / total


def _confidence(known: Cells):
    """(low, high, wrong, right) of max(p, 1 - p)."""
    yes = known.high > 0.5
    low = np.where(yes, known.low, 1 - known.high)
    high = np.where(yes, known.high, 1 - known.low)
    wrong = np.where(yes, known.negatives, known.positives)
    return low, high, wrong, known.count - wrong
