"""Scores of whole images equal scikit-learn, SciPy and worked numbers, also in ties."""

import numpy as np
import pytest
from scipy import stats
from sklearn import metrics as sklearn

from jaxseg.metrics import classification

PUBLISHED = (  # (counts, F, precision, recall, share of false positives, its interval)
    ((1480, 10, 3), 0.9956273, 0.993289, 0.997977, 0.047170, (0.0258, 0.0846)),
    ((1476, 5, 7), 0.9959514, 0.996624, 0.995280, 0.023585, (0.0101, 0.0540)),
)


def _draw(seed, n=60, levels=7):
    """Random labels with unknown ones, and scores with many ties."""
    rng = np.random.default_rng(seed)
    label = rng.choice([-1, 0, 1, 2], n)
    return np.round(rng.random(n) * levels + (label > 0)) / levels, label


def test_the_worked_example():
    score, label = np.array([0.9, 0.8, 0.7, 0.4, 0.2]), np.array([1, 0, 1, 1, 0])
    row = classification.ranking(score, label)
    assert row["average_precision"] == pytest.approx(0.805556, abs=5e-7)
    assert row["average_precision_trapezoid"] == pytest.approx(0.763889, abs=5e-7)
    assert row["roc_auc"] == pytest.approx(0.666667, abs=5e-7)
    assert row["best_f1"] == pytest.approx(0.857143, abs=5e-7)
    assert row["best_f1_threshold"] == 0.4
    at = classification.counts(score, label, 0.4)
    assert at == {"tp": 3, "fp": 1, "fn": 0, "tn": 1}


@pytest.mark.parametrize("seed", range(12))
def test_ranking_is_that_of_scikit_learn(seed):
    score, label = _draw(seed, levels=2 + seed)
    row = classification.ranking(score, label)
    truth, kept = label[label >= 0] > 0, score[label >= 0]
    precision, recall, thresholds = sklearn.precision_recall_curve(truth, kept)
    f1 = 2 * precision * recall / np.maximum(precision + recall, 1e-300)
    near = {"rel": 1e-12, "abs": 1e-12}
    assert row["roc_auc"] == pytest.approx(sklearn.roc_auc_score(truth, kept), **near)
    step = sklearn.average_precision_score(truth, kept)
    assert row["average_precision"] == pytest.approx(step, **near)
    trapezoid = sklearn.auc(recall, precision)
    assert row["average_precision_trapezoid"] == pytest.approx(trapezoid, **near)
    assert row["best_f1"] == pytest.approx(f1.max(), **near)
    ties = thresholds[np.isclose(f1[:-1], f1.max(), atol=1e-12)]
    assert row["best_f1_threshold"] == ties.max()
    best = classification.rates(
        classification.counts(score, label, row["best_f1_threshold"])
    )
    assert best["f1"] == row["best_f1"]
    kinds = (row["positives"], row["negatives"], row["unknown"])
    assert kinds == (truth.sum(), (~truth).sum(), (label < 0).sum())


@pytest.mark.parametrize("label", [[1, 1, 1], [0, 0, 0], [-1, -1, -1], []])
def test_one_kind_alone_has_no_ranking(label):
    score = np.linspace(0.1, 0.9, len(label))
    row = classification.ranking(score, np.array(label, int))
    names = (*classification.RANKING, "best_f1", "best_f1_threshold")
    assert all(row[name] is None for name in names)
    assert row["unknown"] == sum(x < 0 for x in label)


def test_a_constant_score_ranks_by_chance():
    label = np.array([1] * 1483 + [0] * 212)
    row = classification.ranking(np.full(1695, 0.3), label)
    assert row["average_precision"] == pytest.approx(0.8749263, abs=5e-8)
    assert row["best_f1"] == pytest.approx(0.9332914, abs=5e-8)
    assert row["roc_auc"] == 0.5
    assert 1 - row["average_precision"] == pytest.approx(0.125074, abs=5e-7)


@pytest.mark.parametrize("counts, f1, precision, recall, fpr, interval", PUBLISHED)
def test_published_counts(counts, f1, precision, recall, fpr, interval):
    tp, fp, fn = counts
    rates = classification.rates({"tp": tp, "fp": fp, "fn": fn, "tn": 212 - fp})
    assert rates["f1"] == pytest.approx(f1, abs=5e-8)
    assert rates["precision"] == pytest.approx(precision, abs=5e-7)
    assert rates["sensitivity"] == pytest.approx(recall, abs=5e-7)
    assert rates["false_positive_rate"] == pytest.approx(fpr, abs=5e-7)
    assert rates["specificity"] == pytest.approx(1 - fpr, abs=5e-7)
    ends = classification.wilson(fp, 212)
    assert ends == pytest.approx(interval, abs=5e-5)


def test_rates_of_nothing_are_undefined():
    rates = classification.rates({"tp": 0, "fp": 2, "fn": 0, "tn": 3})
    assert rates["f1"] is None and rates["sensitivity"] is None
    assert rates["precision"] == 0.0 and rates["specificity"] == 0.6
    rates = classification.rates({"tp": 0, "fp": 0, "fn": 2, "tn": 3})
    assert rates["f1"] == 0.0 and rates["precision"] is None


@pytest.mark.parametrize("hits, total", [(0, 9), (9, 9), (1, 9), (500, 1000)])
def test_wilson_is_that_of_scipy(hits, total):
    low, high = classification.wilson(hits, total)
    ends = stats.binomtest(hits, total).proportion_ci(method="wilson")
    assert (low, high) == pytest.approx((ends.low, ends.high), abs=1e-12)
    assert classification.wilson(0, 0) == (None, None)


def test_ten_false_positives_are_not_more_than_five():
    p = classification.fisher((10, 5), (212, 212))
    assert round(p, 2) == 0.29


@pytest.mark.parametrize("seed", range(8))
def test_exact_tests_are_those_of_scipy(seed):
    rng = np.random.default_rng(seed)
    n, m = rng.integers(1, 40, 2).tolist()
    a, b = int(rng.integers(n + 1)), int(rng.integers(m + 1))
    table = [[a, n - a], [b, m - b]]
    want = stats.fisher_exact(table).pvalue
    assert classification.fisher((a, b), (n, m)) == pytest.approx(want, rel=1e-9)
    want = stats.binomtest(a, a + b).pvalue if a + b else 1.0
    assert classification.mcnemar(a, b) == pytest.approx(want, rel=1e-9)


@pytest.mark.parametrize("levels", [3, 1000])
def test_a_resample_is_the_ranking_of_its_images(levels):
    """Also where a step is not taken at all, the first one among them."""
    score, label = _draw(3, n=24, levels=levels)
    score, positive = classification.labelled(score, label)
    rng = np.random.default_rng(0)
    times = rng.integers(0, 3, (40, len(score)))
    times[0, np.argmax(score)] = 0
    times[1] = positive  # one kind alone
    drawn = classification.resampled(score, positive, times)
    for r, taken in enumerate(times):
        again = np.repeat(score, taken), np.repeat(positive, taken)
        row = classification.ranking(again[0], again[1].astype(int))
        for name in classification.RANKING:
            want = np.nan if row[name] is None else row[name]
            np.testing.assert_allclose(drawn[name][r], want, rtol=1e-12, err_msg=name)
