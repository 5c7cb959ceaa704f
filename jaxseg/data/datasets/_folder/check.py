"""Opens every image and mask of a folder once, and decides from them for the set."""

import functools
import hashlib
import os
import pathlib
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import NamedTuple

import numpy as np
from absl import logging

from jaxseg.data.datasets._folder import pairing
from jaxseg.data.datasets._folder.pairing import Item
from jaxseg.data.files import images
from jaxseg.data.files.listing import raise_all
from jaxseg.data.preparation import convert
from jaxseg.errors import DataError
from jaxseg.labels import IGNORE

FORMATS = ("class_ids", "binary", "instances")
_MANY = 32  # an id this high, with most below it in use, numbers objects
_SHOWN = 10  # label values an error lists


class Facts(NamedTuple):
    """What one image and its mask hold; the mask's part is empty without one."""

    dtype: str
    channels: int
    digest: str  # of the pixels: the same image twice has it twice
    values: np.ndarray  # label values as stored, ascending
    pixels: np.ndarray  # with that value
    nbytes: int  # of the image


class Plan(NamedTuple):
    """A folder without problems, and what was decided for the whole of it."""

    items: list[Item]
    facts: list[Facts]
    classes: list[str]
    channels: int
    dtype: str
    mask_format: str
    why: str  # this format


def examine(
    source: pathlib.Path,
    *,
    mask_format: str,
    allow_unlabelled: bool,
    max_pixels: int,
    progress: bool,
) -> Plan:
    """The Plan of a folder, after opening every file.

    Raises DataError with all problems at once, each naming its file: the first 20, and
    how many there are.
    """
    items, classes, problems = pairing.find(source, allow_unlabelled=allow_unlabelled)
    one = functools.partial(
        inspect, threshold=mask_format == "binary", max_pixels=max_pixels
    )
    with ThreadPoolExecutor(os.cpu_count()) as pool:  # decoders let go of the GIL
        results = convert.track(
            pool.map(one, items), total=len(items), what="Checking", show=progress
        )
        inspected = [
            (item, *result) for item, result in zip(items, results, strict=True)
        ]
    problems += [problem for _, _, wrong in inspected for problem in wrong]
    items = [item for item, _, wrong in inspected if not wrong]
    facts = [fact for _, fact, wrong in inspected if not wrong]
    why = "as set"
    if facts:
        problems += one_kind(items, facts)
    if mask_format == "auto" and not problems:
        mask_format, why = decide_format(source, facts, classes and len(classes))
        logging.info("mask_format auto: %s (%s)", mask_format, why)
    if mask_format != "auto":
        classes = classes or _default_classes(mask_format, facts, problems)
        problems += label_problems(items, facts, mask_format, len(classes))
        if mask_format != "class_ids" and len(classes) != 2:
            problems.append(
                f"{source / 'classes.txt'} names {len(classes)} classes, but masks of "
                f"{mask_format} have 2; set mask_format to class_ids, or name 2."
            )
    if problems:
        raise_all(source, problems)
    channels = max(f.channels for f in facts)
    return Plan(items, facts, classes, channels, facts[0].dtype, mask_format, why)


def inspect(item: Item, *, threshold: bool, max_pixels: int) -> tuple[Facts, list[str]]:
    """The Facts of one item, and its problems; with problems the Facts mean nothing."""
    problems, image, mask = [], np.zeros((0, 0, 0), np.uint8), None
    try:
        image = images.read_image(item.image, max_pixels=max_pixels)
    except DataError as error:
        problems.append(str(error))
    if item.mask is not None:
        try:
            mask = read_mask(item, threshold=threshold, max_pixels=max_pixels)
        except DataError as error:
            problems.append(str(error))
    if not problems and mask is not None:
        different = images.different_sizes(item.image, image, item.mask, mask)
        problems += [different] if different else []
    digest = hashlib.sha256(repr(image.shape).encode() + image.tobytes()).hexdigest()
    values, pixels = _counts(np.zeros((0, 0), np.uint8) if mask is None else mask)
    facts = Facts(
        str(image.dtype), image.shape[2], digest, values, pixels, image.nbytes
    )
    return facts, problems


def read_mask(item: Item, *, threshold: bool, max_pixels: int) -> np.ndarray:
    """The stored label values of an item that has a mask."""
    return images.read_mask(item.mask, threshold=threshold, max_pixels=max_pixels)


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


def _counts(mask: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    if mask.dtype.itemsize > 2:
        return np.unique(mask, return_counts=True)
    count = np.bincount(mask.ravel())  # several times faster than sorting
    values = np.flatnonzero(count)
    return values, count[values]


def _default_classes(
    mask_format: str, facts: Sequence[Facts], problems: list[str]
) -> list[str]:
    if mask_format != "class_ids":
        return ["background", "foreground"]
    values = sorted({int(v) for f in facts for v in f.values} - {IGNORE})
    if values != list(range(len(values))):
        problems.append(
            f"the masks hold {_show(values)}, which does not count up from 0; renumber "
            "the classes, or write their names into classes.txt, one a line."
        )
    return ["background"] + [f"class_{k}" for k in range(1, max(len(values), 2))]


def decide_format(
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


def label_problems(
    items: Sequence[Item], facts: Sequence[Facts], mask_format: str, classes: int
) -> list[str]:
    """One line for every mask with a value that the format does not allow."""
    allowed = {*range(classes), IGNORE}
    words = f"0 to {classes - 1}, and 255 for unlabelled pixels"
    problems = []
    for item, fact in zip(items, facts, strict=True):
        values = set(fact.values.tolist())
        if mask_format == "binary":
            allowed = {0, 255} if 255 in values else {0, 1}
            words = "0 and 255, or 0 and 1"
        if mask_format != "instances" and values - allowed:
            problems.append(
                f"{item.mask} holds {_show(values - allowed)}; allowed in a mask of "
                f"{mask_format} are {words}."
            )
    return problems


def one_kind(items: Sequence[Item], facts: Sequence[Facts]) -> list[str]:
    """Problems where images do not go together.

    Grey images among colour ones are repeated into three channels; any other mixture
    of channels, and of 8 and 16 bits, is a problem.
    """
    channels = {f.channels: item for item, f in zip(items, facts, strict=True)}
    dtypes = {f.dtype: item for item, f in zip(items, facts, strict=True)}
    problems = []
    if len(dtypes) > 1:
        kinds = " and ".join(f"{d} ({i.image})" for d, i in sorted(dtypes.items()))
        problems.append(f"images are of {kinds}; save all of them in one type.")
    if len(channels) > 1 and set(channels) != {1, 3}:
        kinds = " and ".join(f"{c} ({i.image})" for c, i in sorted(channels.items()))
        problems.append(f"images have channels {kinds}; only 1 and 3 can be mixed.")
    return problems


def _numbers_objects(facts: Sequence[Facts]) -> bool:
    """Ids run on from 1 with few gaps, high, and to another end in every image."""
    ends = [int(f.values[-1]) for f in facts if f.values[-1] > 0]
    dense = all(np.count_nonzero(f.values) >= f.values[-1] / 2 for f in facts)
    varies = len(set(ends)) > 1 or len(ends) == 1
    return dense and varies and max(ends, default=0) >= _MANY


def _show(values) -> str:
    values = sorted(values)
    text = ", ".join(str(v) for v in values[:_SHOWN])
    return text + (f" ... {values[-1]}" if len(values) > _SHOWN else "")
