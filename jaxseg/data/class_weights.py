"""Computes class weights by name, from the labelled training pixels of each class.

With n_c the labelled training pixels of class c, N their sum over the K classes:

    none       every class weighs 1
    inverse    N / (K n_c); "auto" is its older name
    sqrt       the square root of inverse
    median     median frequency balancing: median of f / f_c, where f_c is n_c divided
               by the labelled pixels of the images that show class c. Eigen and
               Fergus, 2015, https://arxiv.org/abs/1411.4734
    effective  (1 - beta) / (1 - beta^n_c), one over the effective number of samples.
               Cui et al., 2019, https://arxiv.org/abs/1901.05555

Scale: every choice is divided by its mean over the labelled pixels, sum_c n_c w_c / N,
so that the weight of an average pixel is 1 and the loss keeps the scale of the plain
one whatever the name. Inverse has that mean by itself when every class has pixels, and
is left as it is. Cui et al. scale to a mean of 1 over the classes instead.

beta = 1 - K / N. Cui et al. write beta = (V - 1) / V with V the number of samples from
which more of them add nothing, and leave V open. Pixels are far from independent, so
N itself would be too large a V and give the weights of inverse; here V = N / K, the
pixels of a class that has an equal share. A class well below that share weighs as by
inverse, and above it more pixels hardly lower the weight any further.

A cap bounds the largest weight to so many times the smallest, before the scale is set.
A class without a labelled pixel weighs 1: no pixel is there to be weighted by it.
"""

import numpy as np
from jaxtyping import Integer

from jaxseg import lookup
from jaxseg.errors import ConfigError

NAMES = ("auto", "none", "inverse", "sqrt", "median", "effective")


def check(name: str, *, cap: float, key: str) -> None:
    """Raises ConfigError for an unknown name or a cap that is none.

    `key` is the block of the config that holds both: "loss.focal".
    """
    if name not in NAMES:
        raise ConfigError(
            f"config.{key}.class_weights is {name!r}; give a number a class, such as "
            f"1,10, or a name: {lookup.hint(name, NAMES)}"
        )
    if cap and not cap >= 1:
        raise ConfigError(
            f"config.{key}.class_weight_cap is {cap:g}; give the largest allowed ratio "
            "of two weights, 1 or more, or 0 for none."
        )


def by_name(
    name: str, pixels: Integer[np.ndarray, "n k"], *, cap: float = 0.0
) -> tuple[float, ...] | None:
    """One weight a class; None for "none".

    `pixels` are the labelled pixels of each class in each training image; `cap` is the
    largest ratio of two weights, 0 = any.
    """
    counts = pixels.sum(axis=0).tolist()
    total, present = sum(counts), np.array(counts) > 0
    if name == "none" or total == 0:
        return None
    weights = _inverse(counts)
    if name in ("auto", "inverse") and not cap:
        return tuple(weights.tolist())
    if name == "sqrt":
        weights = np.sqrt(weights)
    elif name == "median":
        frequency = _frequency(pixels)
        weights = np.median(frequency[present]) / np.where(present, frequency, 1.0)
    elif name == "effective":
        weights = 1 / _effective(np.array(counts), total / len(counts))
    if cap:
        weights = np.minimum(weights, cap * weights[present].min())
    mean = np.sum(np.array(counts) * weights) / total
    return tuple(np.where(present, weights / mean, 1.0).tolist())


def _inverse(counts: list[int]) -> np.ndarray:
    """f64 [k]: N / (k n_c), and 1 for a class without pixels."""
    total = sum(counts)
    return np.array([total / (len(counts) * n) if n else 1.0 for n in counts])


def _frequency(pixels: np.ndarray) -> np.ndarray:
    """f64 [k]: the share of each class in the labelled pixels of images with it."""
    shows, area = pixels > 0, pixels.sum(axis=1, keepdims=True)
    return pixels.sum(axis=0) / np.maximum(np.sum(shows * area, axis=0), 1)


def _effective(counts: np.ndarray, volume: float) -> np.ndarray:
    """f64 [k]: (1 - beta^n) / (1 - beta), the effective number of n samples."""
    if volume <= 1:  # fewer pixels than classes: beta is 0
        return np.ones(len(counts))
    number = -volume * np.expm1(counts * np.log1p(-1 / volume))
    return np.where(counts > 0, number, 1.0)
