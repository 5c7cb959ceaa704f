"""Histograms, curves and calibration of every class against the rest, for k > 2.

The probability of a class is a score for "this class" against "any other", so each
class has the exact curves and the calibration of a two-class problem. The histograms
are pooled over all images and take 3 MB a class; above MOST_CLASSES none are kept.
"""

from collections.abc import Sequence
from typing import Any

import numpy as np
from jaxtyping import Float, Int, UInt8

from jaxseg.metrics import calibration, curves, histograms

MOST_CLASSES = 32  # 100 MB of histograms
_SIDES = 2 * histograms.BINS


def nothing(k: int, *, kept: bool) -> tuple[np.ndarray, np.ndarray]:
    """(pooled i64 [k, 2, bins], only_value i32 [k, bins]) of no pixel.

    `bins` is 0 where no histograms are kept.
    """
    bins = histograms.BINS if kept and k <= MOST_CLASSES else 0
    return np.zeros((k, 2, bins), np.int64), np.full(
        (k, bins), histograms.EMPTY, np.int32
    )


def count(
    probability: Float[np.ndarray, "n k"],
    label: UInt8[np.ndarray, "n"],
    *,
    kept: bool,
) -> tuple[Int[np.ndarray, "k 2 bins"], Int[np.ndarray, "k bins"]]:
    """(pooled, only_value) of the labelled pixels of one image, as in `Tally`.

    Rows of a class by truth: any other class, this class.
    """
    k = probability.shape[1]
    pooled, only_value = nothing(k, kept=kept)
    if not pooled.size:
        return pooled, only_value
    for c in range(k):
        score = np.ascontiguousarray(probability[:, c], np.float32)

        def encode(part: slice, score=score, c=c) -> np.ndarray:
            return histograms.bins(score[part]) + (label[part] == c) * np.int32(
                histograms.BINS
            )

        counts, codes = histograms.count_codes(encode, label.size, _SIDES)
        pooled[c] = counts.reshape(2, histograms.BINS)
        values = histograms.only_values(score, codes, counts).reshape(2, -1)
        only_value[c] = histograms.join_only_values(*values)
    return pooled, only_value


def pixel_curves(
    pooled: Int[np.ndarray, "k 2 bins"],
    only_value: Int[np.ndarray, "k bins"],
    classes: Sequence[str],
) -> list[dict[str, Any]]:
    """{"class", ...the fields of `curves.pixel_curve`} of each foreground class.

    They are in the order of class ids; [] where no histograms were kept.
    """
    if not pooled.shape[-1]:
        return []
    out = []
    for c in range(1, len(classes)):
        curve = curves.pixel_curve(pooled[c], only_value[c])
        curve["support_pixels"] = curve.pop("support")
        out.append({"class": classes[c]} | curve)
    return out


def reliability(
    pooled: Int[np.ndarray, "k 2 bins"],
    only_value: Int[np.ndarray, "k bins"],
    classes: Sequence[str],
) -> list[dict[str, Any]]:
    """{"class", "pixel": `calibration.figures`} of each foreground class, in order."""
    out = []
    for c in range(1, len(classes)):
        cells = calibration.pixel_cells(pooled[c], only_value[c])
        figures = calibration.figures(cells) | {"variant": VARIANT}
        out.append({"class": classes[c], "pixel": figures})
    return out


VARIANT = calibration.VARIANT.replace("foreground", "the class")
