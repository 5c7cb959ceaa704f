"""Calibration: the stated bounds hold against scikit-learn and against brute force."""

import hypothesis
import numpy as np
import pytest
from hypothesis import strategies
from scipy.special import expit
from sklearn import metrics as sklearn
from sklearn.calibration import calibration_curve

from jaxseg.metrics import calibration, histograms

EDGES = np.arange(1, calibration.ROWS) / calibration.ROWS


def _brute(truth, score):
    """Every figure from single scores, pixel by pixel, and the gaps of the rows."""
    p, y = np.clip(score.astype(np.float64), 0, 1), truth.astype(np.float64)
    clipped = np.clip(p, *calibration.CLIP)
    rows = [np.searchsorted(EDGES, p) == i for i in range(calibration.ROWS)]
    gaps = [abs(p[r].mean() - y[r].mean()) for r in rows if r.any()]
    sure, right = np.maximum(p, 1 - p), (p > 0.5) == (y > 0.5)
    levels = [np.searchsorted(EDGES, sure) == i for i in range(calibration.ROWS)]
    return {
        "ece": sum(abs((p[r] - y[r]).sum()) for r in rows) / len(p),
        "ece_confidence": sum(abs((sure[r] - right[r]).sum()) for r in levels) / len(p),
        "maximum_calibration_error": max(gaps),
        "brier": sklearn.brier_score_loss(y, p, labels=[0, 1]),
        "nll": -np.mean(np.log(np.where(y == 1, clipped, 1 - clipped))),
    }


def _pooled(truth, score, *, look=True):
    """(pooled, only_value) as a tally keeps them."""
    code = histograms.bins(score)
    pooled = np.stack(
        [np.bincount(code[truth == c], minlength=histograms.BINS) for c in (0, 1)]
    )
    only_value = np.where(pooled.any(axis=0), histograms.MIXED, histograms.EMPTY)
    if look:
        only_value = histograms.only_values(score, code, pooled.sum(axis=0))
    return pooled, only_value


def _draw(kind, n=30_000, seed=0):
    rng = np.random.default_rng(seed)
    truth = (rng.random(n) < 0.05).astype(int)
    logit = 2 * rng.normal(size=n) + 4 * truth - 3
    score = {
        "smooth": expit(logit),
        "saturated": expit(12 * logit.astype(np.float32)),
        "tied": np.round(expit(logit), 1),
        "hard": (logit > 0) * 1.0,
        "constant": np.full(n, 0.3),
        "unrelated": rng.random(n),
        "at an edge": 0.2 + 1e-5 * rng.normal(size=n),
        "outside": np.where(logit > 0, 1.0005, -0.0005),
        "all 0": np.zeros(n),
        "no positive": expit(logit),
        "one pixel": expit(logit[:1]),
    }[kind]
    truth = np.zeros(n, int) if kind == "no positive" else truth[: len(score)]
    return truth, score.astype(np.float32)


KINDS = {  # the largest bounds, in the order of NAMES
    "smooth": (5e-5, 2e-3, 5e-5, 2e-4),
    "saturated": (5e-6, 1e-4, 5e-6, 5e-5),
    "tied": (1e-11,) * 4,
    "hard": (1e-11,) * 4,
    "constant": (1e-11,) * 4,
    "unrelated": (2e-4, 1e-4, 2e-4, 5e-4),
    "at an edge": (1, 1, 5e-5, 2e-4),
    "outside": (1e-11,) * 4,
    "all 0": (1e-11,) * 4,
    "no positive": (5e-5, 5e-4, 5e-5, 2e-4),
    "one pixel": (1e-11,) * 4,
}
NAMES = ("ece", "maximum_calibration_error", "brier", "nll")


@pytest.mark.parametrize("look", [True, False])
@pytest.mark.parametrize("kind", KINDS)
def test_the_bounds_hold_and_are_small(kind, look):
    truth, score = _draw(kind)
    ours = calibration.figures(
        calibration.pixel_cells(*_pooled(truth, score, look=look))
    )
    for name, value in _brute(truth, score).items():
        assert abs(ours[name] - value) <= ours[f"{name}_error_bound"], name
    for name, limit in zip(NAMES, KINDS[kind], strict=True):
        if look:
            assert ours[f"{name}_error_bound"] <= limit, name
    assert ours["support"] == len(truth)
    assert ours["support_positives"] == truth.sum()
    assert ours["certain"] == ((score <= 0) | (score >= 1)).sum()
    wrong = ((score <= 0) & (truth == 1)) | ((score >= 1) & (truth == 0))
    assert ours["certain_wrong"] == wrong.sum()
    assert sum(row["count"] for row in ours["rows"]) == len(truth)


@pytest.mark.parametrize("kind", ["smooth", "tied", "hard", "one pixel"])
def test_rows_are_the_calibration_curve_of_scikit_learn(kind):
    truth, score = _draw(kind)
    if kind == "smooth":  # scores that no row shares a cell for
        score = np.round(256 * score) / np.float32(256)
    ours = calibration.figures(calibration.pixel_cells(*_pooled(truth, score)))
    kept = [row for row in ours["rows"] if row["count"]]
    edges = np.linspace(0, 1, calibration.ROWS + 1)
    observed, mean = calibration_curve(truth, score, n_bins=calibration.ROWS)
    np.testing.assert_allclose([row["mean"] for row in kept], mean, atol=1e-7)
    np.testing.assert_allclose([r["observed"] for r in kept], observed, atol=1e-12)
    np.testing.assert_allclose([r["from"] for r in ours["rows"]], edges[:-1])
    np.testing.assert_allclose([r["to"] for r in ours["rows"]], edges[1:])
    empty = [row for row in ours["rows"] if not row["count"]]
    assert all(row["mean"] is None and row["observed"] is None for row in empty)


@hypothesis.settings(max_examples=60, deadline=None, derandomize=True)
@hypothesis.given(
    strategies.lists(
        strategies.tuples(strategies.floats(0, 1, width=32), strategies.integers(0, 1)),
        min_size=1,
        max_size=40,
    )
)
def test_the_bounds_hold_for_any_float32(pairs):
    score, truth = (np.array(column) for column in zip(*pairs, strict=True))
    score = score.astype(np.float32)
    cells = calibration.pixel_cells(*_pooled(truth, score, look=False))
    ours = calibration.figures(cells)
    for name, value in _brute(truth, score).items():
        assert abs(ours[name] - value) <= ours[f"{name}_error_bound"], name
    order = np.argsort(-score, kind="stable")
    again = calibration.pixel_cells(*_pooled(truth[order], score[order], look=False))
    assert calibration.figures(again) == ours


@hypothesis.settings(max_examples=150, deadline=None, derandomize=True)
@hypothesis.given(strategies.integers(0, 2**32 - 1), strategies.integers(2, 9))
def test_the_bounds_hold_where_cells_are_wide(seed, width):
    """Cells as wide as a row or two, so that the bounds are put to the test.

    1/2 is an edge between cells, as it is in `histograms`.
    """
    rng = np.random.default_rng(seed)
    n = int(rng.integers(1, 40))
    middle = rng.integers(2, size=n) if rng.random() < 0.3 else rng.random(n)
    score = np.clip(middle * rng.choice([1, 0.1]) + rng.choice([0, 0.45]), 0, 1)
    truth = (rng.random(n) < score**2).astype(int)
    edges = np.linspace(0, 1, 2 * width + 1)
    code = np.clip(np.searchsorted(edges, score) - 1, 0, None)
    neg, pos = (np.bincount(code[truth == c], minlength=2 * width) for c in (0, 1))
    ours = calibration.figures(
        calibration.cells_between(edges[:-1], edges[1:], neg, pos)
    )
    for name, value in _brute(truth, score).items():
        assert abs(ours[name] - value) <= ours[f"{name}_error_bound"], name


def test_a_calibrated_sample_has_a_small_error_and_beats_the_prevalence():
    rng = np.random.default_rng(0)
    score = expit(2 * rng.normal(size=400_000) - 1).astype(np.float32)
    truth = (rng.random(len(score)) < score).astype(int)
    ours = calibration.figures(calibration.pixel_cells(*_pooled(truth, score)))
    assert ours["ece"] < 0.003 and ours["ece_confidence"] < 0.003
    assert ours["maximum_calibration_error"] < 0.01
    base = ours["of_prevalence"]
    assert ours["brier"] < base["brier"] and ours["nll"] < base["nll"]
    constant = np.full(len(truth), truth.mean(), np.float32)
    other = calibration.figures(calibration.pixel_cells(*_pooled(truth, constant)))
    assert other["brier"] == pytest.approx(base["brier"], abs=1e-7)
    assert other["nll"] == pytest.approx(base["nll"], abs=1e-7)


def test_nll_is_the_log_loss_of_scikit_learn():
    truth, score = _draw("smooth")
    ours = calibration.figures(calibration.pixel_cells(*_pooled(truth, score)))
    theirs = sklearn.log_loss(truth, score.astype(np.float64))
    assert abs(ours["nll"] - theirs) <= ours["nll_error_bound"]


def test_nothing_scored_has_no_value_and_support_zero():
    pooled = np.zeros((2, histograms.BINS), np.int64)
    only_value = np.full(histograms.BINS, histograms.EMPTY, np.int32)
    ours = calibration.figures(calibration.pixel_cells(pooled, only_value))
    for name in calibration.FIGURES:
        assert ours[name] is None and ours[f"{name}_error_bound"] is None
    assert ours["support"] == ours["certain"] == 0
    assert [row["count"] for row in ours["rows"]] == [0] * calibration.ROWS


def test_single_scores_are_exact():
    rng = np.random.default_rng(3)
    score = rng.integers(0, 30, 60).astype(np.float32) / 29
    truth = rng.random(60) < score
    ours = calibration.figures(calibration.exact_cells(score, truth))
    for name, value in _brute(truth, score).items():
        assert ours[name] == pytest.approx(value, abs=1e-11), name
        assert ours[f"{name}_error_bound"] < 1e-11


def test_figures_survive_more_pixels_than_int32_holds():
    cells = calibration.cells_between(
        [0.25, 0.75], [0.25, 0.75], [2**40, 3], [2**33, 2**41]
    )
    ours = calibration.figures(cells)
    n = 2**40 + 2**33 + 2**41 + 3
    gap = abs((2**40 + 2**33) / 4 - 2**33) + abs((2**41 + 3) * 0.75 - 2**41)
    assert ours["ece"] == pytest.approx(gap / n, rel=1e-14)
    assert ours["support"] == n
