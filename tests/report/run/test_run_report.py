"""The written report: whole, self-contained, honest about what it lacks."""

import errno
import json
import os
import re
import shutil
import subprocess
import sys

import jinja2
import pytest
from support import records
from support.html_page import Page

from jaxseg.report import __main__ as door
from jaxseg.report import derived_numbers, page
from jaxseg.report.read import read
from jaxseg.report.run import build, cases
from jaxseg.run_directory import schemas


def _assert_says_nothing_undefined(words):
    words = re.findall(r".{0,30}\b(?:None|nan|NaN|null|inf|Undefined)\b.{0,30}", words)
    assert not words, words


@pytest.fixture(params=["binary", "several", "beads"])
def built(request):
    return request.getfixturevalue(request.param)


def test_html_is_balanced_and_needs_nothing_else(built):
    source = (built / "report.html").read_text()
    html = Page(source)
    for link in html.links:
        inside = link.startswith("#") and link[1:] in html.ids
        assert link.startswith("data:image/png;base64,") or inside, link[:80]
    assert len(html.ids) == len(set(html.ids))
    outside = re.findall(r"https?://[^\s\"')]+", source)
    assert set(outside) <= {
        "http://www.w3.org/2000/svg",
        "http://www.w3.org/1999/xlink",
    }
    assert 'name="viewport"' in source and "prefers-color-scheme: dark" in source


def test_markdown_links_are_relative_and_stand_there(built):
    links = re.findall(r"!\[[^]]*\]\(([^)]*)\)", (built / "report.md").read_text())
    assert len(links) > 10
    for link in links:
        assert (built / link).read_bytes().startswith(b"\x89PNG"), link


def test_markdown_tables_have_one_width_each(built):
    block = 0
    for line in (built / "report.md").read_text().splitlines():
        if line.startswith("|"):
            width = len(re.findall(r"(?<!\\)\|", line))
            block = block or width
            assert width == block, line
        else:
            block = 0


def test_nothing_undefined_is_printed(built):
    html = Page((built / "report.html").read_text())
    folded = [t for t in html.text if t.lstrip().startswith("{")]  # JSON says null
    assert len(folded) == 1
    _assert_says_nothing_undefined(" ".join(t for t in html.text if t not in folded))
    words = re.sub(
        r"````text\n\{.*?````", "", (built / "report.md").read_text(), flags=16
    )
    _assert_says_nothing_undefined(words)


def test_every_metric_row_shows_policy_interval_and_support(built):
    rows = Page((built / "report.html").read_text()).rows
    for name, split in read(built)["splits"].items():
        names = split["result"]["classes"]
        for metric in derived_numbers.metric_rows(split):
            if len(names) == 2 and metric["class"] == names[0]:
                assert not [r for r in rows if f"{metric['name']} , {names[0]} " in r]
                continue
            assert f"{metric['name']} {metric['policy']} " in rows
            shown = [r for r in rows if f" {metric['name']} , {metric['class']} " in r]
            support = f"{metric['support_images']:,} images"
            pixels = f"{metric['support_pixels']:,} pixels"
            assert any(support in r and pixels in r for r in shown), (name, metric)
            if metric["value"] is None:
                assert any("n/a (support 0)" in r for r in shown)
            else:
                assert any(
                    f"{metric['low']:.3f} to {metric['high']:.3f}" in r for r in shown
                )


def test_baselines_stand_beside_the_model(binary):
    rows = Page((binary / "report.html").read_text()).rows
    result = json.loads((binary / "eval/test.json").read_text())
    row = next(r for r in rows if " dice_kaggle , " in r)
    assert "all empty all foreground best grey threshold" in " ".join(rows)
    for base in result["baselines"]:
        assert f" {base['metrics']['dice_kaggle']:.3f} " in row


def test_validation_is_marked_optimistic_and_test_is_not(binary):
    words = (binary / "report.md").read_text()
    assert "**Validation (optimistic)**" in words and "**Test**" in words


def test_a_run_that_lacks_all_that_is_optional_still_reports(binary, tmp_path):
    root = tmp_path / "bare"
    shutil.copytree(binary, root, ignore=shutil.ignore_patterns("report*", "figures"))
    for name in ("test", "validation"):
        path = root / f"eval/{name}.json"
        result = json.loads(path.read_text())
        result = {key: result[key] for key in schemas.Result.__required_keys__}
        undefined = {"value": None, "low": None, "high": None, "support_images": 0}
        result["metrics"] = [
            {"name": row["name"], "class": row["class"], **undefined}
            for row in result["metrics"]
        ]
        result |= {"operating_point": None, "baselines": [], "curves": {}}
        path.write_text(json.dumps(result))
        (root / f"eval/{name}_examples.json").write_text("[]")
    (root / "run.json").write_text(json.dumps(records.record()))
    (root / "config.json").write_text('{"model": null}')
    columns = sorted(schemas.HistoryRow.__required_keys__)
    rows = [["1" if c == "epoch" else "nan" for c in columns], ["2"] * len(columns)]
    lines = [columns, *rows]
    (root / "history.csv").write_text("\n".join(map(",".join, lines)))
    build.build(root)
    html = Page((root / "report.html").read_text())
    _assert_says_nothing_undefined(" ".join(html.text).replace('"model": null', ""))
    assert "n/a (support 0)" in " ".join(html.text)
    assert "nothing is claimed" in (root / "report.md").read_text()


def test_two_builds_are_equal_in_every_byte(binary, tmp_path, capsys):
    root = tmp_path / "elsewhere" / binary.name
    shutil.copytree(binary, root, ignore=shutil.ignore_patterns("report*", "figures"))
    assert door.main(["jaxseg.report", str(root)]) == 0
    assert str(root / "report.html") in capsys.readouterr().out
    ours = {
        p.relative_to(root): p.read_bytes() for p in root.rglob("*.*") if p.is_file()
    }
    theirs = {p.relative_to(binary) for p in binary.rglob("*.*") if p.is_file()}
    assert set(ours) == theirs
    assert [p for p in sorted(ours) if (binary / p).read_bytes() != ours[p]] == []


@pytest.mark.parametrize("more", [[], ["b", "--output=c"]])
def test_a_place_that_no_file_can_have_is_one_sentence(more, capsys):
    assert door.main(["jaxseg.report", "a" * 5000, *more]) == 2
    assert capsys.readouterr().err.endswith("too long): give a shorter name.\n")


@pytest.mark.parametrize("form", ["html", "md"])
def test_an_unfilled_placeholder_is_an_error(run, undrawn, form):
    content = build.content(run)
    assert page.render(content, form)
    for key in set(content) - ({"generator"} if form == "md" else set()):
        lacking = {k: v for k, v in content.items() if k != key}
        with pytest.raises(jinja2.UndefinedError):
            page.render(lacking, form)
    with pytest.raises(jinja2.UndefinedError, match="filled with nothing"):
        page.render(content | {"title": None}, form)


def test_names_from_outside_cannot_open_a_tag(run, undrawn):
    run["info"]["name"] = "<script>alert(1)</script>"
    assert "<script" not in page.render(build.content(run), "html")


def test_the_door_says_what_is_wrong_without_jax(tmp_path):
    code = (
        "import sys; from jaxseg.report import __main__ as door;"
        "first = door.main(['report']); second = door.main(['report', sys.argv[1]]);"
        "sys.exit(0 if (first, second, 'jax' in sys.modules) == (2, 3, False) else 9)"
    )
    call = [sys.executable, "-c", code, str(tmp_path / "nowhere")]
    done = subprocess.run(call, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    assert "nowhere is no directory" in done.stderr and "one run" in done.stderr


def test_a_run_that_cannot_be_written_gets_no_report_and_one_sentence(
    binary, monkeypatch, capsys
):
    def refuse(source, target):
        raise OSError(errno.EROFS, os.strerror(errno.EROFS))

    before = (binary / "report.md").read_bytes()
    monkeypatch.setattr(os, "replace", refuse)
    assert door.main(["report", str(binary)]) == 2
    monkeypatch.undo()
    err = capsys.readouterr().err
    assert err.count("\n") == 1 and f"{binary / 'report.md'} cannot be written" in err
    assert "mount that file system for writing" in err and "room" not in err
    assert (binary / "report.md").read_bytes() == before
    assert not list(binary.glob("*.tmp"))


def test_the_median_case_is_the_median_of_all_images_with_foreground(run):
    """Of a third of the cases shown, the first need not be the one in the middle."""
    split = run["splits"]["test"]
    scores = [row["dice"] for row in split["images"] if row["positive"]]
    scores.sort(reverse=True)
    assert len(scores) % 2 == 0
    middle = len(scores) // 2
    case = next(c for c in split["cases"] if c["role"] == "median")
    split["cases"].remove(case)
    split["cases"] += [
        case | {"id": f"place {i}", "dice": scores[i]}
        for i in (middle - 2, middle, middle - 1, middle + 1)
    ]
    shown = cases.cases(split)
    titles = [c["title"] for c in shown if c["role"] == "median"]
    assert set(titles[:2]) == {f"Median case: place {i}" for i in (middle - 1, middle)}
    assert set(titles[2:]) == {
        f"Near the median: place {i}" for i in (middle - 2, middle + 1)
    }
    top = cases.highlights(split, shown)[0]["pictures"]
    assert top[1]["caption"].startswith("Median case: place ")
