"""Computes what a run with several foreground classes says of each of them."""

from typing import Any

import numpy as np

from jaxseg.report import derived_numbers
from jaxseg.report.read import Row, Run, Split, pick

SCORES = ("dice", "iou", "precision", "recall")  # of a row of a class table


def several(split: Split) -> bool:
    """Are there more classes than background and one foreground class?"""
    return len(derived_numbers.classes(split)) > 2


def table(split: Split) -> list[Row]:
    """A row for each class, background first; [] where evaluation wrote none."""
    return split["result"].get("class_table") or []


def never_predicted(split: Split) -> list[Row]:
    """Rows of the classes that the truth has and no pixel was predicted as."""
    return [row for row in table(split) if row["never_predicted"]]


def without_support(split: Split) -> list[Row]:
    """Rows of the classes that do not occur in the truth."""
    return [row for row in table(split) if not row["support_pixels"]]


def mean_row(split: Split, metric: str) -> Row:
    """The row of a metric that averages over foreground classes; {} without one."""
    rows = derived_numbers.metric_rows(split)
    of_mean = [r for r in rows if r["class"] == derived_numbers.MEAN]
    return next((r for r in of_mean if r["name"] == metric), {})


def of_class(split: Split, metric: str, name: str) -> Row:
    """The row of a metric of one class; {} where it was not scored."""
    rows = derived_numbers.metric_rows(split)
    return next((r for r in rows if (r["name"], r["class"]) == (metric, name)), {})


def worst(rows: list[Row]) -> Row | None:
    """The row of the lowest value among foreground classes with support, if any."""
    each = [r for r in rows if r["class"] != derived_numbers.MEAN]
    defined = [r for r in each if r["value"] is not None]
    return min(defined, key=lambda r: r["value"], default=None)


def history(run: Run, prefix: str) -> dict[str, tuple[np.ndarray, np.ndarray]]:
    """class -> (epochs [n], values [n]) of the columns `<prefix>/<class>`."""
    names = [n for n in run["history"][0] if n.startswith(f"{prefix}/")]
    columns = {n.removeprefix(f"{prefix}/"): n for n in names}
    read = {c: derived_numbers.column(run, n) for c, n in columns.items()}
    return {c: pair for c, pair in read.items() if pair[1].size}


def confusion(split: Split) -> np.ndarray | None:
    """Pixels i64 [k, k] by truth (rows) and prediction; None where not written."""
    counts = split["result"].get("confusion")
    return None if counts is None else np.array(counts, np.int64)


def offsets(split: Split) -> list[float] | None:
    """The offset of each class in the frozen decision; None for argmax alone."""
    return pick(split["result"].get("operating_point"), "offsets")


def argmax(split: Split) -> dict[str, Any]:
    """What argmax alone scores on this split; {} where it is the decision itself."""
    return split["result"].get("argmax") or {}
