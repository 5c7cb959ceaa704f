"""The gradient of 3x3 kernels by rows is that of `lax`, and used where it is faster."""

import functools
import importlib.util
import pathlib

import flax.linen as nn
import jax
import jax.numpy as jnp
import numpy as np
import pytest

from jaxseg.models import _convolution

SHAPES = [(2, 9, 7, 3, 5), (1, 64, 64, 32, 33), (3, 1, 50, 4, 4), (2, 40, 8, 70, 2)]


def _inputs(b, h, w, c, f):
    keys = jax.random.split(jax.random.key(b * h), 3)
    shapes = (b, h, w, c), (3, 3, c, f), (b, h, w, f)
    return [jax.random.normal(k, s) for k, s in zip(keys, shapes, strict=True)]


def _gradients(call, x, kernel, g):
    """Of the image and of the kernel, and the map."""
    out, back = jax.vjp(call, x, kernel)
    return [out, *back(g)]


def _exact(x, g):
    """The gradient of the kernel, a product for each place of it."""
    h, w = x.shape[1:3]
    x = np.pad(x, ((0, 0), (1, 1), (1, 1), (0, 0)))
    places = [x[:, i : i + h, j : j + w] for i in range(3) for j in range(3)]
    products = [np.tensordot(p, g, ((0, 1, 2), (0, 1, 2))) for p in places]
    return np.reshape(products, (3, 3, *products[0].shape))


@pytest.mark.parametrize("shape", SHAPES)
@pytest.mark.parametrize("block", [1, 2**14, 2**30])
def test_map_and_gradients_are_those_of_lax(monkeypatch, shape, block):
    """One row at a time, some, with and without a rest, and all at once."""
    monkeypatch.setattr(_convolution, "_BLOCK", block)
    x, kernel, g = _inputs(*shape)
    found = _gradients(_convolution.by_rows, x, kernel, g)
    wanted = _gradients(_convolution._forward, x, kernel, g)
    np.testing.assert_array_equal(found[0], wanted[0])
    np.testing.assert_array_equal(found[1], wanted[1])
    exact = _exact(np.asarray(x, np.float64), np.asarray(g, np.float64))
    error, of_lax = (np.abs(np.asarray(a[2]) - exact).max() for a in (found, wanted))
    assert error <= 2 * of_lax and error < 1e-5 * np.abs(exact).max()


@pytest.mark.parametrize(
    ("kernel", "features", "options", "by_rows"),
    [
        ((3, 3), 32, {}, True),
        ((3, 3), 32, {"padding": ((1, 1), (1, 1))}, True),
        ((3, 3), 8, {}, False),
        ((5, 5), 32, {}, False),
        ((3, 3), 32, {"strides": (2, 2)}, False),
        ((3, 3), 32, {"kernel_dilation": (2, 2)}, False),
        ((3, 3), 32, {"padding": "VALID"}, False),
        ((3, 3), 32, {"feature_group_count": 32}, False),
        ((3, 3), 32, {"dtype": jnp.bfloat16}, False),
    ],
)
def test_only_these_convolutions_take_it(
    monkeypatch, kernel, features, options, by_rows
):
    monkeypatch.setattr(jax, "device_count", lambda: 1)
    calls = []

    def noted(x, kernel):
        calls.append(x.shape)
        return _convolution._forward(x, kernel)

    monkeypatch.setattr(_convolution, "by_rows", noted)
    both = [
        nn.Conv(features, kernel, conv_general_dilated=call, **options)
        for call in (_convolution.conv, jax.lax.conv_general_dilated)
    ]
    x = jax.random.normal(jax.random.key(0), (1, 64, 64, 32))
    variables = jax.eval_shape(both[0].init, jax.random.key(1), x)
    calls.clear()
    kernels = jax.tree.map(lambda s: jnp.ones(s.shape, s.dtype) / 300, variables)
    found, wanted = (module.apply(kernels, x) for module in both)
    assert bool(calls) == by_rows
    np.testing.assert_array_equal(found, wanted)


def test_several_devices_take_lax(monkeypatch):
    """A sum over a batch that lies on several devices would be sent at every block."""
    monkeypatch.setattr(jax, "device_count", lambda: 2)
    monkeypatch.setattr(_convolution, "by_rows", None)
    x, kernel, _ = _inputs(1, 64, 64, 32, 32)
    call = functools.partial(
        _convolution.conv, dimension_numbers=("NHWC", "HWIO", "NHWC")
    )
    assert call(x, kernel, (1, 1), "SAME").shape == x.shape


def test_the_benchmark_prints_both_sides():
    root = pathlib.Path(__file__).parents[1] / "benchmarks" / "kernel_gradients.py"
    spec = importlib.util.spec_from_file_location("kernel_gradients", root)
    benchmark = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(benchmark)
    assert benchmark.row((1, 8, 4, 4), turns=2).startswith("| 1, 8, 4, 4 | ")
    assert benchmark.row((1, 8, 4, 4), turns=2).endswith(" | lax |")
    assert benchmark.row((1, 64, 32, 32), turns=1).endswith(" | rows |")
