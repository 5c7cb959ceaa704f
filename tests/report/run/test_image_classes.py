"""The page of a run with classes of whole images, and of one that learned no pixels."""

import copy
import json
import re
import shutil

import pytest
from support import fake_image_classes as fake
from support import fake_run

from jaxseg.errors import DataError
from jaxseg.report import derived_numbers
from jaxseg.report.read import read
from jaxseg.report.run import (
    build,
    claims,
    class_examples,
    evidence,
    image_class_claims,
    image_classes,
    other_data,
)


@pytest.fixture(scope="module")
def plain(tmp_path_factory):
    return fake_run.make(tmp_path_factory.mktemp("plain") / "x", epochs=4)


@pytest.fixture
def made(plain, tmp_path, undrawn):
    """A function that makes a run with these classes, and reads it."""

    def make(**changes):
        root = tmp_path / "run"
        shutil.rmtree(root, ignore_errors=True)
        shutil.copytree(plain, root)
        return read(fake.add(root, **changes))

    return make


def _told(run, module=image_class_claims):
    split = derived_numbers.main_split(run)
    return [*module.claims(split)]


def _one(run, words, module=image_class_claims):
    (claim,) = [c for c in _told(run, module) if words in c["text"]]
    return claim


def _cells(block, row):
    return [cell["main"] for cell in block["rows"][row]]


def test_a_page_of_both_kinds_has_a_section_beside_those_of_pixels(made):
    run = made()
    build.build(run["workdir"])
    text = (run["workdir"] / "report.md").read_text()
    assert "## Results" in text and "## Image classes" in text
    assert "## Cases by class" in text and "figures/class_roc.png" in text
    assert "AUROC, mean over classes" in text.split("## What was tested")[0]
    verdict = claims.verdict(run)["text"]
    assert "trivial baseline" in verdict and "whole images" not in verdict


def test_a_page_of_classes_alone_begins_with_them_and_says_nothing_of_pixels(made):
    run = made(alone=True, noise=0.2, attention=True)
    build.build(run["workdir"])
    text = (run["workdir"] / "report.md").read_text()
    top = text.split("## What was tested")[0]
    assert "The classifier of whole images is above every answer" in top
    assert "by `f1_macro` (test, 29 images, 3 of 3 classes)" in top
    assert "Accuracy" in top and "commonest class for all" in top
    assert "figures/test_class_1_" in top
    for title in (
        "Every metric, validation too",
        "Precision and recall",
        "Image level",
    ):
        assert f"## {title}\n" not in text
    assert "Dice" not in text.split("## Configuration")[0]
    assert "Attention: where it looks" in text
    assert (run["workdir"] / "figures/class_history.png").is_file()


@pytest.mark.parametrize("alone", [False, True])
def test_other_data_has_them_too(made, alone):
    run = made(alone=alone)
    card = {"name": "folder", "version": "1.0.0", "channels": 1, "dtype": "uint8"}
    card |= {"classes": ["a"], "splits": {}, "sizes": {"min": [4, 4], "max": [4, 4]}}
    about = {"card": card, "splits": ["test"], "reordered": [], "shared": []}
    split = copy.deepcopy(run["splits"]["test"]) | {"name": "hospital_b"}
    split["result"]["other_data"] = about | {"detail": "by their id"}
    blocks = other_data.blocks_of(run | {"others": {"hospital_b": split}})
    titles = [block.get("title", "") for block in blocks if block]
    assert any("Every metric" in title for title in titles) != alone
    own = image_classes.blocks(run | {"splits": {"hospital_b": split}})
    assert own and all(block in blocks for block in own if block)


def test_the_tables_hold_what_was_scored(made):
    run = made()
    split = derived_numbers.main_split(run)
    record = split["result"]["image_classes"]
    classes, means, confusion, believed, drawn = image_classes.blocks(run)
    first = record["classes"][0]
    assert _cells(classes, 0)[0] == "normal"
    assert _cells(classes, 0)[1] == f"{first['metrics'][0]['value']:.3f}"
    low, high = (first["metrics"][2][key] for key in ("low", "high"))
    assert classes["rows"][0][3]["sub"] == f"{low:.3f} to {high:.3f}"
    assert classes["rows"][0][-1]["sub"].endswith(" do not, 1 not known")
    assert "validation, these very images: OPTIMISTIC" in classes["note"]
    by_name = {row["name"]: row for row in record["means"]}
    rows = {row[0]["main"]: row for row in means["rows"][:5]}
    assert rows["Accuracy"][1]["main"] == f"{by_name['accuracy']['value']:.3f}"
    assert rows["Accuracy"][2]["sub"] == "commonest class for all"
    assert rows["AUROC, mean over classes"][2]["main"] == "0.500"
    counts = record["confusion"]
    cell = confusion["rows"][1][2]
    share = 100 * counts[1][1] / sum(counts[1])
    assert cell == {"main": str(counts[1][1]), "sub": f"{share:.1f} %"}
    assert "as predicted" in str(believed) and "fitted on validation" in str(believed)
    names = [p["name"] for p in drawn["pictures"]]
    assert names == ["class_roc", "class_pr", "class_reliability"]
    assert _cells(image_classes.support(run), 2) == ["non_covid", "19"]


def test_classes_that_stand_together_have_no_confusion_and_no_accuracy(made):
    run = made(exclusive=False)
    split = derived_numbers.main_split(run)
    assert image_classes.confusion(split) is None
    assert "Accuracy" not in str(image_classes.blocks(run))
    assert _one(run, "above every answer without a model by `average_precision_mean`")


def test_the_curves_are_drawn(plain, tmp_path):
    shutil.copytree(plain, tmp_path / "run")
    run = read(fake.add(tmp_path / "run", absent=("covid19",)))
    split = derived_numbers.main_split(run)
    for picture in image_classes.figures_of(split):
        assert picture["png"][:4] == b"\x89PNG" and "On test" in picture["caption"]
    assert "covid19" not in image_classes.figures_of(split)[0]["svg"]


def test_a_class_that_no_image_shows_is_not_a_number(made):
    run = made(absent=("non_covid",))
    table = image_classes.blocks(run)[0]
    assert _cells(table, 2)[1] == "n/a (support 0)"
    claim = _one(run, "No image of test shows")
    assert claim["answer"] == "no" and "`non_covid`" in claim["text"]
    assert "2 of 3 classes" in _one(run, "`roc_auc_mean`")["text"]
    assert not [c for c in _told(made()) if "No image of" in c["text"]]


def test_claims_turn_when_their_numbers_turn(made):
    sure, poor = made(noise=0.05), None
    assert _one(sure, "by `accuracy`")["answer"] == "yes"
    assert _one(sure, "ranked better than by chance")["answer"] == "yes"
    assert _one(sure, "is the answer for some image")["answer"] == "yes"
    poor = made(noise=50.0)
    claim = _one(poor, "by `accuracy`")
    assert claim["answer"] in ("no", "unclear")
    assert ("NOT above" in claim["text"]) == (claim["answer"] == "no")
    assert _one(poor, "ranked better than by chance")["answer"] != "yes"
    assert _one(poor, "temperature")["answer"] in ("yes", "no")


def test_each_claim_carries_the_numbers_of_the_result(made):
    run = made()
    rows = derived_numbers.main_split(run)["result"]["image_classes"]["means"]
    for row in rows:
        if row["name"] == "balanced_accuracy":
            continue
        text = _one(run, f"by `{row['name']}`")["text"]
        assert f"{row['value']:.3f} [{row['low']:.3f}, {row['high']:.3f}]" in text
        assert re.search(r"against 0\.\d+ \(", text)


def test_a_class_that_is_never_the_answer_is_named(made):
    run = made(never=("covid19",))
    claim = _one(run, "NEVER the answer on test")
    assert claim["answer"] == "no" and "`covid19` (support 10)" in claim["text"]


def test_thresholds_of_the_images_themselves_are_optimistic(made):
    run = made()
    assert _one(run, "thresholds of the classes")["answer"] == "yes"
    del run["splits"]["test"]
    claim = _one(run, "thresholds of the classes")
    assert claim["answer"] == "no" and "optimistic" in claim["text"]
    assert _one(run, "The temperature")["answer"] == "unclear"
    assert "thresholds of the classes" in build.content(run)["warning"]


def test_a_temperature_that_helps_and_one_that_does_not(made):
    run = made()
    block = derived_numbers.main_split(run)["result"]["image_classes"]["calibration"]
    for after, answer in ((0.2, "yes"), (2.0, "no")):
        block["before"]["log_loss"], block["after"]["log_loss"] = 1.0, after
        claim = _one(run, "The temperature")
        assert claim["answer"] == answer and f"1 becomes {after:g}" in claim["text"]


@pytest.mark.parametrize(
    "verdict, answer, words",
    [
        ("kept", "no", "KEEPS its score without the object (`lung` covered)"),
        ("lost", "yes", "loses its score"),
        ("unclear", "unclear", "may keep its score"),
        ("no_score", "unclear", "has no score that it could keep"),
    ],
)
def test_a_model_that_keeps_its_score_without_lungs_is_named(
    made, verdict, answer, words
):
    run = made(alone=True)
    result = derived_numbers.main_split(run)["result"]
    result["shortcut"] = fake.shortcut(verdict)
    claim = _one(run, "without the object", evidence)
    assert claim["answer"] == answer and words in claim["text"]
    assert "0.880 [0.810, 0.940] against 0.900 [0.850, 0.950]" in claim["text"]
    assert claim in claims.claims(run)
    (table, _) = evidence.blocks(run)
    assert [row[0]["main"] for row in table["rows"]] == [
        "as they are",
        "without the object",
        "with nothing but the object",
    ]
    assert "the object is lung; 3 images" in table["note"]


@pytest.mark.parametrize(
    "hits, answer", [(18, "yes"), (3, "unclear"), (2, "no"), (0, "no")]
)
def test_where_it_looks_is_held_against_chance(made, hits, answer):
    run = made()
    result = derived_numbers.main_split(run)["result"]
    result["localisation"] = fake.localisation(hits)
    claim = _one(run, "For `covid19`", evidence)
    assert claim["answer"] == answer and f"in {hits} of 20 images" in claim["text"]
    (_, table) = evidence.blocks(run)
    assert _cells(table, 0)[3] == f"{hits} of 20"


def test_nothing_was_asked_and_nothing_is_said(made):
    run = made()
    assert not _told(run, evidence) and evidence.blocks(run) == [None, None]
    result = derived_numbers.main_split(run)["result"]
    result["localisation"] = fake.localisation(0, 0, None)
    assert not _told(run, evidence)


def test_cases_are_the_surest_errors_first(made):
    run = made()
    split = derived_numbers.main_split(run)
    shown = class_examples.cases(split)
    roles = [case["role"] for case in shown]
    assert roles == sorted(roles) and roles[0] == "error" and roles[-1] == "right"
    first = split["class_cases"][0]
    assert shown[0]["title"].startswith(f"Wrong: {first['id']}, {first['truth'][0]} is")
    assert f"{first['image_class']} {first['probability']:.3f}" in shown[0]["note"]
    assert class_examples.highlights(split, shown)[0]["kind"] == "side_by_side"
    split["class_cases"] = []
    assert class_examples.section(split, []) == []
    assert class_examples.highlights(split, []) == []


def test_a_lost_picture_is_named(made):
    run = made()
    split = derived_numbers.main_split(run)
    split["class_cases"][0]["image"].unlink()
    with pytest.raises(DataError, match="class_examples/.*evaluate the split again"):
        read(run["workdir"])


def test_a_run_without_classes_has_no_such_section(plain, undrawn):
    run = read(plain)
    assert image_classes.blocks(run) == [] and _told(run) == []
    assert image_classes.support(run) is None
    text = json.dumps([s["title"] for s in build.content(run)["sections"]])
    assert "Image classes" not in text and "Cases by class" not in text
