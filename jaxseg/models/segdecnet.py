"""Segments surface defects by SegDecNet, or by SegDecNet++ with its decoder.

Bozic et al., 2021, https://arxiv.org/abs/2104.06064 (SegDecNet); Tabernik, Suc and
Skocaj, Construction and Building Materials, 2023 (SegDecNet++). Built from the tables
of layers and equal to them in numbers of parameters: no batch statistics, few layers
and a last window of 15 pixels at 1/8 of the size. The decision network is the head
`segdec` of config.decision.
"""

import flax.linen as nn
import jax
import jax.numpy as jnp
from jaxtyping import Array, Float

from jaxseg.errors import ConfigError
from jaxseg.models import _blocks, _layers
from jaxseg.models._feature_norm import SQRT_OF, FeatureNorm, NormConv, xavier_normal
from jaxseg.types import Outputs

# The smallest fields with every part at work: what the tests over all models build.
TINY = dict(
    widths=(4, 4, 6, 8),
    repeats=(1, 2, 1, 1),
    kernel=3,
    top_kernel=5,
    decoder=True,
    decoder_widths=(6, 4, 4),
    decoder_repeats=(1, 2, 1),
    skip_modules=True,
)
STRIDE = 8
MANY = 128  # channels, from which a matrix product is the faster way to double a map


class Model(nn.Module):
    """Logits of any image [b, h, w, c] at the image's size.

    `widths` are the channels at 1, 1/2, 1/4 and 1/8 of the size, `repeats` the number
    of convolutions there; their windows are `kernel` pixels wide, `top_kernel` at 1/8.
    Without `decoder` (SegDecNet) logits are computed at 1/8: "coarse_logits", of
    ceil(h / 8), ceil(w / 8) cells, cell i in the middle of what pixel 8 i is learnt
    from; "logits" are these, bilinear between the cells. With `decoder` (SegDecNet++)
    they are computed at the size of the image, by transposed convolutions and the maps
    of the encoder; `decoder_widths` and `decoder_repeats` are those at 1/4, 1/2 and 1,
    and `skip_modules` weighs the channels of what the encoder hands over.

    As published, the norm of the logits learns no shift: they have the mean 0 in every
    image, so that an image without a defect can at best be undecided in every pixel
    (a loss of ln 2). `mask_shift` learns one. `eps` and `sqrt_of` are those of the
    norm. Sizes that 8 does not divide are grown at the bottom and right, edges
    repeated. `dtype` ("float32" or "bfloat16") is that of the computation; parameters,
    statistics and logits are float32. The logit of the background is 0, the others are
    learnt.

    Raises ConfigError, when called, for fields that are no choice.
    """

    num_classes: int
    widths: tuple[int, ...] = (32, 64, 64, 1024)
    repeats: tuple[int, ...] = (1, 3, 4, 1)
    kernel: int = 5
    top_kernel: int = 15
    decoder: bool = False
    decoder_widths: tuple[int, ...] = (16, 16, 8)
    decoder_repeats: tuple[int, ...] = (1, 4, 3)
    skip_modules: bool = False
    mask_shift: bool = False
    eps: float = 1e-3
    sqrt_of: str = "std"
    dtype: str = "float32"

    @nn.compact
    def __call__(self, image: Float[Array, "b h w c"], *, train: bool) -> Outputs:
        del train
        _check(self)
        h, w = image.shape[1:3]
        x = _blocks.pad_to_stride(image, STRIDE).astype(jnp.dtype(self.dtype))
        features = Encoder(
            tuple(self.widths),
            tuple(self.repeats),
            (*(self.kernel,) * 3, self.top_kernel),
            *_style(self),
            name="encoder",
        )(x)
        if not self.decoder:
            coarse = self._logits(features[-1], 1)
            logits = enlarge(coarse)[:, :h, :w]
            return {
                "logits": logits,
                "features": features[-1],
                "coarse_logits": coarse,
            }
        decoder = Decoder(
            tuple(self.decoder_widths),
            tuple(self.decoder_repeats),
            self.kernel,
            self.skip_modules,
            *_style(self),
            name="decoder",
        )
        logits = self._logits(decoder(features), self.kernel)[:, :h, :w]
        return {"logits": logits, "features": features[-1]}

    def _logits(self, x, kernel):
        x = _blocks.conv(
            x,
            self.num_classes - 1,
            kernel,
            name="head",
            dtype=jnp.dtype(self.dtype),
            start=xavier_normal,
        )
        norm = FeatureNorm(self.eps, self.sqrt_of, self.mask_shift, name="head_norm")
        x = norm(x.astype(jnp.float32))
        return jnp.concatenate([jnp.zeros_like(x[..., :1]), x], -1)


class Encoder(nn.Module):
    """The maps at 1, 1/2, 1/4 and 1/8 of the size, the finest first."""

    widths: tuple[int, ...]
    repeats: tuple[int, ...]
    kernels: tuple[int, ...]
    eps: float
    sqrt_of: str
    dtype: jnp.dtype

    @nn.compact
    def __call__(self, x: Float[Array, "b h w c"]) -> list:
        features = []
        plan = zip(self.widths, self.repeats, self.kernels, strict=True)
        for i, (width, repeats, kernel) in enumerate(plan):
            style = (self.eps, self.sqrt_of, self.dtype)
            level = Level(width, repeats, kernel, *style, name=f"level{i + 1}")
            x = level(_blocks.max_pool(x) if i else x)
            features.append(x)
        return features


class Level(nn.Module):
    """Some convolutions, each with its norm and ReLU."""

    width: int
    repeats: int
    kernel: int
    eps: float
    sqrt_of: str
    dtype: jnp.dtype

    @nn.compact
    def __call__(self, x: Float[Array, "b h w c"]) -> Float[Array, "b h w f"]:
        style = (self.eps, self.sqrt_of, self.dtype)
        for i in range(self.repeats):
            x = NormConv(self.width, self.kernel, *style, name=f"layer{i + 1}")(x)
        return x


class Decoder(nn.Module):
    """One map at the size of the first of `features`, from all of them."""

    widths: tuple[int, ...]
    repeats: tuple[int, ...]
    kernel: int
    skip_modules: bool
    eps: float
    sqrt_of: str
    dtype: jnp.dtype

    @nn.compact
    def __call__(self, features: list) -> Float[Array, "b h w c"]:
        *skips, x = features
        plan = zip(skips[::-1], self.widths, self.repeats, strict=True)
        for i, (skip, width, repeats) in enumerate(plan, 1):
            if self.skip_modules:
                skip = Skip(self.dtype, name=f"skip{i}")(skip)
            x = Double(width, self.dtype, name=f"up{i}")(x)
            style = (self.eps, self.sqrt_of, self.dtype)
            level = Level(width, repeats, self.kernel, *style, name=f"level{i}")
            x = level(jnp.concatenate([x, skip], -1))
        return x


class Double(nn.Module):
    """5x5 transposed convolution at stride 2, cut to twice the size, with a bias.

    Pixel i adds x[i] @ kernel[k] to pixel 2 i + k - 2 of the result; what falls outside
    is cut off. The usual form has a slow gradient on a CPU, so many channels take a
    matrix product and 25 shifted sums (11 times as fast from 1024 to 16 channels), few
    take four small convolutions, one for each place in a 2x2 square (5 times as fast
    from 8 to 8).
    """

    features: int
    dtype: jnp.dtype

    @nn.compact
    def __call__(self, x: Float[Array, "b h w c"]) -> Float[Array, "b y x f"]:
        f, c = self.features, x.shape[-1]
        kernel = self.param("kernel", xavier_normal, (5, 5, c, f))
        bias = self.param("bias", nn.initializers.zeros, (f,))
        double = double_by_product if c >= MANY else double_by_places
        y = double(x.astype(self.dtype), kernel.astype(self.dtype))
        return y + bias.astype(self.dtype)[None, None, None]


def double_by_product(
    x: Float[Array, "b h w c"], kernel: Float[Array, "5 5 c f"]
) -> Float[Array, "b y x f"]:
    """The transposed convolution of `Double`, for many channels."""
    (b, h, w, c), f = x.shape, kernel.shape[-1]
    y = x @ kernel.transpose(2, 0, 1, 3).reshape(c, -1)
    y = y.reshape(b, h, w, 5, 5, f)
    return _spread(_spread(y, 1, 3), 2, 3)


def _spread(y, axis, taps):
    """Adds the five taps of axis `taps` to their places, twice as many as in `axis`."""
    size = y.shape[axis]
    pads = [(1, 1) if i == axis else (0, 0) for i in range(y.ndim)]
    y = jnp.pad(y, pads)

    def at(tap, shift):  # the value of the tap `shift` places before each one
        part = jax.lax.index_in_dim(y, tap, taps, keepdims=False)
        return jax.lax.slice_in_dim(part, 1 - shift, 1 - shift + size, axis=axis)

    # place 2 m + p takes tap p + 2 - 2 j of value m + j
    even = at(0, -1) + at(2, 0) + at(4, 1)
    odd = at(1, -1) + at(3, 0)
    shape = (*even.shape[:axis], 2 * size, *even.shape[axis + 1 :])
    return jnp.stack([even, odd], axis + 1).reshape(shape)


def double_by_places(
    x: Float[Array, "b h w c"], kernel: Float[Array, "5 5 c f"]
) -> Float[Array, "b y x f"]:
    """The transposed convolution of `Double`, for few channels."""
    b, h, w, _ = x.shape
    x = jnp.pad(x, ((0, 0), (1, 1), (1, 1), (0, 0)))

    def place(row, column):  # even places see taps 4, 2, 0 of three pixels, odd 3, 1
        part = kernel[row : 5 - row : 2, column : 5 - column : 2][::-1, ::-1]
        dimensions = ("NHWC", "HWIO", "NHWC")
        return jax.lax.conv_general_dilated(
            x[:, row:, column:], part, (1, 1), "VALID", dimension_numbers=dimensions
        )

    rows = [jnp.stack([place(row, 0), place(row, 1)], 3) for row in (0, 1)]
    return jnp.stack(rows, 2).reshape(b, 2 * h, 2 * w, kernel.shape[-1])


class Skip(nn.Module):
    """A 1x1 convolution of the map, each channel times what the whole map says of it.

    Squeeze and excitation (Hu et al., 2018, https://arxiv.org/abs/1709.01507) without a
    bottleneck. Every map has a module of its own.
    """

    dtype: jnp.dtype

    @nn.compact
    def __call__(self, x: Float[Array, "b h w c"]) -> Float[Array, "b h w c"]:
        c, options = x.shape[-1], dict(kernel_init=xavier_normal)
        whole = jnp.mean(x.astype(jnp.float32), (1, 2), keepdims=True)
        whole = nn.relu(nn.Dense(c, name="squeeze", **options)(whole))
        share = nn.sigmoid(nn.Dense(c, name="excite", **options)(whole))
        options |= dict(use_bias=False, dtype=self.dtype)
        return nn.Dense(c, name="conv", **options)(x) * share.astype(self.dtype)


def enlarge(cells: Float[Array, "b y x k"]) -> Float[Array, "b h w k"]:
    """Eight times as large, bilinear, with cell i at pixel 8 i, the last one repeated.

    There the windows lie whose soft labels `coarse_cross_entropy` compares it with.
    """
    place = [jnp.arange(STRIDE * n) / STRIDE for n in cells.shape[1:3]]
    rows, columns = (
        jnp.maximum(
            0.0, 1 - jnp.abs(jnp.minimum(p, n - 1)[:, None] - jnp.arange(n)[None])
        )
        for p, n in zip(place, cells.shape[1:3], strict=True)
    )
    return _layers.separable(cells, rows, columns)


def _style(model: Model) -> tuple:
    return model.eps, model.sqrt_of, jnp.dtype(model.dtype)


def _check(model: Model) -> None:
    _blocks.check_fields(model, sqrt_of=SQRT_OF)
    for name, number in {"widths": 4, "repeats": 4}.items():
        _blocks.check_widths(name, getattr(model, name), number, number)
    for name in ("decoder_widths", "decoder_repeats"):
        _blocks.check_widths(name, getattr(model, name), 3, 3)
    for name in ("kernel", "top_kernel"):
        value = getattr(model, name)
        if value < 1 or value % 2 == 0:
            raise ConfigError(f"{name} is {value}: give an odd number of pixels.")
    if model.eps <= 0:
        raise ConfigError(f"eps is {model.eps}: it must be above 0.")
