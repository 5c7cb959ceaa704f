"""Runs that look for objects side by side: their counts, their seeds, the baselines."""

import json
import shutil
import statistics

import numpy as np
import pytest
from support import fake_objects, fake_run

from jaxseg import errors
from jaxseg.report import page
from jaxseg.report.comparison import build, group_runs, object_tests, objects
from jaxseg.report.read import read

F1, MAE, BIAS = "object_f1_50", "count_mae", "count_bias"
T = 4.302653  # of Student, 2 degrees of freedom, 97.5 %


def _edit(path, change):
    value = json.loads(path.read_text())
    change(value)
    path.write_text(json.dumps(value))


@pytest.fixture(scope="module")
def runs(tmp_path_factory):
    """bead0..2 differ in seed; worse misses many; mask looks for no objects."""
    root = tmp_path_factory.mktemp("objects_compared")
    fake_run.make(root / "mask", epochs=4)
    for name in ("bead0", "bead1", "bead2", "worse"):
        shutil.copytree(root / "mask", root / name)
    for i in range(3):
        fake_objects.add(root / f"bead{i}", seed=i)
        _edit(root / f"bead{i}/config.json", lambda c, i=i: c.update(seed=i))
    fake_objects.add(root / "worse", missed=0.4)
    _edit(root / "worse/config.json", lambda c: c.update(name="worse"))
    _edit(root / "mask/config.json", lambda c: c.update(name="mask"))
    return root


def _units(runs, *names):
    return group_runs.units([runs / name for name in names])


def _row(root, name):
    rows = read(root)["splits"]["test"]["result"]["objects"]["metrics"]
    return next(row for row in rows if row["name"] == name)


def _bars(units, name, all_foreground, otsu_watershed):
    for unit in units:
        for run in unit["runs"]:
            record = run["splits"]["test"]["result"]["objects"]
            for base, bar in zip(
                record["baselines"], (all_foreground, otsu_watershed), strict=True
            ):
                base["metrics"][name] = bar


def _section(units, tmp_path):
    content = build.content(units, output=tmp_path)
    sections = {s["id"]: s["blocks"] for s in content["sections"]}
    return content, sections.get("objects")


def test_a_group_has_the_mean_and_interval_of_its_seeds(runs, undrawn, tmp_path):
    units = _units(runs, "bead0", "bead1", "bead2", "worse", "mask")
    _, (_, block) = _section(units, tmp_path)
    assert block["heads"][1:] == [f"`{name}`" for name in objects.METRICS]
    rows = {row[0]["main"]: row[1:] for row in block["rows"]}
    values = [_row(runs / f"bead{i}", F1)["value"] for i in range(3)]
    assert len(set(values)) == 3
    mean, half = statistics.mean(values), T * statistics.stdev(values) / 3**0.5
    cell = rows["bead, 3 seeds"][0]
    assert cell["main"] == f"{mean:.4f}"
    assert cell["sub"] == f"[{mean - half:.4f}, {mean + half:.4f}]"
    worse = _row(runs / "worse", MAE)
    cell = rows["worse"][list(objects.METRICS).index(MAE)]
    assert cell["main"] == f"{worse['value']:.4f}"
    assert cell["sub"] == f"[{worse['low']:.4f}, {worse['high']:.4f}]"
    bias = rows["worse"][-1]
    assert bias["main"] == f"{_row(runs / 'worse', BIAS)['value']:+.4f}"
    assert {cell["main"] for cell in rows["mask"]} == {"n/a"}
    best = ["best" in cell for cell in rows["bead, 3 seeds"]]
    assert best == [True] * 6 and not any("best" in cell for cell in rows["worse"])


def test_both_baselines_stand_below_the_runs(runs, undrawn, tmp_path):
    units = _units(runs, "mask", "worse")  # the first has none
    _, (_, block) = _section(units, tmp_path)
    rows = {row[0]["main"]: row[1:] for row in block["rows"]}
    record = read(runs / "worse")["splits"]["test"]["result"]["objects"]
    for base, name in zip(
        record["baselines"], ("all foreground", "threshold and watershed"), strict=True
    ):
        cells = rows[f"baseline: {name}"]
        assert cells[0]["main"] == f"{base['metrics'][F1]:.4f}"
        assert cells[-1]["main"].startswith("-")  # of the bias: with its sign


@pytest.mark.parametrize(
    ("f1", "mae", "answer", "words"),
    [
        (0.5, 9.0, "yes", "above both baselines by `object_f1_50`, "),
        (0.99, 9.0, "no", "NOT above threshold and watershed by `object_f1_50`"),
        (0.5, 0.1, "no", "NOT below threshold and watershed by `count_mae`"),
        ("low", 9.0, "unclear", "NOT CLEARLY above threshold and watershed by `obj"),
        (0.5, "high", "unclear", "NOT CLEARLY below threshold and watershed by `cou"),
    ],
)
def test_a_claim_of_each_group_turns_with_its_interval(
    runs, undrawn, tmp_path, f1, mae, answer, words
):
    units = _units(runs, "bead0", "bead1", "bead2")
    between = {
        "low": lambda row: (row["low"] + row["value"]) / 2,
        "high": lambda row: (row["high"] + row["value"]) / 2,
    }
    for name, bar in ((F1, f1), (MAE, mae)):
        if bar in between:
            bar = between[bar](objects.score(units[0], name))
        _bars(units, name, 0.0 if name == F1 else 20.0, bar)
    (claim,) = objects.claims(units)
    assert claim["answer"] == answer and words in claim["text"]
    assert claim["text"].startswith("Objects of `bead, 3 seeds` on test: ")
    assert "(95 % over seeds)" in claim["text"]
    content, _ = _section(units, tmp_path)
    assert claim in content["claims"]


def test_the_hardest_baseline_of_any_seed_counts(runs):
    units = _units(runs, "bead0", "bead1")
    _bars(units, F1, 0.0, 0.1)
    second = units[0]["runs"][1]["splits"]["test"]["result"]["objects"]
    second["baselines"][1]["metrics"][F1] = 0.999
    (claim,) = objects.claims(units)
    assert "0.9990 (threshold and watershed)" in claim["text"]
    assert claim["answer"] == "no"


def test_a_group_of_which_one_lacks_a_value_has_none(runs, undrawn, tmp_path):
    units = _units(runs, "bead0", "bead1")
    del units[0]["runs"][1]["splits"]["test"]["result"]["objects"]
    content, (_, block) = _section(units, tmp_path)
    assert {cell["main"] for cell in block["rows"][0][1:]} == {"n/a"}
    assert list(objects.claims(units)) == []
    assert page.render(content, "md")


def test_optimism_and_other_images_are_marked(runs, undrawn, tmp_path):
    units = _units(runs, "bead0", "worse")
    result = units[1]["runs"][0]["splits"]["test"]["result"]
    result["objects"]["optimistic"] = True
    units[1]["images"] = ("test", "elsewhere")
    content, (_, block) = _section(units, tmp_path)
    marks = {row[0]["main"]: row[0]["sub"] for row in block["rows"]}
    assert marks["bead0"] == ""
    assert marks["worse"] == "other images (test `elsewhere`); OPTIMISTIC"
    assert "OPTIMISTIC: the rule of objects was chosen on these" in block["note"]
    assert [row[0]["main"][:8] for row in block["rows"]] == [
        *("bead0", "baseline", "baseline", "worse", "baseline", "baseline")
    ]


@pytest.mark.parametrize("form", ["md", "html"])
def test_runs_without_objects_have_no_such_section(runs, undrawn, tmp_path, form):
    shutil.copytree(runs / "mask", tmp_path / "mask2")
    _edit(tmp_path / "mask2/config.json", lambda c: c.update(name="mask2"))
    units = group_runs.units([runs / "mask", tmp_path / "mask2"])
    content, blocks = _section(units, tmp_path)
    assert blocks is None and list(objects.claims(units)) == []
    assert "Objects" not in page.render(content, form)


def test_objects_put_runs_in_order_and_are_tested_in_pairs(runs, undrawn, tmp_path):
    units = _units(runs, "worse", "bead0")
    for name in (F1, MAE):
        content = build.content(units, metric=name, output=tmp_path)
        text = content["verdict"]["text"]
        assert text.startswith(f"`bead0` is better than the other run by `{name}`")
        assert content["verdict"]["answer"] == "yes"
    # a run without objects has no place, and nothing is claimed of it
    content = build.content(_units(runs, "mask", "bead0"), metric=F1, output=tmp_path)
    assert content["verdict"]["answer"] == "unclear"


def test_what_is_tested_is_what_was_scored(runs):
    splits = [read(runs / name)["splits"]["test"] for name in ("bead0", "worse")]
    drawn = object_tests.resample(splits, resamples=200)
    for values, name in zip(drawn["value"], ("bead0", "worse"), strict=True):
        f1, mae = (_row(runs / name, metric)["value"] for metric in (F1, MAE))
        assert values == pytest.approx([f1, mae])
    assert np.nanmean(drawn["samples"][0, 0] - drawn["samples"][1, 0]) > 0
    splits[1] = {**splits[1], "images": splits[1]["images"][1:]}
    with pytest.raises(errors.DataError, match="the same images with the same objects"):
        object_tests.resample(splits, resamples=200)
