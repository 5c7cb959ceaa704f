"""Finds the best threshold on the intensity of the image: a baseline to beat."""

import numpy as np
from jaxtyping import Int, Shaped, UInt8

from jaxseg.labels import IGNORE
from jaxseg.metrics import histograms

LEVELS = 256
RULE = (
    "first channel; 8-bit as stored, 16-bit on the range from the 0.5 to the 99.5 "
    "percentile of each image"
)


def histogram(
    image: Shaped[np.ndarray, "h w c"], mask: UInt8[np.ndarray, "h w"]
) -> Int[np.ndarray, "2 256"]:
    """Pixels at each of 256 levels, uint32, rows by truth (background, foreground).

    The first channel counts. 8-bit images keep their levels; 16-bit images are
    stretched from the 0.5 to the 99.5 percentile of their labelled pixels, so that an
    offset or a 12-bit range cannot hide the object from the baseline. IGNORE counts
    nowhere.
    """
    depth = 1 << (8 * image.dtype.itemsize)
    value, label = image[..., 0], mask
    if (mask == IGNORE).any():
        value, label = value[mask != IGNORE], label[mask != IGNORE]
    value, label = value.ravel(), label.ravel()

    def encode(part):
        return value[part] + (label[part] > 0) * np.int32(depth)

    counts, _ = histograms.count_codes(encode, value.size, 2 * depth)
    by_truth = counts.reshape(2, depth)
    if depth > LEVELS:
        level = _stretch(by_truth.sum(axis=0))
        by_truth = [np.bincount(level, row, minlength=LEVELS) for row in by_truth]
    return np.asarray(by_truth).astype(np.uint32)


def _stretch(counts: Int[np.ndarray, "depth"]) -> Int[np.ndarray, "depth"]:
    """Returns the level, 0 to 255, of each 16-bit value."""
    total = counts.sum()
    if not total:
        return np.zeros(len(counts), np.int64)
    low, high = np.searchsorted(np.cumsum(counts), [0.005 * total, 0.995 * total])
    span = np.clip(np.arange(len(counts)) - low, 0, max(high - low, 1))
    return span * (LEVELS - 1) // max(high - low, 1)


def predicted(
    levels: Int[np.ndarray, "*n 2 256"], *, threshold: int, polarity: str
) -> Int[np.ndarray, "*n 2"]:
    """Counts the pixels by truth that the rule calls foreground, int64.

    "bright" takes levels >= threshold, "dark" takes levels < threshold.
    """
    chosen = slice(threshold, None) if polarity == "bright" else slice(0, threshold)
    return levels[..., chosen].sum(axis=-1, dtype=np.int64)


def best(levels: Int[np.ndarray, "n 2 256"]) -> tuple[int, str, float | None]:
    """Threshold and polarity with the highest pooled Dice, and that Dice.

    Ties go to "bright", then to the lower threshold. The Dice is None, and the
    threshold arbitrary, when there is no foreground.
    """
    summed = levels.sum(axis=0, dtype=np.int64)
    total = summed[1].sum()
    below = np.pad(np.cumsum(summed, axis=1), ((0, 0), (1, 0)))  # [2, 257]
    counts = {"bright": below[:, -1:] - below, "dark": below}
    if not total:
        return LEVELS // 2, "bright", None
    dice = {p: 2 * c[1] / (c.sum(axis=0) + total) for p, c in counts.items()}
    polarity = max(dice, key=lambda p: dice[p].max())
    at = int(np.argmax(dice[polarity]))
    return at, polarity, float(dice[polarity][at])
