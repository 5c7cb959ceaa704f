"""Classes of whole images against scikit-learn, on random and on degenerate input."""

import numpy as np
import pytest
from sklearn import metrics as sklearn

from jaxseg.metrics import classification, image_classification

M = 4


def drawn(seed=0, *, n=60, ties=False):
    """(probability f64 [n, 4], truth i8 [n, 4]) of exclusive classes, some unknown."""
    rng = np.random.default_rng(seed)
    label = rng.choice(M, n, p=[0.4, 0.3, 0.2, 0.1])
    logit = rng.normal(size=(n, M)) + 1.2 * np.eye(M)[label]
    p = np.exp(logit) / np.exp(logit).sum(1, keepdims=True)
    truth = np.eye(M, dtype=np.int8)[label]
    truth[rng.random(n) < 0.15] = -1
    return (np.round(p, 1) if ties else p), truth


def together(seed=0, n=60):
    """The same of classes that may be shown together, with single unknown answers."""
    rng = np.random.default_rng(seed)
    truth = (rng.random((n, M)) < [0.5, 0.3, 0.1, 0.7]).astype(np.int8)
    p = 1 / (1 + np.exp(-(rng.normal(size=(n, M)) + 2 * truth - 1)))
    truth[rng.random((n, M)) < 0.2] = -1
    return p, truth


def labels(p, truth):
    known = truth.max(1) == 1
    return truth[known].argmax(1), p[known].argmax(1), p[known]


@pytest.mark.parametrize("seed", range(4))
@pytest.mark.parametrize("ties", [False, True])
def test_the_confusion_and_what_it_gives_are_those_of_scikit_learn(seed, ties):
    p, truth = drawn(seed, ties=ties)
    right, answer, _ = labels(p, truth)
    counts = image_classification.confusion(p, truth)
    every = list(range(M))
    want = sklearn.confusion_matrix(right, answer, labels=every)
    np.testing.assert_array_equal(counts, want)
    assert image_classification.accuracy(counts) == pytest.approx(
        sklearn.accuracy_score(right, answer), abs=1e-15
    )
    assert image_classification.balanced_accuracy(counts) == pytest.approx(
        sklearn.balanced_accuracy_score(right, answer), abs=1e-15
    )
    macro = image_classification.f1_macro(
        **image_classification.one_against_rest(counts)
    )
    shown = np.unique(right)
    want = sklearn.f1_score(right, answer, labels=shown, average="macro")
    assert macro == pytest.approx(want, abs=1e-15)


@pytest.mark.parametrize("make", [drawn, together])
def test_rates_at_thresholds_are_those_of_scikit_learn(make):
    p, truth = make(7)
    cuts = [0.5, 0.3, None, 0.2]
    for c, counts in enumerate(image_classification.at_thresholds(p, truth, cuts)):
        if cuts[c] is None:
            assert counts is None
            continue
        known = truth[:, c] >= 0
        label, yes = truth[known, c], p[known, c] >= cuts[c]
        tn, fp, fn, tp = sklearn.confusion_matrix(label, yes).ravel().tolist()
        assert counts == {"tp": tp, "fp": fp, "fn": fn, "tn": tn}
        rates = classification.rates(counts)
        assert rates["precision"] == sklearn.precision_score(label, yes)
        assert rates["sensitivity"] == sklearn.recall_score(label, yes)
        assert rates["specificity"] == sklearn.recall_score(label, yes, pos_label=0)
        assert rates["f1"] == pytest.approx(sklearn.f1_score(label, yes), abs=1e-15)


def test_the_history_of_exclusive_classes():
    p, truth = drawn(3)
    right, answer, known = labels(p, truth)
    row = image_classification.history(p, truth, exclusive=True)
    assert list(row) == list(image_classification.HISTORY)
    want = sklearn.roc_auc_score(right, known, multi_class="ovr", average="macro")
    assert row["class_roc_auc_mean"] == pytest.approx(want, abs=1e-12)
    want = sklearn.average_precision_score(np.eye(M)[right], known, average="macro")
    assert row["class_average_precision_mean"] == pytest.approx(want, abs=1e-12)
    assert row["class_accuracy"] == sklearn.accuracy_score(right, answer)
    want = sklearn.f1_score(right, answer, average="macro")
    assert row["class_f1_macro"] == pytest.approx(want, abs=1e-15)


def test_the_history_of_classes_together_is_over_their_known_answers():
    p, truth = together(2)
    row = image_classification.history(p, truth, exclusive=False)
    assert list(row) == list(image_classification.HISTORY[:3])
    each, best = [], []
    for score, label in zip(p.T, truth.T, strict=True):
        score, label = score[label >= 0], label[label >= 0]
        each.append(sklearn.roc_auc_score(label, score))
        best.append(max(sklearn.f1_score(label, score >= t) for t in score))
    assert row["class_roc_auc_mean"] == pytest.approx(np.mean(each), abs=1e-12)
    assert row["class_f1_macro"] == pytest.approx(np.mean(best), abs=1e-12)


def test_an_absent_class_is_left_out_and_not_a_zero():
    p, truth = drawn(5)
    absent = truth[:, 2] != 1
    p, truth = p[absent], truth[absent]
    assert image_classification.support(truth)[2]["shows"] == 0
    assert classification.ranking(p[:, 2], truth[:, 2])["roc_auc"] is None
    row = image_classification.history(p, truth, exclusive=True)
    right, answer, known = labels(p, truth)
    others = [0, 1, 3]
    each = [sklearn.roc_auc_score(right == c, known[:, c]) for c in others]
    assert row["class_roc_auc_mean"] == pytest.approx(np.mean(each), abs=1e-12)
    want = sklearn.f1_score(right, answer, labels=others, average="macro")
    assert row["class_f1_macro"] == pytest.approx(want, abs=1e-15)
    counts = image_classification.confusion(p, truth)
    assert counts.sum(1)[2] == 0 and counts.sum() == len(right)


@pytest.mark.parametrize("of", ["one class alone", "nothing known", "no image"])
def test_what_nothing_is_known_of_is_none(of):
    p, truth = drawn(1)
    if of == "one class alone":
        p, truth = p[truth[:, 0] == 1], truth[truth[:, 0] == 1]
    elif of == "no image":
        p, truth = p[:0], truth[:0]
    else:
        truth = np.full_like(truth, -1)
    row = image_classification.history(p, truth, exclusive=True)
    assert row["class_roc_auc_mean"] is row["class_average_precision_mean"] is None
    if of == "one class alone":  # of this one there is something to say
        accuracy = (p.argmax(1) == 0).mean()
        assert row["class_accuracy"] == accuracy
        assert row["class_f1_macro"] == pytest.approx(2 * accuracy / (1 + accuracy))
        return
    assert row["class_accuracy"] is row["class_f1_macro"] is None
    for exclusive in (True, False):
        figures = image_classification.calibrated(p, truth, exclusive=exclusive)
        assert figures["log_loss"] is figures["brier"] is figures["ece"] is None
        assert figures["support"] == 0
    assert image_classification.curves(p[:, 0], truth[:, 0]) == {"roc": [], "pr": []}


def test_calibration_of_exclusive_classes():
    p, truth = drawn(8)
    right, answer, known = labels(p, truth)
    figures = image_classification.calibrated(p, truth, exclusive=True)
    want = sklearn.log_loss(right, known, labels=list(range(M)))
    assert figures["log_loss"] == pytest.approx(want, abs=1e-12)
    squared = ((known - np.eye(M)[right]) ** 2).sum(1).mean()
    assert figures["brier"] == pytest.approx(squared, abs=1e-12)
    # ECE by its definition: |mean confidence - share of right answers|, 15 rows
    sure, hit = known.max(1), answer == right
    row = np.ceil(sure * 15) - 1
    gaps = [abs(sure[row == r].sum() - hit[row == r].sum()) for r in range(15)]
    assert figures["ece"] == pytest.approx(sum(gaps) / len(sure), abs=1e-12)
    assert sum(b["count"] for b in figures["bins"]) == figures["support"] == len(right)


def test_calibration_of_classes_together():
    p, truth = together(4)
    known = truth >= 0
    figures = image_classification.calibrated(p, truth, exclusive=False)
    want = sklearn.log_loss(truth[known], p[known])
    assert figures["log_loss"] == pytest.approx(want, abs=1e-9)
    want = sklearn.brier_score_loss(truth[known], p[known])
    assert figures["brier"] == pytest.approx(want, abs=1e-9)
    assert figures["support"] == known.sum()


@pytest.mark.parametrize("n", [40, 3000])
def test_curves_are_those_of_scikit_learn_or_a_part_of_them(n):
    p, truth = together(6, n=n)
    score, label = np.round(p[:, 1], 2 if n == 40 else 6), truth[:, 1]
    known = label >= 0
    curve = image_classification.curves(score, label)
    fpr, tpr, _ = sklearn.roc_curve(label[known], score[known], drop_intermediate=False)
    every = {(round(a, 9), round(b, 9)) for a, b in zip(fpr, tpr, strict=True)}
    got = [tuple(np.round(point, 9)) for point in curve["roc"]]
    assert set(got) <= every and got[0] == (0, 0) and got[-1] == (1, 1)
    assert len(got) == min(len(every), image_classification.POINTS)
    precision, recall, _ = sklearn.precision_recall_curve(label[known], score[known])
    every = {(round(a, 9), round(b, 9)) for a, b in zip(recall, precision, strict=True)}
    assert {tuple(np.round(point, 9)) for point in curve["pr"]} <= every
    assert curve["pr"][-1][0] == 1.0
