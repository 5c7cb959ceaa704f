"""Resizes images and masks to the size of the batch, and probabilities back again.

All resizing follows the pixel-centre convention (align_corners=False): the centre of
pixel i of n lies at (i + 0.5) / n, so nothing shifts on the way there and back.
"""

from collections.abc import Mapping
from typing import Any

import cv2
import numpy as np
from absl import logging

from jaxseg.errors import ConfigError
from jaxseg.labels import IGNORE

MODES = ("stretch", "pad")
FITS = ("auto", *MODES, "crop")  # of config.data.fit


def resolve(fit: str, card: Mapping[str, Any], *, whole: bool = False) -> str:
    """The fit for the data set of `card`; "auto" decides from the sizes it counted.

    Images of several sizes are used at native scale ("crop"): one size for all would
    bring objects to scales that differ from image to image. Images of one size are
    stretched, and so are all where training needs `whole` images, as labels of images
    do. Logs the decision and why; store what it returns.
    """
    if fit != "auto":
        return fit
    sizes = card["sizes"]
    distinct = f"{sizes['distinct']} sizes from {sizes['min']} to {sizes['max']}"
    if sizes["distinct"] == 1:
        decided, why = "stretch", f"every image is {sizes['min']}"
    elif whole:
        decided, why = "stretch", f"{distinct}, but labels are of whole images"
    else:
        decided, why = "crop", f"images of {distinct} keep their scale"
    logging.info("fit auto: %s (%s)", decided, why)
    return decided


def fit(
    image: np.ndarray, mask: np.ndarray, size: tuple[int, int], mode: str = "stretch"
) -> tuple[np.ndarray, np.ndarray]:
    """Image [h, w, c] and mask [h, w] at `size` (height, width), same dtypes.

    "stretch" resizes to `size`; "pad" keeps the aspect ratio and centres the image, the
    rest is 0 in the image and IGNORE in the mask. The image is averaged over areas
    along an axis that shrinks and interpolated linearly along one that grows. The mask
    takes the label under each new pixel centre: labels are never mixed and the share of
    each label is kept on average, but a structure thinner than the shrink factor comes
    out broken or is lost; choose a larger `size` for those. Convert 16-bit images with
    `intensity.to_levels` first, so that the padding takes no part in its percentiles.
    Raises ConfigError for another `mode` or a `size` below 1.
    """
    if image.shape[:2] != mask.shape:
        raise ValueError(f"the image is {image.shape}, but the mask is {mask.shape}.")
    top, left, height, width = box(mask.shape, size, mode)
    image, mask = _resize(image, (height, width)), _nearest(mask, (height, width))
    if (height, width) == tuple(size):
        return image, mask
    inside = np.s_[top : top + height, left : left + width]
    wide_image = np.zeros((*size, image.shape[-1]), image.dtype)
    wide_mask = np.full(tuple(size), IGNORE, mask.dtype)
    wide_image[inside], wide_mask[inside] = image, mask
    return wide_image, wide_mask


def fit_ids(
    ids: np.ndarray, size: tuple[int, int], mode: str = "stretch"
) -> np.ndarray:
    """Object ids [h, w] at `size`, scaled as `fit` does the mask; padding is 0.

    Every pixel so keeps the id that belongs to its class in the mask.
    """
    top, left, height, width = box(ids.shape, size, mode)
    ids = _nearest(ids, (height, width))
    if (height, width) == tuple(size):
        return ids
    wide = np.zeros(tuple(size), ids.dtype)
    wide[top : top + height, left : left + width] = ids
    return wide


def unfit(
    probability: np.ndarray, native: tuple[int, int], mode: str = "stretch"
) -> np.ndarray:
    """Probability f32 [h, w, k] at the `native` size (h, w) the image had before `fit`.

    The inverse geometry of `fit`: padding is cut away and the rest resized bilinearly,
    so probabilities over k still sum to 1. `probability` is [H, W, k].
    """
    top, left, height, width = box(native, probability.shape[:2], mode)
    inside = probability[top : top + height, left : left + width]
    return _each(inside.astype(np.float32, copy=False), tuple(native), cv2.INTER_LINEAR)


def box(
    native: tuple[int, int], size: tuple[int, int], mode: str
) -> tuple[int, int, int, int]:
    """Where `fit` puts a `native` image in `size`: top, left, height, width."""
    if mode not in MODES:
        raise ConfigError(f"fit mode {mode!r} is unknown; allowed are {list(MODES)}.")
    if len(size) != 2 or min(size) < 1:
        raise ConfigError(f"size must be (height, width) of at least 1, not {size}.")
    if mode == "stretch":
        return 0, 0, int(size[0]), int(size[1])
    scale = min(size[0] / native[0], size[1] / native[1])
    height, width = (
        min(max(round(n * scale), 1), s) for n, s in zip(native, size, strict=True)
    )
    return (size[0] - height) // 2, (size[1] - width) // 2, height, width


def _resize(image: np.ndarray, size: tuple[int, int]) -> np.ndarray:
    """OpenCV averages areas only where both axes shrink, so the growing ones wait."""
    smaller = min(image.shape[0], size[0]), min(image.shape[1], size[1])
    return _each(_each(image, smaller, cv2.INTER_AREA), size, cv2.INTER_LINEAR)


def _each(image: np.ndarray, size: tuple[int, int], how: int) -> np.ndarray:
    """Resized [h, w, c], four channels at a time: OpenCV averages no more at once."""
    if image.shape[:2] == size:
        return image
    parts = [
        cv2.resize(
            np.ascontiguousarray(image[..., k : k + 4]), size[::-1], interpolation=how
        ).reshape(*size, -1)
        for k in range(0, image.shape[-1], 4)
    ]
    return parts[0] if len(parts) == 1 else np.concatenate(parts, axis=-1)


def _nearest(mask: np.ndarray, size: tuple[int, int]) -> np.ndarray:
    """Integer arithmetic on purpose: OpenCV's nearest modes round some centres away."""
    if mask.shape == size:
        return mask
    rows, columns = (
        (2 * np.arange(new) + 1) * old // (2 * new)
        for old, new in zip(mask.shape, size, strict=True)
    )
    return np.ascontiguousarray(mask[rows][:, columns])
