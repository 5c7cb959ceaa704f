"""Compares logits of coarser levels with the mask, as nnU-Net does.

Isensee et al., 2021, https://www.nature.com/articles/s41592-020-01008-z: a level at 1/f
of the size is compared with every f-th pixel of the mask (PyTorch's "nearest-exact"),
and counts half as much as the level before it. A pixel that is not labelled stays
unlabelled at every level. Of sparse labels, 1 in f^2 would be left, so that images lose
their last click: `experiment/from_config` refuses them.
"""

import math
from collections.abc import Iterable, Sequence

import jax.numpy as jnp
from jaxtyping import Array, Integer

from jaxseg.errors import ConfigError
from jaxseg.types import IGNORE

# What a term may ask for and still be computed at a coarser level: all the rest has the
# size of the image.
INPUTS = ("logits", "mask", "label")


def applies(names: Iterable[str]) -> bool:
    """Whether a term that asks for `names` is computed at the coarser levels too."""
    return "logits" in names and set(names) <= set(INPUTS)


def weights(given: Sequence[float], levels: int) -> tuple[float, ...]:
    """The weight of each of `levels` levels in the loss, the finest first.

    `given` as it is, or 1, 1/2, 1/4 ... divided by their sum where it is empty. Raises
    ConfigError for another number of weights and for weights that make no loss.
    """
    chosen = tuple(given) or tuple(2.0**-i for i in range(levels))
    good = all(0 <= w < math.inf for w in chosen) and sum(chosen) > 0
    if len(chosen) != levels or not good:
        raise ConfigError(
            f"config.deep_weights is {tuple(given)}; the model has logits at {levels} "
            "levels: give one weight >= 0 for each, the finest first, not all 0, or () "
            "for halves."
        )
    return chosen if given else tuple(w / sum(chosen) for w in chosen)


def coarser(
    mask: Integer[Array, "b h w"], size: tuple[int, int]
) -> Integer[Array, "b y x"]:
    """The nearest pixel of `mask` for each pixel of a map of `size`.

    `size` is ceil(h / f), ceil(w / f) for f = 1, 2, 4 ...; a pixel of the map whose
    middle lies outside of the mask is IGNORE. Raises ConfigError for another size.
    """
    h, w = mask.shape[1:]
    factors = (2**i for i in range(max(h, w).bit_length() + 1))
    fits = [f for f in factors if (-(-h // f), -(-w // f)) == tuple(size)]
    if not fits:
        raise ConfigError(
            f"a model returned 'deep' logits of {tuple(size)} pixels for an image of "
            f"{(h, w)}: they must be of that size divided by 1, 2, 4 ..., rounded up."
        )
    f = fits[0]
    nearest = mask[:, f // 2 :: f, f // 2 :: f]
    short = [(0, n - m) for n, m in zip(size, nearest.shape[1:], strict=True)]
    return jnp.pad(nearest, ((0, 0), *short), constant_values=IGNORE)
