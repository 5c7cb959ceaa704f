"""Writes the scores of the members of a sweep as a table for the console."""

import math
import pathlib
from collections.abc import Mapping, Sequence

from jaxseg.run_directory import files, seal, summary


def lines(
    names: Sequence[str],
    workdir: pathlib.Path,
    *,
    pooled: Mapping[str, float | None] | None = None,
) -> list[str]:
    """A row a member: its best epoch, and scores of test at its operating point.

    Of several members there is a row of the mean with the standard deviation, and with
    `pooled` the last row has these scores, of the images of all members together.
    """
    rows = []
    for name in names:
        record = seal.read(workdir / name)
        result = files.read_json(workdir / name / "eval" / "test.json")
        rows.append((name, record.get("best"), summary.main_scores(result)))
    columns = [m for m in dict.fromkeys(m for *_, s in rows for m in s)]
    if not columns:
        return []
    heads = ["member", "best epoch", *(f"test {column}" for column in columns)]
    cells = [
        [name, str(best["epoch"]) if best else "-", *(_cell(s, c) for c in columns)]
        for name, best, s in rows
    ]
    if len(rows) > 1:
        means = [_mean([s.get(column) for *_, s in rows]) for column in columns]
        cells.append(["mean ± sd", "", *means])
    if pooled is not None:
        cells.append(["pooled", "", *(_cell(pooled, c) for c in columns)])
    widths = [max(map(len, column)) for column in zip(heads, *cells, strict=True)]
    table = [
        "  ".join(cell.ljust(w) for cell, w in zip(row, widths, strict=True)).rstrip()
        for row in (heads, *cells)
    ]
    return ["scores of test, each at the operating point of its member:", *table]


def _cell(scores: Mapping[str, float | None], column: str) -> str:
    value = scores.get(column)
    return "n/a" if value is None else f"{value:.4f}"


def _mean(values: Sequence[float | None]) -> str:
    values = [value for value in values if value is not None]
    if not values:
        return "n/a"
    mean = math.fsum(values) / len(values)
    if len(values) == 1:
        return f"{mean:.4f}"
    variance = math.fsum((v - mean) ** 2 for v in values) / (len(values) - 1)
    return f"{mean:.4f} ± {math.sqrt(variance):.4f}"
