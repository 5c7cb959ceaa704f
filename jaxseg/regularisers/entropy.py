"""Computes entropy at the unlabelled pixels: the model is to be sure of something.

    loss = 1/n sum_i  1/log k  sum_c (-p_c log p_c)

over the n unlabelled pixels i of one image: 0 when certain, 1 when all k classes are
equally likely. Grandvalet and Bengio, Semi-supervised Learning by Entropy Minimization,
2004, https://papers.nips.cc/paper/2740-semi-supervised-learning-by-entropy-minimization

It sharpens what the labels began and knows nothing itself: with a large weight at the
start of training it makes the first prediction certain, right or wrong. Let the weight
grow.
"""

import math

import jax
import jax.numpy as jnp
from jaxtyping import Array, Float, Integer

from jaxseg.regularisers import _pixels


def loss(
    logits: Float[Array, "b h w k"],
    mask: Integer[Array, "b h w"],
) -> Float[Array, "b"]:
    """Mean entropy over the unlabelled pixels, in [0, 1]; 0 where all are labelled."""
    logits, unlabelled = _pixels.prepare(logits, mask)
    # First of all, so that labelled pixels, finite or not, change nothing.
    logits = jnp.where(unlabelled[..., None], logits, 0.0)
    log_p = jax.nn.log_softmax(logits)
    p = jnp.exp(log_p)
    each = -jnp.sum(p * jnp.where(p > 0, log_p, 0.0), -1)  # 0 log 0 = 0
    number = jnp.maximum(jnp.sum(unlabelled, (1, 2)), 1)
    mean = jnp.sum(jnp.where(unlabelled, each, 0.0), (1, 2)) / number
    return mean / math.log(logits.shape[-1])
