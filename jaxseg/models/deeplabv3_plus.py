"""Segments by DeepLabV3+ with a ResNet encoder.

Chen et al., 2018, https://arxiv.org/abs/1802.02611: the last stages of the encoder are
dilated instead of shrunk, atrous spatial pyramid pooling looks at several distances,
and a small decoder adds the finer map at 1/4 of the size. Equal to `DeepLabV3Plus` of
segmentation_models_pytorch (https://github.com/qubvel-org/segmentation_models.pytorch),
whose upsampling holds the corners of a map in place (align_corners=True).
"""

import flax.linen as nn
import jax
import jax.numpy as jnp
from jaxtyping import Array, Float

from jaxseg.errors import ConfigError
from jaxseg.models import _blocks, _layers, _resnet, _unet
from jaxseg.types import Outputs

# The smallest fields with every part at work: what the tests over all models build.
TINY = dict(depth=18, width=4, decoder_width=8, low_width=4, dropout=0.1)


class Model(nn.Module):
    """Logits of any image [b, h, w, c] at the image's size.

    `depth` is 18, 34, 50 or 101; `width` the channels of the encoder's first map, 64 in
    published networks. `output_stride` is how much smaller the last map of the encoder
    is, 16 or 8; `rates` are the dilations of the pyramid pooling, in its pixels.
    `decoder_width` are the channels of pooling and decoder, `low_width` those that the
    map at 1/4 is brought to, `dropout` that behind the pooling. `dtype` ("float32" or
    "bfloat16") is that of the computation.

    One branch of the pooling is the mean of the whole image: a tile of an image is
    judged by the mean of the tile. Training with dropout needs the random stream
    "dropout". Raises ConfigError, when called, for fields that are no choice.
    """

    num_classes: int
    depth: int = 50
    width: int = 64
    output_stride: int = 16
    rates: tuple[int, ...] = (12, 24, 36)
    decoder_width: int = 256
    low_width: int = 48
    dropout: float = 0.5
    dtype: str = "float32"

    @nn.compact
    def __call__(self, image: Float[Array, "b h w c"], *, train: bool) -> Outputs:
        _blocks.check_fields(self, depth=tuple(_resnet.BLOCKS), output_stride=(16, 8))
        rates = tuple(self.rates)
        if not rates or min(rates) < 1:
            raise ConfigError(f"rates is {rates}: give dilations of 1 or more.")
        dtype = jnp.dtype(self.dtype)
        encoder = _resnet.ResNet(
            _resnet.BLOCKS[self.depth],
            bottleneck=self.depth >= 50,
            width=_blocks.at_least_one("width", self.width),
            dilated=1 if self.output_stride == 16 else 2,
            dtype=dtype,
            name="encoder",
        )
        width = _blocks.at_least_one("decoder_width", self.decoder_width)
        low_width = _blocks.at_least_one("low_width", self.low_width)
        x = _blocks.pad_to_stride(image, 16).astype(dtype)
        maps = encoder(x, train=train)
        pooling = Pooling(width, rates, self.dropout, dtype, name="pooling")
        x = pooling(maps[-1], train=train)
        x = _separable(x, width, 1, dtype, name="pooled", train=train)
        x = _enlarge(x, maps[1].shape[1:3])
        low = _pointwise(maps[1], low_width, dtype, name="low", train=train)
        x = jnp.concatenate([x, low], -1)
        x = _separable(x, width, 1, dtype, name="fused", train=train)
        logits = _blocks.classifier(x, self.num_classes, start=_unet.HEAD_START)
        logits = _enlarge(logits, (4 * x.shape[1], 4 * x.shape[2]))
        logits = logits[:, : image.shape[1], : image.shape[2]]
        return {"logits": logits, "features": maps[-1]}


class Pooling(nn.Module):
    """Atrous spatial pyramid pooling: each pixel, its surroundings, and the whole."""

    features: int
    rates: tuple[int, ...]
    dropout: float
    dtype: jnp.dtype

    @nn.compact
    def __call__(self, x: Float[Array, "b h w c"], *, train: bool):
        f, dtype = self.features, self.dtype
        parts = [_pointwise(x, f, dtype, name="pixel", train=train)]
        for rate in self.rates:
            parts.append(_separable(x, f, rate, dtype, name=f"rate{rate}", train=train))
        whole = jnp.mean(x, (1, 2), keepdims=True)
        whole = _pointwise(whole, f, dtype, name="whole", train=train)
        parts.append(jnp.broadcast_to(whole, parts[0].shape))
        x = jnp.concatenate(parts, -1)
        x = _pointwise(x, f, dtype, name="project", train=train)
        return nn.Dropout(self.dropout, deterministic=not train)(x)


def _pointwise(x, features, dtype, *, name, train):
    x = _blocks.conv(x, features, 1, name=f"{name}_conv", dtype=dtype)
    return nn.relu(_layers.BatchNorm(name=f"{name}_norm")(x, train=train))


def _separable(x, features, dilation, dtype, *, name, train):
    """A 3x3 convolution of each channel, a 1x1 convolution, norm and ReLU."""
    each = _blocks.DepthwiseConv(3, dilation=dilation, dtype=dtype, name=f"{name}_each")
    return _pointwise(each(x), features, dtype, name=name, train=train)


def _enlarge(
    x: Float[Array, "b h w c"], size: tuple[int, int]
) -> Float[Array, "b y x c"]:
    """`x` at another size, bilinear, its corners on those of the result."""
    rows, columns = (_weights(n, m) for n, m in zip(x.shape[1:3], size, strict=True))
    options = dict(precision=jax.lax.Precision.HIGHEST)
    x = jnp.einsum("yh,bhwc->bywc", rows.astype(x.dtype), x, **options)
    return jnp.einsum("xw,bywc->byxc", columns.astype(x.dtype), x, **options)


def _weights(before: int, after: int) -> Float[Array, "after before"]:
    """What each new pixel of an axis takes of the old ones."""
    step = (before - 1) / max(after - 1, 1)
    place = jnp.arange(after)[:, None] * step
    return jnp.maximum(0.0, 1.0 - jnp.abs(place - jnp.arange(before)[None]))
