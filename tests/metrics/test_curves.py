"""Curves: the proven bound holds against scikit-learn, and is small."""

import numpy as np
import pytest
from sklearn import metrics as sklearn

from jaxseg.metrics import curves, histograms

FIGURES = ("average_precision", "pr_auc_trapezoid", "roc_auc", "best_f1")


def _scikit_learn(truth, score):
    precision, recall, _ = sklearn.precision_recall_curve(truth, score)
    f1 = 2 * precision * recall / np.maximum(precision + recall, 1e-300)
    return {
        "average_precision": sklearn.average_precision_score(truth, score),
        "pr_auc_trapezoid": sklearn.auc(recall, precision),
        "roc_auc": sklearn.roc_auc_score(truth, score),
        "best_f1": f1.max(),
    }


def _binned(truth, score):
    code = histograms.bins(score)
    counts = np.stack(
        [np.bincount(code[truth == c], minlength=histograms.BINS) for c in (0, 1)]
    )
    only_value = histograms.only_values(score, code, counts.sum(axis=0))
    return curves.pixel_curve(counts, only_value)


def _draw(kind, n=60_000):
    rng = np.random.default_rng(1)
    truth = (rng.random(n) < 0.02).astype(int)
    logit = rng.normal(size=n) * 2 + 3 * truth - 3
    if kind == "smooth":
        score = 1 / (1 + np.exp(-logit))
    elif kind == "saturated":
        score = 1 / (1 + np.exp(-np.clip(logit * 12, -80, 80)))
    elif kind == "tied":
        score = np.round(1 / (1 + np.exp(-logit)), 1)
    elif kind == "hard":
        score = (logit > 0).astype(float)
    elif kind == "constant":
        score = np.full(n, 0.3)
    elif kind == "unrelated":
        score = rng.random(n)
    elif kind == "narrow":  # an untrained model: everything within a few bins
        score = 0.5 + rng.random(n) * 1e-3
    return truth, score.astype(np.float32)


@pytest.mark.parametrize(
    "kind, limit",
    [
        ("smooth", 3e-4),
        ("saturated", 3e-4),
        ("tied", 1e-11),
        ("hard", 1e-11),
        ("constant", 1e-11),
        ("unrelated", 3e-3),
        ("narrow", 1),
    ],
)
def test_the_bound_holds_and_is_small(kind, limit):
    truth, score = _draw(kind)
    ours, theirs = _binned(truth, score), _scikit_learn(truth, score)
    for name in FIGURES:
        bound = ours[f"{name}_error_bound"]
        assert abs(ours[name] - theirs[name]) <= bound, name
        assert bound <= limit, name
    assert ours["prevalence"] == truth.mean()


@pytest.mark.parametrize("seed", range(6))
@pytest.mark.parametrize("order", ["as drawn", "worst", "best"])
def test_the_bound_holds_for_every_order_within_bins(seed, order):
    """Few bins, so the error is large, and both of its ends are put to the test."""
    rng = np.random.default_rng(seed)
    score = np.sort(rng.random(60))
    code = (score * 5).astype(int)
    truth = (rng.random(60) < 0.2 + 0.6 * score).astype(int)
    if order != "as drawn":  # positives below the negatives of their bin, or above
        sign = 1 if order == "best" else -1
        truth = truth[np.lexsort((sign * truth, code))]
    neg, pos = (np.bincount(code[truth == c], minlength=5) for c in (0, 1))
    ours = curves.curve(neg, pos, np.arange(5) / 5, np.zeros(5, bool))
    theirs = _scikit_learn(truth, score)
    for name in FIGURES:
        error = theirs[name] - ours[name]
        assert abs(error) <= ours[f"{name}_error_bound"], name
        if order != "as drawn" and name != "best_f1":
            assert error * sign > 0.02, name


def test_best_f1_threshold_gives_best_f1():
    truth, score = _draw("smooth")
    ours = _binned(truth, score)
    guess = score > ours["best_f1_threshold"]
    assert sklearn.f1_score(truth, guess) == pytest.approx(ours["best_f1"], abs=1e-12)
    ours = _binned(truth, np.zeros_like(score))
    assert ours["best_f1_threshold"] < 0  # all-foreground is the best a constant can do


def test_single_scores_are_exact():
    rng = np.random.default_rng(0)
    truth, score = rng.random(50) < 0.4, rng.integers(0, 12, 50) / 12
    ours, theirs = curves.exact_curve(score, truth), _scikit_learn(truth, score)
    for name in FIGURES:
        assert ours[name] == pytest.approx(theirs[name], abs=1e-11)


def test_all_positive_ap_of_the_crack_report_is_the_prevalence():
    truth = np.arange(1695) < 1483
    ours = curves.exact_curve(np.ones(1695), truth)
    assert ours["average_precision"] == pytest.approx(0.8749263, abs=5e-8)
    assert ours["prevalence"] == 1483 / 1695


@pytest.mark.parametrize("truth", [[], [0, 0], [1, 1]])
def test_degenerate_truth_has_no_value(truth):
    truth, score = np.array(truth, int), np.full(len(truth), 0.5, np.float32)
    ours = _binned(truth, score)
    assert ours["roc_auc"] is None
    assert ours["average_precision"] == (1.0 if truth.any() else None)
    assert ours["support"] == len(truth)
    assert ours["prevalence"] == (truth.mean() if len(truth) else None)
    assert curves.exact_curve(score, truth > 0)["roc_auc"] is None


def test_figures_survive_more_pixels_than_int32_holds():
    neg, pos = np.array([2**40, 2**33]), np.array([2**30, 2**34])
    ours = curves.curve(neg, pos, np.array([0.0, 0.5]), np.ones(2, bool))
    first, second = 2**34 / (2**34 + 2**33), (2**34 + 2**30) / sum(neg + pos)
    expected = (2**34 * first + 2**30 * second) / (2**34 + 2**30)
    assert ours["average_precision"] == pytest.approx(expected, rel=1e-14)
    assert ours["support"] == 2**40 + 2**33 + 2**30 + 2**34


def test_rows_are_the_exact_curve():
    truth, score = _draw("smooth", 3000)
    thresholds = np.array([0.0, 0.01, 0.25, 0.5, 0.9, 1.0])
    masks = [score[truth == c][:, None] > thresholds for c in (0, 1)]
    above = np.stack([mask.sum(axis=0) for mask in masks])
    rows = curves.rows(thresholds, above, np.bincount(truth))
    assert [row["threshold"] for row in rows] == thresholds.tolist()
    for row in rows:
        guess = score > row["threshold"]
        hits = (guess & (truth == 1)).sum()
        assert row["recall"] == hits / truth.sum()
        assert row["precision"] == (hits / guess.sum() if guess.any() else None)
        assert row["fpr"] == (guess & (truth == 0)).sum() / (truth == 0).sum()


def test_the_bound_covers_the_order_of_positives_alone():
    """Ten negatives, then a bin of twenty positives: tie by tie, or one by one."""
    truth = np.repeat([1, 0], [20, 10])
    neg, pos, free = np.array([0, 10]), np.array([20, 0]), np.zeros(2, bool)
    ours = curves.curve(neg, pos, np.array([0.0, 0.5]), free)
    theirs = _scikit_learn(truth, np.linspace(0, 1, 30))
    for name in FIGURES:
        error = abs(theirs[name] - ours[name])
        assert error <= ours[f"{name}_error_bound"], name
    assert ours["average_precision"] - theirs["average_precision"] > 0.1
    assert theirs["pr_auc_trapezoid"] - ours["pr_auc_trapezoid"] > 0.1
