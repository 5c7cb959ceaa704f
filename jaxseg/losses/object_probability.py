"""Compares the predicted object probability with how deep a pixel lies in its object.

    loss = 1/n sum_i [H(t, p) - H(t, t)],  H(t, p) = -t log p - (1 - t) log(1 - p)

over the n labelled pixels i of one image, t the true depth from 0 to 1. Binary cross-
entropy, as StarDist learns it (Schmidt et al., 2018, https://arxiv.org/abs/1806.03535),
less that of the truth with itself: the gradient is the same, and what is right costs
nothing.
"""

import jax
import jax.numpy as jnp
from jaxtyping import Array, Float, Integer

from jaxseg.losses import _pixels


def loss(
    object_logits: Float[Array, "b h w"],
    true_distance: Float[Array, "b h w"],
    mask: Integer[Array, "b h w"],
) -> Float[Array, "b"]:
    """Mean over the labelled pixels of each image; 0 without any."""
    labelled = _pixels.labelled(mask)
    logits = jnp.where(labelled, object_logits.astype(jnp.float32), 0.0)
    t = true_distance
    cost = -t * jax.nn.log_sigmoid(logits) - (1 - t) * jax.nn.log_sigmoid(-logits)
    least = -jax.scipy.special.xlogy(t, t) - jax.scipy.special.xlog1py(1 - t, -t)
    return _pixels.mean_labelled(cost - least, labelled.astype(jnp.float32))
