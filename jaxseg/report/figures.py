"""Draws plots as PNG (for Markdown) and as SVG that follows a light or dark page.

Every plot is its own `matplotlib.figure.Figure`: no pyplot, no shared state. Colours
are those of Okabe and Ito, 2008, https://jfly.uni-koeln.de/color/, and lines differ in
their dashes as well.
"""

import io
import re
from collections.abc import Callable, Sequence
from typing import Any, Literal

import matplotlib
from matplotlib.axes import Axes
from matplotlib.figure import Figure

Picture = dict[str, Any]
INK = "#1b1f23"
SERIES = ("#0072b2", "#d55e00", "#009e73", "#cc79a7", "#e69f00", "#56b4e9")
DASHES = ("-", "--", "-.", (0, (1, 1.2)), (0, (5, 1, 1, 1, 1, 1)))
_STYLE = {
    "svg.hashsalt": "jaxseg",
    "font.size": 9,
    "axes.titlesize": 9.5,
    "axes.titlelocation": "left",
    "axes.edgecolor": INK,
    "axes.labelcolor": INK,
    "text.color": INK,
    "xtick.color": INK,
    "ytick.color": INK,
    "axes.spines.top": False,
    "axes.spines.right": False,
    "axes.grid": True,
    "grid.color": INK,
    "grid.alpha": 0.13,
    "grid.linewidth": 0.6,
    "lines.linewidth": 1.7,
    "legend.frameon": False,
    "legend.fontsize": 8,
}


def plot(
    name: str,
    title: str,
    caption: str,
    draw: Callable[[Axes], None],
    *,
    size: tuple[float, float] = (5.2, 3.3),
    legend: Literal["inside", "outside"] = "inside",
) -> Picture:
    """{"name", "png", "svg", "alt", "caption"} of what `draw` puts on the axes.

    `size` is width and height in inches; `legend` says where the labels of lines stand,
    which is beside the axes where there may be many.
    """
    with matplotlib.rc_context(_STYLE):
        figure = Figure(figsize=size, layout="constrained")
        axes = figure.add_subplot()
        draw(axes)
        axes.set_title(title)
        if axes.get_legend_handles_labels()[1]:
            if legend == "inside":
                axes.legend()
            else:
                figure.legend(loc="outside right upper")
        png = io.BytesIO()
        figure.savefig(png, format="png", dpi=150, metadata={"Software": None})
        figure.set_layout_engine("none")  # the layout stands; once is enough
        svg = io.BytesIO()
        bare = dict.fromkeys(("Date", "Creator", "Format", "Type"))
        figure.savefig(svg, format="svg", transparent=True, metadata=bare)
    return {
        "name": name,
        "png": png.getvalue(),
        "svg": _themed(svg.getvalue().decode(), name, title),
        "alt": title,
        "caption": caption,
    }


def _themed(svg: str, name: str, title: str) -> str:
    """An inline SVG without a fixed size, whose colours are the page's variables."""
    svg = svg[svg.index("<svg") :]
    for useless in (r"<metadata>.*?</metadata>", r"<style.*?</style>", r"<!--.*?-->"):
        svg = re.sub(useless, "", svg, flags=re.DOTALL)
    head, body = svg.split(">", 1)
    box = re.search(r'viewBox="[^"]*"', head)
    label = re.sub(r'[<>&"]', " ", title)
    head = f'<svg class="plot" role="img" aria-label="{label}" {box[0]}'
    # ids are per document in HTML, so each figure gets its own
    body = re.sub(r'\bid="', f'id="{name}-', body)
    body = re.sub(r'href="#', f'href="#{name}-', body)
    body = body.replace("url(#", f"url(#{name}-").replace(INK, "currentColor")
    for i, colour in enumerate(SERIES, start=1):
        body = body.replace(colour, f"var(--series-{i})")
    return re.sub(r"\s*\n\s*", " ", f"{head}>{body}").strip()


def lines(
    axes: Axes,
    curves: list[tuple[str, Any, Any]],
    *,
    x: str,
    y: str = "",
    styles: Sequence[int] | None = None,
    colours: Sequence[str] = SERIES,
) -> None:
    """Draws (label, x, y) curves; few points are marked, so one epoch is visible.

    Each has the style of its number in `styles`, else of its place; 30 styles differ in
    the pair of colour and dashes.
    """
    numbers = range(len(curves)) if styles is None else styles
    for i, (label, xs, ys) in zip(numbers, curves, strict=True):
        axes.plot(
            xs,
            ys,
            label=label,
            color=colours[i % len(colours)],
            linestyle=DASHES[(i + i // len(SERIES)) % len(DASHES)],  # no pair twice
            marker="o" if len(xs) <= 12 else None,
            markersize=4,
        )
    axes.set(xlabel=x, ylabel=y)


def unit_square(axes: Axes) -> None:
    """Sets both axes from 0 to 1, with room for a line that lies on the edge."""
    axes.set(xlim=(-0.02, 1.02), ylim=(-0.02, 1.02))
