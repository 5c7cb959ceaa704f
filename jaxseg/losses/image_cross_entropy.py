"""Computes cross-entropy of the label of a whole image.

    one logit z:   loss = -log sigmoid(z) of a positive image, -log sigmoid(-z) else
    n logits z_c:  loss = -log softmax(z)_label

of the head of whole images that config.decision names. It is the decision loss of
SegDecNet (Bozic, Tabernik and Skocaj, 2021, https://arxiv.org/abs/2104.06064), whose
target is hard here: an image is positive where its label says so, however small a part
of it shows foreground. An image without a label costs 0 and counts in the mean of its
batch.
"""

import jax
import jax.numpy as jnp
from jaxtyping import Array, Float, Integer

from jaxseg.errors import ConfigError
from jaxseg.losses import _pixels


def loss(
    image_logits: Float[Array, "b n"],
    label: Integer[Array, "b"],
    *,
    positive_weight: float = 1.0,
) -> Float[Array, "b"]:
    """Cross-entropy of each image; 0 where `label` is -1, unknown.

    A `label` above 0 is positive where there is one logit, and the class where there
    are more; one that is no class makes the loss NaN. `positive_weight` multiplies the
    loss of images whose label is above 0. Raises ConfigError for logits of another
    shape and a weight that is negative.
    """
    _pixels.not_negative(positive_weight=positive_weight)
    if image_logits.ndim != 2 or image_logits.shape[0] != label.shape[0]:
        raise ConfigError(
            f"image_cross_entropy got image_logits {image_logits.shape} for "
            f"{label.shape[0]} labels, but needs [b, n]: let the head of whole images "
            "return a row for every image."
        )
    labelled, n = label >= 0, image_logits.shape[1]
    # First of all, so that images without a label, finite or not, change nothing.
    logits = jnp.where(labelled[:, None], image_logits.astype(jnp.float32), 0.0)
    positive = label > 0
    if n == 1:
        z = logits[:, 0]
        cost = jax.nn.softplus(jnp.where(positive, -z, z))
    else:
        chosen = label[:, None] == jnp.arange(n)[None]
        cost = -jnp.sum(jnp.where(chosen, jax.nn.log_softmax(logits), 0.0), -1)
        cost = jnp.where(label >= n, jnp.nan, cost)
    cost = jnp.where(positive, positive_weight, 1.0) * cost
    return jnp.where(labelled, cost, 0.0)
