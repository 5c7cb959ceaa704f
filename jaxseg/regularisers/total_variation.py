"""Computes total variation of the probabilities: the length of the border, softly.

    loss = 1/(h w) sum_(y, x) |p(y+1, x) - p(y, x)| + |p(y, x+1) - p(y, x)|

over all pixels of one image, labelled or not, then the mean over the classes. Rudin,
Osher and Fatemi, Nonlinear total variation based noise removal algorithms, 1992,
https://doi.org/10.1016/0167-2789(92)90242-F , in its form along the axes.

Divided by the number of pixels: a certain prediction whose border inside the image has
L sides of pixels costs L / (h w). One class everywhere costs nothing, so the weight
must stay small beside that of the labels.
"""

from collections.abc import Sequence

import jax
import jax.numpy as jnp
from jaxtyping import Array, Float, Integer

from jaxseg.errors import ConfigError
from jaxseg.regularisers import _pixels


def loss(
    logits: Float[Array, "b h w k"],
    mask: Integer[Array, "b h w"],
    *,
    classes: Sequence[int] | None = None,
) -> Float[Array, "b"]:
    """Mean over pixels of |dp/dy| + |dp/dx|, mean over `classes` (None: all but 0).

    Raises ConfigError for a class that is not there.
    """
    logits, _ = _pixels.prepare(logits, mask)
    number = logits.shape[-1]
    chosen = tuple(range(1, number) if classes is None else classes)
    if not chosen or len({*chosen} & {*range(number)}) < len(chosen):
        raise ConfigError(
            f"classes is {chosen}, but must name some of 0 to {number - 1}, each once, "
            "or be None for all but the background 0."
        )
    probability = _pixels.planes(jax.nn.softmax(logits))
    total = sum(_variation(probability[c]) for c in chosen)
    return total / (len(chosen) * mask[0].size)


def _variation(p):
    down = jnp.abs(p[:, 1:] - p[:, :-1])
    right = jnp.abs(p[:, :, 1:] - p[:, :, :-1])
    return jnp.sum(down, (1, 2)) + jnp.sum(right, (1, 2))
