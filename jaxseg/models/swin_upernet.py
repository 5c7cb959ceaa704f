"""Segments by UPerNet on a Swin backbone.

Pyramid pooling and a feature pyramid over four stages of the backbone: Xiao et al.,
2018, https://arxiv.org/abs/1807.10221 (UPerNet); Liu et al., 2021,
https://arxiv.org/abs/2103.14030 (Swin). With the same weights it is numerically equal
to `UperNetForSemanticSegmentation` of Hugging Face transformers.
"""

import functools

import jax.numpy as jnp
from flax import linen as nn
from jaxtyping import Array, Float

from jaxseg.errors import ConfigError
from jaxseg.models import _blocks, _layers, _swin
from jaxseg.types import Outputs

SIZES = {
    "tiny": dict(embed_dim=96, depths=(2, 2, 6, 2), num_heads=(3, 6, 12, 24), window=7),
    "small": dict(
        embed_dim=96, depths=(2, 2, 18, 2), num_heads=(3, 6, 12, 24), window=7
    ),
    "base": dict(
        embed_dim=128, depths=(2, 2, 18, 2), num_heads=(4, 8, 16, 32), window=12
    ),
    "large": dict(
        embed_dim=192, depths=(2, 2, 18, 2), num_heads=(6, 12, 24, 48), window=12
    ),
}

# mmsegmentation starts both classifiers "small". In short trainings from random weights
# that leaves classes dead (validation Dice, 3 seeds): 5 classes of phantom tissue .215
# against .411, pneumothorax phantoms of 64 pixels .000 against .250. After the 24
# epochs of pneumothorax.py:demo neither is ahead on test: .696 and .639 against .738
# and .605, two seeds.
HEAD_START = "lecun"

# The smallest fields with every part at work (shifted windows, merging, both heads):
# what the tests that walk over all models build.
TINY = dict(
    embed_dim=4,
    depths=(1, 2, 1, 1),
    num_heads=(1, 2, 2, 2),
    window=2,
    width=4,
    aux_channels=4,
    drop_path=0.1,
)


class Model(nn.Module):
    """Logits, and auxiliary logits, of any image [b, h, w, c] at the image's size.

    `size` names a published backbone; `embed_dim`, `depths`, `num_heads` and `window`
    replace single fields of it, or all four. `width` is the channels of the decoder,
    `pool_scales` the grids of the pyramid pooling. `aux` adds the auxiliary head on
    stage 3, in evaluation too. `drop_path` is the rate of stochastic depth at the last
    block, growing linearly from 0 at the first; it needs the random stream "dropout"
    when train=True. `remat` computes each Swin block again in the backward pass: less
    memory, more time, same numbers. `dtype` ("float32" or "bfloat16") is that of the
    computation; parameters, softmax, statistics of the norms, and logits are float32.

    Raises ConfigError, when called, for fields that do not fit together.
    """

    num_classes: int
    size: str = "tiny"
    embed_dim: int | None = None
    depths: tuple[int, ...] | None = None
    num_heads: tuple[int, ...] | None = None
    window: int | None = None
    width: int = 512
    pool_scales: tuple[int, ...] = (1, 2, 3, 6)
    aux: bool = True
    aux_channels: int = 256
    drop_path: float = 0.0
    remat: bool = False
    dtype: str = "float32"

    @nn.compact
    def __call__(self, image: Float[Array, "b h w c"], *, train: bool) -> Outputs:
        _check(self)
        shape, dtype = image.shape[1:3], jnp.dtype(self.dtype)
        classify = functools.partial(_blocks.classifier, start=HEAD_START)
        backbone = _swin.Swin(
            **_backbone_fields(self),
            drop_path=self.drop_path,
            remat=self.remat,
            dtype=dtype,
            name="backbone",
        )
        features = backbone(image.astype(dtype), train=train)
        head = UPerHead(self.width, tuple(self.pool_scales), dtype, name="decode_head")
        x = head(features, train=train)
        logits = classify(x, self.num_classes, name="classifier")
        outputs: Outputs = {"logits": _layers.resize(logits, shape)}
        outputs["features"] = features[-1]
        if self.aux:
            conv = _layers.ConvBnRelu(self.aux_channels, dtype=dtype, name="aux_conv")
            x = conv(features[2], train=train)
            logits = classify(x, self.num_classes, name="aux_classifier")
            outputs["aux"] = _layers.resize(logits, shape)
        return outputs


class UPerHead(nn.Module):
    """One map at the size of the first stage, from the maps of all stages."""

    width: int
    pool_scales: tuple[int, ...]
    dtype: jnp.dtype

    @nn.compact
    def __call__(self, features: list, *, train: bool) -> Float[Array, "b h w c"]:
        def conv(x, kernel, name):
            layer = _layers.ConvBnRelu(self.width, kernel, self.dtype, name=name)
            return layer(x, train=train)

        top = features[-1]
        pooled = [top]
        for i, scale in enumerate(self.pool_scales):
            x = conv(_layers.adaptive_pool(top, scale), 1, f"pool{i}")
            pooled.append(_layers.resize(x, top.shape[1:3]))
        x = conv(jnp.concatenate(pooled, -1), 3, "bottleneck")

        levels = [x]  # from the coarsest to the finest
        for i in reversed(range(len(features) - 1)):
            lateral = conv(features[i], 1, f"lateral{i}")
            x = lateral + _layers.resize(x, lateral.shape[1:3])
            levels.append(conv(x, 3, f"fpn{i}"))
        finest = levels[-1].shape[1:3]
        levels = [_layers.resize(x, finest) for x in reversed(levels)]
        return conv(jnp.concatenate(levels, -1), 3, "fpn_bottleneck")


def _backbone_fields(model):
    """The four fields of the backbone: those of the model, else those of `size`."""
    fields = {}
    for name, value in SIZES[model.size].items():
        own = getattr(model, name)
        value = value if own is None else own
        fields[name] = value if isinstance(value, int) else tuple(value)
    return fields


def _check(model):
    if model.size not in SIZES:
        raise ConfigError(f"size is {model.size!r}: choose one of {list(SIZES)}.")
    if str(model.dtype) not in ("float32", "bfloat16"):
        raise ConfigError(f"dtype is {model.dtype!r}: use 'float32' or 'bfloat16'.")
    if not 0.0 <= model.drop_path < 1.0:
        raise ConfigError(f"drop_path is {model.drop_path}: it must be in [0, 1).")
    fields = _backbone_fields(model)
    depths, heads, width = fields["depths"], fields["num_heads"], fields["embed_dim"]
    if len(depths) != 4 or len(heads) != 4:
        raise ConfigError(
            f"depths {depths} and num_heads {heads} must each hold 4 numbers, "
            "one for each stage."
        )
    if fields["window"] < 1 or min(depths) < 1 or min(heads) < 1:
        raise ConfigError(
            f"window {fields['window']}, depths {depths} and num_heads {heads} "
            "must all be 1 or more."
        )
    for i, number in enumerate(heads):
        if width * 2**i % number:
            raise ConfigError(
                f"stage {i + 1} has {width * 2**i} channels, which {number} heads do "
                "not divide: change embed_dim or num_heads."
            )
