"""Writes the report of a run, from the files of its directory alone."""

import os
import pathlib

from jaxseg.errors import ConfigError
from jaxseg.report import (
    blocks,
    derived_numbers,
    image_class_numbers,
    object_numbers,
    page,
    text,
)
from jaxseg.report.blocks import Block, Claim
from jaxseg.report.read import Run, of_masks, read
from jaxseg.report.run import cases, claims, class_examples, sections


def build(workdir: str | os.PathLike) -> dict[str, pathlib.Path]:
    """Writes report.md, report.html, figures/; returns {"markdown", ...} -> path.

    The same run directory gives the same bytes, whenever and wherever it is built.
    Raises DataError naming a file of the run that is missing or cannot be used.
    """
    run = read(workdir)
    if of_masks(run):
        raise ConfigError(
            f"{workdir} holds scores of masks and no run; compare it with runs or with "
            f"other masks: python -m jaxseg.report {workdir} runs/x --output=report"
        )
    return page.write(content(run), run["workdir"])


def content(run: Run) -> page.Page:
    """Collects what the report says, as plain data without an undefined value."""
    split = derived_numbers.main_split(run)
    examples = cases.cases(split)
    lead = cases.highlights(split, examples)
    if not derived_numbers.pixels_trained(split):
        examples = class_examples.cases(split)
        lead = class_examples.highlights(split, examples)
    verdict = claims.verdict(run)
    tested = [claim for claim in claims.claims(run) if claim != verdict]
    flattering = derived_numbers.optimistic(run, split)
    flattering += object_numbers.optimistic(split)
    flattering += image_class_numbers.optimistic(split)
    info = run["info"]
    facts = [
        info.get("recipe"),
        (info.get("dataset") or {}).get("name"),
        text.plural(len(run["history"]), "epoch"),
        f"finished {info['finished']}" if info.get("finished") else info.get("status"),
    ]
    dealt = (info.get("dataset") or {}).get("extra") or {}
    if "folds" in dealt:
        facts.append(f"tests fold {dealt['fold']} of {dealt['folds']}, from 0")
    parent = info.get("parent")
    if parent:
        begun = f", begun with its step {parent['step']}" if "step" in parent else ""
        facts.append(f"after {parent['name']}{begun}")
    if info.get("note"):
        facts.append(info["note"])
    return page.Page(
        generator="jaxseg run",
        title=info.get("name") or run["workdir"].resolve().name,
        facts=[str(fact) for fact in facts if fact],
        verdict=verdict,
        warning=" and ".join(flattering),
        cards=sections.cards(run),
        lead=[*lead, *_failed(tested)],
        claims=[],
        sections=sections.sections(run, examples, tested),
    )


def _failed(tested: list[Claim]) -> list[Block]:
    """The sentences that failed, which no fold may hide."""
    failed = [claim for claim in tested if claim["answer"] == "no"]
    if not failed:
        return []
    words = f"{len(failed)} of {text.plural(len(tested), 'tested sentence')} failed:"
    return [blocks.paragraph(words), blocks.claims(failed)]
