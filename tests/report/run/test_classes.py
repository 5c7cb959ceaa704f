"""The report of more than two classes: each class is shown, and dead ones are loud."""

import json
import re

import matplotlib
import numpy as np
import pytest
from matplotlib.figure import Figure
from support.html_page import Page

from jaxseg.report import class_numbers, derived_numbers, figures, page
from jaxseg.report.read import read
from jaxseg.report.run import (
    build,
    claims,
    class_claims,
    class_curves,
    class_decision,
    class_plots,
    class_table,
    plots,
    sections,
    tables,
)

DEAD, ABSENT = "nodule", "never seen"
_OF_CLASSES = ("class_table", "confusion", "argmax", "calibration")


@pytest.fixture
def run(classes):
    return read(classes)


@pytest.fixture
def split(run):
    return derived_numbers.main_split(run)


def _blocks(run, section):
    listed = {s["id"]: s["blocks"] for s in sections.sections(run, [])}
    return listed.get(section, [])


def _cells(block):
    return [[cell["main"] for cell in row] for row in block["rows"]]


def _older(run):
    """The run as it was before its classes were written down."""
    for split in run["splits"].values():
        for key in _OF_CLASSES:
            split["result"].pop(key, None)
        split["result"]["operating_point"] = None
        split["result"]["curves"].pop("pixel_by_class")
        for base in split["result"]["baselines"]:
            base.pop("classes")
        for case in split["cases"]:
            case.pop("worst_class"), case.pop("worst_dice")
    run["history"] = [
        {k: v for k, v in row.items() if k.count("/") < 2 and "_realised/" not in k}
        for row in run["history"]
    ]
    return run


def test_results_begin_with_the_classes_then_the_decision_and_confusions(run, undrawn):
    first, few = _blocks(run, "metrics")
    assert first["title"] == "Classes on test" and few["title"] == "Test"
    second, third, *rest = _blocks(run, "results")
    assert second["title"] == "Frozen decision"
    assert [p["name"] for p in third["pictures"]] == ["confusion"]
    kept = [b for b in rest if b["kind"] == "table"]
    assert [b["title"] for b in kept] == [
        "Test, mean over classes",
        "Validation (optimistic), mean over classes",
    ]
    folded = [b["title"] for b in rest if b["kind"] == "folded"]
    assert folded[0].startswith("Confusion matrix on test")
    assert "Classes on validation (optimistic)" in folded
    assert "Test: every metric of every class" in folded


def test_the_class_table_prints_what_was_counted(run, split, undrawn):
    block = _blocks(run, "metrics")[0]
    table, cells = class_numbers.table(split), _cells(block)
    assert [row[0] for row in cells[:-1]] == derived_numbers.classes(split)
    for row, shown in zip(table, cells, strict=False):
        if row["class"] in (DEAD, ABSENT):
            continue
        expected = [f"{row[s]:.3f}" for s in ("dice", "iou", "precision", "recall")]
        assert shown[1:5] == expected
        assert shown[5:] == [
            f"{row['support_images']} images",
            f"{row['predicted_pixels']:,}",
        ]
    mean = class_numbers.mean_row(split, "dice_pooled")
    assert cells[-1][:2] == ["mean", f"{mean['value']:.3f}"]
    span = block["rows"][-1][1]["sub"]
    assert span == f"{mean['low']:.3f} to {mean['high']:.3f}"
    assert block["rows"][-1][0]["sub"].startswith("of 4 of 5 foreground classes")


def test_a_dead_and_an_absent_class_are_marked(run, undrawn):
    block = _blocks(run, "metrics")[0]
    rows = {row[0]["main"]: row for row in block["rows"]}
    assert rows[DEAD][0]["sub"] == "NEVER PREDICTED" and rows[DEAD][-1]["main"] == "0"
    assert rows[DEAD][1]["main"] == "0.000" and rows[DEAD][3]["main"] == "n/a"
    assert rows[ABSENT][0]["sub"] == "not in the truth"
    assert rows[ABSENT][1]["main"] == "n/a (support 0)"
    red = [name for name, row in rows.items() if "bad" in row[0]]
    assert red == [DEAD]
    content = build.content(run)
    assert f'class="bad">{DEAD}<span' in page.render(content, "html")


def test_the_first_claims_are_of_dead_and_absent_classes(run, split):
    first, second, *_ = claims.claims(run)
    row = next(r for r in class_numbers.table(split) if r["class"] == DEAD)
    assert first["answer"] == second["answer"] == "no"
    assert f"Class `{DEAD}` is NEVER PREDICTED on test" in first["text"]
    support = f"{row['support_pixels']:,} pixels in {row['support_images']} images"
    assert support in first["text"] and "in any epoch" in first["text"]
    assert f"Class `{ABSENT}` does NOT occur in the truth" in second["text"]
    assert "3 pixels were predicted as it" in second["text"]


def test_claims_of_classes_turn_with_their_numbers(run, split):
    rows = {row["class"]: row for row in class_numbers.table(split)}
    history = run["history"]
    for row in history:
        row[f"validation/predicted_share/{DEAD}"] = 0.01 if row["epoch"] == 8 else 0.0
    told = [c["text"] for c in class_claims.claims(run, split)]
    assert "it was predicted last after epoch 8" in told[0]
    rows[DEAD].update(never_predicted=False, predicted_pixels=4)
    told = list(class_claims.claims(run, split))
    assert [c["answer"] for c in told] == ["no", "yes"]
    assert "Each of the 5 classes in the truth of test is predicted" in told[1]["text"]
    rows[ABSENT].update(support_pixels=1, support_images=1)
    assert [c["answer"] for c in class_claims.claims(run, split)] == ["yes"]


def test_baselines_and_transfer_are_told_of_all_classes_at_once(run, split):
    told = [c["text"] for c in claims.above_baselines(run, split)]
    (each,) = [t for t in told if t.startswith("By `dice_pooled` on test")]
    held = "in 3 of 4 classes (`pneumothorax`, `effusion`, `mass`); "
    assert f"{held}NOT above: `nodule` 0.000" in each
    assert len(told) == 2 * len(derived_numbers.DICE)
    mean, every = (c["text"] for c in claims.transfer(run))
    assert "mean over classes" in mean and "in 4 of 4 classes" in every


def test_the_mean_by_the_kaggle_rule_is_of_every_image(split):
    """Evaluation writes the images with foreground, as for any mean over classes."""
    (written,) = [
        row
        for row in split["result"]["metrics"]
        if (row["name"], row["class"]) == ("dice_kaggle", "mean")
    ]
    written["support_images"] = split["result"]["positive_images"]
    mean = class_numbers.mean_row(split, "dice_kaggle")
    assert mean["support_images"] == split["result"]["images"] == 30
    shown = f"30 images, {split['result']['positive_images']} with foreground"
    assert tables.support(split, mean) == shown
    row = class_numbers.of_class(split, "dice_kaggle", "mass")
    assert tables.support(split, row) == "30 images, 10 with `mass`"


def test_cards_show_the_mean_the_worst_class_and_the_dead(run, split):
    cards = sections.cards(run)
    assert [card.name for card in cards] == [
        "Mean, dice_positives",
        f"Worst class: {DEAD}, dice_positives",
        "Classes never predicted",
    ]
    row = class_numbers.mean_row(split, "dice_positives")
    assert cards[0].value == f"{row['value']:.3f}"
    assert cards[2][1:] == ("1 of 5", DEAD)
    for row in class_numbers.table(split):
        row["never_predicted"] = False
    assert [c.name for c in class_table.cards(run, split)] == [
        c.name for c in cards[:2]
    ]


def test_the_decision_stands_beside_argmax_on_the_same_split(split):
    block = class_decision.table_of(split)
    point, alone = split["result"]["operating_point"], split["result"]["argmax"]
    assert f"`dice_pooled`: {point['value']:.3f} there" in block["lead"]
    assert f"{point['value_argmax']:.3f} by argmax alone" in block["lead"]
    for i, row in enumerate(block["rows"][:-1]):
        table = alone["class_table"][i]
        assert row[1]["main"] == f"{point['offsets'][i]:+.3f}"
        dice = "n/a" if table["dice"] is None else f"{table['dice']:.3f}"
        assert row[2]["sub"] == f"argmax {dice}"
        assert row[-1]["sub"] == f"argmax {table['predicted_pixels']:,}"
    mean = alone["metrics"]["dice_pooled"]
    assert block["rows"][-1][2]["sub"] == f"argmax {mean:.3f}"
    (claim,) = class_decision.claims(split)
    alone["metrics"]["dice_pooled"] = 0.9
    (turned,) = class_decision.claims(split)
    assert claim["answer"] == "unclear" and turned["answer"] == "no"
    assert "are NOT better than argmax alone" in turned["text"]
    alone["metrics"]["dice_pooled"] = 0.1
    assert next(class_decision.claims(split))["answer"] == "yes"


def test_a_decision_by_offsets_is_an_operating_point(run, split):
    (claim,) = claims.operating_point(run, split)
    assert claim["answer"] == "yes" and "an offset for each class" in claim["text"]
    assert tables.operating_point(run) is None


def test_argmax_alone_has_no_decision_to_show(run, split):
    split["result"]["operating_point"] = None
    assert class_decision.table_of(split) is None
    assert list(class_decision.claims(split)) == []
    assert list(claims.operating_point(run, split)) == []


def test_the_confusion_table_is_that_of_the_result(run, undrawn):
    folded = next(b for b in _blocks(run, "results") if b["kind"] == "folded")
    (block,) = folded["blocks"]
    counts = np.array(run["splits"]["test"]["result"]["confusion"])
    shown = [[cell.replace(",", "") for cell in row[1:]] for row in _cells(block)]
    assert np.array(shown, int)[:, :-1].tolist() == counts.tolist()
    assert block["rows"][1][2]["sub"] == (
        f"{100 * counts[1, 1] / counts[1].sum():.1f} %"
    )
    assert block["rows"][3][1]["sub"] == ""  # a class without support has no shares


def _drawn(monkeypatch, make):
    """[(name, axes, keywords)] of the plots that `make` draws."""
    kept = []

    def plot(name, title, caption, draw, **kwargs):
        with matplotlib.rc_context({}):
            axes = Figure().add_subplot()
            draw(axes)
        kept.append((name, axes, kwargs))
        return {"name": name}

    monkeypatch.setattr(figures, "plot", plot)
    make()
    return kept


@pytest.mark.parametrize("k", [3, 4])
def test_a_confusion_figure_of_few_classes_is_drawn(k):
    names = [f"class{c}" for c in range(k)]
    result = {"confusion": np.eye(k, dtype=int).tolist(), "classes": names}
    drawn = class_plots.confusion(
        {"name": "test", "result": result | {"operating_point": None}}
    )
    assert "the most probable class of each pixel" in drawn["caption"]


def test_the_confusion_figure_writes_shares_and_counts(split, monkeypatch):
    ((_, axes, _),) = _drawn(monkeypatch, lambda: class_plots.confusion(split))
    counts = np.array(split["result"]["confusion"])
    words = {tuple(t.get_position()): t.get_text() for t in axes.texts}
    share = counts[1, 0] / counts[1].sum()
    assert words[0.5, 1.5] == f"{100 * share:.1f} %\n{counts[1, 0]}"
    assert words[0.5, 3.5] == "no support" and words[4.5, 1.5] == "0"
    assert [t.get_text() for t in axes.get_yticklabels()] == split["result"]["classes"]


@pytest.mark.parametrize(
    ("count", "words"),
    [(0, "0"), (999, "999"), (1000, "1.00k"), (63_498, "63.5k"), (999_600, "1.00M")]
    + [(4_560_000, "4.56M"), (12_300_000_000, "12.3G")],
)
def test_counts_in_cells_are_short(count, words):
    assert class_plots.short(count) == words


def test_history_is_drawn_class_by_class_in_one_style(run, monkeypatch):
    kept = _drawn(monkeypatch, lambda: class_plots.history(run))
    assert [name for name, *_ in kept] == [
        "dice_by_class",
        "share_by_class",
        "fed_by_class",
    ]
    lines = [
        {line.get_label(): line for line in axes.lines if line.get_label()[0] != "_"}
        for _, axes, _ in kept
    ]
    classes = derived_numbers.classes(derived_numbers.main_split(run))
    assert set(lines[0]) == set(classes) - {ABSENT}
    assert list(lines[1]) == classes and list(lines[2]) == classes[1:]
    for name in lines[0]:
        drawn = [line[name].get_color() for line in lines if name in line]
        assert len(set(drawn)) == 1 and len(drawn) >= 2
    column = derived_numbers.column(run, "validation/dice_pooled/mass")
    np.testing.assert_array_equal(lines[0]["mass"].get_data(), column)
    # predicted and true shares: a line each
    assert len(kept[1][1].lines) == 2 * len(classes)
    assert all(kwargs["legend"] == "outside" for *_, kwargs in kept)


def test_history_of_classes_is_in_no_plot_of_means(run, monkeypatch):
    kept = _drawn(monkeypatch, lambda: plots.training(run))
    labels = [line.get_label() for _, axes, _ in kept for line in axes.lines]
    assert "validation/dice_positives" in labels
    assert not [label for label in labels if label.count("/") > 1]
    assert not [label for label in labels if label.startswith("share_realised/")]


def test_thirty_lines_have_thirty_styles():
    axes = Figure().add_subplot()
    figures.lines(axes, [("", [0, 1], [0, 1])] * 30, x="")
    styles = {(line.get_color(), line._unscaled_dash_pattern[1]) for line in axes.lines}
    assert len(styles) == 30


def test_curves_and_reliability_are_one_class_against_the_rest(run, split, undrawn):
    ranked, drawn = _blocks(run, "curves")
    assert [p["name"] for p in drawn["pictures"]] == ["average_precision_by_class"]
    for curve, row in zip(class_curves.curves(split), _cells(ranked), strict=False):
        assert row[0] == curve["class"]
        assert row[2] == (
            f"{curve['prevalence']:.2g}"
            if 0 < curve["prevalence"] < 0.01
            else f"{curve['prevalence']:.3f}"
        )
        assert row[-1] == f"{curve['support_pixels']:,} pixels"
    assert len(ranked["rows"]) == 2 * 5  # test and validation
    calibrated, drawn = _blocks(run, "calibration")
    assert [p["name"] for p in drawn["pictures"]] == ["reliability_by_class"]
    figures_ = class_curves.calibrations(split)
    assert [row[0] for row in _cells(calibrated)[:5]] == list(figures_)
    assert _cells(calibrated)[0][5] == f"{figures_['pneumothorax']['nll']:.4g}"


def test_a_temperature_is_shown_with_what_it_changes(run, split, undrawn):
    block = split["result"]["calibration"]
    fitted = {"value": 1.25, "source_split": "validation", "split_hash": "x"}
    fitted |= {"nll_before": 0.5, "nll_after": 0.4, "at_limit": True}
    block.update(temperature=fitted, after_temperature={"by_class": block["by_class"]})
    calibrated, temperature, _ = _blocks(run, "calibration")
    assert calibrated["rows"][1][0]["sub"] == "test, temperature 1.250"
    assert _cells(temperature) == [["test", "1.250", "validation", "0.5", "0.4"]]
    assert temperature["rows"][0][1]["sub"] == "at its limit"


def test_a_class_ranked_by_chance_is_named(split):
    (claim,) = class_curves.claims(split)
    assert claim["answer"] == "no" and f"`{DEAD}` (average precision" in claim["text"]
    for row in class_curves.curves(split):
        if row["class"] == DEAD:
            row["average_precision"] = 0.5
    (claim,) = class_curves.claims(split)
    assert claim["answer"] == "yes" and "each of 4 classes" in claim["text"]


def test_where_every_image_is_positive_nothing_is_detected(run, undrawn):
    assert [b["kind"] for b in _blocks(run, "images")][0] == "table"
    for split in run["splits"].values():
        split["images"] = [r for r in split["images"] if r["positive"]]
    words, drawn = _blocks(run, "images")
    assert words["text"].startswith("Each of the 20 images of test has foreground")
    assert [p["name"] for p in drawn["pictures"]] == ["dice_by_size"]
    assert "Positive images found" not in [c.name for c in sections.cards(run)]


@pytest.mark.parametrize("form", ["md", "html"])
def test_a_run_from_before_class_tables_still_reports(run, undrawn, form):
    words = page.render(build.content(_older(run)), form)
    assert "Frozen decision" not in words and "Confusion" not in words
    assert "NEVER" not in words and "worst class" not in words.lower().replace(
        "worst class: ", ""
    )
    assert "Best, median and worst are by Dice among images" in words
    assert "mean over classes" in words and "dice_pooled" in words
    assert not re.findall(r"\b(?:None|nan|inf)\b", words.split("Every setting")[0])


def test_the_page_is_whole(classes, undrawn):
    content = build.content(read(classes))
    html = Page(page.render(content, "html"))
    assert len(html.ids) == len(set(html.ids))
    folded = [t for t in html.text if t.lstrip().startswith("{")]
    assert len(folded) == 1 and json.loads(folded[0])
    words = " ".join(t for t in html.text if t not in folded)
    assert not re.findall(r"\b(?:None|nan|NaN|inf)\b", words)
