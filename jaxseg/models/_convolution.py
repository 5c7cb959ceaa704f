"""Convolves as `lax` does, with a faster gradient of 3x3 kernels on a CPU.

XLA computes the gradient of a kernel as one convolution whose window is the whole map,
at a third of the speed of the forward pass and less. Here the map is taken a few rows
at a time: the nine shifted copies of these rows, side by side, times the gradient of
the same rows is one matrix product, small enough for the caches. The sums are the same,
in another order. Figures: tests/benchmarks/README.md, "Gradients of 3x3 kernels".

On a GPU, over several devices, and for small maps and few channels it is `lax` alone.
"""

import functools
from collections.abc import Callable

import jax
import jax.numpy as jnp
from jaxtyping import Array, Float

# floats of the copies of a block of rows: 2 MiB, which the caches of a core hold
_BLOCK = 2**19
# fewer channels than this give products too thin to be fast, as measured
_LEAST_CHANNELS = 32
_LEAST_PIXELS = 2**12  # of all images of the batch


def conv(lhs: Array, rhs: Array, window_strides, padding, **options) -> Array:
    """`lax.conv_general_dilated`, for `nn.Conv(conv_general_dilated=...)`."""
    plain = functools.partial(
        jax.lax.conv_general_dilated,
        window_strides=window_strides,
        padding=padding,
        **options,
    )
    if not _is_same_3x3(lhs, rhs, window_strides, padding, options):
        return plain(lhs, rhs)
    if jax.default_backend() != "cpu" or jax.device_count() > 1:
        return plain(lhs, rhs)
    if not is_faster(lhs.shape, rhs.shape):
        return plain(lhs, rhs)
    return by_rows(lhs, rhs)


def _is_same_3x3(lhs, rhs, strides, padding, options) -> bool:
    """Whether it is a 3x3 convolution in float32 that keeps the size of the map."""
    dilations = (options.get("lhs_dilation"), options.get("rhs_dilation"))
    same = padding == "SAME" or [tuple(side) for side in padding] == [(1, 1), (1, 1)]
    return (
        lhs.ndim == 4
        and rhs.shape[:2] == (3, 3)
        and tuple(strides) == (1, 1)
        and same
        and all(d is None or tuple(d) == (1, 1) for d in dilations)
        and options.get("feature_group_count", 1) == 1
        and lhs.dtype == rhs.dtype == jnp.float32
    )


def is_faster(lhs: tuple[int, ...], rhs: tuple[int, ...]) -> bool:
    """Whether the gradient by rows is the faster one for these shapes, as measured."""
    enough = min(rhs[2:]) >= _LEAST_CHANNELS
    return enough and lhs[0] * lhs[1] * lhs[2] >= _LEAST_PIXELS


@jax.custom_vjp
def by_rows(
    x: Float[Array, "b h w c"], kernel: Float[Array, "3 3 c f"]
) -> Float[Array, "b h w f"]:
    """The 3x3 convolution whose gradient of `kernel` is `kernel_gradient`."""
    return _forward(x, kernel)


def _forward(x, kernel):
    dimensions = ("NHWC", "HWIO", "NHWC")
    return jax.lax.conv_general_dilated(
        x, kernel, (1, 1), "SAME", dimension_numbers=dimensions
    )


def _kept(x, kernel):
    return _forward(x, kernel), (x, kernel)


def _back(kept, g):
    x, kernel = kept
    (to_x,) = jax.linear_transpose(lambda a: _forward(a, kernel), x)(g)
    return to_x, kernel_gradient(x, g)


by_rows.defvjp(_kept, _back)


def kernel_gradient(
    x: Float[Array, "b h w c"], g: Float[Array, "b h w f"]
) -> Float[Array, "3 3 c f"]:
    """Sums the gradient of a 3x3 kernel, from the map it saw and that of its answer."""
    b, h, w, c = x.shape
    rows = max(1, min(h, _BLOCK // (9 * b * w * c)))
    padded = jnp.pad(x, ((0, 0), (1, 1), (1, 1), (0, 0)))
    product = _product(padded, g, rows)
    total = jnp.zeros((9 * c, g.shape[-1]), g.dtype)
    whole = h // rows
    if whole > 1:
        total, _ = jax.lax.scan(
            lambda sum_, k: (sum_ + product(k * rows), None), total, jnp.arange(whole)
        )
    else:
        total += product(0)
    if left := h % rows:
        total += _product(padded, g, left)(h - left)
    return total.reshape(3, 3, c, -1)


def _product(padded, g, rows: int) -> Callable:
    """start -> the share in the gradient of that many rows from there on."""
    b, _, w, f = g.shape
    c = padded.shape[-1]

    def product(start):
        near = jax.lax.dynamic_slice(padded, (0, start, 0, 0), (b, rows + 2, w + 2, c))
        shifted = [near[:, i : i + rows, j : j + w] for i in range(3) for j in range(3)]
        of_rows = jax.lax.dynamic_slice(g, (0, start, 0, 0), (b, rows, w, f))
        return jnp.einsum("byxk,byxf->kf", jnp.concatenate(shifted, -1), of_rows)

    return product
