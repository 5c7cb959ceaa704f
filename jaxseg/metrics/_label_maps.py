"""Reads label maps: 0 is background, every other number is the id of one object."""

import numpy as np
from jaxtyping import Int, Integer

from jaxseg.errors import DataError


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
    """(first pixel, length) of the runs, row by row, in which no map changes.

    A map has far fewer runs than pixels, and they are all that sums over objects need.
    """
    if not maps[0].size:
        return np.zeros(0, np.int64), np.zeros(0, np.int64)
    changes = np.zeros(maps[0].size, bool)
    changes[0] = True
    for one in maps:
        flat = one.ravel()
        changes[1:] |= flat[1:] != flat[:-1]
    first = np.flatnonzero(changes)
    return first, np.diff(first, append=changes.size)


def number(
    label_map: Integer[np.ndarray, "h w"],
) -> tuple[Integer[np.ndarray, "n"], Int[np.ndarray, "h w"]]:
    """(ids, ascending; the label map renumbered 1 to n in that order).

    Ids may be as large as their type allows: neither time nor memory depends on them.
    Raises DataError for what is no label map.
    """
    check(label_map)
    first, length = runs(label_map)
    values, places = np.unique(label_map.ravel()[first], return_inverse=True)
    if len(values) and values[0] == 0:
        values = values[1:]
    else:
        places = places + 1
    places = np.repeat(places.astype(np.int32), length)
    return values, places.reshape(label_map.shape)
