"""Mixes the images of a batch inside jit: random erasing, CutMix and MixUp.

They come after the augmentation, and change what a label means in three ways:

    erase    a rectangle of the image becomes its mean colour; its pixels are IGNORE in
             the mask, because nobody can say what is there (Zhong et al., 2020, Random
             Erasing, https://arxiv.org/abs/1708.04896, keeps the label of the image)
    cutmix   a rectangle of image and mask comes from the example before (Yun et al.,
             2019, https://arxiv.org/abs/1905.04899; French et al., 2020, for masks,
             https://arxiv.org/abs/1906.01916)
    mixup    the images of the whole batch are blended with those of the examples
             before, and the loss is the same mean of the losses with both masks (Zhang
             et al., 2018, https://arxiv.org/abs/1710.09412)

Each setting is the probability of a change: of an example for erase and cutmix, of the
batch for mixup. What is off costs nothing. The numbers of an example depend on the key
and its position in the whole batch, so they are the same for any layout of devices.
"""

from collections.abc import Sequence
from typing import NamedTuple

import jax
import jax.numpy as jnp
from jaxtyping import Array, Bool, Float, Integer, PRNGKeyArray

from jaxseg.types import IGNORE

# of a rectangle that is erased: height / width, drawn in log, as in the paper
_ASPECT = (0.3, 1 / 0.3)
_ERASE, _CUTMIX, _MIXUP = range(3)  # part of the random numbers: append only


class Mixed(NamedTuple):
    """A batch after mixing."""

    image: Float[Array, "b h w c"]
    mask: Integer[Array, "b h w"]
    partner: Integer[Array, "b h w"] | None  # the other mask; None without mixup
    share: Float[Array, ""] | None  # of `mask` in the loss; the rest is `partner`'s


def mix(
    image: Float[Array, "b h w c"],
    mask: Integer[Array, "b h w"],
    key: PRNGKeyArray,
    *,
    erase: float = 0.0,
    erase_area: Sequence[float] = (0.02, 0.2),
    cutmix: float = 0.0,
    cutmix_alpha: float = 1.0,
    mixup: float = 0.0,
    mixup_alpha: float = 0.2,
) -> Mixed:
    """The mixed batch; `b` is the whole batch of all processes.

    `erase_area` are the smallest and largest share of the image that is erased. The
    share of the image that cutmix takes, and the weight of the blend, come from a beta
    distribution with both parameters alpha.
    """
    slots = jnp.arange(image.shape[0])
    keys = jax.vmap(jax.random.fold_in, (None, 0))(key, slots)

    if cutmix:
        inside = _boxes(keys, _CUTMIX, image.shape[1:3], cutmix, alpha=cutmix_alpha)
        image = jnp.where(inside[..., None], _before(image), image)
        mask = jnp.where(inside, _before(mask), mask)
    if erase:
        inside = _boxes(keys, _ERASE, image.shape[1:3], erase, area=erase_area)
        mean = jnp.mean(image, (1, 2), keepdims=True)
        image = jnp.where(inside[..., None], mean, image)
        mask = jnp.where(inside, jnp.asarray(IGNORE, mask.dtype), mask)
    if not mixup:
        return Mixed(image, mask, None, None)
    on, weight = jax.random.split(jax.random.fold_in(keys[0], _MIXUP))
    share = jax.random.beta(weight, mixup_alpha, mixup_alpha)
    share = jnp.maximum(share, 1 - share)  # its own mask counts at least half
    share = jnp.where(jax.random.uniform(on) < mixup, share, 1.0)
    return Mixed(
        share * image + (1 - share) * _before(image), mask, _before(mask), share
    )


def _before(x: jax.Array) -> jax.Array:
    """The example before each, the last one for the first."""
    return jnp.roll(x, 1, axis=0)


def _boxes(
    keys: jax.Array,
    operation: int,
    size: tuple[int, int],
    probability: float,
    *,
    area: Sequence[float] | None = None,
    alpha: float = 1.0,
) -> Bool[Array, "b h w"]:
    """A rectangle of each example, empty where it is not changed.

    Its share of the image is uniform in `area` with a drawn aspect ratio; or, without
    an area, beta-distributed, with the aspect ratio of the image.
    """
    height, width = size

    def one(key):
        on, share, shape, at = jax.random.split(jax.random.fold_in(key, operation), 4)
        if area is None:
            side = jnp.sqrt(jax.random.beta(share, alpha, alpha))
            h, w = height * side, width * side
        else:
            pixels = (
                height
                * width
                * jax.random.uniform(share, minval=area[0], maxval=area[1])
            )
            low, high = jnp.log(jnp.asarray(_ASPECT))
            ratio = jnp.exp(jax.random.uniform(shape, minval=low, maxval=high))
            h = jnp.minimum(jnp.sqrt(pixels * ratio), height)
            w = jnp.minimum(jnp.sqrt(pixels / ratio), width)
        place = jax.random.uniform(at, (2,))
        top, left = place[0] * (height - h), place[1] * (width - w)
        y, x = jnp.arange(height) + 0.5, jnp.arange(width) + 0.5
        rows, columns = (y >= top) & (y < top + h), (x >= left) & (x < left + w)
        changed = jax.random.uniform(on) < probability
        return changed & rows[:, None] & columns[None]

    return jax.vmap(one)(keys)
