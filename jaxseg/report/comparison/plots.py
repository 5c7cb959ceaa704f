"""Draws the curves of several runs on one pair of axes, under a readable legend.

A unit keeps its colour and dash in every plot. A group of seeds is drawn as the mean of
its members within a band from their lowest to their highest.
"""

from collections.abc import Sequence

import numpy as np
from matplotlib.axes import Axes
from matplotlib.lines import Line2D

from jaxseg.report import derived_numbers, figures, text
from jaxseg.report.comparison import scores, wording
from jaxseg.report.comparison.group_runs import Unit, members, several, split_of, title
from jaxseg.report.figures import DASHES, INK, SERIES, Picture
from jaxseg.report.read import Run, pick

SHOWN = 10  # more lines than these cannot be told apart
_DASHES = DASHES[:5]  # the sixth is the first again


def style(place: int) -> dict:
    """Colour and dash of the unit at a place; no two of the first ten share both."""
    if place >= SHOWN:
        return {
            "color": INK,
            "linestyle": "-",
            "alpha": 0.25,
            "linewidth": 0.9,
            "zorder": 1,
        }
    turn = place // len(SERIES)
    dash = _DASHES[(place + turn) % len(_DASHES)]
    return {"color": SERIES[place % len(SERIES)], "linestyle": dash}


def curves(units: Sequence[Unit], metric: str) -> list[Picture | None]:
    """Draws loss and validation over epochs, and over images where epochs differ."""
    column = _shared_column(units, metric)
    columns = {
        "loss": "Training loss",
        column: f"Validation: {text.label(column.split('/')[-1])}",
    }
    runs = [run for unit in units for run in unit["runs"] if run["history"]]
    sizes = set(map(_epoch_size, runs))
    axes = ["epoch", "images_seen"] if len(sizes) > 1 else ["epoch"]
    return [_curve(units, c, columns[c], over) for c in columns for over in axes]


def _epoch_size(run: Run) -> float | None:
    """Images of one epoch: runs with other numbers cannot be compared by epochs."""
    last = run["history"][-1]
    return last["images_seen"] / last["epoch"] if last.get("images_seen") else None


def _shared_column(units: Sequence[Unit], metric: str) -> str:
    """The history column by which most runs can be followed."""
    runs = [run for unit in units for run in unit["runs"]]
    own = filter(None, map(derived_numbers.selection_column, runs))

    def runs_with(name: str) -> int:
        return sum(derived_numbers.column(run, name)[0].size > 0 for run in runs)

    return max([f"validation/{metric}", *own], key=runs_with)


def _curve(units: Sequence[Unit], name: str, heading: str, over: str) -> Picture | None:
    drawn = [(unit, _line(unit, name, over)) for unit in units]
    if not any(line[0].size for _, line in drawn):
        return None
    logarithmic = name == "loss" and _wide([line for _, line in drawn])

    def draw(axes: Axes) -> None:
        for place, (_, (x, middle, low, high)) in enumerate(drawn):
            look = style(place)
            marker = {"marker": "o", "markersize": 3.5} if len(x) <= 12 else {}
            axes.plot(x, middle, label="_", **look, **marker)
            if (high > low).any():
                band = {"color": look["color"], "alpha": 0.16, "linewidth": 0}
                axes.fill_between(x, low, high, **band)
        axes.set(xlabel=over.replace("_", " "))
        if logarithmic:
            axes.set_yscale("log")
        _legend(axes, units)

    where = "over epochs" if over == "epoch" else "over images seen"
    words = f"History column `{name}`, {where}."
    if any(map(several, units)):
        words += " Groups: mean of the seeds, band from lowest to highest."
    if len(units) > SHOWN:
        words += f" Beyond the best {SHOWN} runs the lines are grey."
    key = f"compare_{name.split('/')[-1]}_{over}"
    return figures.plot(key, f"{heading}, {where}", words, draw)


def _wide(lines: list[tuple[np.ndarray, ...]]) -> bool:
    means = np.concatenate([line[1] for line in lines])
    means = means[np.isfinite(means)]
    return bool(means.size and means.min() > 0 and means.max() / means.min() > 30)


def _line(unit: Unit, name: str, over: str) -> tuple[np.ndarray, ...]:
    """(x, mean, lowest, highest) where every member has a value."""
    by_step = [
        {
            row[over]: row[name]
            for row in run["history"]
            if None not in (row.get(name), row.get(over))
        }
        for run in unit["runs"]
    ]
    shared = sorted(set.intersection(*map(set, by_step)))
    values = np.array([[table[x] for x in shared] for table in by_step], np.float64)
    return np.array(shared), values.mean(0), values.min(0), values.max(0)


def _legend(axes: Axes, units: Sequence[Unit]) -> None:
    """Writes names under the axes, where they cover no curve; the figure grows."""
    handles = [Line2D([], [], **style(i)) for i in range(min(len(units), SHOWN))]
    names = [_short(title(unit)) for unit in units[:SHOWN]]
    if len(units) > SHOWN:
        handles.append(Line2D([], [], **style(SHOWN)))
        names.append(f"{len(units) - SHOWN} others")
    columns = 2 if max(map(len, names)) <= 26 else 1
    rows = -(-len(names) // columns)
    axes.figure.set_size_inches(5.2, 3.1 + 0.19 * rows)
    place = {"loc": "outside lower left", "ncols": columns, "handlelength": 3.2}
    axes.figure.legend(handles, names, **place)


def _short(name: str, most: int = 52) -> str:
    return name if len(name) <= most else f"…{name[1 - most :]}"


def precision_recall(units: Sequence[Unit]) -> Picture | None:
    """Draws precision over recall of every run on the images that the units share."""
    with_curve = [unit for unit in units if split_of(unit)["pr"]]
    if not with_curve:
        return None

    def draw(axes: Axes) -> None:
        for place, unit in enumerate(units):
            look = style(place)
            if several(unit):
                look |= {"linewidth": 1.0}
            for run in members([unit]):
                rows = split_of(run)["pr"]
                rows = [r for r in rows if None not in (r["recall"], r["precision"])]
                recall, precision = (
                    [r[k] for r in rows] for k in ("recall", "precision")
                )
                axes.plot(recall, precision, label="_", **look)
        first = split_of(with_curve[0])
        base = pick(first["result"], "curves", "pixel", "prevalence")
        if base is not None:
            axes.axhline(base, color=INK, linestyle=":", linewidth=1)
        axes.set(xlabel="recall", ylabel="precision")
        figures.unit_square(axes)
        _legend(axes, units)

    words = f"Over all pixels of {units[0]['images'][0]}. Dotted: the prevalence. "
    if any(map(several, units)):
        words += "One line a seed. "
    heading = "Precision and recall of pixels"
    return figures.plot("compare_precision_recall", heading, words.strip(), draw)


def score_intervals(units: Sequence[Unit], metric: str) -> Picture | None:
    """Draws the stated metric of every unit with its interval, best on top."""
    rows = [(unit, scores.score(unit, metric)) for unit in units]
    rows = [(unit, row) for unit, row in rows if row["value"] is not None]
    if not rows:
        return None

    def draw(axes: Axes) -> None:
        for place, (unit, row) in enumerate(rows):
            colour = {"color": style(units.index(unit))["color"]}
            if row["low"] is not None:
                span = [row["low"], row["high"]]
                axes.plot(span, [place, place], **colour, linewidth=2.2)
            if several(unit):
                axes.plot(row["values"], [place] * len(row["values"]), "|", color=INK)
            axes.plot([row["value"]], [place], "o", markersize=6, **colour)
            at = (row["value"], place)
            above = {"xytext": (0, 6), "textcoords": "offset points", "ha": "center"}
            axes.annotate(wording.value(row["value"]), at, fontsize=7.5, **above)
        names = [_short(title(unit), 30) for unit, _ in rows]
        axes.set_yticks(range(len(rows)), names)
        axes.set(ylim=(len(rows) - 0.4, -0.7), xlabel=metric)
        axes.grid(visible=False, axis="y")
        axes.figure.set_size_inches(5.2, 1.1 + 0.42 * len(rows))

    words = f"`{metric}` on {units[0]['images'][0]}, with its 95 % interval"
    words += ": over seeds for a group (ticks: its runs), over images for a single run."
    return figures.plot("compare_scores", "Scores and their intervals", words, draw)
