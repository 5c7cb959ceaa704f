"""Temperature: recovered where it is known, frozen, and never applied to itself."""

import json
import logging

import numpy as np
import pytest
from scipy import optimize
from scipy.special import expit, logit
from support import scored

from jaxseg.errors import ConfigError
from jaxseg.evaluation import count, score_split, temperature
from jaxseg.metrics import calibration, histograms


def _cells(truth, p):
    p = np.asarray(p, np.float32)
    code = histograms.bins(p)
    pooled = [np.bincount(code[truth == c], minlength=histograms.BINS) for c in (0, 1)]
    only_value = histograms.only_values(p, code, sum(pooled))
    return calibration.pixel_cells(np.stack(pooled), only_value)


def _nll(truth, p, t):
    z = logit(np.clip(p.astype(np.float64), *calibration.CLIP)) / t
    return np.mean(np.logaddexp(0, np.where(truth == 1, -z, z)))


@pytest.fixture(scope="module")
def tally():
    split, predictions = scored.make(12, seed=1)
    return count.count_split(predictions, split, to_native=scored.keep)


@pytest.mark.parametrize("true", [0.5, 1.0, 1.7, 4.0])
def test_a_known_temperature_is_recovered(true):
    rng = np.random.default_rng(0)
    z = 2 * rng.normal(size=200_000) - 1
    truth = (rng.random(len(z)) < expit(z)).astype(int)
    p = expit(true * z).astype(np.float32)
    cells = _cells(truth, p)
    found = temperature.best(cells)
    assert found == pytest.approx(true, rel=0.02)
    direct = optimize.minimize_scalar(
        lambda t: _nll(truth, p, t), bounds=(0.3, 6), options={"xatol": 1e-7}
    )
    assert found == pytest.approx(direct.x, rel=2e-4)
    after = calibration.figures(calibration.scaled(cells, found))
    error = abs(after["nll"] - _nll(truth, p, found))
    assert error <= after["nll_error_bound"] < 1e-3
    assert after["ece"] < 0.005
    if true != 1.0:
        assert calibration.figures(cells)["ece"] > 0.02


def test_scaling_bounds_hold_and_the_order_stays():
    rng = np.random.default_rng(1)
    p = expit(8 * rng.normal(size=5000)).astype(np.float32)
    p[:40] = [0, 1] * 20
    truth = (rng.random(len(p)) < 0.3).astype(int)
    cells = _cells(truth, p)
    for t in (0.2, 3.0):
        ours = calibration.figures(calibration.scaled(cells, t))
        scaled = expit(logit(np.clip(p.astype(np.float64), *calibration.CLIP)) / t)
        assert abs(ours["nll"] - _nll(truth, p, t)) <= ours["nll_error_bound"]
        brier = np.mean((scaled - truth) ** 2)
        assert abs(ours["brier"] - brier) <= ours["brier_error_bound"]
        rows = np.searchsorted(np.arange(1, 15) / 15, scaled)
        gaps = [abs((scaled - truth)[rows == i].sum()) for i in range(15)]
        assert abs(ours["ece"] - sum(gaps) / len(p)) <= ours["ece_error_bound"]
        low = calibration.scaled(cells, t).low
        assert (np.diff(low) >= 0).all()


@pytest.mark.parametrize(
    "truth, p, value",
    [
        ([0, 1, 0, 1], [0.5] * 4, 1.0),  # no temperature changes anything
        ([0, 0, 1, 1], [0.1, 0.4, 0.6, 0.9], 1 / 32),  # sharper is always better
        ([1, 1, 0, 0], [0.1, 0.4, 0.6, 0.9], 32.0),  # worse than nothing
        ([0, 1, 1, 0], [0.0, 1.0, 0.0, 1.0], 32.0),
    ],
)
def test_where_the_data_does_not_decide(truth, p, value):
    assert temperature.best(_cells(np.array(truth), p)) == value


def test_the_fit_lowers_the_nll_it_says_and_is_frozen(tally):
    found = temperature.fit(tally, scored.VALIDATION)
    block = temperature.assemble(tally, found, scored.TEST)
    assert found["nll_before"] == pytest.approx(block["pixel"]["nll"], rel=1e-12)
    assert found["nll_after"] == block["after_temperature"]["pixel"]["nll"]
    assert found["nll_after"] < found["nll_before"]
    assert found["support_pixels"] == tally.pixels.sum()
    assert found["support_positive_pixels"] == tally.truth[:, 1].sum()
    assert not found["at_limit"]
    assert block["temperature"] == {**found, "optimistic": False}
    assert json.loads(json.dumps(block)) == block
    image = block["image"]
    assert (image["score"], image["support"]) == ("max_probability", 12)
    assert image["support_positives"] == 9
    gap = (tally.max_probability.astype(np.float64) - tally.positive) ** 2
    assert image["brier"] == pytest.approx(gap.mean(), abs=1e-12)


def test_images_and_pixels_without_labels_count_nowhere():
    split, predictions = scored.make(5)
    split[2]["mask"][:] = 255
    tally = count.count_split(predictions, split, to_native=scored.keep)
    block = temperature.assemble(tally, None, scored.TEST)
    assert block["image"]["support"] == 4
    masks = np.concatenate([e["mask"].ravel() for e in split.examples])
    scores = np.concatenate([p[..., 1].ravel() for _, p in predictions])
    labelled = masks != 255
    assert block["pixel"]["support"] == labelled.sum() < len(masks)
    brier = np.mean((scores[labelled].astype(np.float64) - masks[labelled]) ** 2)
    error = abs(block["pixel"]["brier"] - brier)
    assert error <= block["pixel"]["brier_error_bound"]


def test_the_images_it_was_fitted_on_are_refused_under_another_name(tally):
    found = temperature.fit(tally, scored.VALIDATION)
    with pytest.raises(ConfigError, match="'test' has the same images .*optimistic"):
        temperature.assemble(tally, found, scored.Split([], hash="v1"))
    itself = temperature.assemble(tally, found, scored.VALIDATION)
    assert itself["temperature"]["optimistic"]


def test_without_foreground_there_is_no_temperature(caplog):
    split, predictions = scored.make(1)
    tally = count.count_split(predictions, split, to_native=scored.keep)
    with caplog.at_level(logging.WARNING):
        found = temperature.fit(tally, scored.VALIDATION)
    assert "one class only" in caplog.text
    assert found["value"] is found["nll_after"] is None
    assert found["support_positive_pixels"] == 0
    block = temperature.assemble(tally, found, scored.TEST)
    assert block["after_temperature"] is None
    assert block["pixel"]["brier"] > 0 and block["pixel"]["support_positives"] == 0


def test_runs_from_before_and_more_classes_have_none(tally):
    block = temperature.assemble(tally, None, scored.TEST)
    assert block["temperature"] is block["after_temperature"] is None
    assert block["pixel"]["nll"] > 0
    split, predictions = scored.make(6, k=3)
    three = count.count_split(predictions, split, to_native=scored.keep)
    assert temperature.fit(three, scored.VALIDATION) is None


def test_evaluation_freezes_it_and_reads_runs_without_it(tally):
    split, _ = scored.make(12, seed=1)
    split.name = "validation"
    scoring = score_split.Scoring(
        None, None, None, step=3, seed=0, resamples=20, tolerance=None
    )
    point = score_split.choose_point(
        tally, split, step=3, objective="dice_pooled", min_areas=(0.0,)
    )
    assert point["temperature"]["split_hash"] == split.hash
    found, _ = score_split.score_tally(scoring, split, point, tally)
    block = found["calibration"]
    assert block["temperature"]["optimistic"]
    del point["temperature"]
    old, _ = score_split.score_tally(scoring, split, point, tally)
    assert old["calibration"]["temperature"] is None
    assert old["calibration"]["pixel"] == block["pixel"]
