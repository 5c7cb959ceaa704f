"""Draws the plots of a run: training, thresholds, images."""

import math
import re
from functools import partial

import numpy as np
from matplotlib.axes import Axes
from matplotlib.ticker import LogLocator, NullLocator

from jaxseg.report import derived_numbers, figures, text
from jaxseg.report.figures import INK, SERIES, Picture
from jaxseg.report.read import Run, Split, pick
from jaxseg.report.run import loss_weights


def training(run: Run) -> list[Picture | None]:
    """Draws loss, Dice, learning rate, share of positives and speed over epochs."""
    names = list(run["history"][0])
    # the last two of <class>
    other = ("validation", "test", "share_realised", "image_share_realised")
    train = [n for n in names if "/" not in n or n.split("/")[0] not in other]
    loss = [n for n in train if n.split("/")[0] == "loss"]
    dice = [n for n in train if "dice" in n and n not in loss]
    dice += [n for n in names if re.fullmatch("validation/dice[^/]*", n)]
    whole = [n for n in names if n.startswith("validation/image_")]
    classes = [n for n in names if n.startswith("validation/class_")]
    share = ["share_target", "share_realised"]
    wanted = [
        ("loss", "Loss", [*loss, "validation/loss"]),
        ("dice", "Dice", dice),
        ("decision", "Decision on whole images of validation", whole),
        ("class_history", "Classes of whole images of validation", classes),
        ("learning_rate", "Learning rate", ["learning_rate"]),
        ("share", "Share of positive images fed", share),
        ("throughput", "Images per second", ["images_per_second"]),
    ]
    return [_curves(run, *each) for each in wanted]


def _curves(run: Run, name: str, title: str, columns: list[str]) -> Picture | None:
    curves = [(c, *derived_numbers.column(run, c)) for c in dict.fromkeys(columns)]
    curves = [c for c in curves if c[1].size]
    if not curves:
        return None

    weights = loss_weights.changing(run) if name == "loss" else []

    def draw(axes: Axes) -> None:
        shown = curves if len(curves) > 1 else [("", *curves[0][1:])]
        figures.lines(axes, shown, x="epoch")
        loss_weights.draw(axes, weights)
        if name in ("dice", "decision", "class_history", "share", "throughput"):
            axes.set_ylim(bottom=0)

    listed = ", ".join(f"`{c[0]}`" for c in curves)
    caption = f"History columns {listed}.{loss_weights.words(weights)}"
    return figures.plot(name, title, caption, draw)


def progression(run: Run) -> Picture | None:
    """Draws the best validation value in each tenth of the run as bars."""
    name = derived_numbers.selection_column(run)
    if name is None:
        return None
    rows = [r for r in derived_numbers.progression(run, name) if r["best"] is not None]

    def draw(axes: Axes) -> None:
        spans = [f"{r['first']:g}–{r['last']:g}" for r in rows]
        bars = axes.bar(spans, [r["best"] for r in rows], color=SERIES[0], width=0.7)
        axes.bar_label(bars, [text.number(r["best"]) for r in rows], fontsize=7)
        axes.grid(visible=False, axis="x")
        axes.tick_params(axis="x", labelrotation=35 if len(rows) > 5 else 0)
        axes.set(xlabel="epochs", ylim=(0, None))

    caption = f"Best `{name}` in each range; every epoch of the run is in one."
    return figures.plot("progression", "Progression by epoch range", caption, draw)


def precision_recall(run: Run) -> Picture | None:
    """Draws precision over recall of every split; the first has its operating point."""
    splits = [s for s in run["splits"].values() if s["pr"]]
    if not splits:
        return None
    draw = partial(_draw_precision_recall, splits=splits)
    caption = (
        "One point a threshold, over all pixels. Dotted: a constant score, whose "
        "precision is the prevalence."
    )
    title = "Precision and recall of pixels"
    return figures.plot("precision_recall_curve", title, caption, draw)


def _draw_precision_recall(axes: Axes, splits: list[Split]) -> None:
    curves = []
    for split in splits:
        rows = [r for r in split["pr"] if None not in (r["recall"], r["precision"])]
        ap = pick(split["result"], "curves", "pixel", "average_precision")
        label = f"{split['name']}, AP {text.number(ap)}"
        recall, precision = (
            [r["recall"] for r in rows],
            [r["precision"] for r in rows],
        )
        curves.append((label, recall, precision))
    figures.lines(axes, curves, x="recall", y="precision")
    base = pick(splits[0]["result"], "curves", "pixel", "prevalence")
    if base is not None:
        axes.axhline(base, color=INK, linestyle=":", linewidth=1)
    at = derived_numbers.nearest(
        splits[0]["pr"], pick(splits[0]["result"], "operating_point", "threshold")
    )
    if at and None not in (at["recall"], at["precision"]):
        label = f"threshold {text.number(at['threshold'])}"
        point = splits[0]["result"]["operating_point"]
        later = ["minimum area"] if point.get("min_area") else []
        if later := [*later, *text.rule(point)]:
            label += f", before {' and '.join(later)}"
        point = dict(marker="D", markersize=6, linestyle="", color=SERIES[1])
        axes.plot([at["recall"]], [at["precision"]], label=label, **point)
    figures.unit_square(axes)


def thresholds(split: Split) -> Picture | None:
    """Draws precision, recall and F1 over the threshold."""
    rows = [r for r in split["pr"] if None not in r.values()]
    if not rows:
        return None
    rows = sorted(rows, key=lambda r: r["threshold"])
    x, p, r = (
        np.array([row[key] for row in rows])
        for key in ("threshold", "precision", "recall")
    )
    f1 = 2 * p * r / np.maximum(p + r, 1e-12)
    chosen = pick(split["result"], "operating_point", "threshold")

    def draw(axes: Axes) -> None:
        curves = [("precision", x, p), ("recall", x, r), ("F1", x, f1)]
        figures.lines(axes, curves, x="threshold")
        if chosen is not None:
            axes.axvline(chosen, color=INK, linestyle=":", linewidth=1)
        figures.unit_square(axes)

    caption = f"On {split['name']}, over all pixels. Dotted: the threshold applied."
    return figures.plot("detailed_metrics", "Pixel metrics by threshold", caption, draw)


def images(split: Split) -> list[Picture | None]:
    """Draws ROC, PR and scores of images, and Dice against the size of the truth."""
    curves = derived_numbers.image_curves(split)
    if curves is None:
        return [_sizes(split)]
    where = f"On {split['name']}; the score of an image is its highest probability."
    every = [("", curves)]
    if decision := derived_numbers.image_curves(split, "image_score"):
        where = f"On {split['name']}; the decision head, and the highest probability."
        every = [("decision", decision), ("segmentation", curves)]
    truth = [derived_numbers.shows(row) for row in split["images"]]
    share = np.mean([there for there in truth if there is not None])

    def roc(axes: Axes) -> None:
        line = [(label, c["fpr"], c["recall"]) for label, c in every]
        figures.lines(axes, line, x="false positive rate", y="recall")
        axes.plot([0, 1], [0, 1], color=INK, linestyle=":", linewidth=1)
        figures.unit_square(axes)

    def pr(axes: Axes) -> None:
        line = [(label, c["recall"], c["precision"]) for label, c in every]
        figures.lines(axes, line, x="recall", y="precision")
        axes.axhline(share, color=INK, linestyle=":", linewidth=1)
        figures.unit_square(axes)

    column = "image_score" if decision else "max_probability"
    return [
        figures.plot("image_roc", "Images: ROC", where, roc),
        figures.plot("image_pr", "Images: precision and recall", where, pr),
        _scores(split, column),
        _sizes(split),
    ]


def _scores(split: Split, column: str) -> Picture:
    rows = [r for r in split["images"] if r.get(column) is not None]
    truth = [derived_numbers.shows(row) for row in rows]
    kinds = [
        (
            name,
            [r[column] for r, there in zip(rows, truth, strict=True) if there is yes],
        )
        for name, yes in (("with foreground", True), ("without", False))
    ]
    of_head = column == "image_score"
    words = "score of the decision" if of_head else "highest probability in the image"

    def draw(axes: Axes) -> None:
        for i, (label, values) in enumerate(kinds):
            style = dict(histtype="stepfilled", alpha=0.35, color=SERIES[i])
            edge = dict(histtype="step", linewidth=1.6, linestyle=figures.DASHES[i])
            bins = np.linspace(0, 1, 21)
            axes.hist(values, bins, **style)
            label = f"{label} ({len(values)})"
            axes.hist(values, bins, color=SERIES[i], label=label, **edge)
        axes.set(xlabel=words, ylabel="images")

    caption = f"On {split['name']}. The further apart, the easier to tell."
    return figures.plot("image_scores", "Images: scores", caption, draw)


def _sizes(split: Split) -> Picture | None:
    pairs = [
        (r["truth_pixels"], r["dice"])
        for r in split["images"]
        if r["truth_pixels"] and r.get("dice") is not None
    ]
    if not pairs:
        return None
    x, y = np.array(pairs).T
    title = "Images: Dice against the size of the truth"

    def draw(axes: Axes) -> None:
        style = dict(color=SERIES[0], alpha=0.65, edgecolors="none", s=22)
        axes.scatter(x, y, **style)
        if math.log10(x.max() / x.min()) > 1:
            axes.set_xscale("log")
            axes.xaxis.set_major_locator(LogLocator(subs=(1.0, 2.0, 5.0)))
            axes.xaxis.set_major_formatter(lambda n, _: text.number(n, "count"))
            axes.xaxis.set_minor_locator(NullLocator())
        axes.set(xlabel="foreground pixels of the truth", ylabel="Dice")
        axes.set_ylim(-0.03, 1.03)

    caption = f"On {split['name']}; {text.plural(len(pairs), 'image')} with foreground."
    return figures.plot("dice_by_size", title, caption, draw)
