"""What one image of a folder and its mask hold, opened once."""

import hashlib
from typing import NamedTuple

import numpy as np

from jaxseg.data.datasets._folder.pairing import Item
from jaxseg.data.files import images
from jaxseg.errors import DataError
from jaxseg.types import IGNORE


class Facts(NamedTuple):
    """What one image and its mask hold; the mask's part is empty without one."""

    dtype: str
    channels: int
    digest: str  # of the pixels: the same image twice has it twice
    values: np.ndarray  # label values as stored, ascending
    pixels: np.ndarray  # with that value
    nbytes: int  # of the image


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
    if not problems and mask is not None and mask.shape != image.shape[:2]:
        turned = mask.shape == image.shape[1::-1]
        problems.append(
            f"{item.image} is {image.shape[0]} x {image.shape[1]} (height x width), "
            f"but {item.mask} is {mask.shape[0]} x {mask.shape[1]}"
            + ("; one of them is turned (by its EXIF tag?)." if turned else ".")
        )
    digest = hashlib.sha256(repr(image.shape).encode() + image.tobytes()).hexdigest()
    values, pixels = _counts(np.zeros((0, 0), np.uint8) if mask is None else mask)
    kind = str(image.dtype), image.shape[2]
    return Facts(*kind, digest, values, pixels, image.nbytes), problems


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
