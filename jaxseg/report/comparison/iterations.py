"""Tells runs that come after one another: what changed each time, and what it did.

A run names its parent (config.parent) and what it is for (config.note). Every sentence
is computed: the difference of the configs, the paired test on the same images, and what
became of absent, unpredicted and rare classes.
"""

import hashlib
from collections.abc import Iterator, Sequence
from typing import Any, NamedTuple

import numpy as np
from matplotlib.axes import Axes

from jaxseg.report import (
    class_numbers,
    derived_numbers,
    figures,
    image_class_numbers,
    text,
)
from jaxseg.report.blocks import Block, paragraph, pictures
from jaxseg.report.comparison import config_differences, scores, wording
from jaxseg.report.comparison.group_runs import Unit, members, split_of
from jaxseg.report.comparison.paired_tests import Tests, between
from jaxseg.report.figures import Picture
from jaxseg.report.read import Run, Split
from jaxseg.report.text import number
from jaxseg.run_directory import files

_SETTINGS = 8  # that a sentence names; all stand in the table of what differs
_DICE = "validation/dice_pooled"


class Step(NamedTuple):
    """One run of a chain, and the run before it where that is compared too."""

    unit: Unit  # of the run alone
    ranked: str  # the name of the unit that was ranked and tested
    before: "Step | None"


def blocks(units: Sequence[Unit], tests: Tests, metric: str) -> list[Block]:
    """The chains of runs in order; [] where no run names a parent or has a note."""
    if not any(_info(run, key) for run in members(units) for key in ("parent", "note")):
        return []
    steps = order(units)
    parts = [_step(i, step, tests, metric) for i, step in enumerate(steps, start=1)]
    drawn = pictures(curves(steps, metric))
    words = (
        f"{text.plural(len(steps), 'run')} in the order of their parents. Values are "
        f"`{metric}` on {steps[0].unit['images'][0]}; n.s.: the paired test on the "
        "same images does not tell the two apart."
    )
    listed = [part for each in parts for part in each]
    return [paragraph(words), *listed, *([drawn] if drawn else [])]


def _info(unit: Unit, key: str) -> Any:
    return unit["runs"][0]["info"].get(key)


def order(units: Sequence[Unit]) -> list[Step]:
    """Every run once: those without a parent here first, each before its children.

    Children of one run come in order of their creation. Runs that name each other in a
    circle, which only an edited record can, are taken as without a parent.
    """
    runs = [(run, unit["name"]) for unit in units for run in members([unit])]
    runs.sort(key=lambda pair: (_info(pair[0], "created") or "", pair[0]["name"]))
    above = {run["name"]: _parent(run, [r for r, _ in runs]) for run, _ in runs}
    steps: dict[str, Step] = {}

    def walk(run: Unit, ranked: str, before: Step | None) -> None:
        if run["name"] in steps:
            return
        steps[run["name"]] = step = Step(run, ranked, before)
        for child, name in runs:
            if above[child["name"]] == run["name"]:
                walk(child, name, step)

    for run, ranked in sorted(
        runs, key=lambda pair: above[pair[0]["name"]] is not None
    ):
        walk(run, ranked, None)
    return list(steps.values())


def _parent(run: Unit, others: Sequence[Unit]) -> str | None:
    """The name of the run among these that is the parent; None without one."""
    wanted = _info(run, "parent")
    for other in others if wanted else ():
        if other is run or _info(other, "created") != wanted["created"]:
            continue
        workdir = other["runs"][0]["workdir"].resolve()
        digest = hashlib.sha256((workdir / files.CONFIG).read_bytes()).hexdigest()
        # a directory may have been renamed, and a config may say other free settings
        if (
            wanted["config_sha256"] == digest
            or workdir.resolve().name == wanted["name"]
        ):
            return other["name"]
    return None


def _step(place: int, step: Step, tests: Tests, metric: str) -> Iterator[Block]:
    run = step.unit["runs"][0]
    head = f"{place}. `{step.unit['name']}`"
    parent = _info(step.unit, "parent")
    if step.before:
        head += f" after `{step.before.unit['name']}`"
    elif parent:
        head += f" after `{parent['name']}`, which is not among these runs"
    note = _info(step.unit, "note")
    yield paragraph(f"{head}: {note}" if note else f"{head}.")
    if step.before:
        yield paragraph(changed(step.before.unit["runs"][0], run))
    yield paragraph(did(step, tests, metric))
    told = [*classes(step)]
    if told:
        yield paragraph(" ".join(told))


def changed(before: Run, run: Run) -> str:
    """What is another setting than in the run before, as a sentence."""
    old, new = (config_differences.without_seed(r) for r in (before, run))
    odd = [
        key
        for key in config_differences.differing([old, new])
        if key.split(".")[0] not in ("name", "recipe")
    ]
    seeds = [r["config"].get("seed") for r in (before, run)]
    if seeds[0] != seeds[1]:
        odd.append("seed")
        old, new = old | {"seed": seeds[0]}, new | {"seed": seeds[1]}
    if not odd:
        return "Changed: nothing in the config."
    words = [f"`{key}` {_value(old, key)} → {_value(new, key)}" for key in odd]
    more = f"; and {len(words) - _SETTINGS} more" if len(words) > _SETTINGS else ""
    return f"Changed: {'; '.join(words[:_SETTINGS])}{more}."


def _value(config: dict[str, Any], key: str) -> str:
    return wording.setting(config[key]) if key in config else "absent"


def did(step: Step, tests: Tests, metric: str) -> str:
    """What the change did by the stated metric, as a sentence with its test."""
    score = scores.score(step.unit, metric)
    span = wording.span(score)
    words = f"`{metric}` {wording.scored(score)}{f' {span}' if span else ''}"
    if step.before is None:
        return f"Result: {words}."
    other = scores.score(step.before.unit, metric)
    words += f" against {wording.scored(other)} before"
    if step.unit["images"] != step.before.unit["images"]:
        return f"Result: {words}; on other images, so not compared."
    if step.ranked == step.before.ranked:
        return f"Result: {words}; a repeat with another seed, so not tested."
    test = between(tests, metric, step.ranked, step.before.ranked)
    if test is None or test["value"] is None:
        return f"Result: {words}; not tested."
    told = {
        "yes": "better, decided",
        "no": "WORSE, decided",
        "tie": "equal",
        "unclear": "n.s.",
    }[test["answer"]]
    return f"Result: {words}: {told} ({wording.tested(test)})."


def classes(step: Step) -> Iterator[str]:
    """Sentences about classes that are absent, never predicted, and the rarest."""
    split, before = split_of(step.unit), step.before and split_of(step.before.unit)
    for row in class_numbers.without_support(split):
        yield (
            f"Absent: `{row['class']}` is in no truth of {split['name']}, n/a (support "
            f"0); {text.plural(row['predicted_pixels'], 'pixel')} predicted as it."
        )
    for row in class_numbers.never_predicted(split):
        yield (
            f"`{row['class']}` is NEVER PREDICTED, of "
            f"{text.plural(row['support_pixels'], 'pixel')} of support."
        )
    yield from _rarest(split, before)
    yield from _rarest_of_images(split, before)


def _rarest(split: Split, before: Split | None) -> Iterator[str]:
    rows = class_numbers.table(split)[1:] if class_numbers.several(split) else []
    rows = [row for row in rows if row["support_pixels"]]
    if not rows:
        return
    rare = min(rows, key=lambda row: row["support_pixels"])
    listed = class_numbers.table(before) if before else []
    old = next((r for r in listed if r["class"] == rare["class"]), None)
    then = f", {number(old['dice'])} before" if old else ""
    yield (
        f"Rarest: `{rare['class']}`, {number(rare['support_pixels'], 'count')} pixels "
        f"in {text.plural(rare['support_images'], 'image')}: Dice "
        f"{number(rare['dice'])}{then}."
    )


def _rarest_of_images(split: Split, before: Split | None) -> Iterator[str]:
    record = image_class_numbers.of_split(split)
    if record is None:
        return
    for row in record["classes"]:
        if not row["support"]["shows"]:
            yield f"Absent: no image of {split['name']} shows `{row['name']}`, n/a."
    rows = [row for row in record["classes"] if row["support"]["shows"]]
    if not rows:
        return
    rare = min(rows, key=lambda row: row["support"]["shows"])
    listed = image_class_numbers.of_split(before)["classes"] if _has(before) else []
    old = next((r for r in listed if r["name"] == rare["name"]), None)
    now = image_class_numbers.metric(rare, "roc_auc")
    then = ""
    if old:
        then = f", {number(image_class_numbers.metric(old, 'roc_auc')['value'])} before"
    yield (
        f"Rarest of whole images: `{rare['name']}`, "
        f"{text.plural(rare['support']['shows'], 'image')}: AUROC "
        f"{text.interval(now['value'], now['low'], now['high'])}{then}."
    )


def _has(split: Split | None) -> bool:
    return split is not None and image_class_numbers.of_split(split) is not None


def curves(steps: Sequence[Step], metric: str) -> list[Picture | None]:
    """Validation Dice of each foreground class over epochs, a line for each run.

    Of two classes, the stated metric.
    """
    each = [class_numbers.history(s.unit["runs"][0], _DICE) for s in steps]
    names = list(dict.fromkeys(name for run in each for name in run))
    if not names:
        own = f"validation/{metric}"
        lines = [derived_numbers.column(s.unit["runs"][0], own) for s in steps]
        return [_lines(steps, lines, metric, f"`{own}`")]
    drawn = []
    for name in names:
        nothing = np.zeros(0), np.zeros(0)
        lines = [run.get(name, nothing) for run in each]
        drawn.append(_lines(steps, lines, name, f"`{_DICE}/{name}`"))
    return drawn


def _lines(
    steps: Sequence[Step], lines: Sequence[tuple], name: str, column: str
) -> Picture | None:
    shown = [
        (step.unit["name"], *line)
        for step, line in zip(steps, lines, strict=True)
        if len(line[0])
    ]
    if not shown:
        return None

    def draw(axes: Axes) -> None:
        figures.lines(axes, shown, x="epoch", y=name)

    key = "".join(c if c.isalnum() and c.isascii() else "_" for c in name)
    caption = f"History column {column}, a line for each run in its order."
    title = f"{name}, run after run"
    return figures.plot(f"iterations_{key}", title, caption, draw, legend="outside")
