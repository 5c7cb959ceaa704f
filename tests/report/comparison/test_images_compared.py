"""Runs side by side by whole images: their numbers, and tests on the same images."""

import json
import shutil
import statistics

import numpy as np
import pytest
from scipy import stats
from support import fake_images, fake_run

from jaxseg.report import page
from jaxseg.report.comparison import build, group_runs, image_level
from jaxseg.report.read import read

T = 4.302653  # of Student, 2 degrees of freedom, 97.5 %


def _edit(path, **changes):
    path.write_text(json.dumps(json.loads(path.read_text()) | changes))


@pytest.fixture(scope="module")
def runs(tmp_path_factory):
    """sure0..2 differ in seed; poor is near chance; none has no decision head."""
    root = tmp_path_factory.mktemp("images_compared")
    fake_run.make(root / "old", epochs=4)
    for name in ("sure0", "sure1", "sure2", "poor", "none"):
        shutil.copytree(root / "old", root / name)
    for i in range(3):
        fake_images.add(root / f"sure{i}", seed=i, noise=0.15)
        _edit(root / f"sure{i}/config.json", seed=i)
    fake_images.add(root / "poor", noise=2.0)
    fake_images.add(root / "none", head=False)
    for name in ("poor", "none", "old"):
        _edit(root / f"{name}/config.json", name=name)
    return root


def _units(runs, *names):
    return group_runs.units([runs / name for name in names])


def _first(root):
    return read(root)["splits"]["test"]["result"]["image_level"]["scores"][0]


def _columns(root, *names):
    rows = sorted(read(root)["splits"]["test"]["images"], key=lambda r: r["id"])
    return [np.array([row[name] for row in rows]) for name in names]


def test_a_single_run_has_its_own_numbers_and_a_group_those_over_seeds(runs):
    (poor,) = _units(runs, "poor")
    row = image_level.score(poor, "roc_auc")
    own = next(m for m in _first(runs / "poor")["metrics"] if m["name"] == "roc_auc")
    assert (row["value"], row["low"], row["high"]) == (
        own["value"],
        own["low"],
        own["high"],
    )
    (sure,) = _units(runs, "sure0", "sure1", "sure2")
    values = [
        next(m["value"] for m in _first(runs / f"sure{i}")["metrics"] if m["name"] == n)
        for i in range(3)
        for n in ("f1",)
    ]
    row = image_level.score(sure, "f1")
    half = T * statistics.stdev(values) / 3**0.5
    assert row["value"] == pytest.approx(statistics.mean(values))
    assert row["high"] == pytest.approx(row["value"] + half, rel=1e-5)


def test_pairs_are_tested_on_the_same_images(runs):
    (pair,) = image_level.pairs(_units(runs, "sure0", "poor"))
    value = {
        name: next(
            m["value"]
            for m in _first(runs / name)["metrics"]
            if m["name"] == "average_precision"
        )
        for name in ("sure0", "poor")
    }
    gap = pair.test
    assert gap["value"] == pytest.approx(value["sure0"] - value["poor"])
    assert 0 < gap["low"] < gap["value"] < gap["high"]
    assert pair.adjusted == gap["p"] < 0.05
    wrong = []
    for name in ("sure0", "poor"):
        truth, yes = _columns(runs / name, "image_positive", "image_decision")
        wrong.append(truth != yes)
    only = [int((wrong[0] & ~wrong[1]).sum()), int((wrong[1] & ~wrong[0]).sum())]
    want = stats.binomtest(only[0], sum(only)).pvalue
    assert pair.mcnemar == pytest.approx(want)
    counts = [_first(runs / name)["counts"] for name in ("sure0", "poor")]
    table = [[c["fp"], c["tn"]] for c in counts]
    assert pair.fisher == pytest.approx(stats.fisher_exact(table).pvalue)


def test_holm_corrects_and_groups_have_no_exact_test(runs):
    units = _units(runs, "sure0", "sure1", "sure2", "poor", "none")
    pairs = image_level.pairs(units)
    assert len(pairs) == 3
    raw = [pair.test["p"] for pair in pairs]
    assert min(pair.adjusted for pair in pairs) == pytest.approx(3 * min(raw))
    of_group = [p for p in pairs if "sure" in p.first + p.second]
    assert all(p.mcnemar is None and p.fisher is None for p in of_group)
    (single,) = [p for p in pairs if "sure" not in p.first + p.second]
    assert single.mcnemar is not None


def test_a_run_without_an_image_level_is_not_tested(runs):
    units = _units(runs, "sure0", "old")
    assert image_level.pairs(units) == []
    assert image_level.score(units[1], "f1")["value"] is None
    assert image_level.blocks([_units(runs, "old", "none")]) == []


def test_the_page_shows_all_of_it(runs, tmp_path, undrawn):
    units = _units(runs, "sure0", "poor", "none", "old")
    content = build.content(units, output=tmp_path)
    (section,) = [s for s in content["sections"] if s["id"] == "images"]
    shown = page.render(content, "md")
    assert "baseline: always positive" in shown and "McNemar" in shown
    (_, first, tests) = section["blocks"]
    rows = {row[0]["main"]: row for row in first["rows"]}
    assert rows["none"][0]["sub"] == "segmentation"
    assert rows["sure0"][0]["sub"] == "decision"
    assert rows["old"][0]["sub"] == "no image level" and rows["old"][1]["main"] == "n/a"
    counts = _first(runs / "poor")["counts"]
    assert rows["poor"][-2]["main"] == str(counts["fp"])
    names = ("sure0", "poor", "none")
    highest = max(names, key=lambda name: float(rows[name][1]["main"]))
    assert [name for name in names if "best" in rows[name][1]] == [highest]
    assert len(tests["rows"]) == 3
