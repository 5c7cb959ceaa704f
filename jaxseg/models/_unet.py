"""Builds the two halves of U-Nets: maps that shrink and widen, and the way back up.

Ronneberger et al., 2015, https://arxiv.org/abs/1505.04597. Convolutions keep the size
of a map, where the paper trims it.

With norm="instance", activation="leaky_relu", down="strided", conv_bias=True and
deep_supervision=True, `unet` is the plain U-Net of nnU-Net (Isensee et al., 2021,
https://www.nature.com/articles/s41592-020-01008-z), `PlainConvUNet` of its package
dynamic_network_architectures.
"""

import functools
from typing import NamedTuple

import flax.linen as nn
import jax.numpy as jnp
from jaxtyping import Array, Float

from jaxseg.errors import ConfigError
from jaxseg.models import _blocks
from jaxseg.types import Outputs

UPS = ("transposed", "bilinear", "nearest")
DOWNS = ("max_pool", "strided")
# Larger than PyTorch's U(+-1 / sqrt(fan-in)), smaller than He's: with PyTorch's, two of
# five classes stay dead in a short training of `attention_unet`.
HEAD_START = "lecun"
# Of the convolutions of U-Nets: tests/benchmarks/README.md says what it brings.
START = "torch"


class Style(NamedTuple):
    """What all blocks of a network share."""

    convs: int = 2
    norm: str = "batch"  # or "group", "instance", "none"
    dropout: float = 0.0
    bias: bool = False  # of the convolutions that a norm follows, which cancels it
    residual: bool = False
    dtype: jnp.dtype = jnp.float32
    activation: str = "relu"  # or "leaky_relu"
    start: str = "he"  # of the convolutions: one of _blocks.CONVOLUTION_STARTS


def _conv(x, features: int, kernel: int, style: Style, **options):
    """A convolution of `_blocks.conv` that starts as the style says."""
    start = _blocks.CONVOLUTION_STARTS[style.start]
    return _blocks.conv(x, features, kernel, start=start, **options)


def segment(
    model: nn.Module,
    image: Float[Array, "b h w c"],
    *,
    train: bool,
    residual: bool = False,
    gated: bool = False,
) -> Outputs:
    """Logits within the @nn.compact of `unet` and its variants, of their fields.

    "features" is the coarsest map of the encoder.
    With `model.deep_supervision` also "deep": float32 logits of the decoder's levels at
    1/2, 1/4 ... of the size, each ceil(h / 2), ceil(w / 2) ... large. As in nnU-Net the
    coarsest level of the decoder has none. Raises ConfigError where that leaves none.
    """
    _blocks.check_fields(
        model,
        norm=_blocks.NORMS,
        up=UPS,
        down=DOWNS,
        activation=tuple(_blocks.ACTIVATIONS),
    )
    widths = _blocks.check_widths("widths", model.widths, 2, 8)
    if model.deep_supervision and len(widths) < 4:
        raise ConfigError(
            f"deep_supervision needs 4 widths or more, because the coarsest level of "
            f"the decoder has no logits of its own, but widths is {widths}: give more, "
            "or set deep_supervision to False."
        )
    style = Style(
        convs=_blocks.at_least_one("convs", model.convs),
        norm=model.norm,
        dropout=model.dropout,
        bias=model.conv_bias,
        residual=residual,
        dtype=jnp.dtype(model.dtype),
        activation=model.activation,
        start=START,
    )
    x = _blocks.pad_to_stride(image, 2 ** (len(widths) - 1)).astype(style.dtype)
    features = Encoder(widths, style, model.down, name="encoder")(x, train=train)
    decoder = Decoder(
        widths[-2::-1],
        style,
        model.up,
        gated=gated,
        gate_conv=gated and model.gate_conv,
        name="decoder",
    )
    finest, *coarser = decoder(features, train=train)
    head = functools.partial(
        _blocks.classifier, num_classes=model.num_classes, start=HEAD_START
    )
    logits = head(finest)
    if model.head_norm:
        logits = _blocks.normalise(logits, "batch", train=train, name="head_norm")
    logits = logits[:, : image.shape[1], : image.shape[2]]
    outputs: Outputs = {"logits": logits, "features": features[-1]}
    if model.deep_supervision:
        outputs["deep"] = [
            head(x, name=f"head{i}")[:, : _share(image, 1, i), : _share(image, 2, i)]
            for i, x in enumerate(coarser[:-1], 2)
        ]
    return outputs


def _share(image, axis, level):
    """The size of an image's axis at a level of the decoder, rounded up."""
    return -(-image.shape[axis] // 2 ** (level - 1))


def segment_with(
    encoder: nn.Module, model: nn.Module, image: Float[Array, "b h w c"], *, train: bool
) -> Outputs:
    """Logits within the @nn.compact of `model`, of the fields of its decoder.

    "features" is the map at 1/32.
    `encoder` returns maps at 1/2, 1/4, 1/8, 1/16 and 1/32 of the image.
    """
    norms = (*_blocks.NORMS, "none")
    _blocks.check_fields(model, decoder_norm=norms, up=UPS)
    widths = _blocks.check_widths("decoder_widths", model.decoder_widths, 5, 5)
    if model.up_conv and model.up == "transposed":
        raise ConfigError(
            "up_conv is True and up is 'transposed', which is a convolution already: "
            "set up to 'nearest' or 'bilinear', or up_conv to False."
        )
    norm, dtype = model.decoder_norm, jnp.dtype(model.dtype)
    bias = norm == "none"
    style = Style(norm=norm, dropout=model.dropout, bias=bias, dtype=dtype)
    x = _blocks.pad_to_stride(image, 32).astype(dtype)
    features = [x if model.image_skip else None, *encoder(x, train=train)]
    decoder = Decoder(widths, style, model.up, model.up_conv, name="decoder")
    finest, *_ = decoder(features, train=train)
    logits = _blocks.classifier(finest, model.num_classes, start=HEAD_START)
    logits = logits[:, : image.shape[1], : image.shape[2]]
    return {"logits": logits, "features": features[-1]}


class Block(nn.Module):
    """(conv 3x3, norm, ReLU or LeakyReLU) some times, then dropout.

    If `residual`, the input, by a 1x1 convolution and norm, is added before the last
    ReLU (He et al., 2015, https://arxiv.org/abs/1512.03385). `stride` is that of the
    first convolution, and of the shortcut: 2 halves an even map.
    """

    features: int
    style: Style
    stride: int = 1

    @nn.compact
    def __call__(self, x: Float[Array, "b h w c"], *, train: bool):
        style = self.style
        activate = _blocks.ACTIVATIONS[style.activation]

        def conv(x, kernel, name, stride=1):
            options = dict(use_bias=style.bias, dtype=style.dtype)
            if stride > 1:  # PyTorch's padding; "SAME" differs at stride 2
                options |= dict(stride=stride, padding=((kernel // 2,) * 2,) * 2)
            options["name"] = f"{name}_conv"
            x = _conv(x, self.features, kernel, style, **options)
            return _blocks.normalise(x, style.norm, train=train, name=f"{name}_norm")

        y, stride = x, self.stride
        for i in range(1, style.convs):
            y, stride = activate(conv(y, 3, f"layer{i}", stride)), 1
        y = conv(y, 3, f"layer{style.convs}", stride)
        if style.residual:
            y = y + conv(x, 1, "shortcut", self.stride)
        y = activate(y)
        return nn.Dropout(style.dropout, deterministic=not train)(y)


class Encoder(nn.Module):
    """The map of each level, the finest first; each is half as large as the last.

    `down` halves it: "max_pool" before the level, or "strided", which is stride 2 in
    the level's first convolution.
    """

    widths: tuple[int, ...]
    style: Style
    down: str = "max_pool"

    @nn.compact
    def __call__(self, x: Float[Array, "b h w c"], *, train: bool) -> list:
        features = []
        for i, width in enumerate(self.widths):
            halve = i > 0
            if halve and self.down == "max_pool":
                x, halve = _blocks.max_pool(x), False
            block = Block(width, self.style, 1 + halve, name=f"level{i + 1}")
            x = block(x, train=train)
            features.append(x)
        return features


class Decoder(nn.Module):
    """The map of each level, the finest first, from the maps of an encoder.

    `features` are the maps, the finest first, each twice as large as the next; None
    stands for one that is not there. `widths` are the channels from coarse to fine,
    one fewer than the maps. `up_conv` lets a 2x2 convolution and ReLU follow "nearest"
    or "bilinear" upsampling, as Ronneberger et al. do; else they keep the channels.
    """

    widths: tuple[int, ...]
    style: Style
    up: str
    up_conv: bool = False
    gated: bool = False
    gate_conv: bool = False

    @nn.compact
    def __call__(self, features: list, *, train: bool) -> list:
        *skips, x = features
        levels = []
        for i, (skip, width) in enumerate(zip(skips[::-1], self.widths, strict=True)):
            level = f"level{len(skips) - i}"
            parts = [self._double(x, width, level)]
            if skip is not None:
                if self.gated:
                    gate = Gate(width, self.style, self.gate_conv, name=f"{level}_gate")
                    skip = gate(skip, x, train=train)
                parts.append(skip)
            x = Block(width, self.style, name=level)(
                jnp.concatenate(parts, -1), train=train
            )
            levels.append(x)
        return levels[::-1]

    def _double(self, x, width, level):
        dtype = self.style.dtype
        if self.up == "transposed":
            return _blocks.UpConv(width, dtype, name=f"{level}_up")(x)
        x = _blocks.DOUBLE[self.up](x)
        if not self.up_conv:
            return x
        options = dict(name=f"{level}_up", dtype=dtype, use_bias=True)
        return nn.relu(_conv(x, width, 2, self.style, **options))


class Gate(nn.Module):
    """`skip` times an attention of 0 to 1 at each pixel, then a 1x1 convolution, norm.

    Additive attention of Oktay et al., 2018, https://arxiv.org/abs/1804.03999: sigmoid
    of psi(ReLU(theta(skip) + phi(signal))) on the grid of `coarse`, upsampled; `signal`
    is a 1x1 convolution, norm and ReLU of the map `coarse`, half as large as `skip`.
    `extra_conv` puts a 3x3 convolution behind phi.
    """

    features: int
    style: Style
    extra_conv: bool

    @nn.compact
    def __call__(
        self,
        skip: Float[Array, "b h w c"],
        coarse: Float[Array, "b y x d"],
        *,
        train: bool,
    ) -> Float[Array, "b h w c"]:
        style, f = self.style, self.features

        def conv(x, features, name, *, kernel=1, use_bias=True, dtype=style.dtype):
            options = dict(use_bias=use_bias, dtype=dtype)
            return _conv(x, features, kernel, style, name=name, **options)

        def norm(x, name):
            return _blocks.normalise(x, style.norm, train=train, name=name)

        signal = conv(coarse, f, "signal", use_bias=style.bias)
        phi = conv(nn.relu(norm(signal, "signal_norm")), f, "phi")
        if self.extra_conv:
            phi = conv(phi, f, "phi_conv", kernel=3)
        # One of theta and phi has a bias: their sum needs no second one.
        theta = _blocks.ShrinkConv(
            f, style.bias, style.dtype, style.start, name="theta"
        )(skip)
        score = conv(nn.relu(theta + phi), 1, "psi", dtype=jnp.float32)
        share = _blocks.double_bilinear(nn.sigmoid(score)).astype(skip.dtype)
        out = conv(skip * share, skip.shape[-1], "out", use_bias=style.bias)
        return norm(out, "out_norm")
