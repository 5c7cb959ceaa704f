"""Numbers of a comparison: the nine runs of a published study, seeds, diffs, pairs."""

import math

import numpy as np
import pytest

from jaxseg.errors import ConfigError, DataError
from jaxseg.report import text
from jaxseg.report.comparison import (
    config_differences,
    group_runs,
    paired_tests,
    scores,
    wording,
)

# figures printed in a report on nine click budgets; the metrics of a row are of one run
METRICS = ("best Dice", "final Dice", "IoU", "accuracy", "sensitivity", "specificity")
NINE = {
    "5+5": (0.9504, 0.9461, 0.8997, 0.9706, 0.9914, 0.9631),
    "10+10": (0.9566, 0.9475, 0.9015, 0.9718, 0.9886, 0.9665),
    "20+20": (0.9631, 0.9555, 0.9157, 0.9762, 0.9962, 0.9690),
    "10+50": (0.9700, 0.9633, 0.9294, 0.9803, 0.9880, 0.9774),
    "30+30": (0.9619, 0.9554, 0.9151, 0.9757, 0.9932, 0.9691),
    "50+10": (0.9435, 0.9363, 0.8808, 0.9647, 0.9978, 0.9527),
    "50+50": (0.9681, 0.9584, 0.9205, 0.9775, 0.9941, 0.9714),
    "300+300": (0.9656, 0.9609, 0.9252, 0.9790, 0.9937, 0.9736),
    "500+500": (0.9691, 0.9649, 0.9323, 0.9812, 0.9947, 0.9763),
}
ENDS = {
    "best Dice": ("10+50", "50+10", "+0.0265"),
    "final Dice": ("500+500", "50+10", "+0.0286"),
    "IoU": ("500+500", "50+10", "+0.0515"),
    "accuracy": ("500+500", "50+10", "+0.0165"),
    "sensitivity": ("50+10", "10+50", "+0.0098"),
    "specificity": ("10+50", "50+10", "+0.0247"),
}


@pytest.mark.parametrize("metric", METRICS)
def test_each_metric_has_its_own_best_and_worst(metric):
    values = {name: row[METRICS.index(metric)] for name, row in NINE.items()}
    ends = scores.extremes(values, more=True)
    gap = wording.signed(ends["difference"])
    assert (*ends["best"], *ends["worst"], gap) == ENDS[metric]
    turned = scores.extremes(values, more=False)  # were lower better
    gap = wording.signed(turned["difference"])
    best, worst, shown = ENDS[metric]
    expected = (worst, best, shown.replace("+", "-"))
    assert (*turned["best"], *turned["worst"], gap) == expected


def test_differences_have_one_sign():
    gaps = [a - b for a, b in zip(NINE["10+50"], NINE["50+10"], strict=True)]
    shown = [wording.signed(gap) for gap in gaps]
    assert shown[0::2] == ["+0.0265", "+0.0486", "-0.0098"]
    assert (shown[3], shown[5]) == ("+0.0156", "+0.0247")
    assert [wording.signed(x) for x in (0.0, -0.0, None, math.nan)] == [
        *("0", "0", "n/a", "n/a")
    ]
    assert wording.signed(-0.00001234) == "-1.2e-05"
    assert (wording.value(12.346), wording.signed(-12.3)) == (
        "12.35",
        "-12.30",
    )
    assert wording.scored({"value": None, "support_images": 0}) == "n/a (support 0)"
    assert wording.scored({"value": None}) == "n/a"


def test_ties_and_absent_values():
    ends = scores.extremes({"a": 0.5, "b": None, "c": 0.5, "d": 0.4}, more=True)
    assert (ends["best"], ends["worst"]) == (["a", "c"], ["d"])
    ends = scores.extremes({"a": 0.5, "b": 0.5}, more=True)
    assert ends["difference"] == 0 and ends["best"] == ends["worst"] == ["a", "b"]
    assert scores.extremes({"a": 0.5, "b": None}, more=True) is None


@pytest.mark.parametrize(
    "name, more",
    [
        ("dice_pooled", True),
        ("validation/loss", False),
        ("hd95_image_skip_empty", False),
    ]
    + [("nsd_image_skip_empty", True), ("loss/dice", False), ("brier", False)],
)
def test_what_is_better_follows_the_name(name, more):
    assert scores.higher(name) is more


def test_reduction_of_the_loss():
    share = scores.reduction(0.5208, 0.0485)  # 10+10, printed as 90.68 there
    assert wording.percent(share) == "90.69 %"
    assert wording.percent(scores.reduction(0.5, 0.6)) == "-20.00 %"
    assert wording.percent(scores.reduction(None, 0.6)) == "n/a"
    assert scores.reduction(0.0, 0.6) is None


def test_interval_over_seeds_is_of_student():
    # t(2, 0.975) = 4.302653; s of 1, 2, 3 is 1
    mean, low, high = scores.t_interval([1.0, 2.0, 3.0])
    assert mean == 2
    assert (high - mean) == pytest.approx(4.302653 / math.sqrt(3), rel=1e-6)
    assert mean - low == pytest.approx(high - mean)
    assert scores.t_interval([1.0]) == (1.0, None, None)
    assert scores.t_interval([1.0, None]) == (None, None, None)


def test_welch_agrees_with_scipy():
    from scipy import stats

    first, second = [0.8, 0.82, 0.85], [0.7, 0.78, 0.72, 0.69]
    expected = stats.ttest_ind(first, second, equal_var=False).pvalue
    assert scores.welch(first, second) == pytest.approx(expected)
    assert scores.welch([0.5], second) is None
    assert scores.welch([0.5, 0.5], [0.4, 0.4]) is None
    assert scores.welch([0.5, None], second) is None


def test_pairs_turn_and_seeds_have_a_say():
    rng = np.random.default_rng(0)
    again = [0.8 + 0.01 * rng.normal(size=999), 0.7 + 0.01 * rng.normal(size=999)]
    steady = [np.array([0.79, 0.8, 0.81]), np.array([0.69, 0.7, 0.71])]
    shaky = [np.array([0.5, 0.9, 1.0]), np.array([0.5, 0.6, 1.0])]
    names = ["a", "b"]
    family = paired_tests._family(names, "dice_pooled", steady, again, 50)
    test = paired_tests.between({"m": family}, "m", *names)
    back = paired_tests.between({"m": family}, "m", *names[::-1])
    assert test["answer"] == "yes" and back["answer"] == "no"
    assert back["value"] == -test["value"] and back["low"] == -test["high"]
    assert test["seeds"] < 0.05 and paired_tests.between({}, "m", "a", "b") is None
    family = paired_tests._family(names, "loss", steady, again, 50)  # lower is better
    assert family["a", "b"]["answer"] == "no"
    family = paired_tests._family(names, "dice_pooled", shaky, again, 50)
    assert family["a", "b"]["adjusted"] < 0.05 < family["a", "b"]["seeds"]
    assert family["a", "b"]["answer"] == "unclear"


def test_pairs_of_one_metric_are_corrected_together():
    again = [np.full(99, value) for value in (0.9, 0.8, 0.7)]
    values = [np.array([value]) for value in (0.9, 0.8, 0.7)]
    family = paired_tests._family(["a", "b", "c"], "dice_pooled", values, again, 50)
    assert [test["p"] for test in family.values()] == [0.02] * 3
    assert [test["adjusted"] for test in family.values()] == [0.06] * 3
    assert {test["answer"] for test in family.values()} == {"unclear"}


def _run(config, digest="h"):
    result = {"metrics": [], "split_hash": digest}
    return {"config": config, "splits": {"test": {"name": "test", "result": result}}}


def test_runs_that_differ_in_the_seed_alone_are_grouped():
    runs = [_run({"seed": s, "lr": lr}) for lr in (1, 2) for s in (10, 2)]
    again, elsewhere = _run({"seed": 2, "lr": 1}), _run({"seed": 3, "lr": 1}, "other")
    groups = group_runs.group([*runs, again, elsewhere])
    seeds = [[(r["config"]["lr"], r["config"]["seed"]) for r in g] for g in groups]
    assert seeds == [[(1, 2), (1, 10)], [(2, 2), (2, 10)], [(1, 2)], [(1, 3)]]
    assert groups[2] == [again] and groups[3] == [elsewhere]


def test_what_changes_nothing_learned_is_no_difference():
    typed = {"keep": ["seed"], "on": False}
    runs = [
        _run({"seed": 0, "auto": typed | {"keep": []}, "eval": {"every_epochs": 1}}),
        _run({"seed": 1, "auto": typed, "eval": {"every_epochs": 5}, "log_every": 9}),
    ]
    assert len(group_runs.group(runs)) == 1
    tables = [group_runs.settings(run) for run in runs]
    assert config_differences.differing(tables) == ["seed"]


@pytest.mark.parametrize("content", ["[]", "{}", '{"status": 3}', '{"status": "fin"}'])
def test_a_damaged_record_is_no_run_that_goes_on(tmp_path, content):
    (tmp_path / "run.json").write_text(content)
    with pytest.raises(DataError, match="run.json"):
        group_runs.find([tmp_path])


@pytest.mark.parametrize(
    "names, common",
    [
        (["pre0", "pre1"], "pre"),
        (["x/seed0", "x/seed1"], "x"),
        (["base_s10", "base_s11"], "base"),
        (["loss-2", "loss-3"], "loss"),
        (["a", "b"], "a and 1 more"),
    ],
)
def test_a_group_is_called_by_what_its_names_share(names, common):
    assert group_runs._common(names) == common


def test_labels_are_the_shortest_ends_that_differ():
    assert group_runs.labels(["/r/a", "/r/b"]) == ["a", "b"]
    assert group_runs.labels(["/r/x/a", "/r/y/a", "/b"]) == ["x/a", "y/a", "/b"]


def test_only_what_differs_is_in_a_diff_the_telling_first():
    tables = [
        text.dotted({"model": {"name": m, m: {"depth": 4}}, "optim": {"lr": lr}})
        for m, lr in (("unet", 0.1), ("unet", 0.2), ("swin", 0.2))
    ]
    odd = config_differences.differing(tables)
    assert odd == ["model.name", "optim.lr", "model.unet.depth", "model.swin.depth"]
    first, second, third = config_differences.telling(tables)
    assert first[0] == "optim.lr" and third[0] == "model.name"
    assert second[0] == "model.name"
    assert config_differences.differing(tables[:1]) == []


def test_an_unknown_metric_names_the_known_ones():
    run = _run({})
    run["info"] = {}
    rows = [{"name": "dice_pooled", "value": 0.5}]
    run["splits"]["test"]["result"]["metrics"] = rows
    unit = {"name": "a", "runs": [run], "names": ["a"], "images": ("test", "h")}
    assert scores.stated_metric([unit]) == "dice_pooled"
    with pytest.raises(ConfigError, match="--metric is one of dice_pooled"):
        scores.stated_metric([unit], "dise")
