"""Computes cross-entropy of classes of whole images of which several may be shown.

    loss = 1/m sum_c known_c (-v_c t_c log s_c - (1 - t_c) log(1 - s_c))

with s_c = sigmoid(z_c) the probability of class c alone, t_c whether the image shows
it, and known_c whether that is known. The logits are those of the head of whole images
that config.decision names, one a class. The divisor is m whatever is known, so that an
answer weighs the same beside others and alone.
"""

from collections.abc import Sequence

import jax
import jax.numpy as jnp
from jaxtyping import Array, Float, Integer

from jaxseg.losses import _image_classes

EXCLUSIVE = False  # what the classes may not be


def loss(
    image_logits: Float[Array, "b m"],
    image_classes: Integer[Array, "b m"],
    *,
    positive_weights: Sequence[float] | None = None,
) -> Float[Array, "b"]:
    """Binary cross-entropy of each image, summed over its known classes, over m.

    `image_classes` is 1 where an image shows a class, 0 where it does not and -1 where
    that is unknown, which costs nothing. `positive_weights` v has one number a class:
    times the cost of images that show it. Raises ConfigError otherwise, and for logits
    of another shape.
    """
    name = "image_class_binary_cross_entropy"
    _image_classes.check(name, image_logits, image_classes)
    known, shown = image_classes >= 0, image_classes > 0
    # First of all, so that unknown answers, finite or not, change nothing.
    logits = jnp.where(known, image_logits.astype(jnp.float32), 0.0)
    cost = jax.nn.softplus(jnp.where(shown, -logits, logits))
    if positive_weights is not None:
        classes, key = image_logits.shape[1], f"positive_weights of {name}"
        weights = _image_classes.weights(positive_weights, classes, name=key)
        cost = cost * jnp.where(shown, weights[None], 1.0)
    return jnp.mean(jnp.where(known, cost, 0.0), axis=1)
