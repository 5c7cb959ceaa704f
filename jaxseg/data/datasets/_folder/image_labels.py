"""Reads labels of whole images: the folders good/ and defect/, or a table labels.csv.

A good image is background in every pixel, so it counts as labelled wholly. A defect
without a mask has a label and no labelled pixel.
"""

import os
import pathlib
import unicodedata
from collections.abc import Mapping, Sequence

import numpy as np

from jaxseg.data.datasets._folder.facts import Facts
from jaxseg.data.datasets._folder.items import Item
from jaxseg.data.datasets._folder.label_format import foreground
from jaxseg.data.files import text
from jaxseg.data.files.listing import suggestion, suggestions
from jaxseg.errors import DataError
from jaxseg.labels import IGNORE

GOOD, DEFECT = FOLDERS = ("good", "defect")
CLASSES = ["background", DEFECT]  # of such folders without classes.txt
TABLE = "labels.csv"
_COLUMNS = ("stem", "label")
_OTHERS = {"background": 0, GOOD: 0, "foreground": 1, DEFECT: 1}


def items(
    prefix: str,
    images: Mapping[str, Mapping[str, pathlib.Path]],
    masks: Mapping[str, pathlib.Path],
    problems: list[str],
) -> list[Item]:
    """The images of good/ and defect/, {folder: {stem: path}}, with their labels.

    A mask has the stem of an image in defect/. One of an image in good/ alone is kept
    too, so that its pixels can be checked.
    """
    stems = {stem for folder in images.values() for stem in folder}
    alone = sorted(set(masks) - stems)
    for stem, hint in zip(alone, suggestions(alone, list(stems)), strict=True):
        problems.append(f"{masks[stem]} is a mask without an image{hint}")
    out = []
    for label, folder in enumerate(FOLDERS):
        for stem, path in images[folder].items():
            own = label or stem not in images[DEFECT]
            mask = masks.get(stem) if own else None
            name = f"{prefix}{folder}/{stem}"
            out.append(Item(name, path, mask, "", name, label=label))
    return out


def from_table(
    source: pathlib.Path,
    items: Sequence[Item],
    classes: Sequence[str] | None,
    problems: list[str],
) -> list[Item]:
    """The items with the labels of labels.csv; unchanged without that file.

    A label is the name of a class, its number, or good or defect where there are two.
    Without a label the mask alone says what an image shows.
    """
    path = source / TABLE
    if not os.path.lexists(path):
        return list(items)
    names = {name: k for k, name in enumerate(classes or CLASSES)}
    if len(names) == 2:
        names = _OTHERS | names
    numbers = {str(k): k for k in names.values()}
    labels: dict[str, int] = {}
    met: set[str] = set()
    try:
        for line, row in text.table(path, "stem", _COLUMNS, problems):
            stem, label = (unicodedata.normalize("NFC", row[c]) for c in _COLUMNS)
            if stem in met:
                problems.append(f"{path} line {line}: {stem!r} is named twice.")
            met.add(stem)
            if label in names or label in numbers:
                labels[stem] = names.get(label, numbers.get(label))
            elif label:
                near = suggestion(label, list(names)) or "."
                problems.append(
                    f"{path} line {line}: {label!r} is no class{near} Allowed are "
                    f"{', '.join([*names, *numbers])}."
                )
    except DataError as error:
        problems.append(str(error))
        return list(items)
    wrong = sorted(met - {item.id for item in items})
    hints = suggestions(wrong, [item.id for item in items])
    for stem, hint in zip(wrong, hints, strict=True):
        problems.append(f"{path} names {stem!r}, but there is no such image{hint}")
    return [item._replace(label=labels.get(item.id)) for item in items]


def contradictions(
    items: Sequence[Item], facts: Sequence[Facts], mask_format: str
) -> list[str]:
    """One line for each mask that says something else than the label of its image."""
    out = []
    for item, fact in zip(items, facts, strict=True):
        if item.mask is None or item.label is None:
            continue
        marked = foreground(fact, mask_format) > 0
        open_ = mask_format == "class_ids" and np.isin(IGNORE, fact.values)
        if item.label and not marked and not open_:
            out.append(
                f"{item.image} is labelled {_word(item)}, but {item.mask} is empty; "
                "draw the defect, remove the mask, or correct the label."
            )
        elif not item.label and marked:
            out.append(
                f"{item.image} is labelled {_word(item)}, but {item.mask} marks "
                "pixels; correct one of them."
            )
    return out


def _word(item: Item) -> str:
    folder = item.image.parent.name
    return folder if folder in FOLDERS else f"{item.label}"
