"""Writes the pages that compare several runs, from their directories alone."""

import os
import pathlib
import re
from collections.abc import Sequence

from jaxseg import atomic
from jaxseg.errors import ConfigError
from jaxseg.report import page
from jaxseg.report.comparison import claims, group_runs, paired_tests, scores, sections
from jaxseg.report.comparison.group_runs import Unit
from jaxseg.report.read import pick

_GENERATOR = "jaxseg comparison"
_OWN = {"report.md", "report.html", "figures"}


def build(
    workdirs: Sequence[str | os.PathLike],
    output: str | os.PathLike,
    *,
    metric: str | None = None,
) -> dict[str, pathlib.Path]:
    """Writes report.md, report.html, figures/; returns {"markdown", ...} -> path.

    `workdirs` are runs or directories that hold runs; `metric` orders them (default:
    what selected them all, else `dice_pooled`). The same runs give the same bytes.
    Raises ConfigError for an output that holds anything but an earlier comparison, a
    run that is given twice, an unknown metric and fewer than two finished runs;
    DataError naming a file of a run that is missing or cannot be used.
    """
    root = pathlib.Path(output)
    old_figures = earlier(root)
    paths, left_out = group_runs.find(workdirs)
    units = group_runs.units(paths)
    comparison = content(units, metric=metric, left_out=left_out, output=root)
    for figure in old_figures:
        figure.unlink()
    return page.write(comparison, root)


def content(
    units: list[Unit],
    *,
    metric: str | None = None,
    left_out: Sequence[str] = (),
    output: pathlib.Path,
) -> page.Page:
    """Collects what the comparison says, as plain data without an undefined value."""
    metric = scores.stated_metric(units, metric)
    rankings = scores.rankings(units, metric)
    best = rankings[0]
    tests = paired_tests.test_pairs(best, metric)
    runs = [run for unit in units for run in unit["runs"]]
    names = dict.fromkeys(pick(run["info"], "dataset", "name") for run in runs)
    facts = [name for name in names if name]
    return page.Page(
        generator=_GENERATOR,
        title=f"Comparison of {len(runs)} runs",
        facts=[*facts, f"by {metric} on {group_runs.judged_on(rankings)}"],
        verdict=claims.verdict(best, tests, metric),
        warning="",
        cards=sections.cards(rankings, metric),
        lead=[],
        claims=claims.claims(rankings, metric),
        sections=sections.sections(
            rankings, tests, metric, left_out=left_out, output=output
        ),
    )


def earlier(output: pathlib.Path) -> list[pathlib.Path]:
    """The figures of the comparison that stands in `output`, which may be replaced.

    Raises ConfigError when anything else stands there.
    """
    if output.exists() and not output.is_dir():
        raise ConfigError(f"--output={output} is a file; give a directory.")
    atomic.check_folder(output)
    present = sorted(output.iterdir()) if output.is_dir() else []
    if not present:
        return []
    html, markdown = output / "report.html", output / "report.md"
    mark = f'<meta name="generator" content="{_GENERATOR}">'
    ours = html.is_file() and mark in html.read_text("utf-8", errors="replace")
    text = markdown.read_text("utf-8", errors="replace") if markdown.is_file() else ""
    linked = set(re.findall(r"\]\(figures/([^)/]+\.png)\)", text))
    figures = sorted((output / "figures").glob("*"))
    foreign = [path for path in present if not ours or path.name not in _OWN]
    foreign += [path for path in figures if path.name not in linked]
    if foreign:
        raise ConfigError(
            f"--output={output} holds {foreign[0].relative_to(output)}, which is no "
            "part of an earlier comparison; give a new directory."
        )
    return figures
