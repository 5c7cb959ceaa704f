"""Holds runs against each other by the classes of whole images: tables and tests."""

import itertools
from collections.abc import Iterator, Sequence
from typing import Any, NamedTuple

from jaxseg.metrics import paired_test
from jaxseg.report import derived_numbers, image_class_numbers
from jaxseg.report.blocks import Block, Claim, paragraph, table
from jaxseg.report.comparison import image_class_tests, scores, wording
from jaxseg.report.comparison.group_runs import (
    Unit,
    images_of,
    members,
    several,
    split_of,
    title,
)
from jaxseg.report.image_class_numbers import MEANS, PREFIX
from jaxseg.report.read import Row
from jaxseg.report.text import number

_SHOWN = 10  # pairs


class Pair(NamedTuple):
    """One class of two units, first minus second, and their answers."""

    first: str
    second: str
    name: str  # of the class
    test: paired_test.Difference  # of the area under ROC
    adjusted: float | None  # its p by Holm over all pairs and classes


def blocks(rankings: list[list[Unit]]) -> list[Block]:
    """The means and each class of every unit, and tests; [] where none has classes."""
    units = [unit for ranking in rankings for unit in ranking]
    if not any(_names(unit) for unit in units):
        return []
    split = rankings[0][0]["images"][0]
    words = f"On {split}. Bold: the best of a column among runs on the same images."
    if not all(_names(unit) for unit in units):
        words += " Runs that answered no classes of whole images are n/a here."
    without = [u for u in units if not derived_numbers.pixels_trained(split_of(u))]
    if without and len(without) < len(units):
        listed = ", ".join(f"`{unit['name']}`" for unit in without)
        words += (
            f" {listed} learned no pixels and {'is' if len(without) == 1 else 'are'}"
        )
        words += " n/a in the tables of masks: what runs share is compared."
    return [
        paragraph(words),
        _means(rankings),
        _classes(rankings),
        *_answers(rankings[0]),
        *_tests(rankings[0]),
    ]


def _names(unit: Unit) -> list[str]:
    record = image_class_numbers.of_split(split_of(unit))
    return record["names"] if record else []


def _rows(rankings: list[list[Unit]], cells: Any, columns: Sequence[Any]) -> list:
    rows = []
    for ranking in rankings:
        for unit in ranking:
            other = ranking is not rankings[0]
            mark = f"other images ({images_of(unit)})" if other else ""
            rows.append([(title(unit), mark), *(cells(unit, c) for c in columns)])
    return rows


def _means(rankings: list[list[Unit]]) -> Block:
    names = [f"{PREFIX}{name}" for name in MEANS]

    def cell(unit: Unit, name: str) -> tuple[str, str]:
        row = scores.score(unit, name)
        return wording.scored(row), wording.span(row)

    rows = _rows(rankings, cell, names)
    split = next((split_of(u) for u in rankings[0] if _names(u)), None)
    bases = image_class_numbers.of_split(split)["baselines"] if split else []
    for base in bases:
        cells = [wording.value(base["metrics"].get(name)) for name in MEANS]
        rows.append([f"baseline: {base['name'].replace('_', ' ')}", *cells])
    block = table(["Run", *MEANS.values()], rows, title="All classes together")
    for column, name in enumerate(names, start=1):
        _mark(block, rankings[0], column, lambda u, n=name: scores.score(u, n))
    return block


def of_class(unit: Unit, name: str, metric: str) -> Row:
    """A metric of one class of a unit: over images of one run, over seeds of several.

    With `support`, the images that show the class.
    """
    found = [_score(split_of(run), name, metric) for run in members([unit])]
    blank = {"value": None, "low": None, "high": None, "support": None}
    rows = [row or blank for row in found]
    out = {key: rows[0][key] for key in blank}
    if several(unit):
        values = [row["value"] for row in rows]
        ends = scores.t_interval(values)
        out |= dict(zip(("value", "low", "high"), ends, strict=True))
    return {"name": metric} | out


def _score(split: Any, name: str, metric: str) -> Row | None:
    record = image_class_numbers.of_split(split)
    rows = record["classes"] if record else []
    row = next((r for r in rows if r["name"] == name), None)
    if row is None:
        return None
    found = image_class_numbers.metric(row, metric)
    return {key: found[key] for key in ("value", "low", "high")} | {
        "support": row["support"]["shows"]
    }


def _classes(rankings: list[list[Unit]]) -> Block:
    units = [unit for ranking in rankings for unit in ranking]
    names = list(dict.fromkeys(name for unit in units for name in _names(unit)))
    columns = [*itertools.product(names, ("roc_auc", "f1"))]

    def cell(unit: Unit, column: tuple[str, str]) -> tuple[str, str]:
        row = of_class(unit, *column) if _names(unit) else {"value": None}
        if row["value"] is None:
            support = row.get("support")
            return number(None), "" if support is None else f"support {support}"
        return wording.value(row["value"]), wording.span(row)

    labels = image_class_numbers.LABELS
    heads = ["Run", *(f"{name}, {labels[metric]}" for name, metric in columns)]
    note = (
        "Each class against the rest; F1 at the threshold that validation chose. A "
        "class that no image shows is n/a (support 0)."
    )
    rows = _rows(rankings, cell, columns)
    block = table(heads, rows, title="Each class", note=note)
    for place, column in enumerate(columns, start=1):
        _mark(
            block,
            rankings[0],
            place,
            lambda u, c=column: of_class(u, *c) if _names(u) else {"value": None},
        )
    return block


def _mark(block: dict[str, Any], ranking: list[Unit], column: int, score: Any) -> None:
    values = {row: score(unit)["value"] for row, unit in enumerate(ranking)}
    ends = scores.extremes(values, more=True)
    for row in ends["best"] if ends and ends["difference"] else []:
        block["rows"][row][column]["best"] = True


def pairs(ranking: Sequence[Unit]) -> list[Pair]:
    """The area of every class in all pairs of units on the same images."""
    units = image_class_tests.testable(ranking)
    if len(units) < 2:
        return []
    count = len(units) * (len(units) - 1) // 2
    resamples = max(paired_test.RESAMPLES, 100 * count)
    drawn = []
    for unit in units:
        runs = [image_class_tests.of_split(split_of(run)) for run in members([unit])]
        areas = [
            each["roc_auc"]
            for each in image_class_tests.by_class(runs, resamples=resamples)
        ]
        value = sum(area.value for area in areas) / len(areas)
        samples = sum(area.samples for area in areas) / len(areas)
        drawn.append((value, samples))
    first = image_class_tests.of_split(split_of(units[0]))
    groups, listed = len(set(first.groups)), []
    for i, j in itertools.combinations(range(len(units)), 2):
        for k, name in enumerate(first.classes):
            (mine, again), (theirs, other) = drawn[i], drawn[j]
            values = float(mine[k]), float(theirs[k])
            gap = paired_test.difference(values, (again[k], other[k]), groups)
            listed.append((units[i]["name"], units[j]["name"], name, gap))
    adjusted = paired_test.holm([gap["p"] for *_, gap in listed])
    return [Pair(*row, p) for row, p in zip(listed, adjusted, strict=True)]


def _tests(ranking: Sequence[Unit]) -> Iterator[Block]:
    listed = pairs(ranking)
    if not listed:
        return
    rows = []
    for pair in listed[: _SHOWN * len({p.name for p in listed})]:
        test, ends = pair.test, ""
        if test["low"] is not None:
            ends = f"[{wording.signed(test['low'])}, {wording.signed(test['high'])}]"
        decided = pair.adjusted is not None and pair.adjusted < paired_test.LEVEL
        rows.append(
            [
                (f"{pair.first} minus {pair.second}", pair.name),
                (wording.signed(test["value"]), ends),
                wording.p_value(pair.adjusted),
                "yes" if decided else "n.s.",
            ]
        )
    note = (
        "Difference of the area under the ROC curve of one class against the rest, on "
        f"the same {listed[0].test['resamples']:,} resamples of "
        f"{listed[0].test['groups']} groups of images; Holm over all "
        f"{len(listed)} pairs and classes."
    )
    heads = ["Pair, class", "AUROC, difference", "Holm p", "Decided"]
    yield table(heads, rows, title="Paired tests of each class", note=note)


def _answers(ranking: Sequence[Unit]) -> Iterator[Block]:
    """McNemar's test of all pairs of single runs."""
    units = [u for u in image_class_tests.testable(ranking) if not several(u)]
    listed = []
    for one, other in itertools.combinations(units, 2):
        both = [image_class_tests.of_split(split_of(unit)) for unit in (one, other)]
        test = image_class_tests.mcnemar(*both)
        if test is not None:
            listed.append((f"{one['name']} and {other['name']}", *test))
    if not listed:
        return
    adjusted = paired_test.holm([p for *_, p in listed])
    rows = [
        [name, f"{first}", f"{second}", wording.p_value(p), wording.p_value(holm)]
        for (name, first, second, p), holm in zip(listed, adjusted, strict=True)
    ]
    note = (
        "Images of which only one of the two most probable classes is wrong: McNemar's "
        "exact test of the accuracies (1947). Images count as independent. Holm over "
        f"{len(rows)} pairs."
    )
    heads = ["Pair", "First wrong alone", "Second wrong alone", "p", "Holm p"]
    yield table(heads, rows, title="Paired tests of the accuracy", note=note)


def claims(units: Sequence[Unit]) -> Iterator[Claim]:
    """Which runs never answer with a class that images show?"""
    dead, counted = [], 0
    for unit in members(units):
        record = image_class_numbers.of_split(split_of(unit))
        if record is None or record["confusion"] is None:
            continue
        counted += 1
        given = [sum(column) for column in zip(*record["confusion"], strict=True)]
        listed = zip(record["names"], given, record["confusion"], strict=True)
        never = [f"`{name}`" for name, n, row in listed if n == 0 and sum(row)]
        if never:
            dead.append(f"`{unit['name']}` {', '.join(never)}")
    if dead:
        words = f"{len(dead)} of {counted} runs NEVER ANSWER with a class that images "
        yield Claim(answer="no", text=f"{words}show: {'; '.join(dead)}.")
    elif counted:
        words = f"Each of {counted} runs answers with every class that images show."
        yield Claim(answer="yes", text=words)
