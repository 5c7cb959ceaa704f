"""Exact squared Euclidean distances on any device, inside jit and vmap.

Separable (Felzenszwalb and Huttenlocher, 2012, https://doi.org/10.4086/toc.2012.v008a019):
distances along the columns, then along each row the lower envelope of the parabolas
g(x')^2 + (x - x')^2. The envelope is a data-dependent walk, which suits no vector unit,
so the minimum is taken by brute force over what can still matter. Two facts bound it,
and both are exact:

- offsets |x - x'| grow, and a row is done when offset^2 + min g^2 reaches its maximum;
- x' can be nearest at an offset s or beyond only if a neighbour's g^2 is at least
  2 s - 1 larger, or that neighbour would be nearer. As soon as few columns are left,
  they are taken one by one instead of all offsets.
"""

import functools

import jax
import jax.numpy as jnp
from jax import lax
from jaxtyping import Array, Bool, Int

_ROWS = 16  # at a time on a CPU: they stay in its cache, and stop early together
_STEP = 16  # offsets or columns in one pass over the rows


@jax.jit
def squared_distance(inside: Bool[Array, "b h w"]) -> Int[Array, "b h w"]:
    """Squared distance of every pixel to the nearest True pixel of its image, int32.

    Exact integers, in pixels; 0 inside. An image without True has h^2 + w^2 everywhere,
    more than any distance in it. The two devices' ways give the same integers. Raises
    ValueError for images too large for int32 (a side of some 26,000 pixels).
    """
    b, h, w = inside.shape
    if h * h + w * w + (w + _STEP) ** 2 >= 2**31:
        raise ValueError(f"squared distances in {h} x {w} pixels overflow int32.")
    return lax.platform_dependent(inside, cpu=_in_cache, default=_at_once)


def _in_cache(inside: Bool[Array, "b h w"]) -> Int[Array, "b h w"]:
    """For CPUs: one image after the other, and chunks of its rows."""
    _, h, w = inside.shape
    far = jnp.full(w, h, jnp.int32)

    def down(above, row):
        here = jnp.where(row, 0, above + 1)
        return here, here

    def up(below, here):
        here = jnp.minimum(below + 1, here)
        return here, here

    def one(image):
        along = lax.scan(up, far, lax.scan(down, far, image)[1], reverse=True)[1]
        rows = jnp.pad(_parabolas(along), ((0, -h % _ROWS), (0, 0)))  # 0: done at once
        walk = functools.partial(_nearest, none=h * h + w * w)
        return lax.map(walk, rows.reshape(-1, _ROWS, w)).reshape(-1, w)[:h]

    return lax.map(one, inside)


def _at_once(inside: Bool[Array, "b h w"]) -> Int[Array, "b h w"]:
    """For accelerators: few large operations."""
    b, h, w = inside.shape
    y = jnp.arange(h, dtype=jnp.int32)[None, :, None]
    above = lax.cummax(jnp.where(inside, y, -h), axis=1)
    below = lax.cummin(jnp.where(inside, y, 2 * h), axis=1, reverse=True)
    parabolas = _parabolas(jnp.minimum(y - above, below - y)).reshape(b * h, w)
    return _nearest(parabolas, none=h * h + w * w).reshape(b, h, w)


def _parabolas(along: Int[Array, "*b h w"]) -> Int[Array, "*b h w"]:
    """g^2 from the distances along the columns, which are h or more in an empty one."""
    h, w = along.shape[-2:]
    return jnp.where(along < h, along * along, h * h + w * w)


def _nearest(parabolas: Int[Array, "r w"], *, none: int) -> Int[Array, "r w"]:
    """min over x' of parabolas[x'] + (x - x')^2; `none` marks an empty column."""
    w = parabolas.shape[1]
    low = parabolas.min(axis=1)
    beside = jnp.pad(parabolas, ((0, 0), (1, 1)))  # beyond the frame nothing is nearer
    reach = jnp.maximum(beside[:, 2:], beside[:, :-2]) - parabolas
    reach = jnp.where(parabolas < none, reach, 0).max(axis=0)  # [w]

    def left_over(offset, best):
        """Columns that may still be nearest to a pixel at this offset or beyond."""
        row_open = low + offset * offset < best.max(axis=1)
        return (reach >= 2 * offset - 1) & (offset < w) & row_open.any()

    def many(state):
        return left_over(*state).sum() > 2 * state[0]

    def offsets(state):
        offset, best = state
        return offset + _STEP, _shifted(parabolas, best, offset, none)

    offset, best = lax.while_loop(many, offsets, (jnp.int32(1), parabolas))
    left = left_over(offset, best)
    # behind those that are left comes column 0: taking it too does no harm
    order = jnp.nonzero(left, size=w + _STEP, fill_value=0)[0].astype(jnp.int32)

    def columns(state):
        done, best = state
        return done + _STEP, _columns(parabolas, best, order, done)

    start = (jnp.int32(0), best)
    return lax.while_loop(lambda state: state[0] < left.sum(), columns, start)[1]


def _shifted(parabolas, best, offset, none: int):
    """`best` with the columns at `offset` to `offset + _STEP - 1` on both sides."""
    r, w = parabolas.shape
    edge = w + _STEP
    wide = jnp.pad(parabolas, ((0, 0), (edge, edge)), constant_values=none)
    size = (r, w + _STEP - 1)  # one dynamic slice for all: static ones vectorise
    left = lax.dynamic_slice(wide, (0, edge - offset - _STEP + 1), size)
    right = lax.dynamic_slice(wide, (0, edge + offset), size)
    for k in range(_STEP):
        there = _STEP - 1 - k
        nearer = jnp.minimum(left[:, there : there + w], right[:, k : k + w])
        best = jnp.minimum(best, nearer + (offset + k) ** 2)
    return best


def _columns(parabolas, best, order, done):
    """`best` with the `_STEP` columns named in `order` from `done` on."""
    x = jnp.arange(parabolas.shape[1], dtype=jnp.int32)
    at = lax.dynamic_slice(order, (done,), (_STEP,))
    picked = parabolas[:, at]
    for k in range(_STEP):
        best = jnp.minimum(best, picked[:, k, None] + (x - at[k])[None] ** 2)
    return best
