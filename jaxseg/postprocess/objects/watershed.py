"""Separates touching objects by a watershed from the maxima of a distance map.

The map is the distance of each foreground pixel from the background, or the distance
that the network predicts where its target has one. It is smoothed by a Gaussian, and
its highest places flood the foreground, highest first (Beucher and Lantuejoul, 1979;
Vincent and Soille, 1991, https://doi.org/10.1109/34.87344).

A seed is a pixel that nothing within `min_distance` exceeds. Seeds that lie as close as
that are equally high, as on the ridge of a bar, and count as one: which of them comes
first in the image decides nothing.
"""

from collections.abc import Mapping

import cv2
import numpy as np
from jaxtyping import Bool, Float, Int32
from scipy import ndimage

from jaxseg.errors import ConfigError
from jaxseg.postprocess.objects import _clean, _foreground

GRID = {
    "threshold": (0.3, 0.4, 0.5, 0.6, 0.7),
    "sigma": (1.0, 2.0),
    "min_distance": (2, 3, 5, 8),
}


def find(
    maps: Mapping[str, Float[np.ndarray, "h w ..."]],
    *,
    threshold: float = 0.5,
    sigma: float = 1.0,
    min_distance: int = 3,
) -> Int32[np.ndarray, "h w"]:
    """Numbered objects among the pixels above `threshold`.

    `sigma` of the Gaussian and `min_distance` between seeds, along an axis, are in
    pixels. Raises ConfigError for a `min_distance` below 1 and a negative `sigma`.
    """
    if min_distance < 1 or sigma < 0:
        raise ConfigError(
            f"the rule watershed got min_distance={min_distance!r} and sigma={sigma!r};"
            " give at least 1 pixel and at least 0 pixels."
        )
    mask = _foreground.probability(maps) > np.float32(threshold)
    if "distance" in maps:
        height = np.where(mask, maps["distance"], 0)
    else:
        height = cv2.distanceTransform(
            mask.astype(np.uint8), cv2.DIST_L2, cv2.DIST_MASK_PRECISE
        )
    smooth = ndimage.gaussian_filter(height.astype(np.float64), sigma, mode="nearest")
    seeds = _seeds(smooth, mask, int(min_distance))
    return _clean.numbered(_foreground.grown(seeds, -smooth, mask))


def _seeds(
    height: Float[np.ndarray, "h w"], mask: Bool[np.ndarray, "h w"], distance: int
) -> Int32[np.ndarray, "h w"]:
    highest = ndimage.maximum_filter(height, size=2 * distance + 1, mode="nearest")
    peaks = mask & (height == highest)
    reach = np.ones((2 * (distance // 2) + 1,) * 2, np.uint8)
    joined = _foreground.parts(cv2.dilate(peaks.astype(np.uint8), reach) > 0)
    return np.where(peaks, joined, 0)
