"""Separates touching objects by the border that the network predicts (target border).

What is inside of an object and no border is a seed, and seeds flood the foreground
where the border is least probable first (the three classes of Caicedo et al., 2019,
https://doi.org/10.1002/cyto.a.23863).
"""

from collections.abc import Mapping

import numpy as np
from jaxtyping import Float, Int32

from jaxseg.errors import ConfigError
from jaxseg.postprocess.objects import _clean, _foreground

GRID = {
    "threshold": (0.3, 0.4, 0.5, 0.6, 0.7),
    "seed_threshold": (0.3, 0.4, 0.5, 0.6, 0.7, 0.8),
}


def find(
    maps: Mapping[str, Float[np.ndarray, "h w ..."]],
    *,
    threshold: float = 0.5,
    seed_threshold: float = 0.5,
) -> Int32[np.ndarray, "h w"]:
    """Numbered objects among the pixels whose foreground probability is high enough.

    The foreground is inside and border together, above `threshold`; seeds are where the
    inside alone is above `seed_threshold`. A part of the foreground without a seed is
    an object too: it is too small to have an inside. Raises ConfigError where the
    network predicts no border.
    """
    if "border" not in maps:
        raise ConfigError(
            "the rule border needs a network that predicts borders: train with "
            "config.target.name='border', or choose another config.objects.rule."
        )
    foreground = _foreground.probability(maps)
    mask = foreground > np.float32(threshold)
    inside = foreground - maps["border"] > np.float32(seed_threshold)
    seeds = _foreground.parts(mask & inside)
    return _clean.numbered(_foreground.grown(seeds, maps["border"], mask))
