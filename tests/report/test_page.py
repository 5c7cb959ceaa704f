"""The page: every kind of block is written into Markdown and into HTML."""

import inspect
import re

import jinja2
import pytest

from jaxseg.report import blocks, page

PICTURE = {"name": "p", "png": b"", "svg": "<svg></svg>", "alt": "alt", "caption": "w1"}
PHOTO = PICTURE | {"svg": None, "width": 3, "height": 2}
WORDS = ["input", "truth", "prediction"]
CASE = {"title": "w1", "note": "w2", "panels": [PHOTO] * 3, "strip": PHOTO}
CASE |= {"words": WORDS}  # one below each panel
KINDS = {
    "table": blocks.table(["w1"], [[("w2", "w3")]], title="w4", lead="w5", note="w6"),
    "pairs": blocks.pairs("w1", [("w2", "w3")]),
    "paragraph": blocks.paragraph("w1"),
    "claims": blocks.claims([blocks.Claim(answer="no", text="w1")]),
    "pictures": blocks.pictures([None, PICTURE]),
    "side_by_side": blocks.side_by_side([PICTURE]),
    "cases": blocks.cases([CASE]),
    "legend": blocks.legend([{"colour": "#ffffff", "words": "w1"}]),
    "columns": blocks.columns([blocks.paragraph("w1"), None, blocks.code("w2")]),
    "folded": blocks.folded("w1", [None, blocks.paragraph("w2")]),
    "code": blocks.code("w1\n  w2"),
    "link": blocks.link("w1", "w2"),
}


def _page(*lead, sections=()):
    claim = blocks.Claim(answer="yes", text="a verdict")
    return page.Page(
        generator="a test",
        title="A title",
        facts=[],
        verdict=claim,
        warning="",
        cards=[blocks.Card("a name", "a value", "a bar")],
        lead=list(lead),
        claims=[],
        sections=blocks.sections(sections),
    )


def test_every_function_of_blocks_is_tested_here():
    functions = inspect.getmembers(blocks, inspect.isfunction)
    own = {name for name, value in functions if value.__module__ == blocks.__name__}
    assert own == {*KINDS, "sections"}


@pytest.mark.parametrize("form", ["md", "html"])
@pytest.mark.parametrize("name", KINDS)
def test_every_kind_is_written_with_all_its_words(name, form):
    text = page.render(_page(KINDS[name]), form)
    words = [f"w{i}" for i in range(1, 7) if f"'w{i}" in str(KINDS[name])]
    assert words and all(word in text for word in words)


@pytest.mark.parametrize("form", ["md", "html"])
def test_a_kind_without_a_branch_is_an_error(form):
    with pytest.raises(jinja2.UndefinedError, match="unknown_block"):
        page.render(_page({"kind": "film"}), form)


def test_pictures_are_written_however_deep_they_stand(tmp_path):
    named = [[PICTURE | {"name": name, "png": name.encode()}] for name in "abc"]
    first, second, third = map(blocks.pictures, named)
    deep = blocks.folded("f", [blocks.columns([third, blocks.cases([CASE])])])
    content = _page(first, sections=[("s", "S", [second, None, deep]), ("t", "T", [])])
    paths = page.write(content, tmp_path / "new")
    written = {p.stem: p.read_bytes() for p in paths["figures"].iterdir()}
    assert written == {"a": b"a", "b": b"b", "c": b"c", "p": b""}
    markdown = paths["markdown"].read_text()
    assert all(f"](figures/{name}.png)" in markdown for name in written)
    assert "## S" in markdown and "## T" not in markdown


NAMES = {  # what a class or a run may be called -> how Markdown shows it
    "<script>alert(1)</script>": "&lt;script>alert(1)&lt;/script>",
    "a|b": r"a\|b",
    "`a|b`": r"`a\|b`",
    "`<b>`": "`<b>`",
    "[a](http://b)": r"[a]\(http://b)",
    "![a](http://b)": r"![a]\(http://b)",
    "*a* `b": r"\*a\* \`b",
    "&lt;b&gt;": "&amp;lt;b&amp;gt;",
    "R&D": "R&D",
    "a\n# b\n\n- c": "a # b - c",
    "# a": r"\# a",
    "- a": r"\- a",
    "-0.3": "-0.3",
    r"c:\d": r"c:\\d",
    "a -> b, p > 0.5": "a -> b, p > 0.5",
}


@pytest.mark.parametrize("name", NAMES)
def test_names_are_no_markup(name):
    shown = NAMES[name]
    claim = blocks.Claim(answer="no", text=name)
    picture = PICTURE | {"caption": name, "alt": name}
    lead = [
        blocks.paragraph(name),
        blocks.claims([claim]),
        blocks.pictures([picture]),
        blocks.side_by_side([picture]),
        blocks.link(name, "w2"),
        blocks.table([name], [[name]], title=name, lead=name, note=name),
        blocks.cases([CASE | {"title": name, "note": name}]),
        blocks.folded(name, []),
    ]
    whole = _page(*lead, sections=[("s", name, [blocks.paragraph("w1")])])
    whole |= {"title": name, "facts": [name], "verdict": claim, "warning": name}
    whole |= {"cards": [blocks.Card(name, name, name)], "claims": [claim]}
    text = page.render(whole, "md")
    assert text.count(shown) == 24 and name not in text.replace(shown, "")


def test_code_cannot_end_its_own_block():
    text = page.render(_page(blocks.code("a\n`````\n# b")), "md")
    assert "``````text\na\n`````\n# b\n``````\n" in text


def test_an_address_cannot_end_its_link():
    text = page.render(_page(blocks.link("a", "x y/b) (c/report.md#d")), "md")
    assert "[a](x%20y/b%29%20%28c/report.md#d)" in text


def test_a_table_of_two_columns_shows_its_heads_unless_they_say_nothing():
    told = blocks.table(["Share of positives", "Value"], [["as stored", "20 %"]])
    bare = blocks.pairs("Facts", [("seed", "0")])
    sources = [page.render(_page(block), "html") for block in (told, bare)]
    assert [' bare"' in source for source in sources] == [False, True]
    hidden = re.findall(r"([^}]*)\{ display: none; \}", sources[0])
    assert any(".bare thead" in rule for rule in hidden)
    assert not any(rule.strip() == ".pairs thead" for rule in hidden)
