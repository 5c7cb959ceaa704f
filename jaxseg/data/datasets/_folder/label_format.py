"""Decides what the label values of a folder's masks mean: once, for all of them."""

import pathlib
from collections.abc import Sequence

import numpy as np

from jaxseg.data.datasets._folder.facts import MANY, Facts
from jaxseg.data.datasets._folder.items import Item
from jaxseg.errors import DataError
from jaxseg.labels import IGNORE

FORMATS = ("class_ids", "binary", "instances")
LARGEST_ID = 2**32 - 1  # of an object
_WHITE = (1, 255, 65535)  # foreground in a mask of two values
_APART = 0.25  # a share of labels in several pieces that objects do not reach
_SHOWN = 10  # label values an error lists


def to_classes(values: np.ndarray, mask_format: str) -> np.ndarray:
    """u8 class ids (255 = unlabelled) of checked label values."""
    if mask_format == "class_ids":
        return values.astype(np.uint8)
    return (values > 0).astype(np.uint8)


def foreground(fact: Facts, mask_format: str) -> float:
    """Share of the labelled pixels whose class is above 0; 0 without labelled ones."""
    ignored = fact.values == IGNORE if mask_format == "class_ids" else fact.values < 0
    labelled = fact.pixels[~ignored].sum()
    return float(fact.pixels[~ignored & (fact.values > 0)].sum() / max(labelled, 1))


def default_classes(
    mask_format: str, facts: Sequence[Facts], problems: list[str]
) -> list[str]:
    """The names of the classes of masks without classes.txt; adds what is wrong."""
    if mask_format != "class_ids":
        return ["background", "foreground"]
    values = sorted({int(v) for f in facts for v in f.values} - {IGNORE})
    if values != list(range(len(values))):
        problems.append(
            f"the masks hold {_show(values)}, which does not count up from 0; renumber "
            "the classes, or write their names into classes.txt, one a line."
        )
    return ["background"] + [f"class_{k}" for k in range(1, max(len(values), 2))]


def decide(
    source: pathlib.Path, facts: Sequence[Facts], classes: int | None
) -> tuple[str, str]:
    """The mask format of the whole set and why; DataError where two are possible.

    `classes` counts the lines of classes.txt, None without it.
    """
    used = [f for f in facts if len(f.values)]
    if not used:
        raise DataError(f"{source}: no image has a mask.")
    values = set(np.unique(np.concatenate([f.values for f in used])).tolist())
    shown = _show(values)
    if values <= {0, IGNORE} and IGNORE in values and classes in (None, 2):
        return "binary", "every mask holds 0 and 255 only"
    if 65535 in values and classes in (None, 2) and _black_and_white(used):
        return "binary", f"every mask holds 0 and one white value only: {shown}"
    if classes is not None:
        if values <= {0, IGNORE}:
            raise DataError(
                f"{source}: masks hold {shown} only, but classes.txt names {classes} "
                "classes; number the classes from 0, or set mask_format."
            )
        if values <= {*range(classes), IGNORE}:
            return (
                "class_ids",
                f"classes.txt names {classes} classes, masks hold {shown}",
            )
        if classes == 2 and _numbers_objects(used):
            return "instances", f"masks number their objects: {shown}"
        return "class_ids", "classes.txt is there"  # and the check names what is wrong
    if values <= {0, 1}:
        return "binary", "every mask holds 0 and 1 only"
    if values <= {0, 1, IGNORE}:
        if any({1, IGNORE} <= set(f.values.tolist()) for f in used):
            return "class_ids", "masks hold 0, 1 and 255 for unlabelled pixels"
        raise DataError(
            f"{source}: some masks hold 1 and others 255; set mask_format to 'binary' "
            "if both are foreground, or to 'class_ids' if 255 is unlabelled."
        )
    ends = sum(f.pixels[np.isin(f.values, (0, 255))].sum() for f in used)
    share = ends / sum(f.pixels.sum() for f in used)
    if IGNORE in values and max(values) == IGNORE and share > 0.8 and len(values) > 3:
        raise DataError(
            f"{source}: masks hold {shown}, mostly 0 and 255: they look like black and "
            "white masks that were resized or smoothed. Threshold them to 0 and 255, "
            "or set mask_format to 'instances' if the values number objects."
        )
    if _numbers_objects(used):
        return "instances", f"masks number their objects: {shown}"
    raise DataError(
        f"{source}: masks hold {shown}, which could be classes or numbered objects; "
        "write the names of the classes into classes.txt, or set mask_format to "
        "'class_ids' or 'instances'."
    )


def problems(
    items: Sequence[Item], facts: Sequence[Facts], mask_format: str, classes: int
) -> list[str]:
    """One line for every mask with a value that the format does not allow."""
    allowed = {*range(classes), IGNORE}
    words = f"0 to {classes - 1}, and 255 for unlabelled pixels"
    out = []
    for item, fact in zip(items, facts, strict=True):
        values = set(fact.values.tolist())
        if mask_format == "binary":
            allowed = {0, next((w for w in _WHITE[::-1] if w in values), 1)}
            words = "0 and 255, 0 and 1, or 0 and 65535"
        if mask_format != "instances" and values - allowed:
            out.append(
                f"{item.mask} holds {_show(values - allowed)}; allowed in a mask of "
                f"{mask_format} are {words}."
            )
        if mask_format == "instances" and values and max(values) > LARGEST_ID:
            out.append(too_large(item.mask, max(values)))
    return out


def too_large(path: pathlib.Path, value: int) -> str:
    """The line for a mask with an id that no record can hold."""
    return (
        f"{path} holds {value}; ids of objects go to {LARGEST_ID}: renumber the "
        "objects of each image from 1 on."
    )


def _black_and_white(facts: Sequence[Facts]) -> bool:
    """Whether each mask holds 0 and one value that is white in 8 or 16 bits."""
    return all(
        len(values) <= 1 and values <= {*_WHITE[1:]}
        for values in (set(f.values.tolist()) - {0} for f in facts)
    )


def _numbers_objects(facts: Sequence[Facts]) -> bool:
    """Ids run on from 1 with few gaps, high, and to another end in every image.

    And most of them lie in one piece, as an object does.
    """
    marked = [f for f in facts if f.values[-1] > 0]
    ends = [int(f.values[-1]) for f in marked]
    dense = all(np.count_nonzero(f.values) >= f.values[-1] / 2 for f in facts)
    varies = len(set(ends)) > 1 or len(ends) == 1
    many = [f.scattered for f in marked if f.values[-1] >= MANY]
    return dense and varies and bool(many) and float(np.mean(many)) < _APART


def _show(values) -> str:
    values = sorted(values)
    text = ", ".join(str(v) for v in values[:_SHOWN])
    return text + (f" ... {values[-1]}" if len(values) > _SHOWN else "")
