"""Digests of the pixels of a prepared data set: unchanged images and masks, proved.

A preparation stores the SHA-256 of every record in `index.csv` and that of all records
of a split in the card, under "content". `check` reads records back and compares: a few
at every start, which notices a set whose images were turned or masks replaced as a
whole, or all of them.
"""

import functools
import hashlib
from collections.abc import Iterable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import numpy as np
from absl import logging

from jaxseg.data import prepared
from jaxseg.errors import DataError
from jaxseg.labels import Example

CHOICES = ("sample", "all")
# a key of the card: what "content" would be if the set had no object ids
WITHOUT_OBJECTS = "content_without_objects"
_SAMPLE = 4  # records of a split, and as many with a foreground, compared at a start


def of_record(example: Example | Mapping[str, Any]) -> str:
    """The hex SHA-256 of the image, mask and object ids of one example.

    Covers their shapes, and the type of the image; object ids of any type are equal
    where their numbers are.
    """
    digest = hashlib.sha256()
    arrays = {name: example[name] for name in ("image", "mask")}
    if "instances" in example:
        arrays["instances"] = example["instances"].astype(np.uint32)
    for name, array in arrays.items():
        little = np.ascontiguousarray(array, array.dtype.newbyteorder("<"))
        digest.update(f"{name} {array.dtype.name} {array.shape}\n".encode())
        digest.update(little)
    return digest.hexdigest()


def of_split(ids: Sequence[str], digests: Sequence[str]) -> str:
    """The hex SHA-256 of the records of a split, whatever their order."""
    lines = sorted(f"{name} {one}" for name, one in zip(ids, digests, strict=True))
    return hashlib.sha256("\n".join(lines).encode()).hexdigest()


def check(splits: Iterable[prepared.Split], *, which: str = "sample") -> int:
    """The number of records that were read and found as they were prepared.

    `which` is "sample", the same few of each split every time, or "all". Raises
    DataError naming the first record whose pixels are others, and with "all" for a data
    set of an earlier version, which has no digests. Its sample says so in one sentence.
    """
    compared = 0
    for split in splits:
        if split.digests is None:
            _without(split, which)
            continue
        chosen = np.arange(len(split)) if which == "all" else _sample(split)
        _compare(split, chosen)
        compared += len(chosen)
    if which == "all":
        logging.info("%d images and masks are as they were prepared.", compared)
    return compared


def _compare(split: prepared.Split, chosen: np.ndarray) -> None:
    """Raises DataError for the first of the chosen records that has other pixels."""
    pool = ThreadPoolExecutor()  # decoders and SHA-256 let go of the GIL
    try:
        digests = pool.map(functools.partial(_stored, split), chosen)
        for index, digest in zip(chosen, digests, strict=True):
            if digest != split.digests[index]:
                raise DataError(
                    f"{split.directory}: the image or mask of {split.name} example "
                    f"{split.ids[index]!r} is not the one that was prepared; "
                    "prepare the data set again."
                )
    finally:
        pool.shutdown(cancel_futures=True)


def changed(before: Mapping[str, Any], now: Mapping[str, Any]) -> list[str]:
    """The splits of the card `before` that have other records in the card `now`.

    Their names, groups and counts are compared, and their pixels where both cards know
    them. Says in one sentence where one of them does not.
    """
    names = [
        name
        for name, digest in before.get("split_hash", {}).items()
        if now["split_hash"].get(name) != digest
    ]
    old, new = before.get("content"), now.get("content")
    if WITHOUT_OBJECTS in now and WITHOUT_OBJECTS not in before:
        new = now[WITHOUT_OBJECTS]  # earlier versions did not keep the ids
    if names or not before:
        return names
    if old is None or new is None:
        whose = "the run was begun" if old is None else "the data was prepared"
        logging.warning(
            "%s by an earlier version, without digests of the pixels: names, groups "
            "and counts of the images are the same, their pixels cannot be compared.",
            whose,
        )
        return []
    return [name for name, digest in old.items() if new.get(name) != digest]


def _sample(split: prepared.Split) -> np.ndarray:
    """Indices spread over the split, and over the images that show something.

    A mask of background alone would not tell that it was mirrored.
    """
    parts = [np.arange(len(split)), np.flatnonzero(split.positive)]
    chosen = [
        part[np.linspace(0, len(part) - 1, min(_SAMPLE, len(part))).astype(int)]
        for part in parts
    ]
    return np.unique(np.concatenate(chosen))


def _stored(split: prepared.Split, index: int) -> str:
    return of_record(split[int(index)])


def _without(split: prepared.Split, which: str) -> None:
    words = (
        f"{split.directory} was prepared by an earlier version, without digests of the "
        "pixels"
    )
    if which == "all":
        raise DataError(
            f"{words}: delete it and prepare it again to have them checked."
        )
    if split.name == "train":
        logging.warning(
            "%s: that images and masks are unchanged cannot be checked; delete it and "
            "prepare it again to have that.",
            words,
        )
