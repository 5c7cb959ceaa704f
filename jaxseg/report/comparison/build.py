"""`report.md`, `report.html` and `figures/` that compare several runs."""

import os
import pathlib
import re
from collections.abc import Sequence
from typing import Any

from jaxseg.errors import ConfigError
from jaxseg.report.comparison import claims, group_runs, paired_tests, scores, sections
from jaxseg.report.comparison.group_runs import Unit
from jaxseg.report.read import pick
from jaxseg.report.run import build as page_of_one

_MARK = '<meta name="generator" content="jaxseg comparison">'
_OWN = {"report.md", "report.html", "figures"}


def build(
    workdirs: Sequence[str | os.PathLike],
    output: str | os.PathLike,
    *,
    metric: str | None = None,
) -> dict[str, pathlib.Path]:
    """Writes the comparison; returns {"markdown", "html", "figures"} -> path.

    `workdirs` are runs or directories that hold runs; `metric` orders them (default:
    what selected them all, else `dice_pooled`). The same runs give the same bytes.
    Raises ConfigError for an output that holds anything but an earlier comparison, a
    run that is given twice, an unknown metric and fewer than two finished runs;
    DataError naming a file of a run that is missing or cannot be used.
    """
    root = pathlib.Path(output)
    old = earlier(root)
    paths, left = group_runs.find(workdirs)
    context = page(group_runs.units(paths), metric=metric, left=left, output=root)
    html = page_of_one.render("compare.html.j2", context)
    markdown = page_of_one.render("compare.md.j2", context)
    figures = root / "figures"
    figures.mkdir(parents=True, exist_ok=True)
    written = {"markdown": root / "report.md", "html": root / "report.html"}
    # first the pages that say what is ours: a second try may then replace the figures
    written["markdown"].write_text(markdown, "utf-8")
    written["html"].write_text(html, "utf-8")
    new = {f"{p['name']}.png": p["png"] for p in _pictures(context["sections"])}
    for name, png in new.items():
        (figures / name).write_bytes(png)
    for path in old:
        if path.name not in new:
            path.unlink()
    return written | {"figures": figures}


def page(
    units: list[Unit],
    *,
    metric: str | None = None,
    left: Sequence[str] = (),
    output: pathlib.Path,
) -> dict[str, Any]:
    """What the templates are filled with: plain data, no undefined value in it."""
    metric = scores.stated_metric(units, metric)
    blocks = scores.ranked(units, metric)
    found = paired_tests.tests(blocks[0], metric)
    runs = [run for unit in units for run in unit["runs"]]
    names = dict.fromkeys(pick(run["info"], "dataset", "name") for run in runs)
    facts = [name for name in names if name]
    facts += [f"by {metric} on {blocks[0][0]['images'][0]}"]
    return {
        "title": f"Comparison of {len(runs)} runs",
        "facts": facts,
        "verdict": claims.verdict(blocks[0], found, metric),
        "cards": sections.cards(blocks, metric),
        "claims": claims.everything(blocks, metric),
        "answers": sections.ANSWERS,
        "sections": sections.sections(
            blocks, found, metric, left=list(left), output=output
        ),
    }


def earlier(output: pathlib.Path) -> list[pathlib.Path]:
    """The figures of the comparison that stands in `output`, which may be replaced.

    Raises ConfigError when anything else stands there.
    """
    if output.exists() and not output.is_dir():
        raise ConfigError(f"--output={output} is a file; give a directory.")
    held = sorted(output.iterdir()) if output.is_dir() else []
    if not held:
        return []
    page, words = output / "report.html", output / "report.md"
    ours = page.is_file() and _MARK in page.read_text("utf-8", errors="replace")
    linked = words.read_text("utf-8", errors="replace") if words.is_file() else ""
    own = set(re.findall(r"\]\(figures/([^)/]+\.png)\)", linked))
    figures = sorted((output / "figures").glob("*"))
    foreign = [path for path in held if not ours or path.name not in _OWN]
    foreign += [path for path in figures if path.name not in own]
    if foreign:
        raise ConfigError(
            f"--output={output} holds {foreign[0].relative_to(output)}, which is no "
            "part of an earlier comparison; give a new directory."
        )
    return figures


def _pictures(blocks: list[dict[str, Any]]) -> list[dict[str, Any]]:
    """Everything that Markdown links to, however deep."""
    found = []
    for block in blocks:
        found += block.get("pictures", [])
        found += _pictures(block.get("blocks", []))
    return found
