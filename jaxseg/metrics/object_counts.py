"""Compares numbers of objects, image by image, and the sizes of objects.

Bland and Altman, 1986, https://doi.org/10.1016/S0140-6736(86)90837-8: of the
differences predicted - true, the mean is the bias, and 95 % of them are expected within
1.96 standard deviations of it (the limits of agreement, if they are roughly normal and
do not grow with the count). R^2 stands beside it because everybody prints it: counts
that spread widely have a high one however far each is off.
"""

import math
from collections.abc import Sequence
from typing import TypedDict

import numpy as np
from jaxtyping import Float, Integer

from jaxseg.errors import DataError

Z = 1.96  # standard deviations, as Bland and Altman write it
POLICY = {
    "mae": "mean over images of |predicted - true|",
    "mean_relative_error_positives": "mean of |predicted - true| / true over images "
    "with an object in the truth, all others left out",
    "bias": "mean over images of predicted - true",
    "sd": "standard deviation of predicted - true, n - 1; n/a for fewer than 2 images",
    "low": "bias - 1.96 sd, the lower 95 % limit of agreement (Bland and Altman, 1986)",
    "high": "bias + 1.96 sd, the upper 95 % limit of agreement",
    "r2": "1 - summed (predicted - true)^2 / summed (true - mean true)^2, of the line "
    "predicted = true; n/a where all true counts are equal; may be negative",
}


class Agreement(TypedDict):
    """Agreement of predicted with true counts; None where it is undefined (POLICY)."""

    images: int
    images_positive: int  # with an object in the truth
    true_objects: int
    predicted_objects: int
    mae: float | None
    mean_relative_error_positives: float | None
    bias: float | None
    sd: float | None
    low: float | None
    high: float | None
    r2: float | None


def agreement(
    truth: Integer[np.ndarray, "n"], predicted: Integer[np.ndarray, "n"]
) -> Agreement:
    """Agreement of the predicted with the true number of objects of n images.

    Sums are whole numbers or correctly rounded: the order of the images changes no bit.
    Raises DataError for other than one count of each image.
    """
    if truth.ndim != 1 or truth.shape != predicted.shape:
        raise DataError(
            "counts are compared image by image, but there are "
            f"{list(truth.shape)} true and {list(predicted.shape)} predicted ones: "
            "give one of each per image."
        )
    true, counted = truth.tolist(), predicted.tolist()
    gaps = [p - t for t, p in zip(true, counted, strict=True)]
    n = len(gaps)
    relative = [abs(g) / t for g, t in zip(gaps, true, strict=True) if t]
    bias = sum(gaps) / n if n else None
    sd = low = high = None
    if n > 1:
        sd = math.sqrt(_spread(gaps) / (n - 1))
        low, high = bias - Z * sd, bias + Z * sd
    spread = _spread(true)
    return Agreement(
        images=n,
        images_positive=len(relative),
        true_objects=sum(true),
        predicted_objects=sum(counted),
        mae=sum(map(abs, gaps)) / n if n else None,
        mean_relative_error_positives=(
            math.fsum(relative) / len(relative) if relative else None
        ),
        bias=bias,
        sd=sd,
        low=low,
        high=high,
        r2=1 - sum(g * g for g in gaps) / spread if spread else None,
    )


def _spread(values: list[int]) -> float:
    """Sum of the squared differences to the mean, from whole numbers."""
    n = len(values)
    return (n * sum(v * v for v in values) - sum(values) ** 2) / n if n else 0.0


def size_distance(
    truth: Sequence[Float[np.ndarray, "_"]], predicted: Sequence[Float[np.ndarray, "_"]]
) -> float | None:
    """Wasserstein-1 distance of two distributions of sizes, in the unit of the sizes.

    Each is the sizes of all objects of each image (equivalent diameters, say), pooled
    over the images: an image weighs as much as its objects. It is the area between both
    cumulative distributions: how far, on average, sizes would have to be moved to turn
    one distribution into the other (Villani, 2009, Optimal Transport, chapter 6). None
    when one side has no object.
    """
    pooled = [np.sort(np.concatenate([[], *sizes])) for sizes in (truth, predicted)]
    if not all(map(len, pooled)):
        return None
    steps = np.sort(np.concatenate(pooled))
    shares = [
        np.searchsorted(side, steps[:-1], side="right") / len(side) for side in pooled
    ]
    return math.fsum(np.abs(shares[0] - shares[1]) * np.diff(steps))
