"""Draws several classes: confusions, their history, ranking and reliability."""

from collections.abc import Iterable
from typing import Any

import numpy as np
from matplotlib.axes import Axes
from matplotlib.colors import LinearSegmentedColormap

from jaxseg import pictures
from jaxseg.report import class_numbers, derived_numbers, figures, text
from jaxseg.report.figures import INK, SERIES, Picture
from jaxseg.report.read import Row, Run, Split

_WHITE_TO_BLUE = LinearSegmentedColormap.from_list("share", ["#ffffff", SERIES[0]])
_READABLE = 12  # classes: of more, cells of the confusion matrix hold no numbers


def confusion(split: Split) -> Picture | None:
    """Draws the share of each true class that was predicted as each class."""
    counts = class_numbers.confusion(split)
    if counts is None:
        return None
    names, k = derived_numbers.classes(split), len(counts)
    totals = counts.sum(axis=1, keepdims=True)
    shares = np.where(totals > 0, counts / np.maximum(totals, 1), np.nan)

    def draw(axes: Axes) -> None:
        style = dict(cmap=_WHITE_TO_BLUE, vmin=0, vmax=1, edgecolors="#c8d2dc")
        axes.pcolormesh(np.ma.masked_invalid(shares), **style)
        if k <= _READABLE:
            _write_cells(axes, counts, shares)
        at = np.arange(k) + 0.5
        slanted = dict(rotation=35, ha="right") if k > 3 else {}
        axes.set_xticks(at, names, **slanted)
        axes.set_yticks(at, names)
        axes.invert_yaxis()
        axes.grid(visible=False)
        axes.set(xlabel="predicted", ylabel="truth")

    caption = (
        f"On {split['name']}, {_decision(split)}: of the pixels of a true class "
        "(row) the share that was predicted as each class. All counts stand in the "
        "table below."
    )
    size = (max(5.2, 1.6 + 0.62 * min(k, 14)), max(3.3, 1.3 + 0.4 * min(k, 14)))
    title = "Confusion matrix, shares of each row"
    return figures.plot("confusion", title, caption, draw, size=size)


def _decision(split: Split) -> str:
    if class_numbers.offsets(split) is None:
        return "the most probable class of each pixel"
    return "at the frozen decision"


def _write_cells(axes: Axes, counts: np.ndarray, shares: np.ndarray) -> None:
    for (row, column), count in np.ndenumerate(counts):
        share = shares[row, column]
        if np.isnan(share):
            words, colour = "no support" if column == 0 else "", INK
        else:
            words = f"{text.number(float(share), 'percent')}\n{short(int(count))}"
            words = words if count else "0"
            colour = "#ffffff" if share > 0.65 else "#000000"
        style = dict(ha="center", va="center", color=colour)
        axes.text(column + 0.5, row + 0.5, words, fontsize=6.5, **style)


def short(count: int) -> str:
    """A count in three digits: 947, 12.3k, 4.56M."""
    for unit, size in (("G", 10**9), ("M", 10**6), ("k", 10**3)):
        if count >= 0.9995 * size:  # which is written as 1.00
            value = count / size
            digits = 2 if value < 9.995 else 1 if value < 99.95 else 0
            return f"{value:.{digits}f}{unit}"
    return str(count)


def history(run: Run) -> list[Picture | None]:
    """Draws Dice and predicted share of each class, and what was fed, over epochs."""
    dice = class_numbers.history(run, "validation/dice_pooled")
    fed = class_numbers.history(run, "share_realised")
    names = derived_numbers.classes(derived_numbers.main_split(run))
    return [
        _lines(
            names,
            "dice_by_class",
            "Validation Dice by class",
            "History columns `validation/dice_pooled/<class>`, the most probable class "
            "of each pixel.",
            dice,
        ),
        _shares(run),
        _lines(
            names,
            "fed_by_class",
            "Share of fed images that show a class",
            "History columns `share_realised/<class>`.",
            fed,
        ),
    ]


def _styles(names: list[str], each: Iterable[str]) -> list[int]:
    """The id of each class, so that a class looks the same in every plot."""
    return [names.index(c) if c in names else len(names) for c in each]


def _colours(names: list[str]) -> list[str]:
    """The colour of each class, as in the pictures; then that of anything else."""
    foreground = pictures.class_colours(len(names) - 1)
    return [INK, *("#{:02x}{:02x}{:02x}".format(*c) for c in foreground), INK]


def _lines(
    names: list[str],
    name: str,
    title: str,
    caption: str,
    each: dict[str, tuple[Any, Any]],
) -> Picture | None:
    if not each:
        return None

    def draw(axes: Axes) -> None:
        curves = [(c, *pair) for c, pair in each.items()]
        style = dict(styles=_styles(names, each), colours=_colours(names))
        figures.lines(axes, curves, x="epoch", **style)
        axes.set_ylim(-0.02, 1.02)

    return figures.plot(name, title, caption, draw, legend="outside")


def _shares(run: Run) -> Picture | None:
    predicted = class_numbers.history(run, "validation/predicted_share")
    truth = class_numbers.history(run, "validation/truth_share")
    if not predicted:
        return None
    names = derived_numbers.classes(derived_numbers.main_split(run))
    positive = [
        v[v > 0].min() for _, v in (*predicted.values(), *truth.values()) if v.any()
    ]
    least = min(positive, default=1e-3)

    def draw(axes: Axes) -> None:
        curves = [(c, *pair) for c, pair in predicted.items()]
        style = dict(styles=_styles(names, predicted), colours=_colours(names))
        figures.lines(axes, curves, x="epoch", **style)
        for line, c in zip(list(axes.lines), predicted, strict=True):
            if c in truth:
                style = dict(linestyle=":", linewidth=1, color=line.get_color())
                axes.plot(*truth[c], **style)
        axes.set_yscale("symlog", linthresh=least)
        axes.set_ylim(bottom=-0.1 * least)
        axes.set_ylabel("share of labelled pixels")

    caption = (
        "History columns `validation/predicted_share/<class>`, and dotted "
        "`validation/truth_share/<class>`, the share that would be right. A line at 0: "
        "the class is never predicted."
    )
    title = "Predicted share of each class on validation"
    return figures.plot("share_by_class", title, caption, draw, legend="outside")


def average_precision(split: Split, rows: list[Row]) -> Picture | None:
    """Draws average precision beside prevalence for each class."""
    rows = [row for row in rows if row.get("average_precision") is not None]
    if not rows:
        return None

    def draw(axes: Axes) -> None:
        at = np.arange(len(rows))
        precision = [row["average_precision"] for row in rows]
        axes.barh(at, precision, color=SERIES[0], height=0.6, label="average precision")
        base = [row["prevalence"] for row in rows]
        style = dict(color=SERIES[1], s=150, linewidths=2.2, label="prevalence")
        axes.scatter(base, at, marker="|", zorder=3, **style)
        axes.set_yticks(at, [row["class"] for row in rows])
        axes.invert_yaxis()
        axes.grid(visible=False, axis="y")
        axes.set(xlim=(0, 1.02))

    caption = f"On {split['name']}, over all pixels, one class against the rest."
    size = (5.2, max(2.0, 1.1 + 0.32 * len(rows)))
    title = "Average precision of each class"
    kwargs: dict[str, Any] = {"legend": "outside", "size": size}
    return figures.plot("average_precision_by_class", title, caption, draw, **kwargs)


def reliability(split: Split, each: dict[str, dict[str, Any]]) -> Picture | None:
    """Draws the reliability diagram of each class against the rest."""
    filled = {
        name: [row for row in block["rows"] if row["count"]]
        for name, block in each.items()
    }
    filled = {name: rows for name, rows in filled.items() if rows}
    if not filled:
        return None

    def draw(axes: Axes) -> None:
        axes.plot([0, 1], [0, 1], color=INK, linestyle=":", linewidth=1)
        curves = [
            (name, [r["mean"] for r in rows], [r["observed"] for r in rows])
            for name, rows in filled.items()
        ]
        names = derived_numbers.classes(split)
        style = dict(styles=_styles(names, filled), colours=_colours(names))
        figures.lines(axes, curves, x="mean probability", **style)
        figures.unit_square(axes)
        axes.set_ylabel("share of pixels of the class")

    caption = (
        f"On {split['name']}, as predicted, one class against the rest. Dotted: mean "
        "probability and observed share agree. Below the line the model is too sure of "
        "the class."
    )
    title = "Pixels: reliability of each class"
    name = "reliability_by_class"
    return figures.plot(name, title, caption, draw, legend="outside")
