"""The kinds of blocks that a page is made of, as plain data.

Each function returns one block; its `kind` chooses how `templates/page.*.j2` write it.
"""

from collections.abc import Collection, Iterable, Sequence
from typing import Any, Literal, NamedTuple, TypedDict

from jaxseg.report.figures import Picture

Block = dict[str, Any]


class Claim(TypedDict):
    """A tested sentence: it carries its numbers and turns when they turn."""

    answer: Literal["yes", "no", "unclear"]  # unclear: the interval does not decide
    text: str


class Card(NamedTuple):
    """A number to remember, with what it stands against."""

    name: str
    value: str
    sub: str


def sections(
    listed: Iterable[tuple[str, str, Sequence[Block | None]]],
    *,
    closed: Collection[str] = (),
) -> list[Block]:
    """[{"id", "title", "blocks", "closed"}] of (id, title, blocks), but empty ones.

    HTML shows a closed section when the reader opens it; those come last.
    """
    kept = [
        {
            "id": key,
            "title": title,
            "blocks": [block for block in blocks if block is not None],
            "closed": key in closed,
        }
        for key, title, blocks in listed
    ]
    kept = [section for section in kept if section["blocks"]]
    return sorted(kept, key=lambda section: section["closed"])


def table(
    heads: list[str],
    rows: list[list[Any]],
    *,
    title: str = "",
    lead: str = "",
    note: str = "",
) -> Block:
    """A table with a title, words before it, and words after it.

    The first column is text, all others align as numbers; a cell given as
    (main, small) has two lines.
    """
    split = [[c if isinstance(c, tuple) else (c, "") for c in row] for row in rows]
    cells = [[{"main": main, "sub": sub} for main, sub in row] for row in split]
    words = {"title": title, "lead": lead, "note": note, "bare": False}
    return {"kind": "table", "heads": heads, "rows": cells} | words


def pairs(title: str, rows: list[tuple[str, str]]) -> Block:
    """A table of names and values, which is bare: HTML shows no heads of it."""
    block = table(["Setting", "Value"], [list(row) for row in rows], title=title)
    return block | {"bare": True}


def paragraph(text: str) -> Block:
    """A paragraph of prose, in which `names` stand between backticks."""
    return {"kind": "text", "text": text}


def claims(listed: Sequence[Claim]) -> Block:
    """A list of tested sentences with their answers."""
    return {"kind": "claims", "claims": listed}


def pictures(drawn: Iterable[Picture | None]) -> Block | None:
    """A grid of those pictures that exist."""
    drawn = [picture for picture in drawn if picture is not None]
    return {"kind": "pictures", "pictures": drawn} if drawn else None


def side_by_side(drawn: Sequence[Picture]) -> Block:
    """One row of pictures of the same kind, each with its caption."""
    return {"kind": "side_by_side", "pictures": drawn}


def cases(listed: Sequence[dict[str, Any]]) -> Block:
    """Examples with their input, truth and prediction, as `run/cases` makes them."""
    return {"kind": "cases", "cases": listed}


def legend(entries: Sequence[dict[str, str]]) -> Block | None:
    """What the colours of pictures mean: [{"colour", "words"}]."""
    return {"kind": "legend", "entries": entries} if entries else None


def columns(inside: Sequence[Block | None]) -> Block:
    """Blocks beside one another where the page is wide enough."""
    return {"kind": "columns", "blocks": [b for b in inside if b is not None]}


def folded(title: str, inside: Sequence[Block | None]) -> Block:
    """Blocks that appear when the reader opens them; Markdown has no such thing."""
    kept = [block for block in inside if block is not None]
    return {"kind": "folded", "title": title, "blocks": kept}


def code(text: str) -> Block:
    """Text that keeps its spaces and line breaks."""
    return {"kind": "code", "text": text}


def link(text: str, href: str) -> Block:
    """A link to another page."""
    return {"kind": "link", "text": text, "href": href}
