"""Draws counts of objects, their agreement, sizes, and scores over IoU thresholds."""

from functools import partial

import numpy as np
from matplotlib.axes import Axes
from matplotlib.ticker import MaxNLocator

from jaxseg.report import figures, object_numbers, text
from jaxseg.report.figures import INK, SERIES, Picture
from jaxseg.report.object_numbers import amount
from jaxseg.report.read import Split
from jaxseg.report.text import number
from jaxseg.run_directory.object_schemas import CountAgreement, ObjectResult

_DOTS = dict(color=SERIES[0], alpha=0.55, edgecolors="none", s=24)
_SCORES = {"f1": "F1", "accuracy": "accuracy"}  # of those over thresholds, the drawn


def drawn(split: Split) -> list[Picture | None]:
    """The four pictures of a split that has objects, counts first."""
    record = object_numbers.of_split(split)
    if record is None:
        return []
    return [
        counts(split),
        agreement(split, record["agreement"]),
        sizes(split, record),
        thresholds(split, record),
    ]


def _counted(split: Split) -> tuple[np.ndarray, np.ndarray]:
    """True and predicted objects f64 [n], [n] of each image that has both."""
    keys = ("true_objects", "predicted_objects")
    rows = [[row[key] for key in keys] for row in split["images"]]
    table = np.array([r for r in rows if None not in r], np.float64).reshape(-1, 2)
    return table[:, 0], table[:, 1]


def counts(split: Split) -> Picture | None:
    """Draws predicted over true counts, an image a dot."""
    true, predicted = _counted(split)
    if not true.size:
        return None

    def draw(axes: Axes) -> None:
        top = max(true.max(), predicted.max(), 1)
        ends = (-0.04 * top, 1.04 * top)
        axes.plot([0, top], [0, top], color=INK, linestyle=":", linewidth=1)
        axes.scatter(true, predicted, **_DOTS)
        axes.set(xlabel="true objects", ylabel="predicted objects")
        axes.set(xlim=ends, ylim=ends)
        for axis in (axes.xaxis, axes.yaxis):
            axis.set_major_locator(MaxNLocator(nbins=8, integer=True))

    caption = (
        f"On {split['name']}, {text.plural(true.size, 'image')}; darker where images "
        "coincide. Dotted: as many predicted as there are."
    )
    return figures.plot("object_counts", "Objects in each image", caption, draw)


def agreement(split: Split, agreed: CountAgreement) -> Picture | None:
    """Draws predicted - true over the mean of both (Bland and Altman, 1986)."""
    true, predicted = _counted(split)
    if not true.size or agreed["bias"] is None:
        return None
    lines = [("bias", agreed["bias"], "-")]
    if None not in (agreed["low"], agreed["high"]):
        lines += [("bias + 1.96 sd", agreed["high"], "--")]
        lines += [("bias - 1.96 sd", agreed["low"], "--")]
    draw = partial(_draw_agreement, true=true, predicted=predicted, lines=lines)
    caption = f"On {split['name']}, an image a dot. Solid: the bias. "
    if len(lines) > 1:
        caption += (
            "Dashed: the limits within which 95 % of differences are expected, if they "
            "are roughly normal and do not grow with the count. "
        )
    caption += "Dotted: no difference."
    title = "Agreement of counts (Bland and Altman)"
    return figures.plot("object_agreement", title, caption, draw)


def _draw_agreement(
    axes: Axes,
    true: np.ndarray,
    predicted: np.ndarray,
    lines: list[tuple[str, float, str]],
) -> None:
    gap = predicted - true
    axes.axhline(0, color=INK, linestyle=":", linewidth=1)
    axes.scatter((true + predicted) / 2, gap, **_DOTS)
    ends = [*gap, 0, *(at for _, at, _ in lines)]
    spread = max(ends) - min(ends) or 1
    axes.set_ylim(min(ends) - 0.08 * spread, max(ends) + 0.08 * spread)
    for words, at, dashes in lines:
        axes.axhline(at, color=SERIES[1], linestyle=dashes, linewidth=1.4)
        label = f"{words}: {amount(at, sign=True)}".replace("-", "\u2212")
        place = at
        if words != "bias":  # no label upon another
            shift = max(abs(at - lines[0][1]), 0.075 * spread)
            place = lines[0][1] + (shift if "+" in words else -shift)
        # right of the axes, where no dot is; the layout makes room
        axes.annotate(
            label,
            (1.01, place),
            xycoords=("axes fraction", "data"),
            va="center",
            fontsize=7.5,
            annotation_clip=False,
        )
    axes.xaxis.set_major_locator(MaxNLocator(integer=True))
    axes.set(xlabel="mean of true and predicted", ylabel="predicted \u2212 true")


def sizes(split: Split, record: ObjectResult) -> Picture | None:
    """Draws how many objects have which diameter, true and predicted."""
    sizes, unit = record["sizes"], object_numbers.UNITS[record["unit"]]
    if not any(sizes["true"] + sizes["predicted"]):
        return None

    def draw(axes: Axes) -> None:
        for i, kind in enumerate(("true", "predicted")):
            values, colour = sizes[kind], SERIES[i]
            label = f"{kind} ({number(sum(values), 'count')})"
            edge = dict(color=colour, linestyle=figures.DASHES[i], linewidth=1.6)
            axes.stairs(values, sizes["edges"], fill=True, color=colour, alpha=0.25)
            axes.stairs(values, sizes["edges"], label=label, **edge)
        axes.set(xlabel=f"equivalent diameter, {unit}", ylabel="objects")
        axes.set_ylim(bottom=0)

    means = (amount(sizes[f"mean_{kind}"]) for kind in ("true", "predicted"))
    caption = (
        f"On {split['name']}. Means {' (true) and '.join(means)} (predicted) {unit}. "
        f"Wasserstein-1 distance {amount(sizes['distance'])} {unit}: how far "
        "sizes would have to be moved on average to turn one into the other."
    )
    return figures.plot("object_sizes", "Sizes of objects", caption, draw)


def thresholds(split: Split, record: ObjectResult) -> Picture | None:
    """Draws F1 and accuracy over the IoU from which objects match."""
    curves = []
    for name, words in _SCORES.items():
        pairs = zip(record["thresholds"], record["by_threshold"][name], strict=True)
        defined = [(at, score) for at, score in pairs if score is not None]
        if defined:
            curves.append((words, *zip(*defined, strict=True)))
    if not curves:
        return None

    def draw(axes: Axes) -> None:
        figures.lines(axes, curves, x="IoU from which objects match", y="score")
        axes.set_ylim(-0.02, 1.02)

    caption = (
        f"On {split['name']}, objects of all images together. A curve that falls early "
        "has outlines that are off, one that begins low has objects missed or invented."
    )
    title = "Scores over the IoU threshold"
    return figures.plot("object_thresholds", title, caption, draw)
