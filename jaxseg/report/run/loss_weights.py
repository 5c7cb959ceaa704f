"""Draws the weights of the loss that change while a run learns, upon its curves."""

from typing import Any, NamedTuple

import numpy as np
from matplotlib.axes import Axes

from jaxseg import schedule
from jaxseg.report import text
from jaxseg.report.figures import INK
from jaxseg.report.read import Run, pick


class Weight(NamedTuple):
    """The weight of one term in each epoch of the history."""

    term: str
    epochs: np.ndarray  # f64 [n]
    values: np.ndarray  # f64 [n]


def changing(run: Run) -> list[Weight]:
    """The weights of terms that are not the same in all epochs; [] of most runs."""
    terms = run["config"].get("loss") or {}
    out = []
    for name, block in terms.items():
        values = _values(run, pick(block, "weight"))
        if values is not None and np.ptp(values) > 0:
            epochs = np.array([row["epoch"] for row in run["history"]], float)
            out.append(Weight(name, epochs, values))
    return out


def _values(run: Run, weight: Any) -> np.ndarray | None:
    """The weight f64 in each epoch, knots in its middle; None of a number."""
    if not isinstance(weight, list):
        return None
    epochs = np.array([row["epoch"] for row in run["history"]], float)
    total = run["info"].get("epochs") or epochs.max()
    values = schedule.at(weight, (epochs - 0.5) / total, epoch=epochs - 1, epochs=total)
    return values.astype(float)


def draw(axes: Axes, weights: list[Weight]) -> None:
    """Draws weights over epochs, dotted, on an axis of their own at the right."""
    if not weights:
        return
    right = axes.twinx()
    most = max(float(weight.values.max()) for weight in weights)
    marks = "^vsDPX"
    for i, weight in enumerate(weights):
        style = dict(
            color=INK, linestyle=":", linewidth=1, marker=marks[i % len(marks)]
        )
        style |= dict(markersize=3, markevery=max(1, len(weight.epochs) // 8))
        scale = f" x {most / peak:.3g}" if (peak := weight.values.max()) < most else ""
        values = weight.values * (most / peak if peak > 0 else 1)
        right.plot(weight.epochs, values, **style)
        # the legend is that of the main axes
        axes.plot([], [], label=f"weight of {weight.term}{scale}", **style)
    right.set(ylabel="weight (dotted)", ylim=(0, None))
    right.grid(visible=False)


def words(weights: list[Weight]) -> str:
    """What the dotted lines are, with their ends; nothing without any."""
    if not weights:
        return ""
    listed = ", ".join(
        f"`{w.term}` from {text.number(w.values[0])} to {text.number(w.values[-1])}"
        for w in weights
    )
    return f" Dotted: the weights that change, {listed}; small ones are scaled."
