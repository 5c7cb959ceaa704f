"""Computes what regularisers share: checked arguments, planes of classes, walks.

Classes, and channels of the image, are handled as separate arrays [b, h, w]: on a CPU
a window over three channels is then 5 times as fast as with the channel as an axis.
"""

from collections.abc import Callable, Sequence
from typing import Any

import jax
import jax.numpy as jnp
from jaxtyping import Array, Float, Integer

from jaxseg.errors import ConfigError
from jaxseg.types import IGNORE

Logits = Float[Array, "b h w k"]
Mask = Integer[Array, "b h w"]
Offset = tuple[int, int]  # rows down, columns to the right


def prepare(logits: Logits, mask: Mask) -> tuple[Array, Array]:
    """(logits f32 [b h w k], unlabelled bool [b h w]); ConfigError for their shapes."""
    if logits.shape[:-1] != mask.shape or logits.shape[-1] < 2:
        raise ConfigError(
            f"a regulariser got logits {logits.shape} and mask {mask.shape}, but needs "
            "[b, h, w, k] with at least 2 classes and [b, h, w]: give the model "
            "num_classes >= 2, background included."
        )
    return logits.astype(jnp.float32), mask == IGNORE


def planes(array: Float[Array, "b h w n"]) -> list[Array]:
    """The n arrays [b h w] along the last axis."""
    return [array[..., i] for i in range(array.shape[-1])]


def window(radius: int, *, disc: bool = False) -> list[Offset]:
    """Offsets to all pixels within `radius`, itself left out: a square, or a disc."""
    if not isinstance(radius, int) or radius < 1:
        raise ConfigError(f"radius is {radius!r}, but must be a whole number >= 1.")
    reach = range(-radius, radius + 1)
    square = [(y, x) for y in reach for x in reach if (y, x) != (0, 0)]
    return [at for at in square if not disc or at[0] ** 2 + at[1] ** 2 <= radius**2]


def walk(
    visit: Callable[[Any, Array, list[Array]], Any],
    start: Any,
    arrays: Sequence[Array],
    offsets: Sequence[Offset],
) -> Any:
    """`start` after `visit(carry, squared distance, neighbours)` at every offset.

    `neighbours` are the arrays [b, h, w] moved so that each pixel holds the value of
    its neighbour at the offset, 0 outside of the frame. One offset after another, so
    the memory does not grow with the window. Not meant to be differentiated.
    """
    margin = max(abs(step) for at in offsets for step in at)
    border = ((0, 0), (margin, margin), (margin, margin))
    wide = [jnp.pad(array, border) for array in arrays]

    def one(carry, at):
        corner = (0, margin + at[0], margin + at[1])
        size = arrays[0].shape
        moved = [jax.lax.dynamic_slice(array, corner, size) for array in wide]
        squared = (at[0] ** 2 + at[1] ** 2).astype(jnp.float32)
        return visit(carry, squared, moved), None

    return jax.lax.scan(one, start, jnp.asarray(offsets))[0]


def in_range(low: float, high: float, **settings: float) -> None:
    """Raises ConfigError for a setting outside of [low, high)."""
    for name, value in settings.items():
        if not low <= value < high:
            raise ConfigError(
                f"{name} is {value!r}, but must be at least {low:g} and below {high:g}."
            )
