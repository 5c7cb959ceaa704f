"""Reads masks that are painted, a colour a class, by the colours of classes.txt."""

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np

from jaxseg.errors import DataError
from jaxseg.labels import IGNORE

IGNORED = "ignore"  # the name of the line whose colour is no class
_MANY = 64  # more colours than this are hardly classes
_SHOWN = 10  # colours that an error lists

Colour = tuple[int, int, int]  # red, green, blue, each from 0 to 255


class Listed(NamedTuple):
    """One line of classes.txt: the label that a colour stands for."""

    name: str
    label: int  # a class id, or IGNORE
    colour: Colour


Table = tuple[Listed, ...]  # every colour that a mask may hold


class InColour(DataError):
    """A mask holds colours and nothing says which classes they are."""

    counts: np.ndarray  # of its colours, as `count` gives them


def table(names: Sequence[str], colours: Sequence[Colour]) -> Table:
    """The table of names and colours line by line; "ignore" takes no class id."""
    out, label = [], 0
    for name, colour in zip(names, colours, strict=True):
        ignored = name.lower() == IGNORED
        out.append(Listed(name, IGNORE if ignored else label, colour))
        label += not ignored
    return tuple(out)


def count(pixels: np.ndarray) -> np.ndarray:
    """The colours of pixels u8 [..., 3]: i64 [n, 4], red green blue and how often.

    The most frequent colour comes first.
    """
    values, counts = np.unique(_packed(pixels), return_counts=True)
    return _rows(values, counts)


def add(counts: Sequence[np.ndarray]) -> np.ndarray:
    """The counts of several masks together, as `count` gives them."""
    rows = np.concatenate(counts)
    values, where = np.unique(_packed(rows[:, :3]), return_inverse=True)
    sums = np.zeros(len(values), np.int64)
    np.add.at(sums, where, rows[:, 3])
    return _rows(values, sums)


def labels(pixels: np.ndarray, listed: Table) -> tuple[np.ndarray, np.ndarray]:
    """(labels u8 [h, w], counts of the colours that are not listed) of u8 [h, w, 3].

    The label of a pixel with a colour that is not listed means nothing.
    """
    keys = _packed(np.array([line.colour for line in listed], np.uint8))
    order = np.argsort(keys)
    keys, ids = keys[order], np.array([line.label for line in listed], np.uint8)[order]
    packed = _packed(pixels)
    place = np.searchsorted(keys[:-1], packed)  # the last key takes all above it
    unlisted = keys[place] != packed
    return ids[place], count(pixels[unlisted])


def text(colour: Sequence[int]) -> str:
    """A colour as classes.txt writes it."""
    return ",".join(str(int(value)) for value in colour[:3])


def shares(counts: np.ndarray) -> str:
    """The most frequent colours with their shares of the pixels."""
    total = max(int(counts[:, 3].sum()), 1)
    parts = [f"{text(row)} ({100 * row[3] / total:.3g} %)" for row in counts[:_SHOWN]]
    return ", ".join(parts) + _more(len(counts))


def unlisted(counts: np.ndarray, listed: Table) -> str:
    """What a mask holds that `listed` does not allow, and what is allowed."""
    first, rest = counts[0], counts[1:]
    words = f"the colour {text(first)} in {int(first[3])} pixels"
    if len(rest):
        words += f" and {len(rest)} others in {int(rest[:, 3].sum())}"
    allowed = [f"{line.name} {text(line.colour)}" for line in listed[:_SHOWN]]
    words += f"; classes.txt lists {', '.join(allowed)}{_more(len(listed))}"
    return words + (f"; {_SMOOTHED}" if len(counts) > _SHOWN else "")


def proposal(counts: np.ndarray, file: str) -> str:
    """How to name the classes of the colours in `file`: the lines to write there."""
    if len(counts) > _MANY:
        return f"{len(counts)} colours are too many to be classes: {_SMOOTHED}"
    dark = [k for k, row in enumerate(counts) if not row[:3].any()]
    order = dark + [k for k in range(len(counts)) if k not in dark]
    names = ["background", *(f"class_{k}" for k in range(1, len(counts)))]
    lines = [
        f"    {name} {text(counts[k])}" for name, k in zip(names, order, strict=True)
    ]
    more = [f"    and {len(lines) - _SHOWN} more"] if len(lines) > _SHOWN else []
    return (
        f"write a line for each class into {file}, with names of your own, the "
        f"background first (the name {IGNORED} is for pixels that are not labelled):\n"
        + "\n".join([*lines[:_SHOWN], *more])
        + "\n    or save class ids in one channel (greyscale or palette)"
    )


_SMOOTHED = (
    "masks that were resized, smoothed or saved as JPEG hold mixtures of colours; save "
    "them as they were drawn"
)


def _more(number: int) -> str:
    return f" and {number - _SHOWN} more" if number > _SHOWN else ""


def _packed(colours: np.ndarray) -> np.ndarray:
    """One number for each colour of [..., 3]."""
    red, green, blue = np.moveaxis(colours.astype(np.uint32), -1, 0)
    return red << 16 | green << 8 | blue


def _rows(values: np.ndarray, counts: np.ndarray) -> np.ndarray:
    rows = np.stack([values >> 16, values >> 8 & 255, values & 255, counts], axis=-1)
    rows = rows.astype(np.int64)
    return rows[np.argsort(-rows[:, 3], kind="stable")]
