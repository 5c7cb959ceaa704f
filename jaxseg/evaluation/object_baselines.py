"""Finds objects without a model: what a model that counts has to beat.

A threshold of each image and a watershed are what a microscopist tries first. They are
pure functions from an image to a label map, so they are scored as a model's objects
are. Their settings are chosen on validation from `GRID` and then frozen.
"""

import numpy as np
from jaxtyping import Bool, Float, Int32, UInt
from scipy import ndimage
from skimage import feature, filters, segmentation

from jaxseg.errors import ConfigError
from jaxseg.postprocess import objects

GRID = {"polarity": ("bright", "dark"), "min_distance": (2, 3, 5, 8, 12)}
POLARITIES = ("auto", *GRID["polarity"])
DETAIL = (
    "channels averaged, smoothed, threshold of each image by Otsu (1979), holes "
    "filled, watershed from the maxima of the distance to the background"
)


def all_foreground(image: UInt[np.ndarray, "h w c"]) -> Int32[np.ndarray, "h w"]:
    """The label map of one object that fills the image."""
    return np.ones(image.shape[:2], np.int32)


def otsu_watershed(
    image: UInt[np.ndarray, "h w c"],
    *,
    polarity: str = "auto",
    min_distance: int = 3,
    sigma: float = 1.0,
    fill_holes: bool = True,
    min_area: int = 0,
) -> Int32[np.ndarray, "h w"]:
    """Objects 1..n by threshold and watershed, in the order of their first pixels.

    The channels of the image, u8 or u16, are averaged and smoothed by a Gaussian of
    `sigma` pixels. A threshold for each image (Otsu, 1979,
    https://doi.org/10.1109/TSMC.1979.4310076) divides it; `polarity` says whether
    objects are "bright" or "dark", and "auto" that they are the side with fewer pixels.
    Objects that enclose background are filled, as rims of transparent beads are, and
    divided at the valleys between maxima of the distance to the background that lie at
    least `min_distance` pixels apart; those below `min_area` pixels are dropped. An
    image that is the same everywhere has no objects. Raises ConfigError for another
    polarity, a `min_distance` below 1 and a negative `sigma`.
    """
    if polarity not in POLARITIES or min_distance < 1 or sigma < 0:
        raise ConfigError(
            f"otsu_watershed got polarity={polarity!r}, min_distance={min_distance!r} "
            f"and sigma={sigma!r}; polarity is one of {[*POLARITIES]}, the others are "
            "at least 1 and 0 pixels."
        )
    grey = ndimage.gaussian_filter(image.mean(-1, dtype=np.float64), sigma)
    inside = _divided(grey, polarity)
    if fill_holes:
        inside = ndimage.binary_fill_holes(inside)
    if not inside.any():
        return np.zeros(inside.shape, np.int32)
    # background surrounds the image: an object at its border is cut there
    distance = ndimage.distance_transform_edt(np.pad(inside, 1))[1:-1, 1:-1]
    smooth = ndimage.gaussian_filter(distance, sigma)
    peaks = feature.peak_local_max(
        smooth,
        min_distance=min_distance,
        labels=ndimage.label(inside, np.ones((3, 3)))[0],
        exclude_border=False,
    )
    seeds = np.zeros(inside.shape, np.int32)
    seeds[tuple(peaks.T)] = np.arange(1, len(peaks) + 1)
    labels = segmentation.watershed(-smooth, seeds, mask=inside)
    return objects.without_small(labels.astype(np.int32), min_area)


def _divided(grey: Float[np.ndarray, "h w"], polarity: str) -> Bool[np.ndarray, "h w"]:
    """The pixels on the side of Otsu's threshold where the objects are."""
    if grey.min() == grey.max():
        return np.zeros(grey.shape, bool)
    bright = grey > filters.threshold_otsu(grey)
    if polarity == "auto":
        polarity = "bright" if bright.mean() <= 0.5 else "dark"
    return bright if polarity == "bright" else ~bright
