"""Shows how each of several classes is found: a table, the confusions, cards."""

from typing import Any

from jaxseg.report import class_numbers, derived_numbers, text
from jaxseg.report.blocks import Block, Card, folded, pictures, table
from jaxseg.report.read import Run, Split
from jaxseg.report.run import class_decision, class_plots, tables
from jaxseg.report.text import number

_UNTITLED = {"title": ""}  # a table whose title its fold has
NEVER = "NEVER PREDICTED"
_HEADS = ["Class", "Dice", "IoU", "Precision", "Recall", "Support", "Predicted pixels"]


def blocks(run: Run) -> list[Block | None]:
    """What stands behind the table of the first split; [] for two classes.

    Decision and confusions, and the tables of the other splits, folded. A run that was
    scored before there were class tables has no blocks but those of its confusions.
    """
    split, *others = run["splits"].values()
    if not class_numbers.several(split):
        return []
    hidden = [_confusion(split)]
    for other in others:
        hidden += [of_split(run, other), _confusion(other)]
    return [
        class_decision.table_of(split),
        pictures([class_plots.confusion(split)]),
        *(folded(b["title"], [b | _UNTITLED]) for b in hidden if b is not None),
    ]


def of_split(run: Run, split: Split) -> Block | None:
    """Dice, IoU, precision, recall and support of each class, and of their mean."""
    rows = [_cells(split, row) for row in class_numbers.table(split)]
    if not rows:
        return None
    rows += _mean(split)
    optimistic = " (optimistic)" if derived_numbers.optimistic(run, split) else ""
    note = (
        "Pixels of all images are summed, then divided once. Below each number stands "
        "its 95 % bootstrap interval over images."
    )
    title = f"Classes on {split['name']}{optimistic}"
    block = table(_HEADS, rows, title=title, note=note)
    for cells, row in zip(block["rows"], class_numbers.table(split), strict=False):
        if row["never_predicted"]:
            cells[0]["bad"] = cells[-1]["bad"] = True
    return block


def _cells(split: Split, row: dict[str, Any]) -> list[Any]:
    name, cells = row["class"], []
    for score in class_numbers.SCORES:
        metric = class_numbers.of_class(split, f"{score}_pooled", name)
        if row[score] is None:
            none = f"{text.UNDEFINED} (support 0)"
            cells.append(text.UNDEFINED if row["support_pixels"] else none)
        else:
            cells.append((number(row[score]), text.span(metric) if metric else ""))
    mark = NEVER if row["never_predicted"] else ""
    mark = mark or ("" if row["support_pixels"] else "not in the truth")
    cells.append(_support(row))
    return [(name, mark), *cells, number(row["predicted_pixels"], "count")]


def _support(row: dict[str, Any]) -> tuple[str, str]:
    images = text.plural(row["support_images"], "image")
    return images, text.plural(row["support_pixels"], "pixel")


def _mean(split: Split) -> list[list[Any]]:
    """The row of the mean, with its interval; none where it was not scored."""
    metrics = [f"{score}_pooled" for score in class_numbers.SCORES]
    means = [class_numbers.mean_row(split, metric) for metric in metrics]
    if not all(means):
        return []
    cells = [(number(row["value"]), text.span(row)) for row in means]
    foreground = class_numbers.table(split)[1:]
    present = sum(row["support_pixels"] > 0 for row in foreground)
    what = f"of {present} of {len(foreground)} foreground classes, those in the truth"
    predicted = sum(row["predicted_pixels"] for row in foreground)
    return [
        [("mean", what), *cells, _support(means[0]), number(predicted, "count")],
    ]


def _confusion(split: Split) -> Block | None:
    """Every count, with its share of the true class below it."""
    counts = class_numbers.confusion(split)
    if counts is None:
        return None
    names, totals = derived_numbers.classes(split), counts.sum(axis=1)
    rows = []
    for name, row, total in zip(names, counts.tolist(), totals.tolist(), strict=True):
        cells = [
            (number(n, "count"), number(n / total, "percent") if total else "")
            for n in row
        ]
        rows.append([name, *cells, number(total, "count")])
    note = (
        "Labelled pixels at the frozen decision; below each count its share of the row."
    )
    title = f"Confusion matrix on {split['name']}: truth in rows, prediction in columns"
    return table(["Truth", *names, "All"], rows, title=title, note=note)


def cards(run: Run, split: Split) -> list[Card]:
    """The mean, the worst class, and how many classes are never predicted."""
    listed, rows = [], derived_numbers.headline(run, split)
    worst = class_numbers.worst(rows)
    shown = [("Mean", row) for row in rows if row["class"] == derived_numbers.MEAN]
    shown += [(f"Worst class: {worst['class']}", worst)] if worst else []
    for name, row in shown or [(row["class"], row) for row in rows[:1]]:
        listed.append(tables.score_card(f"{name}, {row['name']}", split, row))
    never = class_numbers.never_predicted(split)
    if never:
        of = sum(row["support_pixels"] > 0 for row in class_numbers.table(split))
        names = ", ".join(row["class"] for row in never)
        listed.append(Card("Classes never predicted", f"{len(never)} of {of}", names))
    return listed
