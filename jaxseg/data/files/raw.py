"""Holds what a picture file stores, before any opinion about it."""

import pathlib
from typing import NamedTuple

import numpy as np

from jaxseg.data.files import paths
from jaxseg.errors import DataError

_CHANNELS = 4  # a picture of max_pixels may have this many; a smaller one has more
_BYTES = 8  # the most that a stored value may take
_BESIDE = 64 * 2**20  # bytes of a file that are no pixels: profiles, metadata


class Raw(NamedTuple):
    """A file's numbers, and what one has to know to use them as image or as mask."""

    array: np.ndarray  # [h, w, c], upright, as stored
    bits: int  # that a sample has in the file: 12 may fill an array of 16
    orientation: int = 1  # the tag 1 to 8 that `array` was turned by
    palette: np.ndarray | None = None  # u8 [n, 4] colours with alpha of the indices
    alpha: int | None = None  # the channel that is transparency
    white_is_zero: bool = False
    lossy: bool = False  # JPEG: values near, but not equal to what was painted
    pages: bool = False  # the channels are pages that no tag names
    nodata: int | float | None = None  # the number that stands where nothing is known


def check_file(path: pathlib.Path, max_pixels: int) -> None:
    """Raises DataError for what is no file, is empty, or too large to be a picture."""
    size = paths.regular(path).st_size
    if not size:
        raise DataError(f"{path} is empty (0 bytes).")
    most = max_pixels * _CHANNELS * _BYTES + _BESIDE
    if size > most:
        raise DataError(
            f"{path} has {size} bytes, more than {most}, which the largest picture of "
            f"max_pixels = {max_pixels} needs; cut it into tiles."
        )


def check_sides(size: tuple[int, int]) -> None:
    """Raises DataError for sides of a picture that are texts, or several numbers.

    The tags of a TIFF file may say anything; multiplied, such sides fill the memory.
    """
    if not all(isinstance(side, int | np.integer) for side in size):
        raise DataError(
            "its numbers of rows and columns are not one whole number each; it is "
            "damaged."
        )


def check_pixels(size: tuple[int, int], max_pixels: int, channels: int = 1) -> None:
    """Raises DataError for a header that promises more than `max_pixels`.

    Four channels of that many pixels are allowed, or more channels of fewer.
    """
    check_sides(size)
    pixels = size[0] * size[1]
    if pixels > max_pixels:
        raise DataError(
            f"it is {size[0]} x {size[1]} pixels, more than max_pixels = {max_pixels}; "
            "cut it into tiles, or raise max_pixels."
        )
    if pixels * channels > _CHANNELS * max_pixels:
        raise DataError(
            f"it is {size[0]} x {size[1]} pixels of {channels} channels, more values "
            f"than {_CHANNELS} times max_pixels = {max_pixels}; cut it into tiles, or "
            "raise max_pixels."
        )
