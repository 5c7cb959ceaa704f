"""Segments by a U-Net with a ResNet encoder.

Ronneberger et al., 2015, https://arxiv.org/abs/1505.04597 (U-Net); He et al., 2015,
https://arxiv.org/abs/1512.03385 (ResNet), with torchvision's layout of weights.
"""

import flax.linen as nn
import jax.numpy as jnp
from jaxtyping import Array, Float

from jaxseg.models import _blocks, _resnet, _unet
from jaxseg.types import Outputs

# The smallest fields with every part at work: what the tests over all models build.
TINY = dict(
    depth=18, width=4, decoder_widths=(8, 8, 6, 4, 4), dropout=0.1, image_skip=True
)


class Model(nn.Module):
    """Logits of any image [b, h, w, c] at the image's size.

    `depth` is 18, 34, 50 or 101; `width` the channels of the encoder's first map, 64 in
    published networks. `decoder_widths` are the channels of the decoder at 1/16, 1/8,
    1/4, 1/2 and 1 of the size; `decoder_norm` is "batch", "group", "instance" or
    "none", `dropout` that of its blocks. `up` is "nearest", "bilinear" or "transposed";
    `up_conv` lets a 2x2 convolution and ReLU follow the first two. `image_skip` gives
    the image itself to the last level. `dtype` ("float32" or "bfloat16") is that of the
    computation; parameters, statistics and logits are float32.

    Training with dropout needs the random stream "dropout". Raises ConfigError, when
    called, for fields that are no choice.
    """

    num_classes: int
    depth: int = 50
    width: int = 64
    decoder_widths: tuple[int, ...] = (256, 128, 64, 32, 16)
    decoder_norm: str = "batch"
    dropout: float = 0.0
    up: str = "nearest"
    up_conv: bool = False
    image_skip: bool = False
    dtype: str = "float32"

    @nn.compact
    def __call__(self, image: Float[Array, "b h w c"], *, train: bool) -> Outputs:
        _blocks.check_fields(self, depth=tuple(_resnet.BLOCKS))
        encoder = _resnet.ResNet(
            _resnet.BLOCKS[self.depth],
            bottleneck=self.depth >= 50,
            width=_blocks.at_least_one("width", self.width),
            dtype=jnp.dtype(self.dtype),
            name="encoder",
        )
        return _unet.segment_with(encoder, self, image, train=train)
