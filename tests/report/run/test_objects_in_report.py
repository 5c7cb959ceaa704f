"""The section on objects: there when the run has it, whole, true, and never kinder."""

import json
import shutil

import numpy as np
import pytest
from PIL import Image
from support.html_page import Page

from jaxseg.errors import DataError
from jaxseg.report import blocks, object_numbers, page, text
from jaxseg.report.read import read
from jaxseg.report.run import (
    build,
    claims,
    object_claims,
    object_plots,
    objects,
    sections,
    worst_objects,
)

F1, MAE, BIAS = "object_f1_50", "count_mae", "count_bias"


@pytest.fixture
def bead_run(beads, undrawn):
    """The run with objects as read, fresh for every test to change; no plot costs."""
    return read(beads)


def _objects(run, split="test"):
    return run["splits"][split]["result"]["objects"]


def _set(run, name, value, low=None, high=None, bars=None):
    record = _objects(run)
    row = next(r for r in record["metrics"] if r["name"] == name)
    row.update(value=value, low=low, high=high)
    for base, bar in (bars or {}).items():
        found = next(b for b in record["baselines"] if b["name"] == base)
        found["metrics"][name] = bar


def _one(listed):
    (claim,) = listed
    return claim


def _table(run, title):
    section = objects.section(run)
    every = [b for b in section if b and b["kind"] == "table"]
    return next(b for b in every if b["title"].startswith(title))


def _words(run):
    """The cards, the claims of objects, and the section, as a reader sees them."""
    listed = list(object_claims.claims(run["splits"]["test"]))
    whole = page.Page(
        generator="test",
        title="test",
        facts=[],
        verdict=listed[0],
        warning="",
        cards=sections.cards(run),
        lead=[],
        claims=listed,
        sections=blocks.sections([("objects", "Objects", objects.section(run))]),
    )
    return page.render(whole, "md")


def _cells(block):
    return [[(cell["main"], cell["sub"]) for cell in row] for row in block["rows"]]


def test_a_run_without_objects_says_nothing_of_them(run, bead_run):
    without, split = build.content(run), run["splits"]["test"]
    assert "object" not in page.render(without, "md").split("## Configuration")[0]
    assert objects.section(run) == object_plots.drawn(split) == []
    assert list(object_claims.claims(split)) == object_claims.cards(split) == []
    ids = [s["id"] for s in build.content(bead_run)["sections"]]
    assert [s["id"] for s in without["sections"]] == [i for i in ids if i != "objects"]


def test_every_metric_stands_with_interval_support_and_both_baselines(beads, bead_run):
    record = _objects(bead_run)
    rows = Page((beads / "report.html").read_text()).rows
    block = _table(bead_run, "Objects on test")
    assert block["heads"][2:4] == ["All foreground", "Threshold and watershed"]
    for cells, metric in zip(_cells(block), record["metrics"], strict=True):
        name = metric["name"]
        assert name in text.LABELS and cells[0][0] == text.LABELS[name]
        shown = object_numbers.value(name, metric["value"])
        assert cells[1] == (shown, object_numbers.span(metric))
        bars = [
            object_numbers.value(name, b["metrics"][name]) for b in record["baselines"]
        ]
        assert [main for main, _ in cells[2:4]] == bars
        assert cells[4][0] == "30 images"
        assert any(f" {name} " in row and shown in row for row in rows)
        assert any(f"{name} {metric['policy']} " in row for row in rows)
    support = record["support"]
    assert f"{support['true_objects']} true objects" in block["lead"]


@pytest.mark.parametrize(
    ("value", "low", "bars", "answer", "words", "mark"),
    [
        (0.9, 0.85, (0.0, 0.8), "yes", "is above both baselines by its whole", ""),
        (0.9, 0.75, (0.0, 0.8), "unclear", "NOT CLEARLY above threshold and", "within"),
        (0.9, None, (0.0, 0.8), "unclear", "as no interval is known, on", "within"),
        (
            0.8,
            0.75,
            (0.0, 0.8),
            "no",
            "NOT above the baseline threshold and",
            "NOT BEA",
        ),
        (0.9, 0.85, (0.95, 0.8), "no", "NOT above the baseline all foreground on", ""),
        (0.9, 0.85, (None, 0.8), "yes", "is above every baseline by its whole", ""),
    ],
)
def test_f1_has_to_be_above_both_baselines(
    bead_run, value, low, bars, answer, words, mark
):
    bars = dict(zip(("all_foreground", "otsu_watershed"), bars, strict=True))
    _set(bead_run, F1, value, low, 0.97, bars)
    split = bead_run["splits"]["test"]
    claim = _one(object_claims.against_baselines(split, F1))
    assert claim["answer"] == answer and words in claim["text"]
    assert "0.800 (threshold and watershed)" in claim["text"]
    assert claim in claims.claims(bead_run)
    assert claims.verdict(bead_run) == claim  # a run that looks for objects begins so
    (row,) = [r for r in _cells(_table(bead_run, "Objects on")) if f"`{F1}`" in r[0][1]]
    assert row[3][1].startswith(mark) and bool(row[3][1]) == bool(mark)
    assert words in _words(bead_run)


@pytest.mark.parametrize(
    ("value", "high", "answer", "words"),
    [
        (1.0, 1.9, "yes", "is below both baselines by its whole interval on"),
        (1.0, 2.5, "unclear", "NOT CLEARLY below threshold and watershed"),
        (1.0, None, "unclear", "as no interval is known, on"),
        (2.0, 2.5, "no", "is NOT below the baseline threshold and watershed"),
    ],
)
def test_the_error_of_the_count_has_to_be_below_both(
    bead_run, value, high, answer, words
):
    bars = {"all_foreground": 9.0, "otsu_watershed": 2.0}
    _set(bead_run, MAE, value, 0.5, high, bars)
    claim = _one(object_claims.against_baselines(bead_run["splits"]["test"], MAE))
    assert claim["answer"] == answer and words in claim["text"]
    assert "against 9.00 (all foreground) and 2.00 (threshold and" in claim["text"]


def test_one_image_alone_has_no_interval(bead_run):
    """Its bootstrap is the same image again, which is as narrow as can be."""
    split = bead_run["splits"]["test"]
    _set(bead_run, F1, 0.9, 0.9, 0.9, {"otsu_watershed": 0.8})
    for rows in (_objects(bead_run)["metrics"], split["result"]["metrics"]):
        for row in rows:
            row["support_images"] = 1
    claim = _one(object_claims.against_baselines(split, F1))
    assert claim["answer"] == "unclear" and "as no interval is known" in claim["text"]
    assert _one(object_claims.unbiased(split))["answer"] == "unclear"
    assert _one(object_claims.target(split))["answer"] == "unclear"
    assert {row[1][1] for row in _cells(_table(bead_run, "Objects on"))} == {""}


@pytest.mark.parametrize(
    ("value", "low", "high", "answer", "words"),
    [
        (-0.3, -0.9, 0.2, "yes", "No bias of the count can be told from zero: -0.30 "),
        (-0.9, -1.4, -0.2, "no", "too few objects are predicted: -0.90 [-1.40, -0.20]"),
        (
            12.34,
            0.5,
            21.0,
            "no",
            "too many objects are predicted: +12.3 [+0.50, +21.0]",
        ),
        (0.4, None, None, "unclear", "no interval was computed: +0.40 objects"),
    ],
)
def test_bias_is_claimed_by_its_interval(bead_run, value, low, high, answer, words):
    _set(bead_run, BIAS, value, low, high)
    claim = _one(object_claims.unbiased(bead_run["splits"]["test"]))
    assert claim["answer"] == answer and words in claim["text"]


@pytest.mark.parametrize(
    ("value", "low", "bar", "answer", "words"),
    [
        (0.7, 0.5, 0.3, "yes", "foreground IoU of 0.50, is MET by the whole interval"),
        (0.7, 0.49, 0.3, "unclear", "is met, but not by the whole interval,"),
        (0.7, None, 0.3, "unclear", "is met, but no interval is known,"),
        (0.49, 0.4, 0.3, "no", "is NOT met on test: 0.490 [0.400, 0.800]"),
        (0.7, 0.5, 0.6, "yes", "(best grey threshold, 0.600) meets it TOO, so"),
        (0.7, 0.5, 0.4999, "yes", "(best grey threshold, 0.500) does not meet it."),
    ],
)
def test_the_target_stands_beside_the_baseline(
    bead_run, value, low, bar, answer, words
):
    result = bead_run["splits"]["test"]["result"]
    row = next(r for r in result["metrics"] if r["name"] == "iou_pooled")
    row.update(value=value, low=low, high=None if low is None else 0.8)
    for base in result["baselines"]:
        base["metrics"]["iou_pooled"] = 0.01
    result["baselines"][2]["metrics"]["iou_pooled"] = bar
    split = bead_run["splits"]["test"]
    claim = _one(object_claims.target(split))
    assert claim["answer"] == answer and words in claim["text"]
    card = next(c for c in sections.cards(bead_run) if c.name.startswith("Jaccard"))
    shown = {"yes": "met", "no": "NOT met", "unclear": "not clearly met"}
    assert card.value == shown[answer]
    assert ("meets it TOO" in card.sub) == (bar >= 0.5)


def test_a_rule_chosen_on_these_images_is_said_loudly(bead_run):
    split, record = bead_run["splits"]["test"], _objects(bead_run)
    claim = _one(object_claims.rule(split))
    assert (
        claim["answer"] == "yes" and "(threshold 0.5, min_distance 3)" in claim["text"]
    )
    assert build.content(bead_run)["warning"] == ""
    for change in (
        {"optimistic": True},
        {"source_split": "test"},
        {"split_hash": split["result"]["split_hash"]},
    ):
        split["result"]["objects"] = record | change
        assert _one(object_claims.rule(split))["answer"] == "no"
        words = _words(bead_run)
        assert "**Objects on test (OPTIMISTIC)**" in words
        assert "| chosen on | " in words and "(OPTIMISTIC: these images)" in words
        (first, *_) = object_claims.claims(split)
        assert first["text"].endswith("were chosen on these images.")
    warning = build.content(bead_run)["warning"]
    assert warning == "the settings of the rule of objects were chosen on these images"


def test_density_shows_the_naive_count_beside_two_that_are_not_biased(bead_run):
    dense = _objects(bead_run)["density"]
    dense["true"] = {"naive": 12345.6, "frame": 10000.0, "weighted": 98.76}
    dense["predicted"] = {"naive": 13000.0, "frame": 9000.0, "weighted": None}
    dense["undecided"] = {"true": 0, "predicted": 0}
    block = _table(bead_run, "Density")
    assert block["heads"][:2] == ["Objects per mm²", "Naive (too large)"]
    true, predicted = _cells(block)
    assert [main for main, _ in true] == ["True", "12,346", "10,000", "98.8", "0"]
    assert predicted[1:4] == [("13,000", "+5.3 %"), ("9,000", "-10.0 %"), ("n/a", "")]
    assert "would be counted again in the neighbouring image" in block["lead"]
    assert "the margin is wide enough" in block["note"]
    dense["undecided"]["true"] = 2
    assert "a wider margin is needed" in _table(bead_run, "Density")["note"]


@pytest.mark.parametrize(
    ("z", "words"),
    [(-2.0, "clustered"), (1.5, "not told from random"), (2.0, "regular")]
    + [(None, "no image has two objects")],
)
def test_neighbours_are_read_by_their_z(bead_run, z, words):
    _objects(bead_run)["neighbours"]["true"]["z"] = z
    block = _table(bead_run, "Nearest neighbours")
    assert _cells(block)[0][0] == ("True", words)
    assert block["heads"][1] == "Distance to the nearest, µm"


def test_worst_images_are_listed_and_shown_with_a_legend(beads, bead_run):
    worst = _objects(bead_run)["worst"]
    rows = _cells(_table(bead_run, "Images of test where objects went worst"))
    assert [r[0][0] for r in rows] == [f"`{row['id']}`" for row in worst]
    drawn = [row for row in worst if "picture" in row]
    assert 0 < len(drawn) < len(worst)
    for i, row in enumerate(drawn, start=1):
        shown = Image.open(beads / f"figures/test_objects_{i}.png")
        source = np.array(Image.open(beads / f"eval/test_objects/{row['picture']}"))
        assert source.shape == (64, 64, 3)  # small: its pixels are repeated
        assert (np.array(shown) == source.repeat(6, 0).repeat(6, 1)).all()
    html = (beads / "report.html").read_text()
    assert all(words in html for words in worst_objects.LEGEND)


@pytest.mark.parametrize("content", [None, b"no picture"])
def test_a_picture_that_cannot_be_read_is_named(beads, tmp_path, content):
    root = tmp_path / "run"
    shutil.copytree(beads, root)
    record = _objects(read(root))
    path = root / "eval/test_objects" / record["worst"][0]["picture"]
    path.write_bytes(content) if content else path.unlink()
    with pytest.raises(DataError, match=rf"{path.name} .*(missing|cannot be read)"):
        objects.section(read(root))


def test_what_is_undefined_reads_so(bead_run, monkeypatch):
    """No object anywhere: every number is None, and nothing is claimed."""

    def undefined(value):
        if isinstance(value, dict):
            return {k: undefined(v) for k, v in value.items()}
        if isinstance(value, list):
            return [undefined(v) for v in value]
        return None if isinstance(value, float) else value

    for split in bead_run["splits"].values():
        record = split["result"]["objects"]
        edges, at = record["sizes"]["edges"], record["thresholds"]
        empty = undefined(record)
        empty["sizes"] |= {"edges": edges, "true": [0] * 15, "predicted": [0] * 15}
        empty |= {"thresholds": at, "settings": {}, "cleaning": {}, "unit": "px"}
        split["result"]["objects"] = empty
    listed = list(object_claims.claims(bead_run["splits"]["test"]))
    assert [c["text"][:9] for c in listed] == ["The targe", "The rule "]
    words = _words(bead_run)
    assert "n/a (support 30)" in words and "None" not in words and "nan" not in words
    monkeypatch.undo()  # what can be drawn is: the counts
    drawn = object_plots.drawn(bead_run["splits"]["test"])
    assert [p["name"] for p in drawn if p] == ["object_counts"]


@pytest.mark.parametrize(
    ("truth", "words"),
    [
        ("object ids", "True objects: object ids. Predicted"),
        ("connected parts of the masks", "the masks, so those that touch count as one"),
        ("parts: touching objects count as one", "objects count as one. Predicted"),
    ],
)
def test_what_stands_in_for_true_objects_is_said(bead_run, truth, words):
    _objects(bead_run)["truth"] = truth
    assert words in objects.section(bead_run)[0]["text"]


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda o: o["sizes"]["true"].pop(), "objects.sizes.true has 14 numbers, but"),
        (lambda o: o["sizes"]["edges"].pop(), "sizes.edges asks for 14"),
        (lambda o: o["by_threshold"]["f1"].append(0.1), "by_threshold.f1 has 11 num"),
    ],
)
def test_lists_that_do_not_fit_are_refused(beads, tmp_path, change, message):
    root = tmp_path / "run"
    shutil.copytree(beads, root)
    path = root / "eval/test.json"
    result = json.loads(path.read_text())
    change(result["objects"])
    path.write_text(json.dumps(result))
    with pytest.raises(DataError, match=message):
        read(root)


def test_a_table_of_images_without_counts_is_refused(beads, tmp_path):
    root = tmp_path / "run"
    shutil.copytree(beads, root)
    path = root / "eval/test_per_image.csv"
    path.write_text(path.read_text().replace("predicted_objects", "counted", 1))
    with pytest.raises(DataError, match="has no column 'predicted_objects'"):
        read(root)
