"""Scores a yes or no of whole images: ranking, counts at a threshold, exact tests.

A label is above 0 where an image is positive, 0 where it is negative and -1 where that
is unknown; unknown ones count nowhere. A score says yes when it is at or above a
threshold. What is undefined, as every ranking of one kind alone, is None.
"""

import math
import statistics
from collections.abc import Sequence
from typing import Any

import numpy as np
from jaxtyping import Bool, Float, Int

from jaxseg.metrics import curves

RANKING = ("roc_auc", "average_precision", "average_precision_trapezoid")
# of a decision head after an epoch; its F1 is the best one of any threshold
HISTORY = ("image_roc_auc", "image_average_precision", "image_f1")
RATES = ("f1", "precision", "sensitivity", "specificity", "false_positive_rate")
_LEVEL = 0.95


def ranking(
    score: Float[np.ndarray, "n"], label: Int[np.ndarray, "n"]
) -> dict[str, float | int | None]:
    """The names of RANKING, the best F1, its threshold, and what they rest on.

    `average_precision` is step-wise, as that of scikit-learn; the trapezoid draws
    straight lines between the points, from (recall 0, precision 1) on, as papers on
    surface defects do; ties are one step. The threshold is the highest score whose F1
    is the best one. All are None unless both kinds are there: of one kind alone every
    order is perfect.
    """
    score, positive = labelled(score, label)
    out: dict[str, Any] = dict.fromkeys((*RANKING, "best_f1", "best_f1_threshold"))
    kinds = int(positive.sum()), int((~positive).sum())
    out["positives"], out["negatives"] = kinds
    out["unknown"] = len(label) - len(score)
    if not all(kinds):
        return out
    curve = curves.exact_curve(score, positive)
    names = {
        "roc_auc": "roc_auc",
        "average_precision": "average_precision",
        "average_precision_trapezoid": "pr_auc_trapezoid",
        "best_f1": "best_f1",
    }
    out |= {name: curve[key] for name, key in names.items()}
    # the curve says "above the score below it", which is "at or above this score"
    above = score[score > curve["best_f1_threshold"]]
    return out | {"best_f1_threshold": float(above.min())}


def labelled(
    score: Float[np.ndarray, "n"], label: Int[np.ndarray, "n"]
) -> tuple[Float[np.ndarray, "m"], Bool[np.ndarray, "m"]]:
    """(scores as f64, whether positive) of the images whose label is not -1."""
    label = np.asarray(label)
    keep = label >= 0
    return np.asarray(score, np.float64)[keep], label[keep] > 0


def resampled(
    score: Float[np.ndarray, "n"],
    positive: Bool[np.ndarray, "n"],
    times: Int[np.ndarray, "r n"],
) -> dict[str, Float[np.ndarray, "r"]]:
    """The names of RANKING where each image counts so many `times`, r resamples.

    NaN where a resample lacks one kind.
    """
    order = np.argsort(-score, kind="stable")
    steps = np.flatnonzero(np.diff(score[order], prepend=np.inf))  # ties are one
    of_each = np.asarray(times, np.float64)[:, order]
    kinds = positive[order], ~positive[order]
    pos, neg = (np.add.reduceat(of_each * kind, steps, axis=1) for kind in kinds)
    tp, fp = np.cumsum(pos, axis=1), np.cumsum(neg, axis=1)
    total, others = tp[:, -1], fp[:, -1]
    # a step that no image of a resample takes has the precision of the one before
    precision = np.where(tp + fp > 0, tp / np.maximum(tp + fp, 1), 1.0)
    before = np.concatenate([np.ones((len(tp), 1)), precision[:, :-1]], axis=1)
    area = np.sum(neg * (tp - pos / 2), axis=1)
    defined = (total > 0) & (others > 0)
    below = np.where(defined, total, 1)
    values = (
        area / (below * np.where(defined, others, 1)),
        np.sum(pos * precision, axis=1) / below,
        np.sum(pos * (precision + before) / 2, axis=1) / below,
    )
    return {
        name: np.where(defined, value, np.nan)
        for name, value in zip(RANKING, values, strict=True)
    }


def counts(
    score: Float[np.ndarray, "n"], label: Int[np.ndarray, "n"], threshold: float
) -> dict[str, int]:
    """TP, FP, FN and TN of `score >= threshold`, of the images with a label."""
    score, positive = labelled(score, label)
    yes = score >= threshold
    return {
        "tp": int(np.count_nonzero(yes & positive)),
        "fp": int(np.count_nonzero(yes & ~positive)),
        "fn": int(np.count_nonzero(~yes & positive)),
        "tn": int(np.count_nonzero(~yes & ~positive)),
    }


def parts(name: str, *, tp: int, fp: int, fn: int, tn: int) -> tuple[int, int]:
    """Numerator and denominator of one of RATES; arrays of counts will do."""
    return {
        "f1": (2 * tp, 2 * tp + fp + fn),
        "precision": (tp, tp + fp),
        "sensitivity": (tp, tp + fn),
        "specificity": (tn, tn + fp),
        "false_positive_rate": (fp, tn + fp),
    }[name]


def rates(of: dict[str, int]) -> dict[str, float | None]:
    """The names of RATES from `counts`; None for 0/0, and all of one kind for F1.

    F1 needs a positive, and the share of false positives a negative.
    """
    out: dict[str, float | None] = {}
    for name in RATES:
        above, below = parts(name, **of)
        out[name] = above / below if below else None
    if not of["tp"] + of["fn"]:
        out["f1"] = None
    return out


def wilson(
    hits: int, total: int, *, level: float = _LEVEL
) -> tuple[float | None, float | None]:
    """The ends of the score interval of a share; (None, None) of none.

    Wilson, 1927, Probable inference, the law of succession, and statistical inference,
    https://doi.org/10.1080/01621459.1927.10502953. Images count as independent.
    """
    if not total:
        return None, None
    z = statistics.NormalDist().inv_cdf((1 + level) / 2)
    share, scale = hits / total, 1 + z * z / total
    middle = (share + z * z / (2 * total)) / scale
    half = z / scale * math.sqrt(share * (1 - share) / total + (z / (2 * total)) ** 2)
    low = 0.0 if hits == 0 else max(middle - half, 0.0)
    return low, 1.0 if hits == total else min(middle + half, 1.0)


def fisher(hits: Sequence[int], totals: Sequence[int]) -> float:
    """Two-sided p that two shares hits / totals are one: Fisher's exact test.

    The sum over all tables with the same margins that are no more probable, in whole
    numbers. Fisher, 1922, https://doi.org/10.2307/2340521. The two sets are taken as
    independent: for two runs on the same images `mcnemar` is sharper.
    """
    (a, b), (n, m) = hits, totals
    both = a + b

    def ways(k: int) -> int:
        return math.comb(n, k) * math.comb(m, both - k)

    here = ways(a)
    tables = (ways(k) for k in range(max(0, both - m), min(n, both) + 1))
    return sum(w for w in tables if w <= here) / math.comb(n + m, both)


def mcnemar(first_alone: int, second_alone: int) -> float:
    """Two-sided exact p that two runs err equally often on the same images.

    `first_alone` images are wrong in the first run and right in the second, and the
    reverse: only these tell. McNemar, 1947, https://doi.org/10.1007/BF02295996, by the
    binomial distribution.
    """
    total, least = first_alone + second_alone, min(first_alone, second_alone)
    tail = sum(math.comb(total, k) for k in range(least + 1))
    return min(1.0, 2 * tail / 2**total)
