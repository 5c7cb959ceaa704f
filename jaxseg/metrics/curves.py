"""Precision-recall and ROC figures from binned scores, with a proven error bound.

Between bins the order of the scores is exact. Inside a bin it is unknown, so the figure
is computed once with the bin as one tie, and again for the best and the worst order
that the bin allows; the bound is the distance to the farther of the two. A bin known to
hold a single value is a true tie and adds nothing to the bound.
"""

import math
from typing import NamedTuple

import numpy as np
from jaxtyping import Bool, Float, Int

from jaxseg.metrics import histograms

_ROUNDING = 1e-12  # of the float64 sums, added to every bound


def curve(
    negatives: Int[np.ndarray, "bins"],
    positives: Int[np.ndarray, "bins"],
    lower: Float[np.ndarray, "bins"],
    tied: Bool[np.ndarray, "bins"],
) -> dict[str, float | int | None]:
    """AP, trapezoid PR-AUC, ROC-AUC and best F1 of scores in ascending bins.

    `lower` is the threshold t of a bin (a score is in it or above when score > t), and
    `tied` says that a bin holds one value only. Each figure f comes with
    `f_error_bound`: the figure of the scores before binning, as scikit-learn defines it
    (step-wise `average_precision_score`; `auc` over `precision_recall_curve`;
    `roc_auc_score`), is no farther away. AP, PR-AUC and F1 are None without a positive,
    ROC-AUC without a positive and a negative.
    """
    keep = np.flatnonzero(negatives + positives)[::-1]
    neg, pos = (x[keep].astype(np.float64) for x in (negatives, positives))
    total_pos, total_neg = float(pos.sum()), float(neg.sum())
    out = dict.fromkeys(_NAMES)
    out["prevalence"] = None
    out["support_positives"] = int(total_pos)
    out["support"] = int(total_pos + total_neg)
    if total_pos + total_neg:
        out["prevalence"] = total_pos / (total_pos + total_neg)
    if not total_pos:
        return out
    steps = _steps(pos, neg, tied[keep] | (pos + neg == 1))
    out |= _bounded("average_precision", *_average_precision(steps))
    out |= _bounded("pr_auc_trapezoid", *_trapezoid(steps))
    if total_neg:
        out |= _bounded("roc_auc", *_roc_auc(steps))
    f1, at, high = _best_f1(steps)
    out |= _bounded("best_f1", f1, f1, high)
    out["best_f1_threshold"] = float(lower[keep][at])
    return out


_FIGURES = ("average_precision", "pr_auc_trapezoid", "roc_auc", "best_f1")
_NAMES = [n for f in _FIGURES for n in (f, f"{f}_error_bound")] + ["best_f1_threshold"]


def _bounded(name: str, figure: float, low: float, high: float) -> dict[str, float]:
    bound = max(high - figure, figure - low, 0.0) + _ROUNDING
    return {name: float(figure), f"{name}_error_bound": float(bound)}


class _Steps(NamedTuple):
    """Bins in descending order of the score: their counts, and those before them."""

    pos: np.ndarray
    neg: np.ndarray
    tied: np.ndarray
    tp: np.ndarray  # with the bin
    fp: np.ndarray
    tp0: np.ndarray  # before it
    fp0: np.ndarray
    precision: np.ndarray  # with the bin
    highest: np.ndarray  # no point in the bin is more precise: its positives alone

    def mean(self, heights) -> float:
        """Over the positives."""
        return math.fsum(self.pos * heights) / self.tp[-1]


def _steps(pos, neg, tied) -> _Steps:
    tp, fp = np.cumsum(pos), np.cumsum(neg)
    tp0, fp0 = tp - pos, fp - neg
    highest = tp / np.maximum(tp + fp0, 1)
    return _Steps(pos, neg, tied, tp, fp, tp0, fp0, tp / (tp + fp), highest)


def _average_precision(s: _Steps):
    """Worst: negatives first, then positive by positive.

    That is a sum of 1 - F / (N + j) for j = 1 ... a, with F = fp and N = tp0 + fp. As
    1 / x is convex, the sum of 1 / (N + j) is at most log((N + a + 1/2) / (N + 1/2)).
    """
    ratio = np.log1p(s.pos / (s.tp0 + s.fp + 0.5)) / np.maximum(s.pos, 1)
    drop = s.fp * ratio
    worst = np.minimum(np.where(s.fp == 0, 1.0, 1 - drop), s.precision)
    low = np.where(s.tied, s.precision, worst)
    high = np.where(s.tied, s.precision, s.highest)
    return s.mean(s.precision), s.mean(low), s.mean(high)


def _trapezoid(s: _Steps):
    """Straight lines between bins, from (recall 0, precision 1) as scikit-learn.

    In a bin every point lies between two concave curves of tp: precision with all of
    its negatives, and with none. So does the path: above the chord of the lower one,
    and below the upper one, whose area is at most its height in the middle.
    """
    start = np.concatenate([[1.0], s.precision[:-1]])
    middle = (start + s.precision) / 2
    lowest = np.where(s.fp == 0, 1.0, s.tp0 / np.maximum(s.tp0 + s.fp, 1))
    half = s.tp0 + s.pos / 2
    highest = np.where(s.fp0 == 0, 1.0, half / np.maximum(half + s.fp0, 0.5))
    low = np.where(s.tied, middle, (lowest + s.precision) / 2)
    high = np.where(s.tied, middle, highest)
    return s.mean(middle), s.mean(low), s.mean(high)


def _roc_auc(s: _Steps):
    """Pairs in one bin count half; their true order is worth that half either way."""
    pairs = s.tp[-1] * s.fp[-1]
    inside = s.pos * s.neg / 2
    area = math.fsum(s.neg * s.tp0 + inside) / pairs
    unsure = math.fsum(inside[~s.tied]) / pairs
    return area, area - unsure, area + unsure


def _best_f1(s: _Steps):
    """Best F1 at an edge, its position, and what no threshold in a bin can beat."""
    at_edges = 2 * s.tp / (s.tp + s.fp + s.tp[-1])
    at = int(np.argmax(at_edges))
    inside = 2 * s.tp / (s.tp + s.fp0 + s.tp[-1])
    high = np.where(s.tied, at_edges, inside).max()
    return float(at_edges[at]), at, float(high)


def pixel_curve(
    pooled: Int[np.ndarray, "2 bins"], only_value: Int[np.ndarray, "bins"]
) -> dict[str, float | int | None]:
    """`curve` of a pooled histogram over `histograms.BINS` bins, rows by truth."""
    tied = (only_value >= 0) | histograms.at_most_one_value()
    return curve(pooled[0], pooled[1], histograms.LOWER, tied)


def exact_curve(
    score: Float[np.ndarray, "n"], positive: Bool[np.ndarray, "n"]
) -> dict[str, float | int | None]:
    """`curve` of single scores, with no binning; for one score an image."""
    level, at = np.unique(score, return_inverse=True)
    neg = np.bincount(at[~positive], minlength=len(level))
    pos = np.bincount(at[positive], minlength=len(level))
    lower = np.concatenate([[level[0] - 1], level[:-1]]) if len(level) else level
    return curve(neg, pos, lower, np.ones(len(level), bool))


def rows(
    thresholds: Float[np.ndarray, "t"],
    above: Int[np.ndarray, "2 t"],
    total: Int[np.ndarray, "2"],
) -> list[dict[str, float | None]]:
    """Threshold, precision, recall and false-positive rate at each threshold.

    `above` counts the scores above each, `total` all of them, rows by truth. None for
    0/0.
    """
    return [
        {
            "threshold": float(t),
            "precision": _ratio(tp, tp + fp),
            "recall": _ratio(tp, total[1]),
            "fpr": _ratio(fp, total[0]),
        }
        for t, (fp, tp) in zip(thresholds, above.T, strict=True)
    ]


def _ratio(above, below) -> float | None:
    return float(above / below) if below else None
