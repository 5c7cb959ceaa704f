"""Replaces a part of every image of a split by one grey: an object, or all but it."""

import dataclasses
from collections.abc import Sequence

import cv2
import numpy as np
from jaxtyping import Bool, Shaped

from jaxseg.data import prepared
from jaxseg.labels import IGNORE, Example

REACH = 0.03  # of the longer side: an edge of the object is hidden with it


@dataclasses.dataclass(frozen=True, eq=False)
class Covered(prepared.Split):
    """A split whose images lack the object (`erased` pixel classes), or all but it.

    Masks and labels are those of the split.
    """

    erased: tuple[int, ...] = ()
    only: bool = False  # True: the object stays, and nothing else

    def __getitem__(self, index: int) -> Example:
        example = super().__getitem__(index)
        hidden = area(example["mask"], self.erased)
        if self.only:
            hidden = ~hidden
        return example | {"image": cover(example["image"], hidden)}


def of(split: prepared.Split, erased: Sequence[int], *, only: bool) -> Covered:
    """The split with that part of its images covered."""
    same = {f.name: getattr(split, f.name) for f in dataclasses.fields(prepared.Split)}
    return Covered(**same, erased=tuple(erased), only=only)


def area(
    mask: Shaped[np.ndarray, "h w"], erased: Sequence[int]
) -> Bool[np.ndarray, "h w"]:
    """Pixels of the classes `erased`, and those within REACH of them.

    Pixels that are not labelled may be of these classes, so they count as such.
    """
    marked = np.isin(mask, [*erased, IGNORE]).astype(np.uint8)
    reach = 2 * int(np.ceil(REACH * max(mask.shape))) + 1
    disc = cv2.getStructuringElement(cv2.MORPH_ELLIPSE, (reach, reach))
    return cv2.dilate(marked, disc) > 0


def cover(
    image: Shaped[np.ndarray, "h w c"], hidden: Bool[np.ndarray, "h w"]
) -> Shaped[np.ndarray, "h w c"]:
    """The image with its mean over what stays, by channel, in the hidden pixels.

    A mean over all of it would tell how bright the hidden part was.
    """
    out = image.copy()
    if hidden.all():
        out[:] = 0
    elif hidden.any():
        out[hidden] = np.rint(image[~hidden].mean(axis=0)).astype(image.dtype)
    return out


def usable(split: prepared.Split, erased: Sequence[int]) -> set[int]:
    """Images of which a part, and not all, is of the classes `erased`.

    Elsewhere nothing is covered, and that alone may tell the class.
    """
    marked = split.pixels[:, list(erased)].sum(axis=1)
    marked = marked + split.sizes.prod(axis=1) - split.pixels.sum(axis=1)
    there = (marked > 0) & (marked < split.sizes.prod(axis=1))
    return {int(i) for i in np.flatnonzero(there)}
