"""Computes cross-entropy that counts the gaps between objects more than the rest.

    loss = 1/n sum_i w_i (-log p_y)
    w    = w_y + w0 exp(-(d1 + d2)^2 / (2 sigma^2))   where there is no object
    w    = w_y                                       in an object

over the n labelled pixels i of one image, y the class of pixel i, d1 and d2 the
distances from the two nearest objects (Ronneberger et al., U-Net, 2015,
https://arxiv.org/abs/1505.04597). There the masks have gaps between touching cells;
here `gap` makes them: a pixel of an object less than gap + 1 from another object is
background to this loss. With 1 these are the neighbours, those that share a corner too.
"""

import math
from collections.abc import Sequence

import jax.numpy as jnp
from jaxtyping import Array, Float, Integer

from jaxseg.errors import ConfigError
from jaxseg.losses import _pixels, _two_nearest
from jaxseg.types import IGNORE


def loss(
    logits: Float[Array, "b h w k"],
    mask: Integer[Array, "b h w"],
    instances: Integer[Array, "b h w"],
    *,
    w0: float = 10.0,
    sigma: float = 5.0,
    gap: int = 1,
    class_weights: Sequence[float] | None = None,
) -> Float[Array, "b"]:
    """Mean over the labelled pixels of each image; 0 without any.

    `sigma` and `gap` are in pixels. Objects further than 3 sigma add nothing. Raises
    ConfigError for negative settings and a `sigma` of 0.
    """
    _pixels.not_negative(w0=w0, sigma=sigma, gap=gap)
    if sigma == 0:
        raise ConfigError("sigma is 0, but must be above 0 pixels.")
    classes = logits.shape[-1]
    _pixels.prepare(logits, mask)  # says which shapes do not fit
    weights, mask = weigh(mask, instances, w0=w0, sigma=sigma, gap=gap)
    logits, truth, counts = _pixels.prepare(logits, mask)
    own = jnp.float32(1)
    if class_weights is not None:
        own = _pixels.weight_map(truth, class_weights, classes)
    cost = -_pixels.log_softmax_at(logits, truth) * (own + weights)
    return _pixels.mean_labelled(cost, counts)


def weigh(
    mask: Integer[Array, "b h w"],
    instances: Integer[Array, "b h w"],
    *,
    w0: float,
    sigma: float,
    gap: int,
) -> tuple[Float[Array, "b h w"], Integer[Array, "b h w"]]:
    """(the weight of the gaps, 0 in objects; the mask with gaps between them)."""
    reach = max(math.ceil(3 * sigma), gap + 1)
    first, second = _two_nearest.distances(instances, reach)
    inside = instances != 0
    touching = inside & (second < gap + 1)
    weight = w0 * jnp.exp(-((first + second) ** 2) / (2 * sigma**2))
    weight = jnp.where(touching | ~inside, weight, 0.0)
    apart = jnp.where(touching & (mask != IGNORE), jnp.asarray(0, mask.dtype), mask)
    return weight, apart
