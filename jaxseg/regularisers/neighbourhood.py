"""Learns pseudo-labels around labelled pixels, where a mean teacher agrees.

An unlabelled pixel i gets the label c = argmax of the teacher's probabilities t_i when

    t_ic > confidence, and there is a pixel j labelled c with
    |x_i - x_j| <= radius  and  |I_i - I_j| <= colour in every channel

and the loss is the cross-entropy at these pixels, classes on equal terms:

    loss = mean over classes c of  1/n_c sum_(i with pseudo-label c) (-log p_ic)

a class without any dropping out. The teacher is the average of the parameters over
training (Tarvainen and Valpola, 2017, https://arxiv.org/abs/1703.01780) and learns
nothing here. The idea of learning from the neighbourhood of a point is that of Jie et
al., A Point-Neighborhood Learning Framework for Nasal Endoscope Image Segmentation,
2024, https://arxiv.org/abs/2405.20044 ; this rule is our own, and simpler: there a disc
about the point is foreground as a whole, and pseudo-labels are scored by it.

While the teacher is unsure there are no pseudo-labels and the loss is 0: it comes in by
itself. A label cannot reach further than `radius`, so errors cannot spread either.
"""

import jax
import jax.numpy as jnp
from jaxtyping import Array, Float, Integer

from jaxseg.regularisers import _pixels


def loss(
    logits: Float[Array, "b h w k"],
    mask: Integer[Array, "b h w"],
    *,
    image: Float[Array, "b h w c"],
    teacher: Float[Array, "b h w k"],
    radius: int = 8,
    colour: float = 0.1,
    confidence: float = 0.8,
) -> Float[Array, "b"]:
    """Mean cross-entropy over the pseudo-labels of each image; 0 without any.

    `image` is in [0, 1], `teacher` holds probabilities, `radius` is in pixels. Raises
    ConfigError for a radius below 1, a negative colour, a confidence not in [0, 1).
    """
    offsets = _pixels.window(radius, disc=True)
    _pixels.in_range(0, float("inf"), colour=colour)
    _pixels.in_range(0, 1, confidence=confidence)
    logits, unlabelled = _pixels.prepare(logits, mask)
    sure = jnp.max(teacher, -1) > confidence
    wanted = jnp.where(sure & unlabelled, jnp.argmax(teacher, -1), -1)
    labels = jnp.where(unlabelled, 0, mask.astype(jnp.int32) + 1)  # 0 is no label
    own = _pixels.planes(jax.lax.stop_gradient(image))

    def visit(reached, _, neighbours):
        label, *colours = neighbours
        near = label == wanted + 1
        for theirs, ours in zip(colours, own, strict=True):
            near &= jnp.abs(theirs - ours) <= colour
        return reached | near

    start = jnp.zeros(mask.shape, bool)
    reached = _pixels.walk(visit, start, [labels, *own], offsets)
    pseudo = jnp.where(reached & (wanted >= 0), wanted, -1)
    return _mean_of_classes(logits, pseudo)


def _mean_of_classes(logits, label):
    """Cross-entropy of each image where label >= 0, the mean of the classes' means."""
    there = (label >= 0)[..., None]
    chosen = label[..., None] == jnp.arange(logits.shape[-1]).reshape(1, 1, 1, -1)
    number = jnp.sum(chosen, (1, 2), dtype=jnp.float32)
    classes = jnp.maximum(jnp.sum(number > 0, -1, keepdims=True), 1)
    share = 1 / (jnp.maximum(number, 1) * classes)
    weight = jnp.where(chosen, share[:, None, None], 0.0)
    # Zero elsewhere first: what is predicted there, finite or not, changes nothing.
    log_p = jax.nn.log_softmax(jnp.where(there, logits, 0.0))
    # A sum over the others would be 0 * -inf.
    return -jnp.sum(weight * jnp.where(chosen, log_p, 0.0), (1, 2, 3))
