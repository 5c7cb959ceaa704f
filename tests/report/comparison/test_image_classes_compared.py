"""Runs side by side by classes of whole images, with and without masks beside them."""

import json
import shutil

import numpy as np
import pytest
from sklearn import metrics as sklearn
from support import fake_image_classes as fake
from support import fake_run

from jaxseg.metrics import classification, paired_test
from jaxseg.report.comparison import (
    build,
    group_runs,
    image_class_tests,
    image_classes,
    scores,
)
from jaxseg.report.read import read


def _edit(path, **changes):
    path.write_text(json.dumps(json.loads(path.read_text()) | changes))


@pytest.fixture(scope="module")
def runs(tmp_path_factory):
    """sure and poor answer classes beside masks, alone and weak answer them alone.

    plain answers none, dead never answers covid19, multi may answer several at once.
    """
    root = tmp_path_factory.mktemp("classes_compared")
    fake_run.make(root / "plain", epochs=4)
    for name in ("sure", "poor", "alone", "weak", "dead", "multi", "vague"):
        shutil.copytree(root / "plain", root / name)
        _edit(root / f"{name}/config.json", name=name)
    fake.add(root / "sure", noise=0.2)
    fake.add(root / "poor", noise=3.0)
    fake.add(root / "alone", noise=0.3, alone=True)
    fake.add(root / "weak", noise=4.0, alone=True)
    fake.add(root / "dead", noise=0.3, never=("covid19",))
    fake.add(root / "multi", noise=0.3, exclusive=False)
    fake.add(root / "vague", noise=3.0, exclusive=False)
    return root


def _units(runs, *names):
    return group_runs.units([runs / name for name in names])


def _content(runs, *names, metric=None):
    units = _units(runs, *names)
    return build.content(units, metric=metric, output=runs / "nowhere")


def _tables(content, section):
    blocks = next(s for s in content["sections"] if s["id"] == section)["blocks"]
    return {b["title"]: b for b in blocks if b["kind"] == "table"}


def _block(root):
    return read(root)["splits"]["test"]["result"]["image_classes"]


def _rows(root):
    rows = sorted(read(root)["splits"]["test"]["images"], key=lambda r: r["id"])
    return [row for row in rows if row["class_normal_truth"] is not None]


def _right(root):
    """Whether the answer for each image of known class is the true one."""
    columns = [f"class_{name}" for name in fake.NAMES]
    return [
        any(row[f"{c}_truth"] == row[f"{c}_decided"] == 1 for c in columns)
        for row in _rows(root)
    ]


def test_means_and_classes_stand_side_by_side(runs, undrawn):
    tables = _tables(_content(runs, "sure", "poor"), "image_classes")
    means = {row["name"]: row for row in _block(runs / "poor")["means"]}
    rows = {
        row[0]["main"]: [cell["main"] for cell in row]
        for row in tables["All classes together"]["rows"]
    }
    assert rows["poor"][1] == f"{means['roc_auc_mean']['value']:.4f}"
    assert rows["poor"][4] == f"{means['accuracy']['value']:.4f}"
    assert rows["baseline: majority class"][4] == "0.3448"
    each = tables["Each class"]
    assert each["heads"][:3] == ["Run", "normal, AUROC", "normal, F1"]
    assert "best" in each["rows"][0][1] and "best" not in each["rows"][1][1]


def test_accuracies_are_compared_by_mcnemar(runs, undrawn):
    answers = [
        image_class_tests.of_split(read(runs / name)["splits"]["test"])
        for name in ("sure", "poor")
    ]
    first, second, p = image_class_tests.mcnemar(*answers)
    right = [_right(runs / name) for name in ("sure", "poor")]
    assert first == sum(not a and b for a, b in zip(*right, strict=True))
    assert second == sum(a and not b for a, b in zip(*right, strict=True)) > 5
    assert p == classification.mcnemar(first, second) < 0.05
    table = _tables(_content(runs, "sure", "poor"), "image_classes")
    (row,) = table["Paired tests of the accuracy"]["rows"]
    assert [c["main"] for c in row[1:3]] in ([f"{first}", f"{second}"],)


def test_areas_of_each_class_are_tested_on_the_same_images(runs):
    listed = image_classes.pairs(_units(runs, "sure", "poor"))
    assert [pair.name for pair in listed] == list(fake.NAMES)
    values = []
    for name in ("sure", "poor"):
        rows = _rows(runs / name)
        truth = [r["class_covid19_truth"] for r in rows]
        values.append(sklearn.roc_auc_score(truth, [r["class_covid19"] for r in rows]))
    test = listed[1].test
    assert test["value"] == pytest.approx(values[0] - values[1])
    assert test["low"] < test["value"] < test["high"] and test["groups"] == 30
    assert (
        listed[1].adjusted == paired_test.holm([pair.test["p"] for pair in listed])[1]
    )


@pytest.mark.parametrize("names", [("sure", "poor"), ("multi", "vague")])
def test_means_on_all_images_are_those_that_were_scored(runs, names):
    splits = [read(runs / name)["splits"]["test"] for name in names]
    drawn = image_class_tests.resample(splits, resamples=20)
    for split, values in zip(splits, drawn["value"], strict=True):
        rows = split["result"]["image_classes"]["means"]
        means = {row["name"]: row["value"] for row in rows}
        wanted = [
            means[name.removeprefix("class_")]
            for name in image_class_tests.names(splits)
        ]
        np.testing.assert_allclose(values, wanted)
    assert drawn["samples"].shape == (2, len(wanted), 20)


def test_classifiers_are_ranked_and_tested_by_what_chose_them(runs, undrawn):
    content = _content(runs, "alone", "weak")
    assert "by class_f1_macro on test" in content["facts"]
    verdict = content["verdict"]
    assert verdict["answer"] == "yes" and "`alone` is better" in verdict["text"]
    summary = _tables(content, "summary")[""]
    assert summary["rows"][0][3]["sub"] == "majority class"
    assert "image_classes" in [s["id"] for s in content["sections"]]


def test_runs_of_both_kinds_compare_what_they_share(runs, undrawn, tmp_path):
    names = ("plain", "sure", "alone")
    build.build([runs / name for name in names], tmp_path / "out")
    text = (tmp_path / "out/report.md").read_text()
    assert "`alone` learned no pixels" in text
    content = _content(runs, *names)
    rows = _tables(content, "image_classes")["All classes together"]["rows"]
    cells = {row[0]["main"]: row[1]["main"] for row in rows}
    assert cells["plain"] == "n/a" and cells["sure"] != "n/a" != cells["alone"]
    tested = _tables(content, "image_classes")["Paired tests of the accuracy"]["rows"]
    assert {row[0]["main"] for row in tested} in (
        {"sure and alone"},
        {"alone and sure"},
    )
    pixels = _tables(content, "summary")[""]["rows"]
    assert {row[0]["main"]: row[2]["main"] for row in pixels}["alone"] == "n/a"


def test_one_run_of_each_kind_is_compared_without_a_verdict(runs, undrawn):
    content = _content(runs, "plain", "alone")
    assert content["verdict"]["answer"] == "unclear"
    content = _content(runs, "alone", "plain", metric="class_accuracy")
    assert content["verdict"]["answer"] == "unclear"


def test_classes_that_stand_together_have_no_test_of_accuracy(runs, undrawn):
    tables = _tables(_content(runs, "multi", "vague"), "image_classes")
    assert "Paired tests of the accuracy" not in tables
    assert len(tables["Paired tests of each class"]["rows"]) == 3


def test_answers_to_other_questions_are_not_tested(runs):
    assert image_classes.pairs(_units(runs, "sure", "multi")) == []
    assert image_classes.pairs(_units(runs, "plain", "sure")) == []
    assert len(image_class_tests.testable(_units(runs, "plain", "sure", "poor"))) == 2


def test_a_class_that_a_run_never_answers_is_named(runs):
    (claim,) = image_classes.claims(_units(runs, "sure", "dead"))
    assert claim["answer"] == "no"
    assert "1 of 2 runs" in claim["text"] and "`dead` `covid19`" in claim["text"]
    (claim,) = image_classes.claims(_units(runs, "sure", "alone"))
    assert claim["answer"] == "yes"
    assert [*image_classes.claims(_units(runs, "plain"))] == []


def test_seeds_are_a_group_with_a_mean(runs, tmp_path):
    for i, noise in enumerate((0.5, 0.8)):
        shutil.copytree(runs / "plain", tmp_path / f"s{i}")
        fake.add(tmp_path / f"s{i}", noise=noise, alone=True)
        _edit(tmp_path / f"s{i}/config.json", seed=i)
    (unit,) = group_runs.units([tmp_path / "s0", tmp_path / "s1"])
    values = [
        next(c for c in _block(tmp_path / f"s{i}")["classes"] if c["name"] == "normal")
        for i in range(2)
    ]
    values = [row["metrics"][0]["value"] for row in values]
    row = image_classes.of_class(unit, "normal", "roc_auc")
    assert row["value"] == pytest.approx(np.mean(values))
    assert scores.score(unit, "class_accuracy")["low"] is not None


def test_runs_without_classes_have_no_such_section(runs, undrawn):
    shown = _content(runs, "plain", "sure")
    assert "image_classes" in [s["id"] for s in shown["sections"]]
    assert image_classes.blocks([_units(runs, "plain")]) == []
