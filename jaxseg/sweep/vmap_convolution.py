"""Convolves many members with one call each, where vmap would group them.

A convolution whose kernel is vmapped becomes a grouped one. On a CPU that is slow: a
training step of 9 small U-Nets took 6 times as long as 9 steps of one. Unrolled, each
member keeps the fast kernel, and everything else stays vectorised.
"""

import functools
from collections.abc import Callable
from typing import Any

import flax.linen as nn
import jax
import jax.numpy as jnp


def in_training(call: Callable, args: tuple, kwargs: dict, context: Any) -> Any:
    """For `nn.intercept_methods`: every `nn.Conv` on a CPU convolves with `conv`."""
    module = context.module
    if jax.default_backend() == "cpu" and isinstance(module, nn.Conv):
        object.__setattr__(module, "conv_general_dilated", conv)
    return call(*args, **kwargs)


def conv(lhs, rhs, window_strides, padding, **options):
    """`lax.conv_general_dilated`; where kernels are vmapped, one call for each."""
    if not isinstance(padding, str):
        padding = tuple(map(tuple, padding))
    options |= {"window_strides": tuple(window_strides), "padding": padding}
    frozen = tuple(
        (name, tuple(value) if isinstance(value, list) else value)
        for name, value in sorted(options.items())
        if value is not None
    )
    return _differentiable(frozen, lhs.shape, rhs.shape)(lhs, rhs)


@functools.cache
def _differentiable(options: tuple, lhs_shape: tuple, rhs_shape: tuple) -> Callable:
    """conv(lhs, rhs) with its own gradients, because custom_vmap has none."""
    plain = functools.partial(_plain, **dict(options))

    def to_lhs(g, rhs):
        shape = jax.ShapeDtypeStruct(lhs_shape, g.dtype)
        return jax.linear_transpose(lambda lhs: plain(lhs, rhs), shape)(g)[0]

    def to_rhs(g, lhs):
        shape = jax.ShapeDtypeStruct(rhs_shape, g.dtype)
        return jax.linear_transpose(lambda rhs: plain(lhs, rhs), shape)(g)[0]

    forward, to_lhs, to_rhs = map(_each, (plain, to_lhs, to_rhs))
    fn = jax.custom_vjp(forward)
    fn.defvjp(
        lambda lhs, rhs: (forward(lhs, rhs), (lhs, rhs)),
        lambda kept, g: (to_lhs(g, kept[1]), to_rhs(g, kept[0])),
    )
    return fn


def _plain(lhs, rhs, **options):
    return jax.lax.conv_general_dilated(lhs, rhs, **options)


def _each(fn: Callable) -> Callable:
    """`fn` of two arrays; under vmap one call a member."""
    wrapped = jax.custom_batching.custom_vmap(fn)

    @wrapped.def_vmap
    def rule(size, batched, *arrays):
        pairs = list(zip(arrays, batched, strict=True))
        members = [
            wrapped(*(x[i] if own else x for x, own in pairs)) for i in range(size)
        ]
        return jnp.stack(members), True

    return wrapped
