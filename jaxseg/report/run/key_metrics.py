"""Chooses the few metrics that matter for the task of a run, for one table."""

from collections.abc import Iterator
from typing import Any, NamedTuple

from jaxseg.report import (
    class_numbers,
    derived_numbers,
    image_class_numbers,
    object_numbers,
    text,
)
from jaxseg.report.blocks import Block, table
from jaxseg.report.read import Row, Run, Split, pick
from jaxseg.report.run import image_classes, image_level, tables
from jaxseg.report.text import number

MOST = 8
_HALF = 4  # of them, where whole images are told apart as well
_PIXELS = ("dice_pooled", "dice_positives", "dice_kaggle", "iou_pooled")
_PIXELS += ("precision_pooled", "recall_pooled", "hd95_image_skip_empty")
_OBJECTS = (object_numbers.F1, "object_precision_50", "object_recall_50", "object_aji")
_OBJECTS += (object_numbers.MAE, object_numbers.BIAS)
_DECISION = ("average_precision", "roc_auc", "f1", "sensitivity")


class Metric(NamedTuple):
    """One row of the table, in print."""

    name: str
    words: str  # the human name
    value: tuple[str, str]  # and its interval
    bar: tuple[str, str]  # the best trivial baseline, and which that is
    support: str


def table_of(run: Run, split: Split) -> Block | None:
    """At most MOST metrics with interval, best baseline and support; None of none."""
    rows = [
        [(each.words, f"`{each.name}`"), each.value, each.bar, each.support]
        for each in chosen(run, split)
    ]
    reasons = derived_numbers.optimistic(run, split)
    note, lead = "Intervals: 95 % bootstrap over images.", ""
    if derived_numbers.pixels_trained(split):
        note += " Every metric, with its policy for empty masks and with every "
        note += "baseline, stands further down."
        lead = tables.scored_on(split)
    if class_numbers.several(split):
        note = f"Of pixels: the mean over the foreground classes in the truth. {note}"
    if reasons:
        note = f"Optimistic: {' and '.join(reasons)}. {note}"
    title = f"{split['name'].capitalize()}{' (optimistic)' * bool(reasons)}"
    heads = ["Metric", "Model, 95 %", "Best trivial baseline", "Support"]
    return table(heads, rows, title=title, lead=lead, note=note) if rows else None


def chosen(run: Run, split: Split) -> list[Metric]:
    """Of objects first, then of whole images, then as many of pixels as have room."""
    if not derived_numbers.pixels_trained(split):
        return [*_of_image_classes(split)][:MOST]
    other = [*_of_objects(split)]
    if not other:
        other = [*_of_decision(split)] or [*_of_image_classes(split)][:_HALF]
    if image_level.alone(split):
        return other[:MOST]
    return [*other, *_of_pixels(run, split)][:MOST]


def _of_pixels(run: Run, split: Split) -> Iterator[Metric]:
    """The metric that chose the run first; of several classes the means."""
    several = class_numbers.several(split)
    rows = derived_numbers.foreground_rows(split) + _surface(split)
    if several:
        rows = [row for row in rows if row["class"] == derived_numbers.MEAN]
    by_name: dict[str, Row] = {}
    for row in rows:
        by_name.setdefault(row["name"], row)
    # of objects the overlap that a study of them asks for comes before Dice
    first = ("iou_pooled",) if object_numbers.of_split(split) else ()
    for name in dict.fromkeys((derived_numbers.selection(run), *first, *_PIXELS)):
        row = by_name.get(name)
        if row is None or (name == "dice_kaggle" and _all_positive(split)):
            continue
        bars = derived_numbers.known_baselines(split, row)
        best = max(bars, key=lambda base, bars=bars: bars[base], default=None)
        bar = (number(bars[best]), text.label(best)) if best else (text.UNDEFINED, "")
        words = text.label(name) + ", mean over classes" * several
        shown = tables.scored_cell(row)
        yield Metric(name, words, shown, bar, tables.support(split, row))


def _surface(split: Split) -> list[Row]:
    """Rows of surfaces of the one foreground class; they have no baseline."""
    if class_numbers.several(split):
        return []
    return [dict(row) for row in split["result"].get("surface") or []]


def _all_positive(split: Split) -> bool:
    """Whether the Kaggle rule, which is of empty images, has none to count."""
    return split["result"].get("positive_images") == split["result"]["images"]


def _of_objects(split: Split) -> Iterator[Metric]:
    rows = {row["name"]: row for row in object_numbers.rows(split)}
    for row in (rows[name] for name in _OBJECTS if name in rows):
        name, bars = row["name"], object_numbers.baselines(split, row["name"])
        bar = (text.UNDEFINED, "")
        if bars and row["better"] != "zero":
            best = object_numbers.best(bars, row["better"])
            bar = object_numbers.value(name, bars[best]), text.label(best)
        shown = object_numbers.value(name, row["value"]), object_numbers.span(row)
        if row["value"] is None:
            shown = tables.scored_cell(row)
        support = text.plural(row["support_images"], "image")
        yield Metric(name, text.label(name), shown, bar, support)


def _of_decision(split: Split) -> Iterator[Metric]:
    """How the decision head tells whole images apart."""
    if not image_level.has_decision(split):
        return
    record = image_level.of_split(split)
    base = record["baselines"][0]
    support = f"{text.plural(record['images'], 'image')}, "
    support += f"{number(record['positives'], 'count')} of them positive"
    for name in _DECISION:
        row = image_level.value(record["scores"][0], name)
        bar = pick(base, "metrics", name)
        known = bar is not None
        yield Metric(
            name,
            f"Whole images: {image_level.COLUMNS[name]}",
            (number(row["value"]), text.span(row)),
            (number(bar), text.label(base["name"]) if known else ""),
            support,
        )


def _of_image_classes(split: Split) -> Iterator[Metric]:
    for name, words in image_class_numbers.MEANS.items():
        row: dict[str, Any] | None = image_class_numbers.mean(split, name)
        if row is None or row["value"] is None:
            continue
        best = image_class_numbers.baseline(split, name)
        bar = (text.UNDEFINED, "")
        if best:
            bar = number(best[1]), image_classes.BASELINES[best[0]]
        support = text.plural(row["support_images"], "image")
        support += f", {text.plural(row['support_classes'], 'class', 'classes')}"
        shown = number(row["value"]), text.span(row)
        yield Metric(name, f"Whole images: {words}", shown, bar, support)
