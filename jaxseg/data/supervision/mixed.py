"""Keeps the masks of some positive images; of the others only their label is left.

Someone has thousands of images that are labelled "defect" or "good", and masks for a
few. The positives that keep their masks are the first of one order, hashed from the
seed and the id, so a smaller set is part of every larger one, and no image more or less
moves another. A positive that loses its mask is IGNORE in every pixel and keeps its
image-level label; negatives stay fully labelled, whatever the share. Bozic, Tabernik
and Skocaj, Mixed supervision for surface-defect detection, 2021,
https://arxiv.org/abs/2104.06064

A list of ids takes the place of the order: a text file, one id a line, or the
supervision.npz of a run that was trained so. An id may be its last part alone
("10301" for "train/10301") where that names one image. Empty lines and lines that begin
with # are passed over; a negative may be named, and stays what it is.
"""

import hashlib
import pathlib
import unicodedata
from collections.abc import Sequence
from typing import Any

import numpy as np
from jaxtyping import Bool

from jaxseg.data import mask_share, sparse_labels
from jaxseg.data.files import text
from jaxseg.data.files.listing import suggestions
from jaxseg.data.prepared import Split
from jaxseg.errors import DataError

SPARSE = False  # a mask is there as a whole, or not at all
_SHOWN = 3  # ids that an error names


def choose(
    split: Split, *, masks: float, paths: tuple[str, ...], options: dict[str, Any]
) -> Bool[np.ndarray, "n"]:
    """Which images keep their masks, bool [n]: all but some positives.

    `masks` is a share of the positives that have a mask, from 0 to 1 (rounded to whole
    images, halves to even), or a whole number of them above 1. With `paths` the
    positives of these lists keep theirs, and `masks` must be 1. `options` holds the
    seed. Raises ConfigError for another `masks`, and for more than there are; DataError
    for a label that contradicts its mask, and for a list that names no image, or one
    without a mask.
    """
    check(split)
    positive = split.image_labels > 0
    with_mask = positive & (split.pixels.sum(1) > 0)
    there = np.flatnonzero(with_mask)
    mask_share.check(masks, paths)
    keep = ~positive
    if paths:
        keep[_listed(split, paths, positive, with_mask)] = True
    else:
        most = mask_share.count(masks, len(there))
        keep[_ordered(split, there, options["seed"])[:most]] = True
    return keep


def check(split: Split) -> None:
    """Raises DataError for a label of an image that contradicts its mask."""
    foreground = split.pixels[:, 1:].sum(1)
    whole = split.pixels.sum(1) == split.sizes.prod(1)
    empty = np.flatnonzero((split.labels > 0) & whole & (foreground == 0))
    marked = np.flatnonzero((split.labels == 0) & (foreground > 0))
    for wrong, what in (
        (empty, "labelled positive, but their masks are empty"),
        (marked, "labelled negative, but their masks have foreground"),
    ):
        if len(wrong):
            raise DataError(
                f"{len(wrong)} {split.name} images are {what}, such as "
                f"{_some([split.ids[i] for i in wrong])}: correct the label or the "
                "mask, and prepare the data again."
            )


def _ordered(split: Split, there: np.ndarray, seed: int) -> np.ndarray:
    """The positions `there` in the order in which they get their masks."""

    def turn(i: int) -> bytes:
        return hashlib.sha256(f"{seed}/masks/{split.ids[i]}".encode()).digest()

    return np.array(sorted(there.tolist(), key=turn), np.int64)


def _listed(
    split: Split, paths: Sequence[str], positive: np.ndarray, with_mask: np.ndarray
) -> np.ndarray:
    """The positions of the positives that the lists name."""
    places = _places(split.ids)
    chosen = set()
    for path in paths:
        names = _names(path)
        wrong = [name for name in names if name not in places]
        if wrong:
            hint = suggestions(wrong[:1], list(places))[0] or "."
            raise DataError(
                f"{path} names {len(wrong)} images that are not in {split.name}, such "
                f"as {_some(wrong)}{hint}"
            )
        named = np.array([places[name] for name in names], np.int64)
        bare = [split.ids[i] for i in named if positive[i] and not with_mask[i]]
        if bare:
            raise DataError(
                f"{path} names {len(bare)} positives without a mask, such as "
                f"{_some(bare)}; draw their masks, or take them out of the list."
            )
        chosen |= set(named[positive[named]].tolist())
    return np.array(sorted(chosen), np.int64)


def _places(ids: Sequence[str]) -> dict[str, int]:
    """{id, or its last part where only one image has it: position in the split}."""
    last: dict[str, list[int]] = {}
    for i, name in enumerate(ids):
        last.setdefault(name.rpartition("/")[2], []).append(i)
    short = {name: where[0] for name, where in last.items() if len(where) == 1}
    return short | {name: i for i, name in enumerate(ids)}


def _names(path: str) -> list[str]:
    """The ids in a list; DataError for an empty one."""
    if path.endswith(".npz"):
        labels = sparse_labels.read(path)
        if labels.whole is None:
            raise DataError(
                f"{path} holds single labelled pixels and no choice of masks; use it "
                "with config.supervision.name=stored."
            )
        return [n for n, kept in zip(labels.ids, labels.whole, strict=True) if kept]
    content = unicodedata.normalize("NFC", text.read(pathlib.Path(path)))
    lines = [line.strip() for line in content.splitlines()]
    names = [line for line in lines if line and not line.startswith("#")]
    if not names:
        raise DataError(
            f"{path} names no image; write one id a line, or use "
            "config.supervision.masks=0 for no mask at all."
        )
    return names


def _some(names: Sequence[str]) -> str:
    return ", ".join(map(repr, names[:_SHOWN]))
