"""Scores classes of whole images: means over classes, the confusion, calibration.

Of each image and class the truth is 1 (shown), 0 (not) or -1 (unknown); unknown answers
count nowhere. Exclusive classes are those of which an image of known class shows
exactly one: its most probable class, the first of equal ones, is the answer. A class
that no image shows has support 0: its numbers are None, and means leave it out.
"""

import math
from collections.abc import Sequence
from typing import Any

import numpy as np
from jaxtyping import Bool, Float, Int

from jaxseg.metrics import calibration, classification

# after an epoch, as names of config.eval.metric; the last of exclusive classes alone
HISTORY = ("class_roc_auc_mean", "class_average_precision_mean", "class_f1_macro")
HISTORY += ("class_accuracy",)
OF_EXCLUSIVE = HISTORY[3:]
POINTS = 101  # of a curve, at most
Probability = Float[np.ndarray, "n m"]
Truth = Int[np.ndarray, "n m"]


def known(truth: Truth) -> Bool[np.ndarray, "n"]:
    """Whether anything is known of an image."""
    return (truth >= 0).any(axis=1)


def support(truth: Truth) -> list[dict[str, int]]:
    """For each class how many images show it, do not, and are not known to."""
    keys = {"shows": 1, "not": 0, "unknown": -1}
    return [
        {key: int(np.count_nonzero(column == value)) for key, value in keys.items()}
        for column in truth.T
    ]


def mean(values: Sequence[float | None]) -> float | None:
    """The mean of what is defined; None where nothing is."""
    defined = [value for value in values if value is not None]
    return math.fsum(defined) / len(defined) if defined else None


def answers(probability: Probability, truth: Truth) -> tuple[np.ndarray, np.ndarray]:
    """(the answer i64 [k], the class i64 [k]) of the k images whose class is known."""
    rows = (truth == 1).any(axis=1)
    return probability[rows].argmax(axis=1), truth[rows].argmax(axis=1)


def confusion(probability: Probability, truth: Truth) -> Int[np.ndarray, "m m"]:
    """Images of each class, by row, and of each answer, by column; exclusive."""
    answer, right = answers(probability, truth)
    m = truth.shape[1]
    return np.bincount(right * m + answer, minlength=m * m).reshape(m, m)


def one_against_rest(counts: Int[np.ndarray, "*r m m"]) -> dict[str, np.ndarray]:
    """TP, FP and FN of each class, [*r, m], of a confusion."""
    hits = np.diagonal(counts, axis1=-2, axis2=-1)
    return {
        "tp": hits,
        "fp": counts.sum(axis=-2) - hits,
        "fn": counts.sum(axis=-1) - hits,
    }


def at_thresholds(
    probability: Probability, truth: Truth, thresholds: Sequence[float | None]
) -> list[dict[str, int] | None]:
    """TP, FP, FN and TN of each class at its threshold; None where it has none."""
    columns = zip(probability.T, truth.T, thresholds, strict=True)
    return [
        None if cut is None else classification.counts(score, label, cut)
        for score, label, cut in columns
    ]


def f1_macro(tp: np.ndarray, fp: np.ndarray, fn: np.ndarray) -> np.ndarray:
    """The mean F1 over the classes with support, [*r] of counts [*r, m]; else NaN.

    A class with support that is never predicted has an F1 of 0.
    """
    shown = tp + fn > 0
    each = 2 * tp / np.maximum(2 * tp + fp + fn, 1)
    return _mean_where(each, shown)


def accuracy(counts: Int[np.ndarray, "*r m m"]) -> np.ndarray:
    """The share of images that are answered right, [*r]; NaN of none."""
    hits = np.trace(counts, axis1=-2, axis2=-1).astype(np.float64)
    total = counts.sum(axis=(-2, -1))
    return np.where(total > 0, hits / np.maximum(total, 1), np.nan)


def balanced_accuracy(counts: Int[np.ndarray, "*r m m"]) -> np.ndarray:
    """The mean sensitivity over the classes with support, [*r]; NaN of none."""
    total = counts.sum(axis=-1)
    hits = np.diagonal(counts, axis1=-2, axis2=-1)
    return _mean_where(hits / np.maximum(total, 1), total > 0)


def _mean_where(each: np.ndarray, there: np.ndarray) -> np.ndarray:
    number = there.sum(axis=-1)
    total = np.where(there, each, 0.0).sum(axis=-1)
    return np.where(number > 0, total / np.maximum(number, 1), np.nan)


def history(
    probability: Probability, truth: Truth, *, exclusive: bool
) -> dict[str, float | None]:
    """The names of HISTORY; that of exclusive classes is not there for others.

    The F1 of classes that may be shown together is the best one of any threshold: it
    may choose an epoch, not be reported.
    """
    pairs = [*zip(probability.T, truth.T, strict=True)]
    ranked = [classification.ranking(score, label) for score, label in pairs]
    out = [mean([row[name] for row in ranked]) for name in ("roc_auc", _AP)]
    if not exclusive:
        out.append(mean([row["best_f1"] for row in ranked]))
        return dict(zip(HISTORY, out, strict=False))
    counts = confusion(probability, truth)
    out += [
        defined(f1_macro(**one_against_rest(counts))),
        defined(accuracy(counts)),
    ]
    return dict(zip(HISTORY, out, strict=True))


_AP = "average_precision"


def defined(value: Any) -> float | None:
    """The number, or None for NaN."""
    return None if np.isnan(value) else float(value)


def cells(
    probability: Probability, truth: Truth, *, exclusive: bool
) -> calibration.Cells:
    """What calibration compares: each probability with whether it came true.

    Of exclusive classes that is the highest probability of an image with whether it is
    right; of others every known answer.
    """
    if exclusive:
        rows = (truth == 1).any(axis=1)
        answer, right = answers(probability, truth)
        return calibration.exact_cells(probability[rows].max(axis=1), answer == right)
    there = truth >= 0
    return calibration.exact_cells(probability[there], truth[there] > 0)


def calibrated(
    probability: Probability, truth: Truth, *, exclusive: bool
) -> dict[str, Any]:
    """ECE, log loss, Brier score and the bins of a reliability diagram, with support.

    The log loss of exclusive classes is the mean -log of the probability of the class
    of the image, the Brier score the mean squared distance to it summed over classes
    (Brier, 1950); of others they are means over all known answers. ECE and bins are of
    `cells`.
    """
    compared = calibration.figures(cells(probability, truth, exclusive=exclusive))
    out = {"ece": compared["ece"], "log_loss": compared["nll"]}
    out |= {"brier": compared["brier"], "support": compared["support"]}
    if exclusive:
        out["log_loss"] = log_loss(probability, truth)
        rows = (truth == 1).any(axis=1)
        distance = (probability[rows] - (truth[rows] == 1)) ** 2
        out["brier"] = mean(distance.sum(axis=1).tolist())
    return out | {"bins": compared["rows"]}


def log_loss(probability: Probability, truth: Truth) -> float | None:
    """Mean -log of the probability of the class of an image; None without one."""
    of_class = probability[truth == 1]
    return mean((-np.log(np.maximum(of_class, calibration.CLIP[0]))).tolist())


def curves(score: Float[np.ndarray, "n"], label: Int[np.ndarray, "n"]) -> dict:
    """{"roc": [false-positive rate, sensitivity], "pr": [recall, precision]}, points.

    Each threshold that a score has gives one, from the highest on, of which at most
    POINTS are kept, evenly, the last among them. Empty unless both kinds are there.
    """
    score, positive = classification.labelled(score, label)
    if not positive.any() or positive.all():
        return {"roc": [], "pr": []}
    order = np.argsort(-score, kind="stable")
    ends = np.flatnonzero(np.diff(score[order], append=-np.inf))  # ties are one step
    tp = np.cumsum(positive[order])[ends]
    fp = ends + 1 - tp
    recall, precision = tp / tp[-1], tp / (ends + 1)
    roc = np.concatenate([[[0.0, 0.0]], np.stack([fp / fp[-1], recall], axis=1)])
    return {"roc": _thinned(roc), "pr": _thinned(np.stack([recall, precision], 1))}


def _thinned(points: Float[np.ndarray, "p 2"]) -> list[list[float]]:
    keep = np.linspace(0, len(points) - 1, min(POINTS, len(points)))
    return points[np.rint(keep).astype(int)].tolist()
