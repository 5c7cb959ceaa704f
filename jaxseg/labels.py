"""What is labelled, without JAX: the value that is no class, and one labelled image."""

from typing import NotRequired, TypedDict

import numpy as np

IGNORE = 255  # this pixel is not labelled and counts nowhere


class Example(TypedDict):
    """One image at its native size, on the host."""

    image: np.ndarray  # u8 or u16 [h, w, c], as stored
    mask: np.ndarray  # u8 [h, w], class ids
    label: int  # image-level class, -1 = not labelled
    id: str
    group: str  # the unit (patient, slide) that may not straddle two splits
    instances: NotRequired[np.ndarray]  # u16 or u32 [h, w], object ids; 0 = no object
