"""Shows the frozen decision among several classes beside the most probable class."""

from collections.abc import Iterator
from typing import Any

from jaxseg.report import class_numbers, derived_numbers, text
from jaxseg.report.blocks import Block, Claim, table
from jaxseg.report.read import Split, pick
from jaxseg.report.text import number

_SHOWN = ("dice", "precision", "recall")


def table_of(split: Split) -> Block | None:
    """Offsets of the classes, and what they change on this split; None for argmax."""
    offsets, point = class_numbers.offsets(split), split["result"]["operating_point"]
    if offsets is None or not class_numbers.table(split):
        return None
    alone = class_numbers.argmax(split)
    before = {row["class"]: row for row in alone.get("class_table") or []}
    rows = []
    for row, offset in zip(class_numbers.table(split), offsets, strict=True):
        other = before.get(row["class"], {})
        pairs = [
            (number(row[score]), f"argmax {number(other.get(score))}")
            for score in _SHOWN
        ]
        pixels = number(other.get("predicted_pixels"), "count")
        predicted = number(row["predicted_pixels"], "count"), f"argmax {pixels}"
        rows.append([row["class"], f"{offset:+.3f}", *pairs, predicted])
    means = [class_numbers.mean_row(split, f"{score}_pooled") for score in _SHOWN]
    if all(means):
        cells = [
            (number(m["value"]), f"argmax {number(_alone(split, m['name']))}")
            for m in means
        ]
        rows.append(["mean over foreground classes", "", *cells, ""])
    heads = ["Class", "Offset", "Dice", "Precision", "Recall", "Predicted pixels"]
    source = point.get("source_split") or "a split that is not recorded"
    lead = (
        "A pixel gets the class of the highest log probability plus the offset of the "
        f"class. Chosen on {source} to maximise `{point.get('objective')}`: "
        f"{number(point.get('value'))} there, {number(point.get('value_argmax'))} by "
        "argmax alone (all offsets 0)."
    )
    note = f"On {split['name']}; below each number what argmax alone gives there."
    return table(heads, rows, title="Frozen decision", lead=lead, note=note)


def _alone(split: Split, metric: str) -> float | None:
    return pick(class_numbers.argmax(split), "metrics", metric)


def claims(split: Split) -> Iterator[Claim]:
    """Do the offsets that were chosen elsewhere help on this split?"""
    if class_numbers.offsets(split) is None:
        return
    point: dict[str, Any] = split["result"]["operating_point"]
    metric = point.get("objective") or ""
    row, bar = class_numbers.mean_row(split, metric), _alone(split, metric)
    if not row or row["value"] is None or bar is None:
        return
    answer = derived_numbers.above(row, bar)
    words = {
        "yes": "are better than argmax alone",
        "no": "are NOT better than argmax alone",
        "unclear": "are above argmax alone, but not by the whole interval,",
    }[answer]
    words = (
        f"The class offsets {words} on `{metric}`, mean over classes "
        f"({split['name']}): {text.interval(row['value'], row['low'], row['high'])} "
        f"against {number(bar)}."
    )
    yield Claim(answer=answer, text=words)
