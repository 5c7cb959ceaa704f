"""`report.md`, `report.html` and `figures/` of a run, from its directory alone."""

import base64
import os
import pathlib
import re
from typing import Any

import jinja2
import markupsafe

from jaxseg.report import derived_numbers, text
from jaxseg.report.read import Run, read
from jaxseg.report.run import cases, claims, sections

_TEMPLATES = pathlib.Path(__file__).parents[1] / "templates"


def build(workdir: str | os.PathLike) -> dict[str, pathlib.Path]:
    """Writes the report; returns {"markdown", "html", "figures"} -> path.

    The same run directory gives the same bytes, whenever and wherever it is built.
    Raises DataError naming a file of the run that is missing or cannot be used.
    """
    run = read(workdir)
    context = page(run)
    html, markdown = render("report.html.j2", context), render("report.md.j2", context)
    root = run["workdir"]
    figures = root / "figures"
    figures.mkdir(exist_ok=True)
    for picture in _pictures(context):
        (figures / f"{picture['name']}.png").write_bytes(picture["png"])
    written = {"markdown": root / "report.md", "html": root / "report.html"}
    written["markdown"].write_text(markdown, "utf-8")
    written["html"].write_text(html, "utf-8")
    return written | {"figures": figures}


def page(run: Run) -> dict[str, Any]:
    """What the templates are filled with: plain data, no undefined value in it."""
    split = derived_numbers.main_split(run)
    examples = cases.cases(split)
    found, verdict = claims.claims(run), claims.verdict(run)
    info = run["info"]
    facts = [
        info.get("recipe"),
        (info.get("dataset") or {}).get("name"),
        text.plural(len(run["history"]), "epoch"),
        f"finished {info['finished']}" if info.get("finished") else info.get("status"),
    ]
    return {
        "title": info.get("name") or run["workdir"].resolve().name,
        "facts": [str(fact) for fact in facts if fact],
        "verdict": verdict,
        "cards": sections.cards(run),
        "heroes": cases.heroes(examples),
        "split": split["name"],
        "warning": " and ".join(derived_numbers.optimistic(run, split)),
        "claims": [c for c in found if c != verdict],
        "answers": {"yes": "passed", "no": "failed", "unclear": "open"},
        "sections": sections.sections(run, examples),
        "errors": cases.ERRORS,
    }


def render(template: str, context: dict[str, Any]) -> str:
    """The filled template; an unfilled placeholder raises jinja2.UndefinedError."""
    environment = jinja2.Environment(
        loader=jinja2.FileSystemLoader(_TEMPLATES),
        undefined=jinja2.StrictUndefined,
        autoescape=lambda name: bool(name) and ".html" in name,
        finalize=_filled,
        trim_blocks=True,
        lstrip_blocks=True,
        keep_trailing_newline=True,
    )
    environment.filters |= {"code": _code, "cell": _cell, "data": _data}
    return environment.get_template(template).render(context)


def _filled(value: Any) -> Any:
    if value is None:
        raise jinja2.UndefinedError("a placeholder was filled with nothing.")
    return value


def _code(words: str) -> markupsafe.Markup:
    """HTML of prose in which `names` stand between backticks."""
    escaped = str(markupsafe.escape(words))
    return markupsafe.Markup(re.sub(r"`([^`]+)`", r"<code>\1</code>", escaped))


def _cell(words: str) -> str:
    """Text that cannot end a cell of a Markdown table, nor open an HTML tag."""
    words = str(words).replace("|", "\\|").replace("<", "&lt;")
    return " ".join(words.split())


def _data(png: bytes) -> str:
    return "data:image/png;base64," + base64.b64encode(png).decode()


def _pictures(context: dict[str, Any]) -> list[dict[str, Any]]:
    """Everything that Markdown links to."""
    found = [hero["panels"][2] for hero in context["heroes"]]
    for section in context["sections"]:
        for block in section["blocks"]:
            found += block.get("pictures", [])
            found += [case["strip"] for case in block.get("cases", [])]
    return found
