"""Paired tests: calibrated under the null, sharp when paired, careful with few."""

import numpy as np
import pytest

from jaxseg.errors import DataError
from jaxseg.metrics import overlap, paired_test

SIDE = 10_000


def _rows(rng, truth, skill, groups=None):
    """Rows of a per-image table: `skill` is the share of the truth that is found."""
    tp = rng.binomial(truth, np.clip(skill, 0, 1))
    fp = rng.binomial(SIDE - truth, 0.01)
    parts = zip(tp, fp, truth - tp, SIDE - truth - fp, strict=True)
    return [
        {"id": f"i{i:03d}", "group": groups[i] if groups else f"p{i:03d}"}
        | dict(zip(("tp", "fp", "fn", "tn"), map(float, part), strict=True))
        for i, part in enumerate(parts)
    ]


def _pair(seed, n=40, gap=0.0, **kwargs):
    rng = np.random.default_rng(seed)
    truth = rng.integers(100, 3000, n)
    hard = rng.normal(0.7, 0.1, n)
    both = [_rows(rng, truth, hard, **kwargs), _rows(rng, truth, hard + gap, **kwargs)]
    return [paired_test.images(rows) for rows in both]


def _compare(names, first, second, **options):
    """Each metric of two runs on the same images: first minus second, tested."""
    drawn = paired_test.resample(names, [first, second], **options)
    pairs = zip(drawn["value"].T, drawn["samples"].swapaxes(0, 1), strict=True)
    tests = [paired_test.difference(*pair, drawn["groups"]) for pair in pairs]
    return dict(zip(names, tests, strict=True))


def test_p_is_the_written_formula_and_few_groups_cap_it():
    first = np.array([1, 1, 1, 1, 1, 1, 1, 1, 0.0])  # 1 of 9 at or below 0
    test = paired_test.difference((0.7, 0.5), (first, np.zeros(9)), 30)
    assert test["p"] == pytest.approx(2 * (1 + 1) / (9 + 1))
    assert test["value"] == pytest.approx(0.2) and test["resamples"] == 9
    sure = np.ones(9999), np.zeros(9999)
    assert paired_test.difference((1, 0), sure, 50)["p"] == pytest.approx(2 / 10_000)
    assert paired_test.difference((1, 0), sure, 3)["p"] == 0.25  # 2^(1-3): three agree
    assert paired_test.difference((1, 0), sure, 1)["p"] is None


def test_identical_runs_differ_by_nothing_with_p_one():
    first, _ = _pair(0)
    for test in _compare(overlap.METRICS, first, first, resamples=200).values():
        assert (test["value"], test["low"], test["high"], test["p"]) == (0, 0, 0, 1)


def test_an_obvious_difference_is_found_with_its_sign_and_turns():
    first, second = _pair(1, gap=0.2)
    ours = _compare(["dice_pooled"], second, first)["dice_pooled"]
    theirs = _compare(["dice_pooled"], first, second)["dice_pooled"]
    assert 0 < ours["low"] < ours["value"] < ours["high"] and ours["p"] < 0.001
    assert theirs["value"] == -ours["value"] and theirs["p"] == ours["p"]
    assert theirs["low"] == pytest.approx(-ours["high"])


def test_p_is_about_uniform_when_nothing_differs():
    names = ["dice_pooled", "iou_positives"]
    found = [
        [t["p"] for t in _compare(names, *_pair(s, 80), resamples=200).values()]
        for s in range(400)
    ]
    found = np.array(found)
    for level, slack in ((0.1, 0.05), (0.5, 0.08), (0.8, 0.07)):  # 3 deviations
        shares = (found < level).mean(axis=0)
        assert (abs(shares - level) < slack).all(), (level, shares)


def test_what_makes_an_image_hard_cancels():
    rng = np.random.default_rng(2)
    truth = np.full(40, 1000)
    rows = _rows(rng, truth, rng.uniform(0.2, 0.9, 40))
    better = [r | {"tp": r["tp"] + 10, "fn": r["fn"] - 10} for r in rows]
    pair = paired_test.images(better), paired_test.images(rows)
    test = _compare(["recall_positives"], *pair)["recall_positives"]
    assert test["low"] == pytest.approx(0.01) and test["high"] == pytest.approx(0.01)
    alone = paired_test.resample(["recall_positives"], pair)["samples"][0, 0]
    assert np.ptp(alone) > 0.1  # one run by itself is not known nearly so well


def test_values_and_metrics_are_those_of_counts():
    first, second = _pair(3, n=12)
    for name, test in _compare(overlap.METRICS, first, second).items():
        ours, theirs = (overlap.value(name, run["counts"]) for run in (first, second))
        assert test["value"] == ours - theirs


def test_images_of_one_patient_are_drawn_together():
    each = [f"p{i // 8}" for i in range(40)]
    apart, together = (
        _compare(["dice_pooled"], *_pair(4, groups=g))["dice_pooled"]
        for g in (None, each)
    )
    assert (apart["groups"], together["groups"]) == (40, 5)
    assert together["value"] == apart["value"] and together["p"] >= 2**-4
    one = _compare(["dice_pooled"], *_pair(4, groups=["p"] * 40))["dice_pooled"]
    assert (one["low"], one["p"]) == (None, None) and one["value"] is not None


def test_resamples_without_the_class_are_left_out():
    rng = np.random.default_rng(5)
    truth = np.array([500] + [0] * 7)
    pair = [paired_test.images(_rows(rng, truth, skill)) for skill in (0.9, 0.6)]
    test = _compare(["recall_pooled"], *pair, resamples=1000)["recall_pooled"]
    assert 500 < test["resamples"] < 800  # 1 - (7/8)^8 of them have the image: 0.656
    empty = [paired_test.images(_rows(rng, np.zeros(8, int), 0.5)) for _ in range(2)]
    none = _compare(["recall_pooled"], *empty, resamples=50)["recall_pooled"]
    assert (none["value"], none["p"], none["resamples"]) == (None, None, 0)


def test_the_order_of_the_rows_is_no_matter():
    rows = _rows(np.random.default_rng(6), np.arange(100, 120), 0.5)
    first, second = paired_test.images(rows), paired_test.images(rows[::-1])
    assert first["id"] == second["id"] and first["group"] == second["group"]
    assert all((first["counts"][k] == second["counts"][k]).all() for k in ("tp", "tn"))


def _changed(rows, **new):
    return [rows[0] | new, *rows[1:]]


@pytest.mark.parametrize(
    "change, message",
    [
        (lambda rows: rows[1:], "1 are in one run only, 'i000'"),
        (lambda rows: _changed(rows, id="x"), "2 are in one run only"),
        (lambda rows: _changed(rows, group="x"), "of 'p000' in one run and of 'x'"),
        (lambda rows: _changed(rows, fn=9e3), "same masks, but image 'i000'"),
    ],
)
def test_other_images_are_refused(change, message):
    rows = _rows(np.random.default_rng(7), np.arange(100, 110), 0.5)
    pair = paired_test.images(rows), paired_test.images(change(rows))
    with pytest.raises(DataError, match=message):
        _compare(["dice_pooled"], *pair)


def test_a_table_that_cannot_be_tested_says_why():
    rows = _rows(np.random.default_rng(8), np.arange(100, 103), 0.5)
    with pytest.raises(DataError, match="'i000' stands twice"):
        paired_test.images([*rows, rows[0]])
    with pytest.raises(DataError, match="'i000' has no tn"):
        paired_test.images(_changed(rows, tn=None))


def test_holm_by_hand():
    # 0.01 * 3, then max(0.03, 0.03 * 2), then max(0.06, 0.04 * 1)
    assert paired_test.holm([0.01, 0.04, 0.03]) == pytest.approx([0.03, 0.06, 0.06])
    assert paired_test.holm([None, 0.4, None, 0.6]) == [None, 0.8, None, 0.8]
    assert paired_test.holm([]) == []
