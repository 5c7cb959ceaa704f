"""Shows how classes of whole images are told: tables, the confusion, curves.

Each class stands against the rest at the threshold that validation froze; the confusion
and the accuracy are of the most probable class.
"""

from functools import partial
from typing import Any

from matplotlib.axes import Axes

from jaxseg.report import figures, image_class_numbers, text
from jaxseg.report.blocks import Block, Card, pictures, table
from jaxseg.report.figures import INK, Picture
from jaxseg.report.image_class_numbers import LABELS, MEANS, of_split
from jaxseg.report.read import Run, Split, pick
from jaxseg.report.text import number

BASELINES = {
    "majority_class": "commonest class for all",
    "always_positive": "one score for all",
}


def blocks(run: Run) -> list[Block | None]:
    """The section of a run; [] where no split was scored by classes of images."""
    splits = image_class_numbers.splits(run)
    if not splits:
        return []
    first = splits[0]
    return [
        *each_class(splits),
        _means(splits),
        confusion(first),
        *calibration(splits),
        pictures(figures_of(first)),
    ]


def each_class(splits: list[Split]) -> list[Block]:
    """A table with a row for each class of each split; [] without any classes."""
    splits = [split for split in splits if of_split(split)]
    return [_classes(splits)] if splits else []


def _classes(splits: list[Split]) -> Block:
    rows, notes = [], {}
    for split in splits:
        record = of_split(split)
        for row in record["classes"]:
            metrics = [image_class_numbers.metric(row, name) for name in LABELS]
            absent = not row["support"]["shows"]
            cells = [
                (undefined(row) if absent else number(m["value"]), text.span(m))
                for m in metrics
            ]
            rows.append([(row["name"], split["name"]), *cells, *_end(row)])
            where = ", these very images: OPTIMISTIC" * row["optimistic"]
            notes[f"{split['name']}: {row['source_split']}{where}"] = None
    heads = ["Class, split", *LABELS.values(), "Threshold", "Support"]
    note = (
        "One class against the rest. An image is said to show a class at or above the "
        f"threshold of the best F1, chosen on ({'; '.join(notes)}). Intervals at 95 %: "
        "bootstrap over groups of images; of sensitivity, specificity and precision "
        "Wilson, 1927. A class that no image shows is n/a (support 0), never 0 or 1."
    )
    return table(heads, rows, title="Each class of whole images", note=note)


def undefined(row: dict[str, Any]) -> str:
    """What is printed of a class that no image shows."""
    return f"{text.UNDEFINED} (support {number(row['support']['shows'], 'count')})"


def _end(row: dict[str, Any]) -> list[Any]:
    support = row["support"]
    words = f"{number(support['shows'], 'count')} show it"
    rest = f"{number(support['not'], 'count')} do not"
    if support["unknown"]:
        rest += f", {number(support['unknown'], 'count')} not known"
    return [number(row["threshold"]), (words, rest)]


def _means(splits: list[Split]) -> Block:
    rows = []
    for split in splits:
        record = of_split(split)
        for row in record["means"]:
            bars = [
                (number(base["metrics"][row["name"]]), BASELINES[base["name"]])
                for base in record["baselines"]
                if base["metrics"].get(row["name"]) is not None
            ]
            over = f"{row['support_classes']} of {len(record['names'])} classes"
            rows.append(
                [
                    (MEANS.get(row["name"], text.label(row["name"])), split["name"]),
                    (number(row["value"]), text.span(row)),
                    bars[0] if bars else text.UNDEFINED,
                    (over, text.plural(row["support_images"], "image")),
                ]
            )
    heads = ["Number, split", "Value", "Without a model", "Support"]
    note = (
        "Means leave out classes that no image shows; their support says how many are "
        "left. Intervals: 95 % bootstrap over groups of images."
    )
    if of_split(splits[0])["exclusive"]:
        note = (
            "Accuracy stands beside that of the commonest class, which needs no model. "
            f"{note}"
        )
    return table(heads, rows, title="All classes together", note=note)


def confusion(split: Split) -> Block | None:
    """Images by true class (rows) and most probable class; None where several hold."""
    record = of_split(split)
    counts, names = record["confusion"], record["names"]
    if counts is None:
        return None
    rows = []
    for name, row in zip(names, counts, strict=True):
        total = sum(row)
        cells = [
            (number(n, "count"), number(n / total, "percent") if total else "")
            for n in row
        ]
        rows.append([(name, f"support {number(total, 'count')}"), *cells])
    note = (
        f"On {split['name']}: images of each class (rows) by their most probable class "
        "(columns), with shares of the row."
    )
    return table(["Truth", *names], rows, title="Confusion of classes", note=note)


def calibration(splits: list[Split]) -> list[Block]:
    """How far probabilities of classes can be believed; [] without any classes."""
    splits = [split for split in splits if of_split(split)]
    return [_calibration(splits)] if splits else []


def _calibration(splits: list[Split]) -> Block:
    rows, policy = [], ""
    for split in splits:
        block = of_split(split)["calibration"]
        policy = block["policy"]
        for kind in ("before", "after"):
            part = block[kind]
            if part is None:
                continue
            how = "as predicted"
            if kind == "after":
                limit = ", at its limit" * block["at_limit"]
                how = f"temperature {number(block['temperature'])}{limit}, fitted on "
                how += f"{block['source_split']}{' (optimistic)' * block['optimistic']}"
            figures_ = [number(part[key], "plain") for key in _CALIBRATION]
            support = number(part["support"], "count")
            rows.append([(split["name"], how), *figures_, support])
    heads = ["Split", *_CALIBRATION.values(), "Answers"]
    note = f"Compared: {policy}. Log loss in nats. No answer changes by a temperature."
    title = "How far probabilities of classes can be believed"
    return table(heads, rows, title=title, note=note)


_CALIBRATION = {"ece": "ECE", "log_loss": "Log loss", "brier": "Brier"}


def figures_of(split: Split) -> list[Picture | None]:
    """ROC, precision over recall, and reliability, of one split."""
    curves = of_split(split)["curves"]
    where = f"On {split['name']}, one class against the rest."
    roc = [(c["name"], *_axes(c["roc"])) for c in curves if c["roc"]]
    pr = [(c["name"], *_axes(c["pr"])) for c in curves if c["pr"]]
    drawn: list[Picture | None] = []
    if roc:
        draw = partial(_draw, curves=roc, diagonal=True)
        drawn.append(figures.plot("class_roc", "Classes of images: ROC", where, draw))
        draw = partial(_draw, curves=pr, diagonal=False)
        title = "Classes of images: precision and recall"
        drawn.append(figures.plot("class_pr", title, where, draw))
    return [*drawn, _reliability(split)]


def _axes(points: list[list[float]]) -> tuple[list[float], list[float]]:
    return [p[0] for p in points], [p[1] for p in points]


def _draw(axes: Axes, curves: list[tuple], diagonal: bool) -> None:
    x, y = ("false positive rate", "sensitivity")
    if not diagonal:
        x, y = "recall", "precision"
    figures.lines(axes, curves, x=x, y=y)
    if diagonal:
        axes.plot([0, 1], [0, 1], color=INK, linestyle=":", linewidth=1)
    figures.unit_square(axes)


def _reliability(split: Split) -> Picture | None:
    block = of_split(split)["calibration"]
    curves = []
    for kind, label in (("before", "as predicted"), ("after", "")):
        bins = [row for row in pick(block, kind, "bins") or [] if row["count"]]
        if bins:
            label = label or f"temperature {number(block['temperature'])}"
            points = [row["mean"] for row in bins], [row["observed"] for row in bins]
            curves.append((label, *points))
    if not curves:
        return None

    def draw(axes: Axes) -> None:
        figures.lines(axes, curves, x="mean probability", y="share that is right")
        axes.plot([0, 1], [0, 1], color=INK, linestyle=":", linewidth=1)
        figures.unit_square(axes)

    caption = (
        f"On {split['name']}: {block['policy']}. Dotted: both agree; below it the "
        "model is too sure."
    )
    return figures.plot("class_reliability", "Classes: reliability", caption, draw)


def cards(split: Split, most: int = 3) -> list[Card]:
    """The numbers to remember, each with what it stands against; [] without any."""
    listed = []
    for name in ("roc_auc_mean", "accuracy", "f1_macro", "average_precision_mean"):
        row = image_class_numbers.mean(split, name)
        if row is None or row["value"] is None:
            continue
        against = f"95 %: {text.span(row)}. " if text.span(row) else ""
        if bar := image_class_numbers.baseline(split, name):
            against += f"{BASELINES[bar[0]]}: {number(bar[1])}"
        listed.append(Card(MEANS[name], number(row["value"]), against))
    return listed[:most]


def support(run: Run) -> Block | None:
    """Images of each class in each split, from the data card; None without classes."""
    card = pick(run["info"], "dataset", "image_classes")
    if not card:
        return None
    rows = [
        [name]
        + [
            (number(counts[k][0], "count"), _others(counts[k]))
            for counts in card["images"].values()
        ]
        for k, name in enumerate(card["names"])
    ]
    kind = "an image is of one of them" if card["exclusive"] else "several may hold"
    return table(
        ["Class", *card["images"]],
        rows,
        title="Images by class of whole images",
        note=f"How many images show each class; {kind}.",
    )


def _others(counts: list[int]) -> str:
    _, without, unknown = counts
    words = f"{number(without, 'count')} do not"
    return f"{words}, {number(unknown, 'count')} not known" if unknown else words
