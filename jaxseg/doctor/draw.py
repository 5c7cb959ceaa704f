"""Draws numbers as a few lines of text: a curve, a table, a histogram."""

from collections.abc import Sequence

import numpy as np

WIDTH, _HEIGHT = 48, 4
_EIGHTHS = " ▁▂▃▄▅▆▇█"


def curve(values: Sequence[float], *, below: str = "") -> str:
    """`values` as columns from 0 up, the largest written beside them."""
    values = np.nan_to_num(np.asarray(values, float), posinf=0.0, neginf=0.0)
    at = np.linspace(0, len(values) - 1, min(len(values), WIDTH)).round().astype(int)
    top = max(float(values.max()), 1e-30)
    filled = np.clip(values[at] / top, 0, 1) * _HEIGHT * 8
    lines = []
    for row in range(_HEIGHT - 1, -1, -1):
        cells = np.clip(filled - 8 * row, 0, 8).round().astype(int)
        label = f"{top:.3g}" if row == _HEIGHT - 1 else "0" if row == 0 else ""
        lines.append(f"{label:>7} |" + "".join(_EIGHTHS[c] for c in cells).rstrip())
    return "\n".join([*lines, *([f"{'':>7}  {below}"] if below else [])])


def table(rows: Sequence[Sequence[str]]) -> str:
    """Rows as aligned columns; the first to the left, the others to the right."""
    widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
    return "\n".join(
        "  ".join(
            f"{cell:<{w}}" if k == 0 else f"{cell:>{w}}"
            for k, (cell, w) in enumerate(zip(row, widths, strict=True))
        ).rstrip()
        for row in rows
    )
