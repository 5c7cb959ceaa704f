"""Checks the classes of a data set, of pixels and of whole images, against its rows.

A row is one line of `index.csv`: {"id", "split", "label", "c0", "c1", ...}.
"""

from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

import numpy as np

from jaxseg.errors import ConfigError, DataError


class ImageClasses(NamedTuple):
    """The classes of whole images, which may be others than those of pixels."""

    names: Sequence[str]
    exclusive: bool  # every known image is of exactly one of them
    of: Mapping[str, Sequence[int]]  # id -> 1 shows, 0 does not, -1 unknown, of each


def names(value: str | Sequence[str]) -> list[str]:
    """The names of an option: a list of them, or one text with commas between."""
    parts = value.split(",") if isinstance(value, str) else value
    return [name.strip() for name in parts if name.strip()]


def check_absent(absent: Sequence[str], classes: Sequence[str]) -> None:
    """Raises ConfigError for declared absent classes that are none of the foreground.

    At least one class of the foreground has to be left.
    """
    wrong = [name for name in absent if name not in classes[1:]]
    if wrong or not set(classes[1:]) - set(absent):
        raise ConfigError(
            f"absent is {','.join(absent)!r}; give names of {', '.join(classes[1:])}, "
            "not all of them" + (f": {wrong[0]!r} is none of them." if wrong else ".")
        )


def check_pixel_classes(
    rows: list[dict],
    classes: Sequence[str],
    absent: Sequence[str],
    source: str,
    *,
    whole: bool,
) -> None:
    """Raises DataError for a class that training lacks, or that should be absent.

    Nothing is lacking where only classes of `whole` images are there.
    """
    for k, name in enumerate(classes):
        shown = [r["id"] for r in rows if r[f"c{k}"] or (k and r["label"] == k)]
        if name in absent and shown:
            raise DataError(
                f"{source}: {name} is declared absent, but {len(shown)} images show "
                f"it, such as {shown[0]}; correct their masks, or take {name} out of "
                "absent."
            )
    trained = [row for row in rows if row["split"] == "train"]
    named = {row["label"] for row in trained if is_bare(row)} - {0, -1}
    pixels = [sum(row[f"c{k}"] for row in trained) for k in range(len(classes))]
    missing = [
        name
        for k, name in enumerate(classes)
        if pixels[k] == 0 and k not in named and name not in absent
    ]
    if not missing or (whole and not any(pixels) and not named):
        return
    advice = [name for name in missing if name != classes[0]]
    raise DataError(
        f"{source}: the training split has no pixel of {', '.join(missing)}; check "
        "the masks, name splits in splits.csv, or remove the class"
        + (
            ", or declare it absent where it is known to occur nowhere (absent="
            f"{','.join(advice)})."
            if advice
            else "."
        )
    )


def add_image_classes(rows: list[dict], whole: ImageClasses, source: str) -> None:
    """Gives every row the columns i0, i1, ... of its image classes.

    Raises DataError for an id without them, for values that are none of -1, 0 and 1,
    for exclusive classes of which an image has several or some unknown, and for a class
    that no image of the training split shows.
    """
    shown = np.zeros(len(whole.names), np.int64)
    for row in rows:
        values = [int(v) for v in whole.of.get(row["id"], ())]
        good = len(values) == len(whole.names) and set(values) <= {-1, 0, 1}
        one = sorted(values) == [0] * (len(values) - 1) + [1] or set(values) == {-1}
        if not good or (whole.exclusive and not one):
            raise DataError(
                f"{row['id']}: its image classes are {values}; give one of -1 (unknown)"
                f", 0 and 1 for each of {', '.join(whole.names)}"
                + (", exactly one of them 1, or all -1." if whole.exclusive else ".")
            )
        row |= {f"i{m}": value for m, value in enumerate(values)}
        shown += (np.array(values) == 1) & (row["split"] == "train")
    missing = [n for n, count in zip(whole.names, shown, strict=True) if not count]
    if missing:
        raise DataError(
            f"{source}: no image of the training split is of the image class "
            f"{', '.join(missing)}; check the labels, or remove the class."
        )


def described(whole: ImageClasses | None, rows: list[dict]) -> dict[str, Any]:
    """What the card says of image classes: {} without them.

    "images" counts [that show it, that do not, unknown] of each class in each split.
    """
    if not whole:
        return {}
    counts = {
        split: [
            [
                sum(r["split"] == split and r[f"i{m}"] == v for r in rows)
                for v in (1, 0, -1)
            ]
            for m in range(len(whole.names))
        ]
        for split in dict.fromkeys(row["split"] for row in rows)
    }
    facts = {"names": list(whole.names), "exclusive": whole.exclusive, "images": counts}
    return {"image_classes": facts}


def is_bare(row: dict) -> bool:
    """Whether no pixel of an image is labelled."""
    return row["ignored"] == row["height"] * row["width"]
