"""Draws images with the outlines of their objects, coloured by what became of them."""

import numpy as np
from jaxtyping import Bool, Integer, UInt, UInt8
from skimage import segmentation

from jaxseg import pictures
from jaxseg.metrics import instances

MATCHED, MISSED, EXTRA = (0, 158, 115), (240, 228, 66), (230, 60, 20)
_IOU = 0.5


def draw(
    image: UInt[np.ndarray, "h w c"],
    truth: Integer[np.ndarray, "h w"],
    predicted: Integer[np.ndarray, "h w"],
    *,
    ignore: Bool[np.ndarray, "h w"] | None = None,
) -> UInt8[np.ndarray, "h w 3"]:
    """Draws the outlines of true and predicted objects upon the image.

    Green is a true object that is matched at an IoU of 0.5, yellow one that is missed,
    red a predicted object that matches none.
    """
    pairs = instances.intersect(truth, predicted, ignore=ignore)
    matched = instances.match(pairs, _IOU)
    right = pairs.truth.ids[pairs.truth_place[matched]]
    used = pairs.predicted.ids[pairs.predicted_place[matched]]
    out = pictures.grey_or_rgb(image)
    out = np.repeat(out[..., None], 3, axis=-1) if out.ndim == 2 else out.copy()
    parts = (
        (np.where(np.isin(predicted, used), 0, predicted), EXTRA),
        (np.where(np.isin(truth, right), 0, truth), MISSED),
        (np.where(np.isin(truth, right), truth, 0), MATCHED),
    )
    for labels, colour in parts:
        out[segmentation.find_boundaries(labels, mode="inner")] = colour
    return out
