"""Writes the page of findings, for a terminal and as Markdown."""

import textwrap
from collections.abc import Sequence

from jaxseg.config import doctor_checks
from jaxseg.doctor.case import ERROR, LEVELS, OK, WARNING, Case, Finding

_WIDTH = 88
_LEFT = 29  # columns before the text of a finding
_TITLES = {
    "Data": doctor_checks.OF_DATA,
    "Plan": ("total_steps", "batch_size", "learning_rate", "loss_weights"),
    "Feeding": (
        "image_scale",
        "foreground_windows",
        "sampling_share",
        "supervision",
        "value_range",
        "co_transform",
    ),
    "Model": ("loss_terms", "gradients", "memory", "overfit_one_batch"),
}


def header(case: Case) -> str:
    """What was examined."""
    card, splits = case.experiment.card, case.experiment.splits
    sizes = ", ".join(f"{name} {len(split):,}" for name, split in splits.items())
    of_fold = f" ({card['split_rule']})" if case.config.folds else ""
    return (
        f"{case.config.name} ({case.config.recipe}) on {card['name']} "
        f"{card['version']}: {sizes} images{of_fold}"
    )


def verdict(findings: Sequence[Finding], errors: Sequence[Finding]) -> str:
    """What it comes to and what to do now; `errors` are those not ignored."""
    warnings = [f.name for f in findings if f.level == WARNING]
    ignored = [f.name for f in findings if f.level == ERROR and f not in errors]
    checks = f"{len(findings)} checks"
    if errors:
        return (
            f"Do not train yet: {len(errors)} of {checks} failed "
            f"({', '.join(f.name for f in errors)}). Mend them, or name them in "
            "config.doctor.ignore."
        )
    extra = f" Ignored: {', '.join(ignored)}." if ignored else ""
    if warnings:
        return (
            f"Ready to train, with {len(warnings)} warning(s) of {checks} to read "
            f"first ({', '.join(warnings)}).{extra}"
        )
    return f"Ready to train: {checks}, nothing found.{extra}"


def text(case: Case, findings: Sequence[Finding], errors: Sequence[Finding]) -> str:
    """The whole page in lines of at most 88 columns."""
    lines = _wrapped(f"doctor: {header(case)}", "", "        ")
    for title, names in _TITLES.items():
        mine = [f for f in findings if f.name in names]
        if mine:
            lines += ["", title]
            for finding in mine:
                lines += _finding(
                    finding, finding.level == ERROR and finding not in errors
                )
    return "\n".join([*lines, "", *_wrapped(verdict(findings, errors), "", "  ")])


def _finding(finding: Finding, ignored: bool) -> list[str]:
    mark = f"{finding.level} (ignored)" if ignored else finding.level
    start = f"  {mark:<8}{finding.name:<{_LEFT - 10}}"
    lines = _wrapped(finding.observed, start, " " * _LEFT)
    lines += [" " * _LEFT + line for line in finding.drawing.splitlines()]
    for word, sentence in (("why", finding.why), ("fix", finding.fix)):
        if sentence:
            start = f"{word + ': ':>{_LEFT}}"
            lines += _wrapped(sentence, start, " " * _LEFT)
    return lines


def _wrapped(sentence: str, first: str, rest: str) -> list[str]:
    """Lines of one width; long names, and numbers from their %, are not parted."""
    lines = textwrap.wrap(
        sentence.replace(" %", "\0%"),
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
    lines += ["| level | check | observed |", "| --- | --- | --- |"]
    ranked = sorted(findings, key=lambda f: -LEVELS.index(f.level))
    lines += [f"| {f.level} | `{f.name}` | {_cell(f.observed)} |" for f in ranked]
    for finding in ranked:
        if finding.level != OK:
            lines += [
                "",
                f"## {finding.name} ({finding.level})",
                "",
                finding.observed,
                "",
            ]
            lines += [
                f"- Why it matters: {finding.why}",
                f"- What to do: {finding.fix}",
            ]
    for finding in findings:
        if finding.drawing:
            lines += ["", f"### {finding.name}", "", "```text", finding.drawing, "```"]
    for file, caption in pictures.items():
        lines += ["", f"## {caption}", "", f"![{caption}]({file})"]
    return "\n".join(lines) + "\n"


def _cell(sentence: str) -> str:
    return sentence.replace("|", "\\|").replace("\n", " ")
