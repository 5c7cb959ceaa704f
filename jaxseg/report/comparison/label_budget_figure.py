"""Draws a score against the number of distinct labelled pixels."""

from collections.abc import Sequence
from typing import Any

from matplotlib.axes import Axes
from matplotlib.lines import Line2D
from matplotlib.ticker import LogLocator, NullLocator

from jaxseg.metrics import overlap
from jaxseg.report import figures
from jaxseg.report.comparison import label_budget_series, scores
from jaxseg.report.comparison.group_runs import Unit, several
from jaxseg.report.comparison.label_budget_series import Budget, Series
from jaxseg.report.figures import INK, SERIES, Picture
from jaxseg.report.text import number

_MARKERS = ("o", "s", "^", "D", "v", "P", "X", "*")
_APART = 1.07  # factor between points that would cover each other


def figure(series: list[Series], ranking: list[Unit], metric: str) -> Picture | None:
    """Draws a point for each budget with its interval; full masks are a line in a band.

    A budget without a labelled pixel has no place on a logarithmic axis.
    """
    every = [b for each in series for b in each["budgets"] if _drawable(b)]
    ratios = list(dict.fromkeys(b["ratio"] for b in sorted(every, key=_balance)))
    if not every:
        return None
    full = label_budget_series.references(series)

    def look(place: int, ratio: str) -> dict[str, Any]:
        at = ratios.index(ratio)
        colour = SERIES[(at if len(series) == 1 else place) % len(SERIES)]
        return {"color": colour, "marker": _MARKERS[at % len(_MARKERS)]}

    def draw(axes: Axes) -> None:
        for each in full:
            _draw_full(axes, scores.score(each["full"], metric))
        for place, each in enumerate(series):
            shown = [b for b in each["budgets"] if _drawable(b)]
            for ratio in ratios:
                _draw(axes, shown, every, ratio, look(place, ratio))
        _scale(axes, [b["pixels"] for b in every], metric)
        handles = [
            Line2D([], [], **look(place, ratio), linewidth=1, label=label)
            for place, ratio, label in _entries(series, ratios)
        ]
        if full:
            handles.append(
                Line2D([], [], color=INK, linestyle="--", label="full masks")
            )
        columns = 1 if len(series) > 1 else 4
        axes.figure.set_size_inches(5.2, 3.5 + 0.19 * -(-len(handles) // columns))
        place = {"loc": "outside lower left", "ncols": columns, "alignment": "left"}
        place |= {"title": "positive:negative labels", "title_fontsize": 8}
        axes.figure.legend(handles=handles, **place)

    over = "over seeds (ticks: each seed)"
    if not any(several(b["unit"]) for b in every):
        over = "over images"
    caption = (
        f"`{metric}` on {ranking[0]['images'][0]} with its 95 % interval {over}. "
        "Markers tell positive from negative labels; points of one number of pixels "
        "are moved apart."
    )
    if full:
        caption += " Dashed: full masks, in a band of their interval."
    title = f"{metric} against labelled pixels"
    return figures.plot("compare_score_against_labels", title, caption, draw)


def _drawable(budget: Budget) -> bool:
    return budget["row"]["value"] is not None and budget["pixels"] > 0


def _balance(budget: Budget) -> tuple[bool, float]:
    """Ratios from the most negative labels to the most positive, then other kinds."""
    parts = budget["ratio"].split(":")
    if len(parts) != 2:
        return True, 0.0
    return False, int(parts[0]) / max(int(parts[1]), 1e-9)


def _entries(series: list[Series], ratios: list[str]) -> list[tuple[int, str, str]]:
    """(place of the series, ratio, words) of the legend."""
    return [
        (place, ratio, f"{ratio} {each['words']}".strip())
        for place, each in enumerate(series)
        for ratio in ratios
        if ratio in {b["ratio"] for b in each["budgets"] if _drawable(b)}
    ]


def _draw(
    axes: Axes,
    shown: list[Budget],
    every: list[Budget],
    ratio: str,
    look: dict[str, Any],
) -> None:
    """Draws the budgets `shown` of one ratio, beside the others of their size."""
    own = [b for b in shown if b["ratio"] == ratio]
    xs, rows = [_place(b, every) for b in own], [b["row"] for b in own]
    line = {"color": look["color"], "linewidth": 0.8, "alpha": 0.6}
    axes.plot(xs, [row["value"] for row in rows], **line)
    for x, row in zip(xs, rows, strict=True):
        if None not in (row["low"], row["high"]):
            axes.plot([x, x], [row["low"], row["high"]], color=look["color"])
        if len(row["values"]) > 1:
            ticks = {"color": INK, "markersize": 8, "zorder": 3}
            axes.plot([x] * len(row["values"]), row["values"], "_", **ticks)
        axes.plot([x], [row["value"]], **look, markersize=6.5, markeredgewidth=0)


def _place(budget: Budget, every: Sequence[Budget]) -> float:
    """Where a budget is drawn: beside others that have as many labels."""
    alike = [b for b in every if 1 / 1.03 < b["pixels"] / budget["pixels"] < 1.03]
    names = [b["unit"]["name"] for b in sorted(alike, key=_balance)]
    at = names.index(budget["unit"]["name"]) - (len(names) - 1) / 2
    return budget["pixels"] * _APART**at


def _draw_full(axes: Axes, row: dict[str, Any]) -> None:
    if row["value"] is not None:
        axes.axhline(row["value"], color=INK, linestyle="--", linewidth=1.2)
        if None not in (row["low"], row["high"]):
            axes.axhspan(row["low"], row["high"], color=INK, alpha=0.1, linewidth=0)


def _scale(axes: Axes, pixels: list[float], metric: str) -> None:
    axes.set_xscale("log")
    axes.xaxis.set_major_locator(LogLocator(subs=(1.0, 2.0, 5.0)))
    axes.xaxis.set_major_formatter(lambda n, _: number(n, "plain"))
    axes.xaxis.set_minor_locator(NullLocator())
    axes.set_xlim(min(pixels) / 1.4, max(pixels) * 1.4)
    if metric in overlap.METRICS and not metric.startswith("matthews"):
        low, high = axes.get_ylim()
        axes.set_ylim(max(low, 0.0), min(high, 1.0))
    axes.set(xlabel="distinct labelled pixels per training image", ylabel=metric)
