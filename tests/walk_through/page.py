"""Writes the page of the walk-through: python tests/walk_through/page.py

README.md beside this file is made of walk_through.py: a cell becomes a section with its
title, its comment as text and its code, and commands alone stand as one types them.
"""

import ast
import pathlib
import re
import shlex
import textwrap
from typing import NamedTuple

HERE = pathlib.Path(__file__).parent
SCRIPT, PAGE = HERE / "walk_through.py", HERE / "README.md"


class Cell(NamedTuple):
    """One cell of the script."""

    title: str
    text: str
    code: str


def cells(source: str) -> list[Cell]:
    """The cells of a script, in order; what stands before the first is none."""
    out = []
    for part in re.split(r"^# %% ", source, flags=re.MULTILINE)[1:]:
        title, _, rest = part.partition("\n")
        comment = re.match(r"(?:#.*\n)*", rest)[0]
        text = " ".join(line.lstrip("# ") for line in comment.splitlines())
        out.append(Cell(title, text, rest[len(comment) :].strip("\n")))
    return out


def page(source: str) -> str:
    """The script as Markdown."""
    title, _, about = ast.get_docstring(ast.parse(source)).partition("\n\n")
    lines = [f"# {title.rstrip('.')}", "", *_wrapped(about)]
    lines += [
        "",
        "This page is made from [walk_through.py](walk_through.py), which is ",
    ]
    lines[-1] += "run by a test, with `python tests/walk_through/page.py`."
    for cell in cells(source):
        lines += ["", f"## {cell.title}", "", *_wrapped(cell.text), ""]
        typed = _commands(cell.code)
        kind, code = ("sh", typed) if typed else ("python", cell.code)
        lines += [f"```{kind}", code, "```"]
    return "\n".join(lines) + "\n"


def _wrapped(text: str) -> list[str]:
    return textwrap.wrap(" ".join(text.split()), 100, break_on_hyphens=False)


def _commands(code: str) -> str:
    """The lines that a cell of nothing but plain commands types; "" for any other."""
    typed = []
    for node in ast.parse(code).body:
        call = node.value if isinstance(node, ast.Expr) else None
        if not isinstance(call, ast.Call) or ast.unparse(call.func) != "command":
            return ""
        if not isinstance(call.args[0], ast.Constant):
            return ""  # it holds a variable
        words = [shlex.quote(word) for word in shlex.split(call.args[0].value)]
        typed.append(
            textwrap.fill(
                " ".join(words),
                96,
                subsequent_indent="    ",
                break_long_words=False,
                break_on_hyphens=False,
            ).replace("\n", " \\\n")
        )
    return "\n".join(typed)


if __name__ == "__main__":
    PAGE.write_text(page(SCRIPT.read_text()))
    print(PAGE)
