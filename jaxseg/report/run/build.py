"""Writes the report of a run, from the files of its directory alone."""

import os
import pathlib

from jaxseg.report import derived_numbers, object_numbers, page, text
from jaxseg.report.blocks import Claim
from jaxseg.report.read import Run, read
from jaxseg.report.run import cases, claims, sections


def build(workdir: str | os.PathLike) -> dict[str, pathlib.Path]:
    """Writes report.md, report.html, figures/; returns {"markdown", ...} -> path.

    The same run directory gives the same bytes, whenever and wherever it is built.
    Raises DataError naming a file of the run that is missing or cannot be used.
    """
    run = read(workdir)
    return page.write(content(run), run["workdir"])


def content(run: Run) -> page.Page:
    """Collects what the report says, as plain data without an undefined value."""
    split = derived_numbers.main_split(run)
    if not derived_numbers.pixels_trained(split):
        return _of_whole_images(run)
    examples = cases.cases(split)
    verdict = claims.verdict(run)
    flattering = derived_numbers.optimistic(run, split)
    flattering += object_numbers.optimistic(split)
    return page.Page(
        generator="jaxseg run",
        title=_title(run),
        facts=_facts(run),
        verdict=verdict,
        warning=" and ".join(flattering),
        cards=sections.cards(run),
        lead=cases.highlights(split, examples),
        claims=[claim for claim in claims.claims(run) if claim != verdict],
        sections=sections.sections(run, examples),
    )


def _of_whole_images(run: Run) -> page.Page:
    """The page of a run that learned classes of whole images and no pixels."""
    words = "This run learned classes of whole images and no pixels."
    return page.Page(
        generator="jaxseg run",
        title=_title(run),
        facts=_facts(run),
        verdict=Claim(answer="unclear", text=words),
        warning="",
        cards=[],
        lead=[],
        claims=[],
        sections=sections.of_whole_images(run),
    )


def _title(run: Run) -> str:
    return run["info"].get("name") or run["workdir"].resolve().name


def _facts(run: Run) -> list[str]:
    info = run["info"]
    facts = [
        info.get("recipe"),
        (info.get("dataset") or {}).get("name"),
        text.plural(len(run["history"]), "epoch"),
        f"finished {info['finished']}" if info.get("finished") else info.get("status"),
    ]
    return [str(fact) for fact in facts if fact]
