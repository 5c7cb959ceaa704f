"""Reads classes of whole images, others than those of pixels, from labels.csv.

    stem,class          stem,edema,effusion,nodule
    a,normal            a,0,1,0
    b,pneumonia         b,1,,1

Left, every image is of one class, by name. Right, each class has a column with 1 where
an image shows it and 0 where it does not. An empty cell is unknown, and so is all of an
image that the table does not name.
"""

import os
import pathlib
import unicodedata
from collections.abc import Sequence
from typing import NamedTuple

from jaxseg.data.datasets._folder import image_labels
from jaxseg.data.datasets._folder.items import Item
from jaxseg.data.files import text
from jaxseg.data.files.listing import suggestions
from jaxseg.errors import DataError

_CLASS, _LABEL = "class", "label"
_VALUES = {"0": 0, "1": 1, "": -1}


class ImageNames(NamedTuple):
    """The classes of whole images of a folder."""

    names: list[str]
    exclusive: bool  # every image is of one of them


def from_table(
    source: pathlib.Path,
    items: Sequence[Item],
    classes: Sequence[str] | None,
    problems: list[str],
) -> tuple[list[Item], ImageNames | None]:
    """(the items with what labels.csv says of each, its classes of whole images).

    None without such classes; the labels of `image_labels` are read too.
    """
    path = source / image_labels.TABLE
    if not os.path.lexists(path):
        return list(items), None
    try:
        header = text.header(path)
        if _LABEL in header or "stem" not in header or header == ["stem"]:
            return image_labels.from_table(source, items, classes, problems), None
        columns = [name for name in header if name != "stem"]
        _check_columns(path, header, columns)
        rows = _rows(path, header, problems)
    except DataError as error:
        problems.append(str(error))
        return list(items), None
    wrong = sorted(rows.keys() - {item.id for item in items})
    hints = suggestions(wrong, [item.id for item in items])
    for stem, hint in zip(wrong, hints, strict=True):
        problems.append(f"{path} names {stem!r}, but there is no such image{hint}")
    if columns == [_CLASS]:
        whole, values = _by_name(path, rows, problems)
    else:
        whole, values = _by_column(path, rows, columns, problems)
    return [item._replace(image_classes=values.get(item.id)) for item in items], whole


def _check_columns(path: pathlib.Path, header: list[str], columns: list[str]) -> None:
    """Raises DataError for columns that are no classes of images."""
    if "" in columns:
        raise DataError(
            f"{path}: a column has no name: {header}; name it or remove it."
        )
    if _CLASS in columns and len(columns) > 1:
        raise DataError(
            f"{path}: the columns are {header}; give either class, with one name an "
            "image, or a column of 0 and 1 for each class."
        )
    if len(columns) == 1 and columns != [_CLASS]:
        raise DataError(
            f"{path}: the columns are {header}, not stem, label; allowed are also "
            "stem, class, or stem and a column of 0 and 1 for each of two or more "
            "classes of images."
        )


def _rows(
    path: pathlib.Path, header: list[str], problems: list[str]
) -> dict[str, tuple[int, dict[str, str]]]:
    """{stem: (line, its cells)}."""
    out: dict[str, tuple[int, dict[str, str]]] = {}
    for line, row in text.table(path, "stem", tuple(header), problems):
        stem = unicodedata.normalize("NFC", row["stem"])
        if stem in out:
            problems.append(f"{path} line {line}: {stem!r} is named twice.")
        out[stem] = line, row
    return out


def _by_name(
    path: pathlib.Path, rows: dict, problems: list[str]
) -> tuple[ImageNames, dict[str, tuple[int, ...]]]:
    """(the classes by name, {stem: 1 for its class, else 0; all -1 without one})."""
    class_of = {stem: row[_CLASS] for stem, (_, row) in rows.items()}
    names = sorted({name for name in class_of.values() if name})
    spelt: dict[str, str] = {}
    for name in names:
        other = spelt.setdefault(" ".join(name.casefold().split()), name)
        if other != name:
            problems.append(
                f"{path}: the classes {other!r} and {name!r} differ only in case or "
                "blanks; write both alike, or name them differently."
            )
    if len(names) < 2:
        problems.append(
            f"{path} names {names or 'no class'}; at least two classes of images are "
            "needed."
        )
    values = {
        stem: tuple((int(name == own) if own else -1) for name in names)
        for stem, own in class_of.items()
    }
    return ImageNames(names, True), values


def _by_column(
    path: pathlib.Path, rows: dict, columns: list[str], problems: list[str]
) -> tuple[ImageNames, dict[str, tuple[int, ...]]]:
    """(the classes of the columns, {stem: 1, 0 or -1 of each})."""
    for line, row in rows.values():
        for name in columns:
            if row[name] not in _VALUES:
                problems.append(
                    f"{path} line {line}: {name} is {row[name]!r}; give 1 where the "
                    "image shows it, 0 where it does not, or nothing where that is "
                    "unknown."
                )
    values = {
        stem: tuple(_VALUES.get(row[name], -1) for name in columns)
        for stem, (_, row) in rows.items()
    }
    return ImageNames(columns, False), values
