"""Turns object ids into label maps of a batch, and masks into ids where none exist."""

import cv2
import numpy as np
from jaxtyping import Int, Int32, UInt, UInt8

from jaxseg.labels import IGNORE, Example

# of pixels that belong to one object where a mask alone is known
CONNECTIVITY = "8-connectivity"
STAND_IN = (
    f"connected components of the mask ({CONNECTIVITY}): touching objects count as one"
)


def of_example(example: Example) -> UInt[np.ndarray, "h w"] | Int32[np.ndarray, "h w"]:
    """The object ids of an example: those it has, else the components of its mask."""
    if "instances" in example:
        return example["instances"]
    return components(example["mask"])


def components(mask: UInt8[np.ndarray, "h w"]) -> Int32[np.ndarray, "h w"]:
    """Ids 1..n of the connected components of each class above 0; 0 elsewhere.

    Pixels that touch at a corner belong together (8-connectivity), those of different
    classes do not. Unlabelled pixels (IGNORE) are of no object. Touching objects of one
    class come out as one: a mask alone does not say where one ends.
    """
    out = np.zeros(mask.shape, np.int32)
    total = 0
    for value in np.flatnonzero(np.bincount(mask.ravel(), minlength=256)):
        if value in (0, IGNORE):
            continue
        inside = (mask == value).astype(np.uint8)
        count, labels = cv2.connectedComponents(inside, connectivity=8)
        out = np.where(inside, labels + total, out)
        total += count - 1
    return out


def relabelled(
    ids: UInt[np.ndarray, "h w"] | Int[np.ndarray, "h w"],
) -> Int32[np.ndarray, "h w"]:
    """The ids as 1..n in their own order, 0 stays 0: so 32 bits always hold them."""
    if ids.dtype.itemsize > 2:
        values, places = np.unique(ids, return_inverse=True)
        first = int(not len(values) or values[0] != 0)
        return (places.reshape(ids.shape) + first).astype(np.int32)
    there = np.zeros(2**16, bool)  # several times faster than sorting
    there[ids.ravel()] = True
    there[0] = False
    return there.cumsum(dtype=np.int32)[ids] * (ids > 0)
