"""Holds runs against each other class by class: a table, and claims of dead classes."""

from collections.abc import Iterator, Sequence
from typing import Any

from jaxseg.report import class_numbers, derived_numbers
from jaxseg.report.blocks import Block, Claim, table
from jaxseg.report.comparison import scores, wording
from jaxseg.report.comparison.group_runs import (
    Unit,
    images_of,
    judged_on,
    members,
    split_of,
    title,
)


def foreground(units: Sequence[Unit]) -> list[str]:
    """Foreground classes of the units, each once; [] where none has several."""
    names = [derived_numbers.classes(split_of(unit)) for unit in units]
    if not any(len(each) > 2 for each in names):
        return []
    return list(dict.fromkeys(name for each in names for name in each[1:]))


def blocks(rankings: list[list[Unit]], metric: str) -> list[Block]:
    """The stated metric of each class beside its mean; [] of two classes.

    A run that was not scored class by class has `n/a` there.
    """
    classes = foreground([unit for ranking in rankings for unit in ranking])
    if not classes:
        return []
    rows = []
    for ranking in rankings:
        for unit in ranking:
            other = ranking is not rankings[0]
            mark = f"other images ({images_of(unit)})" if other else ""
            mean = scores.score(unit, metric)
            cells = [(wording.scored(mean), wording.span(mean))]
            cells += [_cell(unit, metric, name) for name in classes]
            rows.append([(title(unit), mark), *cells])
    note = (
        f"`{metric}` on {judged_on(rankings)}, its mean over the foreground classes "
        "that the truth has, and each of them. Bold: the best value of a column among "
        "runs on the same images, which is not yet a decided difference."
    )
    block = table(["Run", "mean", *classes], rows, note=note)
    _mark_best(block, rankings[0], metric, [None, *classes])
    return [block]


def _cell(unit: Unit, metric: str, name: str) -> tuple[str, str]:
    row = scores.score(unit, metric, kind=name)
    never = [n for n in _never(unit) if n == name]
    if never:
        of = f" of {len(unit['runs'])}" if len(unit["runs"]) > 1 else ""
        count = f" in {len(never)}{of}" if of else ""
        return wording.scored(row), f"NEVER PREDICTED{count}"
    return wording.scored(row), wording.span(row)


def _never(unit: Unit) -> list[str]:
    """Names of the classes never predicted, once for each run."""
    splits = [run["splits"].get(unit["images"][0]) for run in unit["runs"]]
    rows = [row for s in splits if s for row in class_numbers.never_predicted(s)]
    return [row["class"] for row in rows]


def _mark_best(
    block: dict[str, Any], ranking: list[Unit], metric: str, kinds: list[str | None]
) -> None:
    for column, kind in enumerate(kinds, start=1):
        values = {
            row: scores.score(unit, metric, kind=kind)["value"]
            for row, unit in enumerate(ranking)
        }
        ends = scores.extremes(values, more=scores.higher(metric))
        for row in ends["best"] if ends and ends["difference"] else []:
            block["rows"][row][column]["best"] = True


def claims(units: Sequence[Unit]) -> Iterator[Claim]:
    """Which runs never predict a class that their truth has?"""
    dead: list[str] = []
    counted, total = 0, len(members(units))
    for unit in members(units):
        counted += bool(class_numbers.table(split_of(unit)))
        names = ", ".join(f"`{name}`" for name in _never(unit))
        dead += [f"`{unit['name']}` {names}"] if names else []
    if dead:
        runs = f"{len(dead)} of {total} runs"
        words = f"{runs} NEVER PREDICT a class that the truth has: {'; '.join(dead)}."
        yield Claim(answer="no", text=words)
    elif counted:
        words = (
            f"{counted} of {total} runs were scored class by class, and each of them"
        )
        yield Claim(answer="yes", text=f"{words} predicts every class of the truth.")
