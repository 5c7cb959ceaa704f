"""Reads label maps: 0 is background, every other number is the id of one object."""

from collections.abc import Iterator

import numpy as np
from jaxtyping import Int, Integer

from jaxseg.errors import DataError

BAND = 2**22  # pixels that are looked at together


def check(label_map: Integer[np.ndarray, "h w"]) -> None:
    """Raises DataError unless the map is [h, w], of whole numbers from 0 on."""
    if label_map.ndim != 2 or label_map.dtype.kind not in "iu":
        raise DataError(
            f"a label map is [h, w] of whole numbers, but this one is "
            f"{list(label_map.shape)} of {label_map.dtype}: give one id per pixel."
        )
    if label_map.size and label_map.min() < 0:
        raise DataError(
            f"a label map has ids from 0 on (0 = background), but the lowest here is "
            f"{label_map.min()}: number the objects from 1."
        )


def check_same_size(
    label_map: Integer[np.ndarray, "h w"], other: np.ndarray, name: str
) -> None:
    """Raises DataError unless `other`, called `name`, covers the same pixels."""
    if other.shape[:2] != label_map.shape:
        raise DataError(
            f"{name} is {list(other.shape)}, but the label map is "
            f"{list(label_map.shape)}: both must be of the same image."
        )


def runs(*maps: np.ndarray) -> tuple[Int[np.ndarray, "r"], Int[np.ndarray, "r"]]:
    """(first pixel, length) of the stretches of the rows in which no map changes.

    Maps have far fewer of them than pixels, and sums over objects need no more.
    """
    if not maps[0].size:
        return np.zeros(0, np.int64), np.zeros(0, np.int64)
    changes = np.zeros(maps[0].size, bool)
    changes[:: maps[0].shape[1]] = True
    for one in maps:
        flat = one.ravel()
        changes[1:] |= flat[1:] != flat[:-1]
    first = np.flatnonzero(changes)
    return first, np.diff(first, append=changes.size)


def bands(shape: tuple[int, int]) -> Iterator[slice]:
    """Yields the rows of an image in bands, so that a huge one is never held whole."""
    step = max(1, BAND // max(shape[1], 1))
    for top in range(0, shape[0] if shape[1] else 0, step):
        yield slice(top, min(top + step, shape[0]))


def ids(label_map: Integer[np.ndarray, "h w"]) -> Integer[np.ndarray, "n"]:
    """Ids of the objects, ascending; neither time nor memory depends on their size."""
    parts = [np.zeros(0, label_map.dtype)]
    for rows in bands(label_map.shape):
        band = np.asarray(label_map[rows])
        parts.append(np.unique(band.ravel()[runs(band)[0]]))
    values = np.unique(np.concatenate(parts))
    return values[values > 0]


def renumbered(
    label_map: Integer[np.ndarray, "h w"], ids: Integer[np.ndarray, "n"]
) -> Int[np.ndarray, "h w"]:
    """The label map, i32, in which the objects are 1 to n in the order of `ids`."""
    first, length = runs(label_map)
    values = label_map.ravel()[first]
    places = np.searchsorted(ids, values).astype(np.int32) + 1
    places[values == 0] = 0
    return np.repeat(places, length).reshape(label_map.shape)
