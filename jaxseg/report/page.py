"""A page in both of its forms: Markdown beside its figures, and one HTML file.

A report of a run and a comparison of runs are filled into the same two templates.
"""

import base64
import pathlib
import re
import urllib.parse
from collections.abc import Iterable, Iterator
from typing import Any, Literal, TypedDict

import jinja2
import markupsafe

from jaxseg import atomic
from jaxseg.report.blocks import Block, Card, Claim
from jaxseg.report.figures import Picture

_TEMPLATES = pathlib.Path(__file__).parent / "templates"
_MARKUP = (  # (what Markdown reads as markup, how to write it as text)
    (r"\\", r"\\\\"),
    (r"&(?=#?\w+;)", "&amp;"),
    (r"<", "&lt;"),
    (r"\]\(", r"]\\("),
    (r"([*`])", r"\\\1"),
)
_ANSWERS = {"yes": "passed", "no": "failed", "unclear": "open"}


class Page(TypedDict):
    """Everything that the templates are filled with."""

    generator: str  # what wrote the page, for programs that find it
    title: str
    facts: list[str]  # one line under the title
    verdict: Claim  # the sentence to begin with
    warning: str  # why the results flatter the model; "" where nothing says so
    cards: list[Card]
    lead: list[Block]  # between the cards and the claims
    claims: list[Claim]
    sections: list[Block]


def write(page: Page, folder: pathlib.Path) -> dict[str, pathlib.Path]:
    """Writes a page; returns {"markdown", "html", "figures"} -> path.

    Pages are written before their figures: if that breaks off, they already name the
    figures that a second try may replace.
    """
    texts = {"report.md": render(page, "md"), "report.html": render(page, "html")}
    figures = folder / "figures"
    for name, text in texts.items():
        atomic.replace(folder / name, text.encode())
    for picture in _pictures([*page["lead"], *page["sections"]]):
        atomic.replace(figures / f"{picture['name']}.png", picture["png"])
    markdown, html = (folder / name for name in texts)
    return {"markdown": markdown, "html": html, "figures": figures}


def render(page: Page, form: Literal["md", "html"]) -> str:
    """The filled template; an unfilled placeholder raises jinja2.UndefinedError."""
    environment = jinja2.Environment(
        loader=jinja2.FileSystemLoader(_TEMPLATES),
        undefined=jinja2.StrictUndefined,
        autoescape=form == "html",
        finalize=_filled,
        trim_blocks=True,
        lstrip_blocks=True,
        keep_trailing_newline=True,
    )
    environment.filters |= {"code": _code, "cell": _cell, "data": _data}
    environment.filters |= {"fence": _fence, "address": _address, "plain": _plain}
    template = environment.get_template(f"page.{form}.j2")
    return template.render(page, answers=_ANSWERS)


def _filled(value: Any) -> Any:
    if value is None:
        raise jinja2.UndefinedError("a placeholder was filled with nothing.")
    return value


def _code(words: str) -> markupsafe.Markup:
    """HTML of prose in which `names` stand between backticks."""
    escaped = str(markupsafe.escape(words))
    return markupsafe.Markup(re.sub(r"`([^`]+)`", r"<code>\1</code>", escaped))


def _plain(words: str) -> str:
    """Prose for an attribute, where `names` cannot be set apart."""
    return words.replace("`", "")


def _cell(words: str) -> str:
    """One line of Markdown that shows `words`, whatever they are: no markup of theirs.

    Names of classes, runs and files cannot end a cell of a table, open an HTML tag, nor
    make a link or a heading; `names` between backticks stay code.
    """
    parts = re.split(r"(`[^`]+`)", " ".join(str(_filled(words)).split()))
    for i in range(0, len(parts), 2):  # those between are code
        for pattern, shown in _MARKUP:
            parts[i] = re.sub(pattern, shown, parts[i])
    return re.sub(r"^([#>+=-]+ )", r"\\\1", "".join(parts).replace("|", r"\|"))


def _fence(text: str) -> str:
    """Backticks around a block of code, more than stand in a row within it."""
    longest = max(map(len, re.findall("`+", text)), default=0)
    return "`" * max(4, longest + 1)


def _address(href: str) -> str:
    """The address of a link as Markdown takes it: no space, no bracket."""
    return urllib.parse.quote(href, safe="/:.#?&=~%")


def _data(png: bytes) -> str:
    return "data:image/png;base64," + base64.b64encode(png).decode()


def _pictures(blocks: Iterable[Block]) -> Iterator[Picture]:
    """Every picture that Markdown links to, however deep it stands."""
    for block in blocks:
        yield from block.get("pictures", [])
        yield from (case["strip"] for case in block.get("cases", []))
        yield from _pictures(block.get("blocks", []))
