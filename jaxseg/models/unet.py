"""Segments by a U-Net (Ronneberger et al., 2015, https://arxiv.org/abs/1505.04597)."""

import flax.linen as nn
from jaxtyping import Array, Float

from jaxseg.models import _unet
from jaxseg.types import Outputs

# The smallest fields with every part at work: what the tests over all models build.
TINY = dict(widths=(4, 6, 8), dropout=0.1)


class Model(nn.Module):
    """Logits of any image [b, h, w, c] at the image's size.

    `widths` are the channels of each level, usually 4 to 6 of them; each level halves
    the map, by `down`: "max_pool", or "strided" in its first convolution. A level is
    `convs` times (conv 3x3, norm, activation), then `dropout`. `norm` is "batch",
    "group" or "instance"; `activation` is "relu" or "leaky_relu" (slope 0.01). `up` is
    "transposed" (to the channels of the level), "bilinear" or "nearest" (which keep
    them). `deep_supervision` adds the outputs "deep": logits of coarser levels of the
    decoder, which `config.deep_weights` weighs. `conv_bias` gives biases to the
    convolutions that a norm follows, and `head_norm` puts a batch norm on the logits:
    both are there to rebuild published networks. `dtype` ("float32" or "bfloat16") is
    that of the computation; parameters, statistics and logits are float32.

    Training with dropout needs the random stream "dropout". Raises ConfigError, when
    called, for fields that are no choice.
    """

    num_classes: int
    widths: tuple[int, ...] = (64, 128, 256, 512, 1024)
    convs: int = 2
    norm: str = "batch"
    dropout: float = 0.0
    up: str = "transposed"
    conv_bias: bool = False
    head_norm: bool = False
    activation: str = "relu"
    down: str = "max_pool"
    deep_supervision: bool = False
    dtype: str = "float32"

    @nn.compact
    def __call__(self, image: Float[Array, "b h w c"], *, train: bool) -> Outputs:
        return _unet.segment(self, image, train=train)
