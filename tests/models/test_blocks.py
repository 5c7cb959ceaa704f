"""Every fast form equals the `lax` one in float32, value and gradients."""

import functools

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from flax import linen as nn
from jax import lax

from jaxseg.models import _blocks

SAME = ((0, 0), (1, 1), (1, 1), (0, 0))
EXACT = functools.partial(
    lax.conv_general_dilated,
    dimension_numbers=("NHWC", "HWIO", "NHWC"),
    precision="highest",
)


def lax_max(x, window, padding):
    shape, strides = (1, window, window, 1), (1, 2, 2, 1)
    return lax.reduce_window(x, -jnp.inf, lax.max, shape, strides, padding)


def lax_double(method, x):
    b, h, w, c = x.shape
    return jax.image.resize(x, (b, 2 * h, 2 * w, c), method)


def lax_up(x, p):
    kernel = p["kernel"][::-1, ::-1]  # lax does not turn the kernel, PyTorch does
    return lax.conv_transpose(x, kernel, (2, 2), "VALID", precision="highest")


def lax_shrink(x, p):
    return EXACT(x, p["kernel"], (2, 2), "VALID")


def lax_depthwise(stride, x, p):
    c = x.shape[-1]
    return EXACT(x, p["kernel"], (stride, stride), "SAME", feature_group_count=c)


def agree(ours, theirs, *arguments):
    """Same value, and same gradient of a sum with weights that cancel nowhere."""

    def value(f, arguments):
        out = f(*arguments)
        weights = jnp.cos(jnp.arange(out.size, dtype=jnp.float32)).reshape(out.shape)
        return jnp.sum(out * weights), out

    grad = jax.jit(jax.grad(value, 1, has_aux=True), static_argnums=0)
    for a, b in zip(
        jax.tree.leaves(grad(ours, arguments)),
        jax.tree.leaves(grad(theirs, arguments)),
        strict=True,
    ):
        assert a.dtype == jnp.float32
        np.testing.assert_allclose(a, b, rtol=1e-5, atol=1e-5)


def noise(h, w, c=3):
    return jax.random.normal(jax.random.key(h * w), (2, h, w, c))


@pytest.mark.parametrize(
    "ours, theirs",
    [
        (_blocks.max_pool, lambda x: lax_max(x, 2, "VALID")),
        (_blocks.max_pool_3x3, lambda x: lax_max(x, 3, SAME)),
        (_blocks.double_nearest, functools.partial(lax_double, "nearest")),
        (_blocks.double_bilinear, functools.partial(lax_double, "bilinear")),
    ],
)
@pytest.mark.parametrize("size", [(2, 6), (8, 4)])
def test_pooling_and_upsampling_equal_lax(ours, theirs, size):
    agree(ours, theirs, noise(*size))


def test_bilinear_upsampling_of_a_single_pixel_repeats_it():
    x = noise(1, 1)
    np.testing.assert_allclose(
        _blocks.double_bilinear(x), jnp.broadcast_to(x, (2, 2, 2, 3)), rtol=1e-6
    )


@pytest.mark.parametrize(
    "layer, theirs, size",
    [
        (_blocks.UpConv(5), lax_up, (3, 2)),
        (_blocks.ShrinkConv(5, use_bias=False), lax_shrink, (4, 6)),
        (_blocks.DepthwiseConv(3), functools.partial(lax_depthwise, 1), (5, 4)),
        (_blocks.DepthwiseConv(5), functools.partial(lax_depthwise, 1), (2, 7)),
        (_blocks.DepthwiseConv(3, 2), functools.partial(lax_depthwise, 2), (6, 8)),
        (_blocks.DepthwiseConv(5, 2), functools.partial(lax_depthwise, 2), (5, 2)),
    ],
)
def test_convolutions_equal_lax(layer, theirs, size):
    x = noise(*size)
    params = layer.init(jax.random.key(0), x)["params"]
    bias = {k: v for k, v in params.items() if k == "bias"}  # zero, and lax has none
    kernel = {"kernel": params["kernel"]}
    agree(lambda x, p: layer.apply({"params": {**p, **bias}}, x), theirs, x, kernel)


@pytest.mark.parametrize("layer", [_blocks.UpConv(4), _blocks.ShrinkConv(4)])
def test_biases_are_added_to_every_pixel(layer):
    variables = layer.init(jax.random.key(0), noise(2, 2))
    bias = jnp.arange(4.0)
    variables = {"params": {**variables["params"], "bias": bias}}
    out = layer.apply(variables, jnp.zeros((1, 2, 2, 3)))
    np.testing.assert_array_equal(out, jnp.broadcast_to(bias, out.shape))


class OneByOne(nn.Module):
    stride: int

    @nn.compact
    def __call__(self, x):
        options = dict(name="conv", dtype=jnp.float32, stride=self.stride)
        return _blocks.conv(x, 4, 1, **options)


@pytest.mark.parametrize("stride", [1, 2])
def test_a_1x1_convolution_is_a_matrix_product(stride):
    x, layer = noise(5, 4), OneByOne(stride)
    params = layer.init(jax.random.key(0), x)["params"]
    agree(
        lambda x, p: layer.apply({"params": p}, x),
        lambda x, p: EXACT(x, p["conv"]["kernel"][None, None], (stride,) * 2, "SAME"),
        x,
        params,
    )


class Norm(nn.Module):
    kind: str

    @nn.compact
    def __call__(self, x):
        return _blocks.normalise(x, self.kind, train=True, name="norm")


@pytest.mark.parametrize(
    "kind, c, axes, shape",
    [
        ("batch", 5, (0, 1, 2), (2, 3, 4, 5)),
        ("instance", 5, (1, 2), (2, 3, 4, 5)),
        ("group", 5, (1, 2, 3), (2, 3, 4, 5)),  # 16 does not divide 5: one group
        ("group", 32, (1, 2, 4), (2, 3, 4, 2, 16)),
    ],
)
def test_norms_by_hand(kind, c, axes, shape):
    x = 3.0 + 2.0 * noise(3, 4, c)
    got, _ = Norm(kind).init_with_output(jax.random.key(0), x)
    parts = np.asarray(x, np.float64).reshape(shape)
    mean, var = parts.mean(axes, keepdims=True), parts.var(axes, keepdims=True)
    want = ((parts - mean) / np.sqrt(var + 1e-5)).reshape(x.shape)
    np.testing.assert_allclose(got, want, rtol=1e-4, atol=1e-5)


def test_instance_norm_is_that_of_pytorch():
    """`torch.nn.InstanceNorm2d(2, eps=1e-5, affine=True)`, by hand.

    Biased variance of each channel of each image, a scale and a shift of each channel,
    and no running statistics: the same in training and in evaluation.
    """
    x = noise(3, 4, 2).at[..., 1].multiply(1e-2)  # a variance where epsilon counts
    norm = Norm("instance")
    variables = norm.init(jax.random.key(0), x)
    assert {*variables} == {"params"}
    params = variables["params"]["norm"]
    assert {k: v.shape for k, v in params.items()} == {"scale": (2,), "bias": (2,)}
    scale, bias = np.array([2.0, -0.5]), np.array([0.25, 1.0])
    got = norm.apply({"params": {"norm": {"scale": scale, "bias": bias}}}, x)
    exact = np.asarray(x, np.float64)
    mean, var = exact.mean((1, 2), keepdims=True), exact.var((1, 2), keepdims=True)
    want = (exact - mean) / np.sqrt(var + 1e-5) * scale + bias
    np.testing.assert_allclose(got, want, rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize("start, std", [("small", 0.01), ("lecun", 1 / 8)])
def test_the_start_of_a_classifier(start, std):
    class Head(nn.Module):
        @nn.compact
        def __call__(self, x):
            return _blocks.classifier(x, 500, start=start)

    params = Head().init(jax.random.key(0), jnp.zeros((1, 1, 1, 64)))["params"]["head"]
    np.testing.assert_allclose(params["kernel"].std(), std, rtol=0.03)
    assert not params["bias"].any()


def test_padding_repeats_the_edge_and_leaves_what_fits():
    x = noise(3, 5)
    padded = _blocks.pad_to_stride(x, 4)
    assert padded.shape == (2, 4, 8, 3)
    np.testing.assert_array_equal(padded[:, :3, :5], x)
    np.testing.assert_array_equal(padded[:, 3, :5], x[:, 2])
    np.testing.assert_array_equal(padded[:, :3, 7], x[:, :, 4])
    fits = noise(4, 8)
    np.testing.assert_array_equal(_blocks.pad_to_stride(fits, 4), fits)
