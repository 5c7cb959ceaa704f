"""Computes what losses of defects share: thicker labels, and more weight inside them.

Annotations of thin or blurred defects are uncertain at their borders. The label is
first dilated by a maximum over k x k pixels; then each pixel of the foreground weighs

    W = w_max (D / D_max)^p,   W = 1 on the background,

D the exact Euclidean distance to the background and D_max the largest one in the image
(Bozic, Tabernik and Skocaj, 2021, https://arxiv.org/abs/2104.06064), or in the object.
What is not labelled is no background, just as what lies outside of the frame.
"""

import functools

import jax
import jax.numpy as jnp
from jaxtyping import Array, Bool, Float, Integer

from jaxseg import distances
from jaxseg.errors import ConfigError
from jaxseg.losses import _pixels
from jaxseg.types import IGNORE

Mask = Integer[Array, "b h w"]


def check(w_max: float, power: float, dilate: int) -> None:
    """Raises ConfigError for settings that are negative, or a window of even size."""
    _pixels.not_negative(w_max=w_max, power=power)
    if not isinstance(dilate, int) or dilate < 1 or dilate % 2 == 0:
        raise ConfigError(
            f"dilate is {dilate!r}, but must be an odd number of pixels, 1 for labels "
            "as they are: an even window would move them."
        )


def dilated(mask: Mask, size: int) -> Mask:
    """i32 [b h w]: the highest class id within size x size pixels around each.

    What is not labelled stays so, and its neighbours do not see it.
    """
    truth = mask.astype(jnp.int32)
    if size == 1:
        return truth
    grown = jnp.where(truth == IGNORE, 0, truth)
    for window in ((1, size, 1), (1, 1, size)):
        grown = jax.lax.reduce_window(
            grown, jnp.int32(0), jax.lax.max, window, (1, 1, 1), "SAME"
        )
    return jnp.where(truth == IGNORE, IGNORE, grown)


def weights(
    mask: Mask, *, w_max: float, power: float, per_object: bool
) -> Float[Array, "b h w"]:
    """W of each pixel; all of the foreground weighs `w_max` where `power` is 0."""
    truth = mask.astype(jnp.int32)
    foreground = (truth > 0) & (truth != IGNORE)
    if power == 0:
        return jnp.where(foreground, jnp.float32(w_max), 1.0)
    distance = distances.to_other((truth != 0).astype(jnp.int32))
    distance = jnp.where(foreground, distance, 0.0)
    if per_object:
        largest = largest_of_object(distance, foreground)
    else:
        largest = jnp.max(distance, (1, 2), keepdims=True)
    share = distance / jnp.maximum(largest, 1.0)  # a foreground pixel is 1 deep or more
    return jnp.where(foreground, w_max * share**power, 1.0)


def largest_of_object(
    values: Float[Array, "b h w"], inside: Bool[Array, "b h w"]
) -> Float[Array, "b h w"]:
    """The largest of `values`, none negative, in the object of each pixel; 0 outside.

    Objects are connected along sides or corners. The largest value spreads to the
    neighbours and along whole runs of rows and columns, until nothing changes.
    """
    values = jnp.where(inside, values, 0.0)

    def spread(carry):
        before, _ = carry
        low = jnp.float32(-jnp.inf)
        around = (1, 3, 3)
        after = jax.lax.reduce_window(
            before, low, jax.lax.max, around, (1, 1, 1), "SAME"
        )
        after = jnp.where(inside, after, 0.0)
        for axis in (1, 2):
            for reverse in (False, True):
                after = _along_runs(after, ~inside, axis, reverse)
        return after, jnp.any(after != before)

    return jax.lax.while_loop(lambda carry: carry[1], spread, (values, True))[0]


def _along_runs(values, ends, axis, reverse):
    """The largest value from where a run begins up to each pixel; `ends` end runs."""

    def join(left, right):
        value = jnp.where(right[1], right[0], jnp.maximum(left[0], right[0]))
        return value, left[1] | right[1]

    scan = functools.partial(jax.lax.associative_scan, axis=axis, reverse=reverse)
    return scan(join, (values, ends))[0]
