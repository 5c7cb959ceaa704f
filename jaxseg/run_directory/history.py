"""Reads and writes history.csv, and holds it against what a checkpoint noted of it."""

import csv
import io
import os
import pathlib
from typing import Any

from absl import logging

from jaxseg import atomic, errors
from jaxseg.run_directory import files

Rows = list[dict[str, str]]
_SHOWN = 5  # differences named in one warning


class History:
    """history.csv: one row an epoch, kept equal to that of a run never stopped.

    Append the row of a step before that step is checkpointed, and note `text()` in the
    checkpoint; after a restore call `restore`: what comes later is then written again,
    bit for bit.
    """

    def __init__(self, workdir: str | os.PathLike):
        self.path = pathlib.Path(workdir) / files.HISTORY

    def rows(self) -> Rows:
        """The rows as text; raises DataError for a row unlike the header."""
        return self._read()[1]

    def text(self) -> str:
        """The whole file, "" where there is none: what a checkpoint notes."""
        files.check_regular(self.path)
        return self.path.read_text("utf-8") if self.path.exists() else ""

    def append(self, row: dict[str, Any]) -> None:
        """Adds one row with a "step"; None is an empty field, a float its repr."""
        if "step" not in row:
            raise ValueError(f"a history row needs its step; got {sorted(row)}.")
        columns, rows = self._read()
        line = {name: _field(value) for name, value in row.items()}
        new = [name for name in line if name not in columns]
        self._write([*columns, *new], [*rows, line])

    def restore(self, step: int, noted: str | None = None) -> None:
        """Brings the file to what it was when `step` was checkpointed.

        `noted` is the text that the checkpoint holds. Rows that were lost or changed
        since are named in a warning, and written again from there. Without it, as in
        checkpoints of before, the rows after `step` are dropped, nothing else.
        """
        if noted is None:
            columns, rows = self._read()
            if rows:
                self._write(columns, [r for r in rows if _step(r, self.path) <= step])
            return
        columns, rows = _parse(noted, self.path)
        try:
            there = [r for r in self.rows() if _step(r, self.path) <= step]
            changes = _changes(there, rows)
            if rows and not self.path.exists():
                changes = ["the whole file is missing"]
        except errors.DataError as error:
            changes = [str(error).rstrip(".")]
        if changes:
            more = f" and {len(changes) - _SHOWN} more" * (len(changes) > _SHOWN)
            logging.warning(
                "%s is not what it was at step %d: %s%s. It was written again from "
                "what checkpoint %d notes.",
                self.path,
                step,
                "; ".join(changes[:_SHOWN]),
                more,
                step,
            )
        if columns or self.path.exists():
            self._write(columns, rows)

    def _read(self) -> tuple[list[str], Rows]:
        if not self.path.exists():
            return [], []
        try:
            return _parse(self.text(), self.path)
        except (OSError, UnicodeDecodeError) as error:
            raise errors.DataError(f"{self.path} cannot be read: {error}.") from None

    def _write(self, columns: list[str], rows: Rows) -> None:
        text = io.StringIO()
        writer = csv.DictWriter(text, columns, restval="", lineterminator="\n")
        writer.writeheader()
        writer.writerows(rows)
        atomic.replace(self.path, text.getvalue().encode())


def _parse(text: str, path: pathlib.Path) -> tuple[list[str], Rows]:
    """(columns, rows); DataError for a line that does not have a field a column."""
    lines, columns = csv.reader(io.StringIO(text)), []
    try:
        columns = next(lines, [])
        return columns, [dict(zip(columns, line, strict=True)) for line in lines]
    except csv.Error as error:
        problem = f"cannot be read ({error})"
    except ValueError:
        problem = f"does not have the {len(columns)} fields of the header"
    raise errors.DataError(
        f"{path}, line {lines.line_num}, {problem}: repair or remove the line."
    )


def _step(row: dict[str, str], path: pathlib.Path) -> int:
    try:
        return int(row["step"])
    except (KeyError, ValueError):
        raise errors.DataError(
            f"{path} has a row whose step is {row.get('step')!r}, which is no number."
        ) from None


def _changes(there: Rows, noted: Rows) -> list[str]:
    """What differs between the rows that are there and those that were noted."""
    by_step = {row["step"]: row for row in there}
    changes = []
    for row in noted:
        now = by_step.pop(row["step"], None)
        if now is None:
            changes.append(f"the row of step {row['step']} is missing")
            continue
        for name in dict.fromkeys([*row, *now]):
            before, after = row.get(name, ""), now.get(name, "")
            if before != after:
                changes.append(
                    f"{name} of step {row['step']} is {after!r} instead of {before!r}"
                )
    changes += [f"the row of step {step} is new" for step in by_step]
    if not changes and len(there) > len(noted):
        changes.append("a row is there twice")
    return changes


def _field(value) -> str:
    value = value.item() if hasattr(value, "item") else value
    return (
        "" if value is None else repr(value) if isinstance(value, float) else str(value)
    )
