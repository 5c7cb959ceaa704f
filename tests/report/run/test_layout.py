"""The order of a report, what stands open, how high it is, and that nothing is cut."""

import html.parser
import re

import pytest
from support import browser, fake_objects, fake_run, scored

from jaxseg.evaluation import count, temperature
from jaxseg.report import figures, page
from jaxseg.report.read import read
from jaxseg.report.run import build, key_metrics, sections

OPEN = ["Training", "Results", "Cases", "Calibration", "Data and class balance"]
LONG = "1.2.826.0.1.3680043.8.498.11127222651234567890123456789012345678"  # of DICOM
HIGHEST = {"demonstration": 9000, "six images": 7000, "classes": 9000, "beads": 9000}
HIGHEST["three classes"] = 7000


class Outline(html.parser.HTMLParser):
    """Headings, folds and tables of a page in their order."""

    def __init__(self, source):
        super().__init__()
        self.headings, self.folds, self.open, self.tables = [], [], [], []
        self.depth, self.cells, self.images = 0, [], []
        self.feed(source)
        self.close()

    def handle_starttag(self, tag, attrs):
        facts = dict(attrs)
        if tag in ("h2", "summary"):
            kept = self.headings if tag == "h2" else self.folds
            kept.append("")
            self.open.append(kept)
        self.depth += tag == "details"
        if tag == "div":
            self.wrapper = facts.get("class", "")
        if tag == "table":
            self.tables.append((self.wrapper, self.depth > 0))
        if tag == "td":
            self.cells.append(facts.get("data-head"))
        if tag == "img":
            self.images.append(self.depth > 0)

    def handle_data(self, data):
        if self.open:
            self.open[-1][-1] += data

    def handle_endtag(self, tag):
        self.depth -= tag == "details"
        if tag in ("h2", "summary"):
            self.open.pop()


@pytest.fixture(scope="module")
def calibrated():
    """The block of calibration of a small split."""
    split, predictions = scored.make(12, seed=1)
    tally = count.count_split(predictions, split, to_native=scored.keep)
    fitted = temperature.fit(tally, scored.VALIDATION)
    return temperature.assemble(tally, fitted, scored.TEST)


@pytest.fixture(scope="module")
def pages(classes, calibrated, tmp_path_factory):
    """{name: (Markdown, HTML)}; plots are as large as they are, and empty."""
    root = tmp_path_factory.mktemp("layout")
    few = {"train": 12, "validation": 6, "test": 6}
    many = {"train": 12, "validation": 6, "test": 96}
    made = {
        "demonstration": read(fake_run.make(root / "demonstration", sizes=many)),
        "six images": read(fake_run.make(root / "six", sizes=few)),
        "classes": read(classes),
        "three classes": read(fake_run.make(root / "three", classes=3, sizes=few)),
        "beads": read(fake_objects.add(fake_run.make(root / "beads", sizes=few))),
    }
    for name in ("demonstration", "six images"):
        for split in made[name]["splits"].values():
            split["result"]["calibration"] = calibrated
    for name in ("demonstration", "six images", "three classes"):
        for split in made[name]["splits"].values():
            split["cases"] += [c | {"id": f"{c['id']}_b"} for c in split["cases"]]
    for case in made["demonstration"]["splits"]["test"]["cases"]:
        case["id"] = f"{LONG}{case['id']}"
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(figures, "plot", _empty)
        content = {name: build.content(run) for name, run in made.items()}
    return {
        name: tuple(page.render(whole, form) for form in ("md", "html"))
        for name, whole in content.items()
    }


def _empty(name, title, caption, draw, *, size=(5.2, 3.3), **_):
    box = f'viewBox="0 0 {72 * size[0]} {72 * size[1]}"'
    svg = f'<svg class="plot" {box}></svg>'
    return {"name": name, "png": b"", "svg": svg, "alt": title, "caption": caption}


def test_what_is_asked_first_stands_open_and_all_else_is_closed(pages):
    for name in ("demonstration", "six images"):
        outline = Outline(pages[name][1])
        assert outline.headings == [*OPEN, "Everything else"]
        assert outline.folds[1].startswith("What was tested: ")
        assert "Every metric, validation too" in outline.folds
        assert sum(not folded for _, folded in outline.tables) == 7
    for name in ("classes", "beads"):
        headings = Outline(pages[name][1]).headings
        assert [h for h in OPEN if h in headings] == headings[:-1]


def test_markdown_has_the_same_order_and_no_folds(pages):
    for markdown, source in pages.values():
        outline = Outline(source)
        titles = re.findall(r"^## (.*)$", markdown, re.MULTILINE)
        kept = outline.headings[:-1]
        assert titles[: len(kept)] == kept
        closed = [title for title in outline.folds if title in titles]
        assert titles[len(kept) :] == closed and len(closed) > 4
        assert "<details" not in markdown


def test_the_top_is_the_verdict_three_numbers_best_median_and_worst(pages):
    for name, (markdown, source) in pages.items():
        top = markdown.split("\n## ")[0]
        places = [top.index(words) for words in ("\n**", "\n| --- ", "](figures/test_")]
        assert places == sorted(places), name
        cards = source.count('<div class="card">')
        assert cards == 3 or name == "six images"
        for role in ("Best case", "Median case", "Worst case"):
            assert role in top


def test_validation_stands_in_folds_alone(pages):
    for _, source in pages.values():
        before = source.split('<h2 id="more">')[0]
        assert "Validation (optimistic)" not in before
        assert "Validation (optimistic)" in source


def test_a_failed_sentence_is_told_at_the_top_too(run, undrawn):
    run["info"]["skipped_steps"] = 3
    content = build.content(run)
    top, rest = page.render(content, "md").split("\n## Training\n")
    assert "**failed**: 3 steps skipped as non-finite" in top
    assert "3 steps skipped as non-finite" in rest
    assert ", 1 failed\n" in rest and "1 of " in top


@pytest.mark.parametrize("kind", ["binary", "classes", "beads"])
def test_the_one_table_holds_at_most_eight_metrics(kind, request):
    run = read(request.getfixturevalue(kind))
    split = run["splits"]["test"]
    rows = key_metrics.chosen(run, split)
    names = [row.name for row in rows]
    assert 6 <= len(names) <= key_metrics.MOST and len(set(names)) == len(names)
    first = "object_f1_50" if kind == "beads" else "dice_positives"
    assert names[0] == first
    block = key_metrics.table_of(run, split)
    assert len(block["rows"]) == len(names)
    of = "mean" if kind == "classes" else "pneumothorax"
    for row in split["result"]["metrics"]:
        if (row["name"], row["class"]) == (names[0], of):
            assert rows[0].value[0] == f"{row['value']:.3f}"


def test_two_classes_have_no_background_rows(pages):
    markdown, _ = pages["demonstration"]
    metrics = markdown.split("## Every metric")[1].split("\n## ")[0]
    assert "`dice_pooled`, pneumothorax" in metrics and ", background" not in metrics
    markdown, _ = pages["classes"]
    assert "| background | " in markdown


def test_at_most_six_cases_stand_open_and_none_is_lost(pages):
    markdown, source = pages["demonstration"]
    cases = re.findall(
        r"^\*\*(.* case|False positive|Clean negative): ", markdown, re.M
    )
    assert len(cases) == 10
    before = source.split('<h2 id="more">')[0]
    assert before.count('<section class="case">') == 6
    shown = re.findall(r"<h3>(\w+ \w+): ", before)
    assert {"Best case", "Median case", "Worst case", "False positive"} <= set(shown)


def test_every_cell_of_a_narrow_page_has_its_head_and_every_table_its_wrapper(pages):
    for _, source in pages.values():
        outline = Outline(source)
        assert outline.tables and all("scroll" in wrap for wrap, _ in outline.tables)
        assert outline.cells and None not in outline.cells


def test_the_cards_of_a_page_are_three(run):
    assert len(sections.cards(run)) == 3


def test_pages_are_not_too_high_and_nothing_is_cut_off(pages, tmp_path, capsys):
    if browser.path() is None:
        with capsys.disabled():
            print("\nLEFT OUT: chromium is not installed, so no height was measured.")
        return
    sources = {name: source for name, (_, source) in pages.items()}
    measured = browser.measure(sources, tmp_path)
    for name, highest in HIGHEST.items():
        assert 1000 < measured[name][browser.WIDE]["height"] <= highest, name
        narrow = measured[name][browser.NARROW]
        assert narrow["cut"] == [], (name, narrow["cut"])
        for width in (browser.WIDE, browser.NARROW):
            assert measured[name][width]["wide"] <= width, (name, width)
