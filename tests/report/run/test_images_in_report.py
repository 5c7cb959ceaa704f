"""A run with a decision head in its report: tables, claims, figures, cases."""

import json
import re
import shutil

import numpy as np
import pytest
from support import fake_images, tiny_decided

from jaxseg.experiment import measure_cost
from jaxseg.report import derived_numbers, page
from jaxseg.report.read import read
from jaxseg.report.run import (
    build,
    cases,
    claims,
    image_level,
    key_metrics,
    loss_weights,
    plots,
    sections,
)
from jaxseg.run_directory import files
from jaxseg.train import loop

WRONG = ("decision_false_positive", "decision_false_negative")


@pytest.fixture(scope="module")
def trained(tmp_path_factory):
    """A run with a head whose loss counts more and more, but little: it is poor."""
    root = tmp_path_factory.mktemp("images_in_report")
    tiny_decided.data(root / "data")
    changes = {"epochs": 4, "eval.every_epochs": 4, "eval.surface": True}
    config = tiny_decided.config(root / "data", **changes)
    del config.loss.image
    knots = ((0.0, 0.0), (1.0, 0.004))
    config.loss.image = {"module": "support.tiny_decided", "weight": knots}
    loop.train_and_evaluate(config, root / "run")
    return root / "run"


@pytest.fixture(scope="module")
def decided(binary, tmp_path_factory):
    """The fake run of two classes, with a decision head beside it."""
    root = tmp_path_factory.mktemp("decided") / "run"
    shutil.copytree(binary, root, ignore=shutil.ignore_patterns("report*", "figures"))
    return fake_images.add(root, noise=0.2)


def _markdown(root):
    return page.render(build.content(read(root)), "md")


def test_every_number_of_a_score_is_printed(decided, undrawn):
    run = read(decided)
    shown = _markdown(decided)
    for split in run["splits"].values():
        for row in split["result"]["image_level"]["scores"]:
            line = next(
                line
                for line in shown.splitlines()
                if line.startswith(
                    f"| {image_level._NAMES[row['score']]} ({split['name']})"
                )
            )
            for metric in row["metrics"]:
                if metric["name"] in image_level.COLUMNS:
                    assert f"{metric['value']:.3f}" in line, metric["name"]
            cells = line.split(" | ")
            assert cells[9:11] == [str(row["counts"][kind]) for kind in ("fp", "fn")]
    assert "baseline: always positive (test)" in shown
    assert "threshold chosen on these very images: optimistic" in shown
    assert "these very images: OPTIMISTIC" in shown  # of validation, in the note


def test_claims_turn_with_their_numbers(decided):
    split = read(decided)["splits"]["test"]
    claims = [*image_level.claims(split)]
    assert claims[0]["answer"] == "yes" and len(claims) == 2
    record = split["result"]["image_level"]
    support = f"{record['positives']} positive and {record['negatives']} negative"
    assert all(support in claim["text"] for claim in claims)
    ap = next(
        m for m in record["scores"][0]["metrics"] if m["name"] == "average_precision"
    )
    ap["low"] = 0.1
    assert next(image_level.claims(split))["answer"] == "unclear"
    ap["value"] = 0.1
    assert next(image_level.claims(split))["answer"] == "no"
    gain = next(g for g in record["gain"] if g["name"] == "average_precision")
    for value, p, answer in ((0.2, 0.01, "yes"), (-0.2, 0.01, "no"), (0.2, 0.3, None)):
        gain |= {"value": value, "low": -0.3, "high": 0.3, "p": p}
        (_, claim) = image_level.claims(split)
        assert claim["answer"] == (answer or "unclear")


def test_nothing_is_said_without_numbers(binary, decided, undrawn):
    assert "Whole images: foreground or not" not in _markdown(binary)
    run = read(decided)
    assert run["cost"] is None and "Cost of a prediction" not in _markdown(decided)
    for split in run["splits"].values():
        del split["result"]["image_level"]
    assert image_level.blocks(run) == []
    assert [*image_level.claims(run["splits"]["test"])] == []
    assert image_level.cards(run["splits"]["test"]) == []


def test_images_without_a_mask_are_of_the_image_level_alone(decided, undrawn):
    run = read(decided)
    split = run["splits"]["test"]
    before = derived_numbers.confusion(split)
    weak = [r for r in split["images"] if r["image_positive"] == 1][:4]
    for row in weak:
        row |= {"positive": 0, "predicted_pixels": 0, "tp": 0, "fp": 0, "fn": 0}
        row["tn"] = 0
    after = derived_numbers.confusion(split)
    assert after["positive"] == before["positive"] - 4
    assert after["negative"] == before["negative"]
    assert all(derived_numbers.shows(row) for row in weak)
    for row in weak:
        row["image_positive"] = None
        assert derived_numbers.shows(row) is None
    split["result"]["image_level"] |= {"without_mask": 4, "unknown": 1}
    (table, *_) = image_level.blocks(run)
    assert "4 images of test without a labelled pixel" in table["note"]
    assert "1 image of test of unknown truth: left out" in table["note"]


def test_curves_of_both_scores_are_drawn(decided, binary):
    drawn = plots.images(read(decided)["splits"]["test"])
    alone = plots.images(read(binary)["splits"]["test"])
    for picture, other in zip(drawn[:2], alone[:2], strict=True):
        assert "decision head" in picture["caption"]
        assert "decision head" not in other["caption"]
        assert picture["svg"] != other["svg"]


def test_the_report_of_a_trained_run_holds_every_section(trained):
    measure_cost.measure_cost(trained, passes=2)
    build.build(trained)
    shown = (trained / "report.md").read_text()
    result = read(trained)["splits"]["test"]["result"]
    for title in (
        "Whole images: foreground or not",
        "What the decision head brings",
        "Masks changed by the decision",
        "Overlap by threshold on test",
        "tolerance of 2 pixels on test",
        "AUPRO on test",
        "Cost of a prediction",
    ):
        assert title in shown
    rows = {row["name"]: row for row in result["post_processing"]["rows"]}
    line = next(x for x in shown.splitlines() if x.startswith("| as frozen"))
    for key in ("precision", "recall", "f1", "iou", "dice_positives", "dice_all"):
        assert f"{rows['plain'][key]:.3f}" in line, key
    assert "5x5 cross" in shown
    cost = json.loads((trained / files.COST).read_text())
    assert f"{cost['latency_ms_p95']:.3g} ms" in shown
    assert "weights that change, `image` from 0.0005 to 0.0035" in shown


def test_wrong_decisions_come_first_and_files_name_their_score(trained):
    split = read(trained)["splits"]["test"]
    threshold = split["result"]["image_level"]["scores"][0]["threshold"]
    rows = {row["id"]: row for row in split["images"]}
    wrong = [
        row["id"]
        for row in split["images"]
        if (row["image_score"] >= threshold) != (row["image_positive"] == 1)
    ]
    examples = cases.cases(split)
    first = [case for case in examples if case["role"] in WRONG]
    kinds = [sum(rows[i]["image_positive"] == kind for i in wrong) for kind in (0, 1)]
    assert 0 < len(first) == sum(min(3, kind) for kind in kinds)
    assert examples[: len(first)] == first
    assert {case["id"] for case in first} <= set(wrong)
    assert len({case["id"] for case in examples}) == len(examples)
    for case in examples:
        score = rows[case["id"]]["image_score"]
        assert case["strip"]["name"].endswith(f"score_{score:.3f}".replace(".", "_"))
        assert (f"Image score {score:.3f}") in case["note"]
    for role, sign in zip(WRONG, (-1, 1), strict=True):
        scores = [rows[c["id"]]["image_score"] for c in first if c["role"] == role]
        assert scores == sorted(scores, key=lambda s: sign * s)
    assert "surest and wrong" in cases.order_in_words(split)


@pytest.mark.parametrize(
    "weight, values",
    [
        (0.5, None),
        ([[0.0, 1.0], [1.0, 1.0]], None),
        ([[0.0, 0.0], [0.5, 1.0], [1.0, 0.0]], [0.25, 0.75, 0.75, 0.25]),
        (["staircase", 1.0, 0.0], [1.0, 0.75, 0.5, 0.25]),
        (["staircase", 0.0, 0.01], [0.0, 0.0025, 0.005, 0.0075]),
    ],
)
def test_weights_in_each_epoch(trained, weight, values):
    run = read(trained)
    run["config"]["loss"] = {"image": {"weight": weight}, "dice": {"weight": 1.0}}
    changing = loss_weights.changing(run)
    if values is None:
        assert changing == [] and loss_weights.words(changing) == ""
    else:
        np.testing.assert_allclose(changing[0].values, values, rtol=1e-6)  # of f32
        assert changing[0].term == "image"
        (picture, *_) = plots.training(run)
        assert re.search(r"weights that change, `image` from", picture["caption"])


def test_without_a_mask_that_shows_anything_the_decision_is_the_verdict(
    decided, undrawn
):
    """Data of labels of whole images: an empty answer has every pixel right."""
    run = read(decided)
    split = run["splits"]["test"]
    assert "decision" not in claims.verdict(run)["text"]
    split["result"]["positive_images"] = 0
    assert not derived_numbers.shows_foreground(split)
    words = claims.verdict(run)["text"]
    assert words.startswith("The decision head ranks the images of test better than")
    said = " ".join(claim["text"] for claim in claims.claims(run))
    assert words in said and "trivial baseline" not in said
    assert "Pixels are ranked" not in said
    names = [metric.name for metric in key_metrics.chosen(run, split)]
    assert names[0] == "average_precision" and not any("dice" in n for n in names)
    listed = sections.cards(run)
    assert len(listed) == 3 and all("decision" in card.name for card in listed)
    assert "always positive: " in listed[0].sub
