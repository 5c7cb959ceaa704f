"""Computes how far a pixel of an object is from what is not of this object.

Objects may touch: another object is as far as the background would be. What lies
outside of the frame is not known and ends no object. The squared distance is exact and
separable: along the column of a pixel, another object is as far as its row, and a row
where the object goes on is as far as that and the way along it together (Felzenszwalb
and Huttenlocher, 2012, https://doi.org/10.4086/toc.2012.v008a019). The way along a row
is the way to the ends of the run of one id, a running maximum; the columns are compared
shift by shift, and no further than the deepest pixel is deep.
"""

import functools

import jax
import jax.numpy as jnp
from jaxtyping import Array, Float, Int

Instances = Int[Array, "b h w"]


def to_other(instances: Instances, reach: int | None = None) -> Float[Array, "b h w"]:
    """Distance f32 in pixels from the nearest pixel that is not of the same object.

    It is 0 for pixels of no object, and at most `reach`; without a `reach` it is exact
    however deep an object is, and height + width where an image holds nothing else.
    """
    h, w = instances.shape[1:]
    reach = h + w if reach is None else reach
    far = jnp.int32(reach * reach)  # of squares
    inside = instances != 0
    along_row = jnp.minimum(_along_row(instances), reach) ** 2

    def apart(values):
        """step -> (the values so many rows above, those as far below)."""
        wide = jnp.pad(values, ((0, 0), (h, h), (0, 0)))
        cut = functools.partial(jax.lax.dynamic_slice_in_dim, slice_size=h, axis=1)
        return lambda step: (cut(wide, h - step), cut(wide, h + step))

    ids, ways = apart(instances), apart(along_row)
    row = jax.lax.broadcasted_iota(jnp.int32, instances.shape, 1)

    def goes_on(carry):
        step, square = carry
        deepest = jnp.max(jnp.where(inside, square, 0))
        return (step < jnp.minimum(h, reach)) & (step * step < deepest)

    def column(carry):
        step, square = carry
        frame = (row >= step, row + step < h)
        for there, other, way in zip(frame, ids(step), ways(step), strict=True):
            way = step * step + jnp.where(other == instances, way, 0)
            square = jnp.minimum(square, jnp.where(there, way, far))
        return step + 1, square

    start = (jnp.int32(1), along_row)
    _, square = jax.lax.while_loop(goes_on, column, start)
    distance = jnp.sqrt(square.astype(jnp.float32))
    return jnp.where(inside, distance, 0.0)


def _along_row(instances: Array) -> Array:
    """Steps i32 to the nearest pixel of another id in the row; h + w without one."""
    _, h, w = instances.shape
    place = jax.lax.broadcasted_iota(jnp.int32, instances.shape, 2)
    change = instances[:, :, 1:] != instances[:, :, :-1]
    none = jnp.zeros_like(instances[:, :, :1], bool)
    begins = jnp.where(jnp.concatenate([none, change], 2), place, -h - w)
    ends = jnp.where(jnp.concatenate([change, none], 2), place, 2 * (h + w))
    left = place - jax.lax.cummax(begins, axis=2) + 1
    right = jax.lax.cummin(ends, axis=2, reverse=True) - place + 1
    return jnp.minimum(jnp.minimum(left, right), h + w)


def share_of_largest(
    distance: Float[Array, "b h w"], instances: Instances
) -> Float[Array, "b h w"]:
    """The distance as a share of the largest one within its object, 0 elsewhere.

    Every object has a 1, whatever its size (StarDist's object probability: Schmidt et
    al., 2018, https://arxiv.org/abs/1806.03535). It does not depend on the ids.
    """
    largest = jax.vmap(_largest)(distance, instances)
    return jnp.where(instances != 0, distance / jnp.maximum(largest, 1e-6), 0.0)


def _largest(distance, instances):
    """The largest distance within the object of each pixel, f32 [h, w]."""
    ids = instances.ravel()
    row = jnp.searchsorted(jnp.sort(ids), ids)  # the same for pixels of one object
    largest = jax.ops.segment_max(distance.ravel(), row, num_segments=ids.size)
    return largest[row].reshape(instances.shape)
