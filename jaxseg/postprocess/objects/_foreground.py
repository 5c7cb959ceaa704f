"""Computes what the rules share: the foreground of an image and its connected parts."""

from collections.abc import Mapping

import cv2
import numpy as np
from jaxtyping import Bool, Float, Int32
from skimage import segmentation


def probability(maps: Mapping[str, np.ndarray]) -> Float[np.ndarray, "h w"]:
    """Probability of any class but the background, f32."""
    of_class = maps["probability"]
    return of_class[..., 1] if of_class.shape[-1] == 2 else 1 - of_class[..., 0]


def parts(mask: Bool[np.ndarray, "h w"]) -> Int32[np.ndarray, "h w"]:
    """The connected parts of a mask, 0 outside; pixels that share a corner connect."""
    _, labels = cv2.connectedComponents(mask.astype(np.uint8), connectivity=8)
    return labels


def grown(
    seeds: Int32[np.ndarray, "h w"],
    height: Float[np.ndarray, "h w"],
    mask: Bool[np.ndarray, "h w"],
) -> Int32[np.ndarray, "h w"]:
    """The seeds flooded over the mask, the lowest `height` first.

    A part of the mask that has no seed is an object of its own. The flood does not
    depend on the numbers of the seeds.
    """
    labels = segmentation.watershed(height, seeds, mask=mask).astype(np.int32)
    alone = mask & (labels == 0)
    if alone.any():
        labels[alone] = parts(alone)[alone] + labels.max()
    return labels
