"""Runs of several classes side by side: each class beside the mean."""

import json
import shutil

import pytest
from support import fake_run

from jaxseg.report import class_counts, page
from jaxseg.report.comparison import build, by_class, group_runs
from jaxseg.report.read import read

METRIC = "dice_pooled"


@pytest.fixture(scope="module")
def runs(classes, tmp_path_factory):
    """dead has a class it never predicts; seed0 and seed1 repeat it; old says less."""
    root = tmp_path_factory.mktemp("by_class")
    shutil.copytree(classes, root / "dead")
    fake_run.make(root / "seed0", classes=6, noise=1.2, epochs=10)
    fake_run.make(root / "seed1", classes=6, noise=1.3, epochs=10, silent=(5,))
    fake_run.make(root / "two", epochs=10)
    for i in range(2):
        config = json.loads((root / f"seed{i}/config.json").read_text())
        config |= {"seed": i, "name": "repeated"}
        (root / f"seed{i}/config.json").write_text(json.dumps(config))
    shutil.copytree(root / "seed0", root / "old")
    config["name"] = "old"
    (root / "old/config.json").write_text(json.dumps(config))
    for name in ("test", "validation"):
        path = root / f"two/eval/{name}.json"
        result = json.loads(path.read_text()) | {"split_hash": f"other {name}"}
        path.write_text(json.dumps(result))
        path = root / f"old/eval/{name}.json"
        result = json.loads(path.read_text())
        for key in ("class_table", "confusion", "calibration"):
            result.pop(key)
        rows = result["metrics"]
        result["metrics"] = [r for r in rows if r["class"] in ("mean", "effusion")]
        path.write_text(json.dumps(result))
    return root


def _content(runs, *names, metric=METRIC):
    units = group_runs.units([runs / name for name in names])
    return build.content(units, metric=metric, output=runs / "nowhere")


def _table(content):
    section = next(s for s in content["sections"] if s["id"] == "classes")
    (block,) = section["blocks"]
    return block


def _value(root, name):
    rows = read(root)["splits"]["test"]["result"]["metrics"]
    row = next(r for r in rows if (r["name"], r["class"]) == (METRIC, name))
    return row["value"]


def test_each_class_stands_beside_the_mean(runs, undrawn):
    block = _table(_content(runs, "dead", "seed0"))
    names = ["pneumothorax", "effusion", "never seen", "nodule", "mass"]
    assert block["heads"] == ["Run", "mean", *names]
    rows = {row[0]["main"]: row[1:] for row in block["rows"]}
    for run in ("dead", "seed0"):
        for cell, name in zip(rows[run], ["mean", *names], strict=True):
            value = _value(runs / run, name)
            none = "n/a (support 0)"
            assert cell["main"] == (none if value is None else f"{value:.4f}")
    assert rows["dead"][4]["sub"] == "NEVER PREDICTED"
    assert rows["seed0"][4]["sub"].startswith("[")
    best = (
        "dead"
        if _value(runs / "dead", "mass") > _value(runs / "seed0", "mass")
        else ("seed0")
    )
    assert [n for n, row in rows.items() if "best" in row[5]] == [best]
    assert not [n for n, row in rows.items() if "best" in row[2 + 1]]


def test_pairs_are_tested_by_the_mean_over_classes(runs, undrawn):
    """The values that are tested are those of the summary."""
    content = _content(runs, "dead", "seed0")
    tests = next(s for s in content["sections"] if s["id"] == "tests")
    words, table = tests["blocks"][:2]
    assert "the mean over the foreground classes that the truth has" in words["text"]
    assert "summed over" not in words["text"]
    first, second = (_value(runs / name, "mean") for name in ("seed0", "dead"))
    shown = table["rows"][0]
    assert shown[1]["main"] == f"{first - second:+.4f}"
    assert shown[0]["sub"] == f"{first:.4f} and {second:.4f}"


def test_counts_of_a_class_are_those_of_its_pixels(runs):
    split = read(runs / "seed0")["splits"]["test"]
    table = {row["class"]: row for row in split["result"]["class_table"]}
    present = [n for n, row in table.items() if row["support_pixels"]][1:]
    counted = class_counts.of_split(split)
    for name, images in zip(present, counted, strict=True):
        tp, fp, fn = (images["counts"][key].sum() for key in ("tp", "fp", "fn"))
        assert tp + fn == table[name]["support_pixels"]
        assert tp + fp == table[name]["predicted_pixels"]
        assert 2 * tp / (2 * tp + fp + fn) == table[name]["dice"]
    for row in split["images"]:
        del row["dice/mass"]
    assert class_counts.of_split(split) is None


def test_a_group_of_seeds_counts_how_often_a_class_is_lost(runs, undrawn):
    block = _table(_content(runs, "dead", "seed0", "seed1"))
    rows = {row[0]["main"]: row[1:] for row in block["rows"]}
    (group,) = [row for name, row in rows.items() if name.endswith(", 2 seeds")]
    assert group[5]["sub"] == "NEVER PREDICTED in 1 of 2"
    mean = sum(_value(runs / f"seed{i}", "mass") for i in range(2)) / 2
    assert group[5]["main"] == f"{mean:.4f}"


def test_dead_classes_are_the_first_claim(runs, undrawn):
    content = _content(runs, "dead", "seed0", "seed1")
    first = content["claims"][0]
    assert first["answer"] == "no" and "2 of 3 runs NEVER PREDICT" in first["text"]
    assert "`dead` `nodule`; `seed1` `mass`" in first["text"]
    units = group_runs.units([runs / "seed0", runs / "old"])
    (claim,) = by_class.claims(units)
    assert claim["answer"] == "yes" and "1 of 2 runs were" in claim["text"]


@pytest.mark.parametrize("form", ["md", "html"])
def test_an_older_run_has_no_numbers_where_it_has_none(runs, undrawn, form):
    content = _content(runs, "dead", "old")
    rows = {row[0]["main"]: row[1:] for row in _table(content)["rows"]}
    assert [cell["main"] == "n/a" for cell in rows["old"]] == [False, True, False] + (
        [True] * 3
    )
    assert page.render(content, form)


def test_two_classes_have_no_such_section(runs, undrawn):
    content = _content(runs, "two", "seed0")
    block = _table(content)
    rows = {row[0]["main"]: [c["main"] for c in row[1:]] for row in block["rows"]}
    assert rows["two"][2:] == ["n/a"] * 4
    shutil.copytree(runs / "two", runs / "twin")
    content = _content(runs, "two", "twin")
    assert "classes" not in [s["id"] for s in content["sections"]]
    assert list(by_class.claims(group_runs.units([runs / "two", runs / "twin"]))) == []
