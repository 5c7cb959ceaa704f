"""Labels no pixel: training has only the class of the whole image (`label`).

Something must learn from that, for example the term `image_label` of the loss.
"""

import numpy as np
from jaxtyping import UInt8

from jaxseg.types import IGNORE

SPARSE = True


def label(
    mask: UInt8[np.ndarray, "h w"], *, rng: np.random.Generator
) -> UInt8[np.ndarray, "h w"]:
    """A mask without a labelled pixel."""
    return np.full_like(mask, IGNORE)
