"""Reads the text files and tables that a user writes beside the images."""

import csv
import io
import pathlib
from collections.abc import Iterator

from jaxseg.data.files import paths
from jaxseg.errors import DataError

_MAX_BYTES = 256 * 2**20


def read(path: pathlib.Path) -> str:
    """The text of a UTF-8 file, without byte-order mark; DataError for anything else.

    Spreadsheets write the code page of their country, or UTF-16.
    """
    size = paths.regular(path).st_size
    if size > _MAX_BYTES:
        raise DataError(f"{path} has {size} bytes, more than {_MAX_BYTES}.")
    try:
        data = path.read_bytes()
    except OSError as error:
        raise DataError(f"{path} cannot be opened: {error.strerror}.") from None
    if data[:2] in (b"\xff\xfe", b"\xfe\xff") or b"\0" in data:
        raise DataError(
            f"{path} is UTF-16, or no text (it holds NUL bytes); save it as UTF-8."
        )
    try:
        return data.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        line = data.count(b"\n", 0, error.start) + 1
        raise DataError(
            f"{path} is not UTF-8: line {line} holds the byte "
            f"0x{data[error.start]:02x}; save it as UTF-8."
        ) from None


def header(path: pathlib.Path) -> list[str]:
    """The names of the columns of a CSV file, as `table` reads them; [] without any.

    Raises DataError where the file is no text, or its first line no CSV.
    """
    lines = read(path).splitlines()
    head = lines[0] if lines else ""
    try:
        rows = list(csv.reader([head], delimiter=_delimiter(head), strict=True))
    except csv.Error as error:
        raise DataError(f"{path} line 1 is no CSV: {error}.") from None
    names = [cell.strip() for cell in rows[0]] if rows else []
    while names and not names[-1]:
        names.pop()
    return names


def table(
    path: pathlib.Path, needed: str, allowed: tuple[str, ...], problems: list[str]
) -> Iterator[tuple[int, dict[str, str]]]:
    """(line, {column: cell}) of each row of a CSV file, cells without outer blanks.

    Columns are separated by commas, or by semicolons where the header has any. Adds
    every problem that names a line; raises DataError where the file is no table with
    the column `needed`, others of `allowed`, and each once.
    """
    text = read(path)
    head = text.splitlines()[0] if text else ""
    lines = csv.reader(
        io.StringIO(text, newline=""),
        delimiter=_delimiter(head),
        strict=True,
    )
    names: list[str] | None = None
    try:
        for cells in lines:
            cells = [cell.strip() for cell in cells]
            while cells and not cells[-1] and len(cells) > len(names or ()):
                cells.pop()  # a spreadsheet fills rows up with empty cells
            if names is None:
                names = _checked(path, cells, needed, allowed)
            elif len(cells) > len(names):
                problems.append(
                    f"{path} line {lines.line_num} has {len(cells)} cells, but the "
                    f"header has {len(names)}: {cells}."
                )
            elif any(cells):
                row = dict.fromkeys(allowed, "") | dict(zip(names, cells, strict=False))
                yield lines.line_num, row
    except csv.Error as error:
        raise DataError(f"{path} line {lines.line_num} is no CSV: {error}.") from None
    if names is None:
        _checked(path, [], needed, allowed)


def _delimiter(head: str) -> str:
    return ";" if ";" in head else ","


def _checked(
    path: pathlib.Path, names: list[str], needed: str, allowed: tuple[str, ...]
) -> list[str]:
    if needed not in names or set(names) - set(allowed):
        raise DataError(f"{path}: the columns are {names}, not {', '.join(allowed)}.")
    twice = sorted({name for name in names if names.count(name) > 1})
    if twice:
        raise DataError(f"{path}: the columns {names} name {', '.join(twice)} twice.")
    return names
