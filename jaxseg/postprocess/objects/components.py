"""Takes every connected part of the foreground for an object.

Objects that touch become one: this is what the other rules are compared with.
"""

from collections.abc import Mapping

import numpy as np
from jaxtyping import Float, Int32

from jaxseg.postprocess.objects import _clean, _foreground

GRID = {"threshold": (0.2, 0.3, 0.4, 0.5, 0.6, 0.7, 0.8)}


def find(
    maps: Mapping[str, Float[np.ndarray, "h w ..."]], *, threshold: float = 0.5
) -> Int32[np.ndarray, "h w"]:
    """Numbered parts of the pixels whose foreground probability is above `threshold`.

    Pixels that share a corner are connected.
    """
    mask = _foreground.probability(maps) > np.float32(threshold)
    return _clean.numbered(_foreground.parts(mask))
