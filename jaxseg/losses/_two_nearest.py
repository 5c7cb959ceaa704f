"""Computes how far the nearest object is from each pixel, and the second nearest.

Exact up to `reach`, in two passes of shifted comparisons. Each pass keeps the two
nearest different objects: whatever is among the two nearest of the image is among the
two nearest of its row, for the others of that row are closer still.
"""

import jax
import jax.numpy as jnp
from jaxtyping import Array, Float, Integer


def distances(
    instances: Integer[Array, "b h w"], reach: int
) -> tuple[Float[Array, "b h w"], Float[Array, "b h w"]]:
    """Distances f32 in pixels from the two nearest objects, inf beyond `reach`.

    A pixel of an object is at 0 from it.
    """
    far = jnp.full(instances.shape, jnp.iinfo(jnp.int32).max)
    nobody = (far, jnp.zeros_like(instances)) * 2

    def along_row(step, found):
        ids = _moved(instances, reach, step, 2)
        square = jnp.where(ids != 0, (step - reach) ** 2, far)
        return _insert(found, square, ids)

    row = jax.lax.fori_loop(0, 2 * reach + 1, along_row, nobody)

    def along_column(step, found):
        d1, i1, d2, i2 = (_moved(part, reach, step, 1) for part in row)
        for d, i in ((d1, i1), (d2, i2)):
            square = jnp.where((i != 0) & (d < far), d + (step - reach) ** 2, far)
            found = _insert(found, square, i)
        return found

    found = jax.lax.fori_loop(0, 2 * reach + 1, along_column, nobody)
    first, _, second, _ = found

    def length(square):
        distance = jnp.sqrt(square.astype(jnp.float32))
        return jnp.where(square <= reach * reach, distance, jnp.inf)

    return length(first), length(second)


def _insert(found, square, ids):
    """The two nearest of three, of different objects."""
    d1, i1, d2, i2 = found
    same, nearer, second = ids == i1, square < d1, square < d2
    first = nearer & ~same
    return (
        jnp.where(nearer, square, d1),
        jnp.where(nearer, ids, i1),
        jnp.where(first, d1, jnp.where(second & ~same, square, d2)),
        jnp.where(first, i1, jnp.where(second & ~same, ids, i2)),
    )


def _moved(values: Array, reach: int, step: Array, axis: int) -> Array:
    """The value step - reach pixels further along the axis, 0 outside."""
    pads = [(reach, reach) if i == axis else (0, 0) for i in range(values.ndim)]
    padded = jnp.pad(values, pads)  # outside of the loop, once compiled
    return jax.lax.dynamic_slice_in_dim(padded, step, values.shape[axis], axis)
