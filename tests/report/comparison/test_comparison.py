"""The comparison of runs: what it says of synthetic runs, and what it refuses."""

import json
import re
import shutil

import jinja2
import pytest
from support import fake_run
from support.html_page import Page

from jaxseg.report import __main__ as door
from jaxseg.report import page
from jaxseg.report.comparison import build, claims, group_runs
from jaxseg.report.read import read

METRIC = "dice_positives"  # what selects a synthetic run


def _edit(path, change):
    value = json.loads(path.read_text())
    change(value)
    path.write_text(json.dumps(value))


@pytest.fixture(scope="module")
def runs(tmp_path_factory):
    """good0..2 differ in seed; poor is another model; alike, alien, broken, late."""
    root = tmp_path_factory.mktemp("runs")
    noise = {"good0": 0.7, "good1": 0.8, "good2": 0.9, "poor": 3.0}
    for name, level in noise.items():
        fake_run.make(root / name, noise=level)
    for i in range(3):
        _edit(root / f"good{i}/config.json", lambda c, i=i: c.update(seed=i))
    _edit(root / "poor/config.json", lambda c: c["model"].update(name="unet"))
    copies = {"alike": "poor", "alien": "good0", "late": "good0"}
    for name, source in copies.items():
        shutil.copytree(root / source, root / name)
        _edit(root / f"{name}/config.json", lambda c, n=name: c.update(name=n))
    for split in ("test", "validation"):
        change = {"split_hash": f"elsewhere-{split}"}
        _edit(root / f"alien/eval/{split}.json", lambda r, c=change: r.update(c))
    _edit(root / "late/run.json", lambda r: r.update(status="running"))
    return root


@pytest.fixture(scope="module")
def built(runs, tmp_path_factory):
    """The comparison of all of them, with real plots. Do not change it."""
    output = tmp_path_factory.mktemp("compared") / "report"
    build.build([runs], output)
    return output


def _content(runs, *names, metric=None, output=None):
    units = group_runs.units([runs / name for name in names])
    return build.content(units, metric=metric, output=output or runs / "nowhere")


def _table(content, section, at=0):
    blocks = next(s for s in content["sections"] if s["id"] == section)["blocks"]
    table = [b for b in blocks if b["kind"] == "table"][at]
    return [[cell["main"] for cell in row] for row in table["rows"]]


def test_the_pages_are_whole_and_need_nothing_else(built):
    source = (built / "report.html").read_text()
    html = Page(source)
    own = [link for link in html.links if link.endswith(".html")]
    assert own == []  # no run was reported, so there is nothing to link to
    assert all(link[0] == "#" and link[1:] in html.ids for link in html.links)
    assert len(html.ids) == len(set(html.ids))
    outside = set(re.findall(r"https?://[^\s\"')]+", source))
    assert outside <= {"http://www.w3.org/2000/svg", "http://www.w3.org/1999/xlink"}
    assert 'name="viewport"' in source and "prefers-color-scheme: dark" in source
    folded = [t for t in html.text if t.lstrip().startswith("{")]  # JSON says null
    words = " ".join(t for t in html.text if t not in folded)
    assert not re.findall(r"\b(?:None|nan|NaN|null|inf|Undefined)\b", words)
    assert not re.search(r"\+\s*[-−]\d", words)


def test_markdown_tables_are_well_formed_and_links_stand_there(built):
    text, block = (built / "report.md").read_text(), 0
    for line in text.splitlines():
        width = len(re.findall(r"(?<!\\)\|", line)) if line.startswith("|") else 0
        assert not (block and width) or width == block, line
        block = width
    links = re.findall(r"!\[[^]]*\]\(([^)]*)\)", text)
    assert len(links) == len(list((built / "figures").iterdir())) >= 4
    for link in links:
        assert (built / link).read_bytes().startswith(b"\x89PNG")
    assert text.count("\n### ") > 6 and "<details" not in text


def test_two_builds_are_equal_in_every_byte(runs, built, tmp_path, capsys):
    output = tmp_path / "again"
    call = ["report", str(runs), f"--output={output}"]
    assert (
        door.main(call) == 0 and str(output / "report.html") in capsys.readouterr().out
    )
    first = {p.name: p.read_bytes() for p in built.rglob("*.*")}
    assert {p.name: p.read_bytes() for p in output.rglob("*.*")} == first
    assert door.main(call) == 0  # over an earlier comparison
    assert {p.name: p.read_bytes() for p in output.rglob("*.*")} == first


def test_seeds_stand_as_one_row_with_their_members_beneath(runs, undrawn):
    content = _content(runs, "good1", "poor", "good0", "good2")
    rows = _table(content, "summary")
    assert [row[:2] for row in rows] == [["good, 3 seeds", "1"], ["poor", "2"]]
    values = [_value(runs / f"good{i}") for i in range(3)]
    assert rows[0][2] == f"{sum(values) / 3:.4f}"
    summary = content["sections"][0]["blocks"]
    members = next(b for b in summary if b["kind"] == "folded")["blocks"][0]
    names = [row[0]["main"] for row in members["rows"]]
    assert names == ["good0", "good1", "good2"]
    assert [row[1]["main"] for row in members["rows"]] == [f"{v:.4f}" for v in values]


def test_better_is_said_where_the_test_decides_it(runs, undrawn):
    content = _content(runs, "poor", "good0")
    assert content["verdict"]["answer"] == "yes"
    assert content["verdict"]["text"].startswith("`good0` is better than the other run")
    (row,) = _table(content, "tests")
    ours, theirs = (_value(runs / name) for name in ("good0", "poor"))
    assert row[0] == "good0 − poor" and row[1] == f"{ours - theirs:+.4f}"
    assert row[-1] == "yes" and float(row[3]) < 0.05


def _value(root, metric=METRIC):
    rows = read(root)["splits"]["test"]["result"]["metrics"]
    return next(m["value"] for m in rows if m["name"] == metric)


def test_a_small_lead_is_not_called_better(runs, undrawn):
    seeds = _content(runs, "good0", "good1")["verdict"]["text"]
    assert seeds.startswith("One configuration, 2 seeds")
    content = _content(runs, "late", "good1")
    text = content["verdict"]["text"]
    assert content["verdict"]["answer"] == "unclear" and "NOT decided" in text
    assert " 0 of 1 other " in text and "Holm p = " in text
    rows = {row[0]: row for row in _table(content, "extremes")}
    assert rows[f"`{METRIC}`"][-1] == "n.s."


def test_ties_are_labelled(runs, undrawn):
    content = _content(runs, "poor", "alike")
    assert "tie for the best" in content["verdict"]["text"]
    rows = _table(content, "extremes")
    assert all(row[3] == row[5] == "tie" for row in rows)
    (row,) = _table(content, "tests")
    assert row[1] == "0" and row[-1] == "tie"


def test_runs_on_other_images_are_marked_and_never_tested(runs, undrawn):
    content = _content(runs, "alien", "poor", "good0")
    rows = _table(content, "summary")
    assert [row[:2] for row in rows] == [["good0", "1"], ["poor", "2"], ["alien", ""]]
    note = content["sections"][0]["blocks"][0]["rows"][2][0]["sub"]
    assert note.startswith("other images (test `elsewhere-te")
    assert [row[0] for row in _table(content, "tests")] == ["good0 − poor"]
    assert "alien" not in json.dumps(_table(content, "extremes"))
    assert "never tested against each other" in json.dumps(content["claims"])
    content = _content(runs, "alien", "good0")
    assert "none is called better" in content["verdict"]["text"]
    words = page.render(content, "md")
    assert "Nothing was tested: no two runs were judged on the same images." in words


def test_a_score_on_another_split_says_so_in_its_cell(runs, undrawn):
    units = group_runs.units([runs / name for name in ("good0", "poor")])
    units[1]["images"] = ("validation", "elsewhere")
    content = build.content(units, metric=METRIC, output=runs / "nowhere")
    rows = content["sections"][0]["blocks"][0]["rows"]
    assert not rows[0][2]["sub"].startswith("on ")
    assert rows[1][2]["sub"].startswith("on validation [")
    assert content["facts"][-1] == f"by {METRIC} on test (marked runs: validation)"


@pytest.mark.parametrize(
    ("bar", "words"), [(0.0, "the mean is above"), (1.0, "the mean is NOT above")]
)
def test_a_verdict_on_seeds_says_where_the_mean_lies(runs, undrawn, bar, words):
    units = group_runs.units([runs / "good0", runs / "good1"])
    for base in group_runs.split_of(units[0])["result"]["baselines"]:
        base["metrics"][METRIC] = bar
    content = build.content(units, metric=METRIC, output=runs / "nowhere")
    assert f"{words} the best trivial baseline" in content["verdict"]["text"]


@pytest.mark.parametrize(
    ("names", "words"),
    [
        (("good0", "poor"), "There is one pair, so Holm's correction changes nothing"),
        (("good0", "poor", "alike"), "Holm corrects for all 3 pairs of this metric"),
    ],
)
def test_one_pair_is_not_corrected(runs, undrawn, names, words):
    assert words in page.render(_content(runs, *names), "md")


def test_seeds_of_one_configuration_are_not_said_to_be_of_other_images(runs, undrawn):
    words = page.render(_content(runs, "good0", "good1"), "md")
    assert "**passed**: All runs were judged on the same 30 images" in words
    assert "no two runs were judged on the same images" not in words
    assert "Nothing was tested: the 2 runs of `good` differ in their seed" in words


def test_runs_without_a_hash_are_not_said_to_share_their_images(runs, undrawn):
    units = group_runs.units([runs / name for name in ("good0", "poor")])
    for unit in units:
        unit["images"] = ("test", None)
    content = build.content(units, output=runs / "nowhere")
    told = [c for c in content["claims"] if "judged on" in c["text"]]
    assert [claim["answer"] for claim in told] == ["unclear"]
    assert "2 of 2 runs recorded no hash of the split" in told[0]["text"]


def test_short_runs_are_not_counted_among_those_that_were_long_enough(runs):
    units = group_runs.units([runs / name for name in ("good0", "poor", "alien")])
    for unit in units[1:]:
        del unit["runs"][0]["history"][5:]
    (claim,) = claims.long_enough(units)
    assert "1 run long enough to tell (of 3)" in claim["text"]


def test_an_unfinished_run_is_named_and_left_out(runs, built):
    text = (built / "report.md").read_text()
    assert "`late` is left out: it is not finished (running)." in text
    assert "| late" not in text and "6 runs" in text.splitlines()[0]


def test_absent_classes_and_metrics_read_n_a(runs, tmp_path, undrawn):
    root = tmp_path / "absent"
    shutil.copytree(runs / "poor", root)
    none = {"value": None, "low": None, "high": None, "support_images": 0}

    def clear(result):
        for row in result["metrics"]:
            row.update(none if row["name"] == METRIC else {})

    _edit(root / "eval/test.json", clear)
    units = group_runs.units([runs / "good0", root])
    content = build.content(units, output=tmp_path, metric=METRIC)
    assert [row[2] for row in _table(content, "summary")][1] == "n/a (support 0)"
    assert page.render(content, "md")


def test_several_classes_say_what_is_tested(several, tmp_path, undrawn):
    """Older runs lack the counts of classes in an image: they are summed."""
    other = fake_run.make(tmp_path / "other", classes=4, epochs=1, noise=3.0)
    units = group_runs.units([several, other])
    for unit in units:
        for split in unit["runs"][0]["splits"].values():
            split["images"] = [
                {k: v for k, v in row.items() if "/" not in k}
                for row in split["images"]
            ]
    content = build.content(units, output=tmp_path)
    words = page.render(content, "md")
    assert "summed over its foreground classes" in words
    tested = {row[0]: row[5] for row in _table(content, "extremes")}
    assert tested["`specificity_pooled`"] == "not tested"
    assert tested[f"`{METRIC}`"] in ("yes", "n.s.")


@pytest.mark.parametrize("form", ["html", "md"])
def test_an_unfilled_placeholder_is_an_error(runs, undrawn, form):
    content = _content(runs, "good0", "poor")
    for key in set(content) - ({"generator"} if form == "md" else set()):
        lacking = {k: v for k, v in content.items() if k != key}
        with pytest.raises(jinja2.UndefinedError):
            page.render(lacking, form)


def test_a_run_with_a_report_is_linked_by_a_relative_path(binary, runs, undrawn):
    output = binary.parent / "both"
    context = build.content(group_runs.units([binary, runs / "poor"]), output=output)
    links = Page(page.render(context, "html")).links
    (link,) = [link for link in links if not link.startswith("#")]
    assert (output / link).resolve() == (binary / "report.html").resolve()


@pytest.mark.parametrize("name", ["notes.txt", "report.md", "run.json"])
def test_foreign_files_are_never_overwritten(runs, tmp_path, name, capsys):
    (tmp_path / name).write_text("mine")
    call = [str(runs / "good0"), str(runs / "poor"), f"--output={tmp_path}"]
    assert door.main(["report", *call]) == 2
    assert f"holds {name}" in capsys.readouterr().err
    assert [p.name for p in tmp_path.iterdir()] == [name]


def test_a_foreign_picture_among_the_figures_stops_it(built, tmp_path, capsys):
    output = tmp_path / "report"
    shutil.copytree(built, output)
    (output / "figures/mine.png").write_bytes(b"mine")
    assert door.main(["report", "a", "b", f"--output={output}"]) == 2
    assert "holds figures/mine.png" in capsys.readouterr().err


@pytest.mark.parametrize(
    "words, message, code",
    [
        (["good0", "good0"], "is given twice", 2),
        (["good0", "late"], "`late` is left out", 2),
        (["good0", "nowhere"], "nowhere holds no run", 3),
        (["good0", "poor", "--metric=dise"], "no run was scored by 'dise'", 2),
    ],
)
def test_wrong_calls_say_what_is_wrong(runs, tmp_path, capsys, words, message, code):
    paths = [g if g.startswith("-") else str(runs / g) for g in words]
    assert door.main(["report", *paths, f"--output={tmp_path / 'new'}"]) == code
    assert message in capsys.readouterr().err and not (tmp_path / "new").exists()
    assert door.main(["report", *paths[:2]]) == 2
    assert "no --output" in capsys.readouterr().err
