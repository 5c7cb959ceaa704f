"""Computes cross-entropy of exclusive classes of whole images: one softmax an image.

    loss = (1 - s) w_y (-log p_y) + s/m sum_c w_c (-log p_c)

of the image of class y, with label smoothing s (Szegedy et al., 2016,
https://arxiv.org/abs/1512.00567) and class weights w as in `cross_entropy`: the sum is
divided by the number of images, not by the sum of their weights. The logits are those
of the head of whole images that config.decision names, one a class. An image whose
class is unknown costs 0 and counts in the mean of its batch.
"""

from collections.abc import Sequence

import jax
import jax.numpy as jnp
from jaxtyping import Array, Float, Integer

from jaxseg.errors import ConfigError
from jaxseg.losses import _image_classes

EXCLUSIVE = True  # what the classes must be


def loss(
    image_logits: Float[Array, "b m"],
    image_classes: Integer[Array, "b m"],
    *,
    class_weights: Sequence[float] | None = None,
    label_smoothing: float = 0.0,
) -> Float[Array, "b"]:
    """Cross-entropy of each image; 0 where no class is known to be shown.

    `image_classes` is 1 at the class of the image and 0 elsewhere, or -1 throughout.
    `class_weights` has one number a class, `label_smoothing` is in [0, 1). Raises
    ConfigError otherwise, and for logits of another shape.
    """
    _image_classes.check("image_class_cross_entropy", image_logits, image_classes)
    if not 0 <= label_smoothing < 1:
        raise ConfigError(
            f"label_smoothing is {label_smoothing!r}, but must be in [0, 1)."
        )
    classes = image_logits.shape[1]
    shown = image_classes == 1
    known = jnp.any(shown, axis=1)
    # First of all, so that images of unknown class, finite or not, change nothing.
    logits = jnp.where(known[:, None], image_logits.astype(jnp.float32), 0.0)
    each = -jax.nn.log_softmax(logits)
    if class_weights is not None:
        name = "class_weights of image_class_cross_entropy"
        each = each * _image_classes.weights(class_weights, classes, name=name)[None]
    cost = jnp.sum(jnp.where(shown, each, 0.0), axis=1)
    if label_smoothing:
        spread = jnp.mean(each, axis=1)
        cost = (1 - label_smoothing) * cost + label_smoothing * spread
    return jnp.where(known, cost, 0.0)
