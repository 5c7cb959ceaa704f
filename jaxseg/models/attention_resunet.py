"""Segments by an attention U-Net with residual blocks.

Gates by Oktay et al., 2018, https://arxiv.org/abs/1804.03999; residual blocks by He et
al., 2015, https://arxiv.org/abs/1512.03385, with a convolution in every shortcut, as in
Zhang et al., 2017, https://arxiv.org/abs/1711.10684.
"""

import flax.linen as nn
from jaxtyping import Array, Float

from jaxseg.models import _unet
from jaxseg.types import Outputs

# The smallest fields with every part at work: what the tests over all models build.
TINY = dict(widths=(4, 6, 8), dropout=0.1, gate_conv=True)


class Model(nn.Module):
    """Logits of any image [b, h, w, c] at the image's size.

    The fields are those of `attention_unet`. A block adds its input, by a 1x1
    convolution and norm, before its last ReLU.
    """

    num_classes: int
    widths: tuple[int, ...] = (64, 128, 256, 512, 1024)
    convs: int = 2
    norm: str = "batch"
    dropout: float = 0.0
    up: str = "transposed"
    gate_conv: bool = False
    conv_bias: bool = False
    head_norm: bool = False
    activation: str = "relu"
    down: str = "max_pool"
    deep_supervision: bool = False
    dtype: str = "float32"

    @nn.compact
    def __call__(self, image: Float[Array, "b h w c"], *, train: bool) -> Outputs:
        return _unet.segment(self, image, train=train, residual=True, gated=True)
