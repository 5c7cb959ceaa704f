"""Encodes and decodes run lengths as the SIIM-ACR pneumothorax challenge has them.

They are pairs of (offset, length) over the pixels in column-major order. An offset
counts from the end of the run before, the first one from pixel 0. "-1" is the empty
mask. SIIM-ACR Pneumothorax Segmentation, 2019,
https://www.kaggle.com/c/siim-acr-pneumothorax-segmentation
"""

import re

import numpy as np

from jaxseg.errors import DataError

EMPTY = "-1"
_NUMBERS = re.compile(r"\d{1,18}(?:\s+\d{1,18})*", re.ASCII)


def encode(mask: np.ndarray) -> str:
    """The run lengths of the pixels above 0 of a mask [h, w]."""
    if mask.ndim != 2:
        raise DataError(f"run lengths need a mask [h, w], not an array {mask.shape}.")
    inside = np.concatenate([[False], mask.T.ravel() > 0, [False]])
    edges = np.flatnonzero(inside[1:] != inside[:-1])  # start, end, start, end, ...
    if not len(edges):
        return EMPTY
    return " ".join(map(str, np.diff(edges, prepend=0).tolist()))


def decode(text: str, size: tuple[int, int]) -> np.ndarray:
    """The mask, bool [h, w], of run lengths for an image of `size` (h, w).

    Raises DataError for anything but whole numbers, a negative number, an odd count of
    numbers, and runs that pass the end of the image.
    """
    height, width = size
    text = text.strip()
    if text == EMPTY:
        return np.zeros((height, width), bool)
    if not _NUMBERS.fullmatch(text):
        raise DataError(
            f"run lengths must be whole numbers of at least 0, or {EMPTY!r} alone for "
            f"an empty mask, not {_short(text)}."
        )
    lengths = [int(number) for number in text.split()]
    if len(lengths) % 2:
        raise DataError(
            f"run lengths are pairs of (offset, length), but {len(lengths)} numbers "
            f"came: {_short(text)}."
        )
    total = sum(lengths)
    if total > height * width:
        raise DataError(
            f"run lengths end at pixel {total}, but an image of {height} x {width} has "
            f"{height * width} pixels; they belong to another size or image."
        )
    lengths.append(height * width - total)
    inside = np.arange(len(lengths)) % 2 == 1
    return np.repeat(inside, lengths).reshape(width, height).T


def decode_from_one(text: str, size: tuple[int, int]) -> np.ndarray:
    """The mask, bool [h, w], of pairs (start, length), a start counting from 1.

    Pixels are in column-major order; runs ascend and do not overlap. Raises DataError
    for what is not so, and as `decode`. Severstal: Steel Defect Detection, 2019,
    https://www.kaggle.com/c/severstal-steel-defect-detection
    """
    text = text.strip()
    if not _NUMBERS.fullmatch(text):
        raise DataError(f"run lengths must be whole numbers, not {_short(text)}.")
    numbers = [int(number) for number in text.split()]
    offsets, end = [], 1
    for start, length in zip(numbers[::2], numbers[1::2], strict=False):
        if start < end or not length:
            raise DataError(
                f"a run of {length} pixels begins at {start}, but the one before ends "
                f"at {end - 1}; starts count from 1, ascend, and runs are not empty."
            )
        offsets += [start - end, length]
        end = start + length
    odd = numbers[len(offsets) :]  # `decode` refuses it
    return decode(" ".join(map(str, offsets + odd)), size)


def _short(text: str) -> str:
    return repr(text if len(text) <= 40 else text[:40] + "...")
