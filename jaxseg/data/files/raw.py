"""Holds what a picture file stores, before any opinion about it."""

import pathlib
import stat
from typing import NamedTuple

import numpy as np

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


def check_file(path: pathlib.Path, max_pixels: int) -> None:
    """Raises DataError for what is no file, is empty, or too large to be a picture.

    A named pipe would be waited for, and a device never ends.
    """
    try:
        status = path.stat()
    except FileNotFoundError:
        if path.is_symlink():
            target = path.readlink()
            raise DataError(
                f"{path} is a link to {target}, which is not there; fetch that file, "
                "or remove the link."
            ) from None
        raise DataError(f"{path}: there is no such file.") from None
    except OSError as error:
        raise DataError(f"{path} cannot be opened: {error.strerror}.") from None
    if not stat.S_ISREG(status.st_mode):
        raise DataError(
            f"{path} is no regular file but a folder, pipe, socket or device."
        )
    if not status.st_size:
        raise DataError(f"{path} is empty (0 bytes).")
    most = max_pixels * _CHANNELS * _BYTES + _BESIDE
    if status.st_size > most:
        raise DataError(
            f"{path} has {status.st_size} bytes, more than {most}, which the largest "
            f"picture of max_pixels = {max_pixels} needs; cut it into tiles."
        )


def check_pixels(size: tuple[int, int], max_pixels: int, channels: int = 1) -> None:
    """Raises DataError for a header that promises more than `max_pixels`.

    Four channels of that many pixels are allowed, or more channels of fewer.
    """
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
