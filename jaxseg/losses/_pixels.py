"""Computes what losses share: which pixels count, log softmax, class weights, overlap.

Every loss casts logits to float32 and sets those of IGNORE pixels to zero before
anything else, so such pixels, finite or not, change neither the value nor a gradient.
A mask value that is neither a class nor IGNORE makes its image's loss NaN: values
cannot raise inside jit, and NaN stops training where a made-up number would not.
"""

from collections.abc import Sequence

import jax
import jax.numpy as jnp
from jaxtyping import Array, Float, Integer

from jaxseg.errors import ConfigError
from jaxseg.types import IGNORE

Logits = Float[Array, "b h w k"]
Mask = Integer[Array, "b h w"]


def prepare(logits: Logits, mask: Mask) -> tuple[Array, Array, Array]:
    """(logits f32 [b h w k], class ids i32 [b h w], counts [b h w]).

    `counts` is 1 where labelled, 0 at IGNORE, NaN at a value that is no class.
    """
    if logits.shape[:-1] != mask.shape or logits.shape[-1] < 2:
        raise ConfigError(
            f"a loss got logits {logits.shape} and mask {mask.shape}, but needs "
            "[b, h, w, k] with at least 2 classes and [b, h, w]: give the model "
            "num_classes >= 2, background included."
        )
    truth = mask.astype(jnp.int32)
    labelled = truth != IGNORE
    valid = (truth >= 0) & (truth < logits.shape[-1])
    counts = jnp.where(valid, 1.0, jnp.where(labelled, jnp.nan, 0.0))
    logits = jnp.where(labelled[..., None], logits.astype(jnp.float32), 0.0)
    return logits, truth, counts


def labelled(mask: Mask) -> Array:
    """bool [b h w]: whether a pixel counts, in a loss of no logits of classes."""
    return mask.astype(jnp.int32) != IGNORE


def is_class(truth: Array, classes: Sequence[int]) -> Array:
    """bool [b h w len(classes)]: whether a pixel is of each class."""
    return truth[..., None] == jnp.asarray(classes).reshape((1,) * truth.ndim + (-1,))


def log_softmax_at(logits: Array, truth: Array) -> Array:
    """Log probability of the true class, f32 [b h w]."""
    shifted = logits - jax.lax.stop_gradient(logits.max(-1, keepdims=True))
    chosen = is_class(truth, range(logits.shape[-1]))
    # Compare and sum, not a gather: its gradient is a scatter, twice as slow on CPU.
    picked = jnp.sum(jnp.where(chosen, shifted, 0.0), -1)
    return picked - jnp.log(jnp.sum(jnp.exp(shifted), -1))


def weights_of(class_weights: Sequence[float], num_classes: int) -> Array:
    """f32 [k]; raises ConfigError unless there are k finite weights, none negative."""
    good = all(0 <= w < float("inf") for w in class_weights)
    if len(class_weights) != num_classes or not good:
        raise ConfigError(
            f"class_weights is {tuple(class_weights)}, but the model has "
            f"{num_classes} classes: give one finite weight >= 0 for each."
        )
    return jnp.asarray(class_weights, jnp.float32)


def weight_map(truth: Array, class_weights: Sequence[float], num_classes: int) -> Array:
    """The weight of each pixel's class, f32 [b h w]; 0 where it has none."""
    weights = weights_of(class_weights, num_classes).reshape(1, 1, 1, -1)
    return jnp.sum(jnp.where(is_class(truth, range(num_classes)), weights, 0.0), -1)


def mean_labelled(values: Array, counts: Array) -> Array:
    """Sum over the labelled pixels divided by their number, [b]; 0 without any."""
    return jnp.sum(values * counts, (1, 2)) / jnp.maximum(jnp.sum(counts, (1, 2)), 1.0)


def foreground(classes: Sequence[int] | None, num_classes: int) -> tuple[int, ...]:
    """`classes`, or all but 0; raises ConfigError for a class the model has not."""
    chosen = tuple(range(1, num_classes) if classes is None else classes)
    if (
        not chosen
        or len(set(chosen)) < len(chosen)
        or set(chosen) - {*range(num_classes)}
    ):
        raise ConfigError(
            f"classes is {chosen}, but must name some of 0 to {num_classes - 1}, "
            "each once, or be None for all but the background 0."
        )
    return chosen


def not_negative(**settings: float) -> None:
    """Raises ConfigError for a setting that is negative or not finite."""
    for name, value in settings.items():
        if not 0 <= value < float("inf"):
            raise ConfigError(f"{name} is {value!r}, but must be finite and >= 0.")


def overlap(
    logits: Logits, mask: Mask, classes: Sequence[int] | None
) -> tuple[Array, Array, Array]:
    """Sums over the labelled pixels of p y, p and y, each f32 [b, len(classes)]."""
    logits, truth, counts = prepare(logits, mask)
    chosen = jnp.asarray(foreground(classes, logits.shape[-1]))
    probability = jax.nn.softmax(logits) * counts[..., None]
    right = is_class(truth, range(logits.shape[-1]))
    both = jnp.sum(jnp.where(right, probability, 0.0), (1, 2))
    present = jnp.sum(right * counts[..., None], (1, 2))
    sums = both, jnp.sum(probability, (1, 2)), present
    # Chosen last, among a few sums: among pixels the gradient would be a scatter.
    return tuple(part[:, chosen] for part in sums)


def ratio(top: Array, bottom: Array) -> Array:
    """top / bottom, and 1 where both are 0: no object, and none predicted."""
    nothing = bottom == 0  # false for NaN, which must stay
    return jnp.where(nothing, 1.0, top / jnp.where(nothing, 1.0, bottom))


def mean_classes(cost: Array, present: Array, absent_weight: float) -> Array:
    """Mean over the classes, a class without a pixel counting `absent_weight`."""
    return jnp.mean(jnp.where(present == 0, absent_weight, 1.0) * cost, -1)
