"""Computes cross-entropy over sparse labels (clicks, scribbles), classes alike.

    balance="class":   loss = mean over classes c of  1/n_c sum_(i of c) (-log p_c)
    balance="pixels":  loss = 1/n sum_i (-log p_y)

over the n labelled pixels i of one image, n_c of them of class c; a class without any
drops out of the mean. The plain mean is that of Bearman et al., What's the Point, 2016,
https://arxiv.org/abs/1506.02106

The plain mean takes the share of clicks for the prior of the class: after 50 positive
and 10 negative clicks an image, a pixel that looks like neither has the probability
50/60, a logit of ln 5 = 1.61 that no pixel asked for. The mean of means has no such
prior, whatever the clicks. "pixels" is there to show the difference, and equals
cross_entropy without its settings.
"""

import jax.numpy as jnp
from jaxtyping import Array, Float, Integer

from jaxseg.errors import ConfigError
from jaxseg.losses import _pixels

_BALANCES = ("class", "pixels")


def loss(
    logits: Float[Array, "b h w k"],
    mask: Integer[Array, "b h w"],
    *,
    balance: str = "class",
) -> Float[Array, "b"]:
    """Mean cross-entropy over the labelled pixels of each image; 0 without any.

    `balance` says of what: "class", the mean of the means of the classes, or "pixels".
    Raises ConfigError for another.
    """
    if balance not in _BALANCES:
        raise ConfigError(f"balance is {balance!r}: choose one of {[*_BALANCES]}.")
    logits, truth, counts = _pixels.prepare(logits, mask)
    cost = -_pixels.log_softmax_at(logits, truth)
    if balance == "pixels":
        return _pixels.mean_labelled(cost, counts)
    right = _pixels.is_class(truth, range(logits.shape[-1]))
    number = jnp.sum(right, (1, 2), dtype=jnp.float32)  # [b, k]
    classes = jnp.maximum(jnp.sum(number > 0, -1, keepdims=True), 1)
    share = 1 / (jnp.maximum(number, 1) * classes)
    # A weight for each pixel, so that the NaN of a value that is no class stays.
    weight = jnp.sum(jnp.where(right, share[:, None, None], 0.0), -1)
    return jnp.sum(weight * cost * counts, (1, 2))
