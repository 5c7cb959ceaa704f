"""Measures how far a predicted border lies from the true one, in pixels.

Tools differ on all of this (Podobnik and Vrtovec, 2024,
https://arxiv.org/abs/2410.02630), so it is defined here, once. A border pixel is
foreground with one of its four neighbours outside; beyond the frame is outside.
Distances are Euclidean, between the centres of border pixels. HD95, HD, ASSD and
surface Dice are those of MONAI without `spacing`: percentiles are interpolated
linearly, the larger direction counts, and averages are taken over the border pixels of
both masks together. (The surface-distance package of DeepMind weights subpixel surface
elements, and medpy pools both directions before its percentile: their figures differ.)
Boundary IoU is that of Cheng et al., 2021, https://arxiv.org/abs/2103.16562.
"""

import functools

import cv2
import numpy as np
from jaxtyping import Bool, Float
from scipy import ndimage, spatial

# of one class in one image: five measures, NaN where both masks are empty; pixels
FIELDS = ("hd95", "hd", "assd", "nsd", "boundary_iou")
FIELDS += ("predicted_near", "predicted", "truth_near", "truth")
BAND = 0.02  # of the diagonal of the image: the boundary of boundary IoU
_CROSS = cv2.getStructuringElement(cv2.MORPH_CROSS, (3, 3))
_SURE = 2.0**16  # squared distances that OpenCV has exactly, once they are rounded
_DISC = 6.0  # larger tolerances go through a distance transform


def measure(
    truth: Bool[np.ndarray, "h w"],
    predicted: Bool[np.ndarray, "h w"],
    *,
    tolerance: float,
) -> Float[np.ndarray, "9"]:
    """FIELDS of one class in one image, float64.

    Of two empty masks the first five are NaN. When one is empty, an object missed or
    invented, the distances are the diagonal of the image and the others 0.
    `predicted_near` are predicted pixels within `tolerance` pixels of a truth pixel,
    `truth_near` truth pixels as near to a predicted one.
    """
    row = np.zeros(len(FIELDS))
    row[6], row[8] = np.count_nonzero(predicted), np.count_nonzero(truth)
    diagonal = float(np.hypot(*truth.shape))
    if not row[6] or not row[8]:
        row[:5] = [diagonal] * 3 + [0, 0] if row[6] or row[8] else np.nan
        return row
    band = max(1, round(BAND * diagonal))
    box = _box(truth | predicted)  # outside it there is nothing, in either mask
    truth, predicted = np.ascontiguousarray(truth[box]), predicted[box].copy()
    row[:4] = _distances(border(truth), border(predicted), tolerance)
    ours, theirs = (mask & ~_eroded(mask, band) for mask in (truth, predicted))
    row[4] = np.count_nonzero(ours & theirs) / np.count_nonzero(ours | theirs)
    row[5] = np.count_nonzero(predicted & _grown(truth, tolerance))
    row[7] = np.count_nonzero(truth & _grown(predicted, tolerance))
    return row


def border(mask: Bool[np.ndarray, "h w"]) -> Bool[np.ndarray, "h w"]:
    """Foreground pixels with a 4-neighbour outside; beyond the frame is outside."""
    inner = cv2.erode(
        mask.view(np.uint8), _CROSS, borderType=cv2.BORDER_CONSTANT, borderValue=0
    )
    return mask & (inner == 0)


def _box(mask: Bool[np.ndarray, "h w"]) -> tuple[slice, slice]:
    sides = (np.flatnonzero(mask.any(axis=axis)) for axis in (1, 0))
    return tuple(slice(side[0], side[-1] + 1) for side in sides)


def _distances(ours, theirs, tolerance: float) -> tuple[float, float, float, float]:
    """HD95, HD, ASSD and surface Dice of two borders that are not empty."""
    both = nearest(ours, theirs), nearest(theirs, ours)
    far = max(np.percentile(d, 95) for d in both)
    largest = max(d.max() for d in both)
    number = sum(map(len, both))
    mean = sum(d.sum() for d in both) / number
    near = sum(np.count_nonzero(d <= tolerance) for d in both) / number
    return float(far), float(largest), float(mean), float(near)


def nearest(
    start: Bool[np.ndarray, "h w"], goal: Bool[np.ndarray, "h w"]
) -> Float[np.ndarray, "n"]:
    """Distance of each True pixel of `start`, in order, to the nearest of `goal`.

    The square root in float64 of an exact integer, whichever way it is found. A tree of
    points is the fastest for thin borders, OpenCV's transform for dense ones: its error
    is a millionth, so that small squares can be rounded. The rest is left to SciPy.
    """
    points = np.argwhere(start), np.argwhere(goal)
    if 20 * (len(points[0]) + len(points[1])) < start.size:
        tree = spatial.cKDTree(points[1], balanced_tree=False, compact_nodes=False)
        return tree.query(points[0])[0]
    outside = (~goal).view(np.uint8)
    near = cv2.distanceTransform(outside, cv2.DIST_L2, cv2.DIST_MASK_PRECISE)[start]
    squares = np.rint(near.astype(np.float64) ** 2)
    if squares.max() <= _SURE:
        return np.sqrt(squares)
    return ndimage.distance_transform_edt(~goal)[start]


def _eroded(mask: Bool[np.ndarray, "h w"], pixels: int) -> Bool[np.ndarray, "h w"]:
    """Pixels whose chessboard distance to the outside is more than `pixels`."""
    inner = cv2.erode(
        mask.view(np.uint8),
        None,
        iterations=pixels,
        borderType=cv2.BORDER_CONSTANT,
        borderValue=0,
    )
    return inner > 0


def _grown(mask: Bool[np.ndarray, "h w"], tolerance: float) -> Bool[np.ndarray, "h w"]:
    """Pixels within `tolerance` of a True pixel of a mask that has one."""
    if tolerance > _DISC:
        return ndimage.distance_transform_edt(~mask) <= tolerance
    return cv2.dilate(mask.view(np.uint8), _disc(tolerance)) > 0


@functools.cache
def _disc(radius: float) -> np.ndarray:
    reach = np.arange(-int(radius), int(radius) + 1)
    inside = reach[:, None] ** 2 + reach[None] ** 2 <= radius**2
    return inside.astype(np.uint8)
