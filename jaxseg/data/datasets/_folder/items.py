"""The record of one image of a folder, before anything is read."""

import pathlib
from typing import NamedTuple


class Item(NamedTuple):
    """One image of the folder; `mask` None = without one, `split` "" = to be made."""

    id: str
    image: pathlib.Path
    mask: pathlib.Path | None
    split: str
    group: str
    instances: pathlib.Path | None = None  # object ids beside a mask without them
    label: int | None = None  # of the whole image; None = what its mask says
    # 1 shows, 0 does not, -1 unknown, of each class of images; None = nothing is told
    image_classes: tuple[int, ...] | None = None

    @property
    def is_labelled(self) -> bool:
        """Whether anything is said of what the image shows."""
        told = any(value >= 0 for value in self.image_classes or ())
        return told or self.mask is not None or self.label is not None
