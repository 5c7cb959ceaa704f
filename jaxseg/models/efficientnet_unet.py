"""Segments by a U-Net with an EfficientNet-Lite encoder.

Ronneberger et al., 2015, https://arxiv.org/abs/1505.04597 (U-Net); Tan and Le, 2019,
https://arxiv.org/abs/1905.11946 (EfficientNet). As it stands the encoder is Lite0 and
equals the published PyTorch one.
"""

import flax.linen as nn
import jax.numpy as jnp
from jaxtyping import Array, Float

from jaxseg.errors import ConfigError
from jaxseg.models import _blocks, _efficientnet, _unet
from jaxseg.types import Outputs

# The smallest fields with every part at work: what the tests over all models build.
TINY = dict(width=0.1, depth=0.3, decoder_widths=(8, 8, 6, 4, 4), dropout=0.1)


class Model(nn.Module):
    """Logits of any image [b, h, w, c] at the image's size.

    `width` and `depth` multiply the channels and the repeats of the encoder's stages.
    The other fields are those of `resnet_unet`.
    """

    num_classes: int
    width: float = 1.0
    depth: float = 1.0
    decoder_widths: tuple[int, ...] = (256, 128, 64, 32, 16)
    decoder_norm: str = "batch"
    dropout: float = 0.0
    up: str = "nearest"
    up_conv: bool = False
    image_skip: bool = False
    dtype: str = "float32"

    @nn.compact
    def __call__(self, image: Float[Array, "b h w c"], *, train: bool) -> Outputs:
        _blocks.check_fields(self)
        if min(self.width, self.depth) <= 0:
            raise ConfigError(
                f"width is {self.width} and depth {self.depth}: both must be above 0."
            )
        encoder = _efficientnet.EfficientNet(
            self.width, self.depth, jnp.dtype(self.dtype), name="encoder"
        )
        return _unet.segment_with(encoder, self, image, train=train)
