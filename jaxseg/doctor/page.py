"""The page of findings, for a terminal and as Markdown."""

import textwrap
from collections.abc import Sequence

from jaxseg.config import doctor_checks
from jaxseg.doctor.case import ERROR, LEVELS, OK, WARNING, Case, Finding

_WIDTH = 88
_LEFT = 29  # columns before the text of a finding
_TITLES = {
    "Data": doctor_checks.OF_DATA,
    "Plan": ("total_steps", "batch_size", "learning_rate", "loss_weights"),
    "Feeding": ("sampling_share", "supervision", "value_range", "co_transform"),
    "Model": ("loss_terms", "gradients", "memory", "overfit_one_batch"),
}


def header(case: Case) -> str:
    """What was examined."""
    card, splits = case.experiment.card, case.experiment.splits
    sizes = ", ".join(f"{name} {len(split):,}" for name, split in splits.items())
    return (
        f"{case.config.name} ({case.config.recipe}) on {card['name']} "
        f"{card['version']}: {sizes} images"
    )


def verdict(findings: Sequence[Finding], errors: Sequence[Finding]) -> str:
    """What it comes to and what to do now; `errors` are those not ignored."""
    warnings = [f.name for f in findings if f.level == WARNING]
    ignored = [f.name for f in findings if f.level == ERROR and f not in errors]
    found = f"{len(findings)} checks"
    if errors:
        return (
            f"Do not train yet: {len(errors)} of {found} failed "
            f"({', '.join(f.name for f in errors)}). Mend them, or name them in "
            "config.doctor.ignore."
        )
    extra = f" Ignored: {', '.join(ignored)}." if ignored else ""
    if warnings:
        return (
            f"Ready to train, with {len(warnings)} warning(s) of {found} to read first "
            f"({', '.join(warnings)}).{extra}"
        )
    return f"Ready to train: {found}, nothing found.{extra}"


def text(case: Case, findings: Sequence[Finding], errors: Sequence[Finding]) -> str:
    """The whole page in lines of at most 88 columns."""
    lines = _wrapped(f"doctor: {header(case)}", "", "        ")
    for title, names in _TITLES.items():
        mine = [f for f in findings if f.name in names]
        if mine:
            lines += ["", title]
            for found in mine:
                lines += _finding(found, found.level == ERROR and found not in errors)
    return "\n".join([*lines, "", *_wrapped(verdict(findings, errors), "", "  ")])


def _finding(found: Finding, ignored: bool) -> list[str]:
    mark = f"{found.level} (ignored)" if ignored else found.level
    start = f"  {mark:<8}{found.name:<{_LEFT - 10}}"
    lines = _wrapped(found.seen, start, " " * _LEFT)
    lines += [" " * _LEFT + line for line in found.drawing.splitlines()]
    for word, said in (("why", found.why), ("fix", found.fix)):
        if said:
            start = f"{word + ': ':>{_LEFT}}"
            lines += _wrapped(said, start, " " * _LEFT)
    return lines


def _wrapped(said: str, first: str, rest: str) -> list[str]:
    """Lines of one width; long names, and numbers from their %, are not parted."""
    lines = textwrap.wrap(
        said.replace(" %", "\0%"),
        _WIDTH,
        initial_indent=first,
        subsequent_indent=rest,
        break_on_hyphens=False,
        break_long_words=False,
    )
    return [line.replace("\0", " ") for line in lines]


def markdown(
    case: Case,
    findings: Sequence[Finding],
    errors: Sequence[Finding],
    pictures: dict[str, str],
) -> str:
    """The page as Markdown, its verdict first; `pictures` are {file: caption}."""
    lines = ["# doctor", "", header(case), "", f"**{verdict(findings, errors)}**", ""]
    lines += ["| level | check | seen |", "| --- | --- | --- |"]
    ranked = sorted(findings, key=lambda f: -LEVELS.index(f.level))
    lines += [f"| {f.level} | `{f.name}` | {_cell(f.seen)} |" for f in ranked]
    for found in ranked:
        if found.level != OK:
            lines += ["", f"## {found.name} ({found.level})", "", found.seen, ""]
            lines += [f"- Why it matters: {found.why}", f"- What to do: {found.fix}"]
    for found in findings:
        if found.drawing:
            lines += ["", f"### {found.name}", "", "```text", found.drawing, "```"]
    for file, caption in pictures.items():
        lines += ["", f"## {caption}", "", f"![{caption}]({file})"]
    return "\n".join(lines) + "\n"


def _cell(said: str) -> str:
    return said.replace("|", "\\|").replace("\n", " ")
