"""Computes the gated CRF: neighbours that look alike should be predicted alike.

    loss = 1/n sum_i sum_(j near i) k_ij (1 - p_i . p_j)
    k_ij = exp(-|x_i - x_j|^2 / (2 sigma_xy^2) - |I_i - I_j|^2 / (2 sigma_rgb^2))

over the n pixels i of one image that count, j in the square of side 2 radius + 1 about
i, I the image with its channels in [0, 1]. Potts energy with one Gaussian kernel;
Obukhov et al., Gated CRF Loss for Weakly Supervised Semantic Image Segmentation, 2019,
https://arxiv.org/abs/1906.04651 . As there, the sum over the window is not divided by
its size, so it can reach the sum of the kernel, (2 radius + 1)^2 - 1 at the most.

`downsample` = f takes means over f x f pixels of the probabilities and of the image
first: f^2 fewer pairs for the same radius, which with `sigma_xy` is then in cells.

The gate: with `skip_black` pixels that are exactly 0 in every channel neither send nor
receive: augmentation leaves them outside of the frame (and its noise makes half of them
brighter than 0). Off by default, as the dark of an image is often 0 too.

The energy is quadratic in p, so its gradient, -2 sum_j k_ij p_j, is made of the sums
that the value needs: one walk over the window serves both, and nothing of the size of
the window is kept. Second derivatives are not those of the energy.
"""

import jax
import jax.numpy as jnp
from jaxtyping import Array, Float, Integer

from jaxseg.errors import ConfigError
from jaxseg.regularisers import _pixels


def loss(
    logits: Float[Array, "b h w k"],
    mask: Integer[Array, "b h w"],
    *,
    image: Float[Array, "b h w c"],
    radius: int = 5,
    sigma_rgb: float = 0.1,
    sigma_xy: float = 6.0,
    downsample: int = 1,
    skip_black: bool = False,
) -> Float[Array, "b"]:
    """Potts energy of each image, divided by its pixels (or cells) that count.

    `image` is in [0, 1]. Labelled pixels count like the others. Raises ConfigError for
    settings that are not positive.
    """
    offsets = _pixels.window(radius)
    _pixels.in_range(1e-6, float("inf"), sigma_rgb=sigma_rgb, sigma_xy=sigma_xy)
    if not isinstance(downsample, int) or downsample < 1:
        raise ConfigError(
            f"downsample is {downsample!r}, but must be a whole number >= 1."
        )
    logits, _ = _pixels.prepare(logits, mask)
    image = jax.lax.stop_gradient(image.astype(jnp.float32))
    counts = jnp.ones(mask.shape, jnp.float32)
    if skip_black:
        counts = jnp.any(image != 0, -1).astype(jnp.float32)
    probability, image, counts = _cells(
        jax.nn.softmax(logits), image, counts, downsample
    )
    messages = _messages(
        [p * counts for p in jax.lax.stop_gradient(probability)],
        image,
        offsets,
        sigma_rgb=sigma_rgb,
        sigma_xy=sigma_xy,
    )
    # sum_c m_c (1 - p_c) = sum_j k_ij (1 - p_i . p_j), as the p of a pixel add up to 1
    pairs = zip(messages, probability, strict=True)
    energy = jnp.sum(counts * sum(m * (1 - p) for m, p in pairs), (1, 2))
    # Its slope is half of the true one, which also has p_i as a neighbour of p_j.
    energy = 2 * energy - jax.lax.stop_gradient(energy)
    return energy / jnp.maximum(jnp.sum(counts, (1, 2)), 1.0)


def _messages(probability, image, offsets, *, sigma_rgb, sigma_xy):
    """sum_j k_ij p_j for every class, each [b, h, w]."""
    near, alike = -0.5 / sigma_xy**2, -0.5 / sigma_rgb**2

    def visit(sums, squared, neighbours):
        count = len(probability)
        theirs, colours = neighbours[:count], neighbours[count:]
        change = sum((a - b) ** 2 for a, b in zip(colours, image, strict=True))
        kernel = jnp.exp(near * squared + alike * change)
        return [s + kernel * p for s, p in zip(sums, theirs, strict=True)]

    start = [jnp.zeros_like(p) for p in probability]
    return _pixels.walk(visit, start, [*probability, *image], offsets)


def _cells(probability, image, counts, factor):
    """Planes of probability and image, and whether cells count, on the coarse grid."""
    probability, image = _pixels.planes(probability), _pixels.planes(image)
    if factor == 1:
        return probability, image, counts
    number = _sums(counts, factor)
    share = 1 / jnp.maximum(number, 1.0)
    probability, image = (
        [_sums(plane * counts, factor) * share for plane in part]
        for part in (probability, image)
    )
    return probability, image, (number > 0).astype(jnp.float32)


def _sums(plane, factor):
    """Sums over cells of factor x factor pixels; those at the end may be smaller."""
    batch, height, width = plane.shape
    plane = jnp.pad(plane, ((0, 0), (0, -height % factor), (0, -width % factor)))
    rows, columns = plane.shape[1] // factor, plane.shape[2] // factor
    return plane.reshape(batch, rows, factor, columns, factor).sum((2, 4))
