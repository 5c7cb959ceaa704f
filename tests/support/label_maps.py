"""Drawn label maps, and what is true of them, computed pixel by pixel."""

import math

import numpy as np
from scipy import ndimage


def discs(shape, circles) -> np.ndarray:
    """Label map i32 of discs (y, x, radius); where two overlap, the nearer middle."""
    y, x = np.mgrid[: shape[0], : shape[1]]
    squares = np.array([(y - cy) ** 2 + (x - cx) ** 2 for cy, cx, _ in circles])
    radii = np.array([r for *_, r in circles])[:, None, None]
    score = np.where(squares <= radii**2, squares, np.inf)
    return np.where(np.isfinite(score.min(0)), 1 + score.argmin(0), 0).astype(np.int32)


def stars(shape, rows) -> np.ndarray:
    """Label map i32 of stars (y, x, radius, points, depth), the last on top."""
    y, x = np.mgrid[: shape[0], : shape[1]]
    out = np.zeros(shape, np.int32)
    for i, (cy, cx, radius, points, depth) in enumerate(rows, 1):
        angle = np.arctan2(y - cy, x - cx)
        edge = radius * (1 + depth * np.cos(points * angle))
        out[np.hypot(y - cy, x - cx) <= edge] = i
    return out


def distance(labels) -> np.ndarray:
    """Distance f64 of each pixel of an object from what is not of it; 0 elsewhere.

    What is outside of the map is not counted; an object that fills it has inf.
    """
    out = np.zeros(labels.shape)
    for i in np.unique(labels[labels > 0]):
        own = labels == i
        far = ndimage.distance_transform_edt(own) if not own.all() else np.inf
        out = np.where(own, far, out)
    return out


def rays(labels, n: int, reach: int = 10**6) -> np.ndarray:
    """Steps f64 [h, w, n] along each ray to the border of the object; 0 elsewhere.

    As `star_dist` of stardist: steps of one pixel, and the border half a pixel before
    the middle of the first pixel that is not of the object, along the longer axis.
    """
    height, width = labels.shape
    y, x = np.argwhere(labels > 0).T
    own = labels[y, x]
    out = np.zeros((*labels.shape, n))
    for k in range(n):
        down, right = math.sin(2 * math.pi * k / n), math.cos(2 * math.pi * k / n)
        length = np.full(len(y), np.nan)
        for step in range(1, min(reach, height + width) + 1):
            i = np.rint(y + step * down).astype(int)
            j = np.rint(x + step * right).astype(int)
            inside = (i >= 0) & (i < height) & (j >= 0) & (j < width)
            i, j = i.clip(0, height - 1), j.clip(0, width - 1)
            left = ~inside | (labels[i, j] != own)
            half = 0.5 / max(abs(down), abs(right))
            length[left & np.isnan(length)] = step - 1 + half
        out[y, x, k] = np.where(np.isnan(length), reach, length)
    return out


def foreground(labels, *, blur: float = 0.0) -> np.ndarray:
    """Probabilities f32 [h, w, 2] of a network that is sure of the foreground."""
    p = ndimage.gaussian_filter((labels > 0).astype(np.float32), blur)
    return np.stack([1 - p, p], -1).astype(np.float32)


def matched(a, b) -> np.ndarray:
    """The highest intersection over union of each object of `a` with one of `b`."""
    out = []
    for i in range(1, a.max() + 1):
        own = a == i
        others = [b == j for j in np.unique(b[own]) if j]
        shares = [(own & o).sum() / (own | o).sum() for o in others]
        out.append(max(shares, default=0.0))
    return np.array(out)
