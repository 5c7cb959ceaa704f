"""Builds encoder-decoder models from fast forms of pooling, resampling, convolution.

XLA compiles the usual forms of these to slow gradients, above all on CPU: on two cores
the weight gradient of a 2x2 transposed convolution is 97 times as fast as a matrix
product, a 2x2 max pool 8 times as fast by strided maximum, nearest upsampling 13 times
as fast by broadcast. Each form here equals the `lax` one, and none scatters.
"""

import functools
from collections.abc import Iterable

import flax.linen as nn
import jax
import jax.numpy as jnp
from jaxtyping import Array, Float

from jaxseg.errors import ConfigError
from jaxseg.models import _convolution, _layers

NORMS = ("batch", "group", "instance")
ACTIVATIONS = {
    "relu": nn.relu,
    # 0.01: nnU-Net's, and the default of PyTorch and Flax
    "leaky_relu": functools.partial(nn.leaky_relu, negative_slope=0.01),
}

# How the convolutions of decoders and U-Nets start; the published encoders start by
# fan-out, `_layers.he_normal`.
CONVOLUTION_STARTS = {
    # He et al., 2015, https://arxiv.org/abs/1502.01852, by fan-in: the U-Net of the
    # paper, nnU-Net, the decoders of segmentation_models_pytorch
    "he": nn.initializers.variance_scaling(2.0, "fan_in", "normal"),
    # PyTorch's default, U(+-1 / sqrt(fan-in)), as MONAI's networks start. Behind a norm
    # the size of a kernel does not change what a network says, but the steps of an
    # optimizer such as Adam, which are of one size, turn a smaller kernel further.
    "torch": nn.initializers.variance_scaling(1 / 3, "fan_in", "uniform"),
}

# How the last layer starts; its bias is 0. With "small" every class begins at nearly
# the same probability, but the logits grow only as fast as the optimizer moves the
# kernel, and behind few channels a rare class is never predicted in a short training.
CLASSIFIER_STARTS = {
    # mmsegmentation, `BaseDecodeHead`: normal of 0.01
    "small": nn.initializers.normal(0.01),
    # LeCun et al., 1998: logits of the size of the features
    "lecun": nn.initializers.variance_scaling(1.0, "fan_in", "normal"),
}


def pad_to_stride(
    image: Float[Array, "b h w c"], stride: int
) -> Float[Array, "b y x c"]:
    """`image` grown at the bottom and right, edges repeated, to multiples of `stride`.

    Repeated rather than zero: a border of another value would look like an edge.
    """
    h, w = image.shape[1:3]
    grow = ((0, 0), (0, -h % stride), (0, -w % stride), (0, 0))
    return jnp.pad(image, grow, mode="edge")


def max_pool(x: Float[Array, "b h w c"]) -> Float[Array, "b y x c"]:
    """Maximum of each 2x2 square of an even map; equal values share the gradient."""
    rows = jnp.maximum(x[:, ::2], x[:, 1::2])
    return jnp.maximum(rows[:, :, ::2], rows[:, :, 1::2])


def max_pool_3x3(x: Float[Array, "b h w c"]) -> Float[Array, "b y x c"]:
    """Maximum of 3x3 windows at stride 2 of an even map, each edge grown by a pixel."""
    low = jnp.array(-jnp.inf, x.dtype)
    x = jnp.pad(x, ((0, 0), (1, 0), (1, 0), (0, 0)), constant_values=low)
    x = jnp.maximum(jnp.maximum(x[:, :-1:2], x[:, 1::2]), x[:, 2::2])
    return jnp.maximum(jnp.maximum(x[:, :, :-1:2], x[:, :, 1::2]), x[:, :, 2::2])


def double_nearest(x: Float[Array, "b h w c"]) -> Float[Array, "b y x c"]:
    """Every pixel as a 2x2 square."""
    b, h, w, c = x.shape
    x = jnp.broadcast_to(x[:, :, None, :, None], (b, h, 2, w, 2, c))
    return x.reshape(b, 2 * h, 2 * w, c)


def double_bilinear(x: Float[Array, "b h w c"]) -> Float[Array, "b y x c"]:
    """Twice the size, bilinear between pixel centres (align_corners=False)."""
    return _double_axis(_double_axis(x, 1), 2)


def _double_axis(x, axis):
    # New pixels lie a quarter of a pixel before and after each old centre.
    n = x.shape[axis]
    part = functools.partial(jax.lax.slice_in_dim, x, axis=axis)
    before = jnp.concatenate([part(0, 1), part(0, n - 1)], axis)
    after = jnp.concatenate([part(1, n), part(n - 1, n)], axis)
    before, after = 0.75 * x + 0.25 * before, 0.75 * x + 0.25 * after
    shape = (*x.shape[:axis], 2 * n, *x.shape[axis + 1 :])
    return jnp.stack([before, after], axis + 1).reshape(shape)


DOUBLE = {"nearest": double_nearest, "bilinear": double_bilinear}


# A pixel of UpConv sees one pixel, one of DepthwiseConv one channel: their fan-in.
_PER_PIXEL = nn.initializers.variance_scaling(
    1.0, "fan_in", "normal", batch_axis=(0, 1)
)
_PER_CHANNEL = nn.initializers.variance_scaling(2.0, "fan_in", "normal")


class UpConv(nn.Module):
    """2x2 transposed convolution at stride 2: a matrix product and a reshape.

    Output pixel (2i + k, 2j + l) is x[i, j] @ kernel[k, l] + bias, as in PyTorch.
    """

    features: int
    dtype: jnp.dtype = jnp.float32

    @nn.compact
    def __call__(self, x: Float[Array, "b h w c"]) -> Float[Array, "b y x f"]:
        b, h, w, c = x.shape
        kernel = self.param("kernel", _PER_PIXEL, (2, 2, c, self.features))
        bias = self.param("bias", nn.initializers.zeros, (self.features,))
        kernel = kernel.transpose(2, 0, 1, 3).reshape(c, -1).astype(self.dtype)
        y = (x.astype(self.dtype) @ kernel).reshape(b, h, w, 2, 2, self.features)
        y = y.swapaxes(2, 3).reshape(b, 2 * h, 2 * w, self.features)
        return y + bias.astype(self.dtype)[None, None, None]


class ShrinkConv(nn.Module):
    """2x2 convolution at stride 2 of an even map: a reshape and a matrix product."""

    features: int
    use_bias: bool = True
    dtype: jnp.dtype = jnp.float32
    start: str = "he"  # of CONVOLUTION_STARTS

    @nn.compact
    def __call__(self, x: Float[Array, "b h w c"]) -> Float[Array, "b y x f"]:
        b, h, w, c = x.shape
        start = CONVOLUTION_STARTS[self.start]
        kernel = self.param("kernel", start, (2, 2, c, self.features))
        x = x.astype(self.dtype).reshape(b, h // 2, 2, w // 2, 2, c).swapaxes(2, 3)
        x = x.reshape(b, h // 2, w // 2, 4 * c)
        y = x @ kernel.reshape(4 * c, self.features).astype(self.dtype)
        if self.use_bias:
            bias = self.param("bias", nn.initializers.zeros, (self.features,))
            y = y + bias.astype(self.dtype)[None, None, None]
        return y


class DepthwiseConv(nn.Module):
    """One kernel per channel, padded as "SAME": a sum of shifted products.

    On CPU, XLA takes 10 to 50 times as long for a grouped convolution, and up to 50
    times for its gradient.
    """

    kernel: int
    stride: int = 1
    dtype: jnp.dtype = jnp.float32
    dilation: int = 1

    @nn.compact
    def __call__(self, x: Float[Array, "b h w c"]) -> Float[Array, "b y x c"]:
        (h, w, c), k, s, d = x.shape[1:], self.kernel, self.stride, self.dilation
        kernel = self.param("kernel", _PER_CHANNEL, (k, k, 1, c))
        ends = [(n - 1) // s * s + 1 for n in (h, w)]  # behind the last window's start
        reach = d * (k - 1) + 1  # pixels from the first to the last of a window
        spare = [max(e - 1 + reach - n, 0) for e, n in zip(ends, (h, w), strict=True)]
        pads = [(n // 2, n - n // 2) for n in spare]
        # float32 within: a sum of k * k terms rounded one by one would lose digits.
        x = jnp.pad(x.astype(jnp.float32), ((0, 0), *pads, (0, 0)))
        products = (
            x[:, d * i : d * i + ends[0] : s, d * j : d * j + ends[1] : s]
            * kernel[i, j][None, None]
            for i in range(k)
            for j in range(k)
        )
        return sum(products).astype(self.dtype)


def conv(
    x: Float[Array, "b h w c"],
    features: int,
    kernel: int,
    *,
    name: str,
    dtype: jnp.dtype,
    stride: int = 1,
    padding: str | tuple = "SAME",
    dilation: int = 1,
    use_bias: bool = False,
    start: nn.initializers.Initializer = _layers.he_normal,
) -> Float[Array, "b y x f"]:
    """A convolution within the caller's @nn.compact, a matrix product where it is 1x1.

    The parameters are "kernel" and perhaps "bias" of `name`; the kernel is drawn by
    `start`, the bias starts at 0.
    """
    options = dict(use_bias=use_bias, dtype=dtype, kernel_init=start)
    if kernel == 1:
        x = x[:, ::stride, ::stride] if stride > 1 else x
        return nn.Dense(features, name=name, **options)(x)
    window, strides = (kernel, kernel), (stride, stride)
    options["kernel_dilation"] = (dilation, dilation)
    options["conv_general_dilated"] = _convolution.conv
    return nn.Conv(features, window, strides, padding, name=name, **options)(x)


def normalise(
    x: Float[Array, "b h w c"], kind: str, *, train: bool, name: str
) -> Float[Array, "b h w c"]:
    """`x` normalised within the caller's @nn.compact; `kind` is one of NORMS or "none".

    "group" takes 16 channels a group (all of them where 16 does not divide), one of
    the choices of Wu and He, 2018, https://arxiv.org/abs/1803.08494. "instance" takes
    each channel of each image; it makes every map of a single pixel zero.
    """
    if kind == "none":
        return x
    if kind == "batch":
        return _layers.BatchNorm(name=name)(x, train=train)
    c = x.shape[-1]
    size = 1 if kind == "instance" else 16 if c % 16 == 0 else c
    # Two passes: the one-pass variance loses digits where the mean is large.
    options = dict(epsilon=1e-5, dtype=x.dtype, use_fast_variance=False, name=name)
    return nn.GroupNorm(None, group_size=size, **options)(x)


def classifier(
    x: Float[Array, "b h w c"], num_classes: int, *, start: str, name: str = "head"
) -> Float[Array, "b h w k"]:
    """Float32 logits of each pixel, within the caller's @nn.compact.

    `start` is one of CLASSIFIER_STARTS, which each model chooses.
    """
    kernel = CLASSIFIER_STARTS[start]
    return nn.Dense(num_classes, dtype=jnp.float32, kernel_init=kernel, name=name)(x)


def check_fields(model: nn.Module, **choices: Iterable) -> None:
    """Raises ConfigError for a `dtype`, `dropout` or named field that is no choice."""
    for name, allowed in {"dtype": ("float32", "bfloat16"), **choices}.items():
        value = getattr(model, name)
        if value not in allowed:
            listed = ", ".join(repr(choice) for choice in allowed)
            raise ConfigError(f"{name} is {value!r}: use one of {listed}.")
    if not 0.0 <= getattr(model, "dropout", 0.0) < 1.0:
        raise ConfigError(f"dropout is {model.dropout}: it must be in [0, 1).")


def at_least_one(name: str, value: int) -> int:
    """`value`; raises ConfigError unless it is 1 or more."""
    if value < 1:
        raise ConfigError(f"{name} is {value}: it must be 1 or more.")
    return value


def check_widths(name: str, widths: tuple, least: int, most: int) -> tuple[int, ...]:
    """`widths` as a tuple; raises ConfigError unless it is least to most counts."""
    widths = tuple(widths)
    if not least <= len(widths) <= most or min(widths) < 1:
        number = f"{least} to {most}" if most > least else f"{least}"
        raise ConfigError(
            f"{name} is {widths}, but must hold {number} numbers of channels, "
            "each 1 or more."
        )
    return widths
