"""Encodes images by EfficientNet-Lite (Tan and Le, 2019, https://arxiv.org/abs/1905.11946).

Lite: no squeeze-and-excitation, ReLU6 throughout, stem and head of fixed width. Modules
are named as in the published PyTorch files: their "_blocks.3._bn0.weight" is
"blocks_3/bn0/scale" here.
"""

import math

import flax.linen as nn
import jax.numpy as jnp
from jaxtyping import Array, Float

from jaxseg.models import _blocks, _layers

STAGES = (  # repeats, kernel, stride, expansion, channels
    (1, 3, 1, 1, 16),  # at 1/2
    (2, 3, 2, 6, 24),  # 1/4
    (2, 5, 2, 6, 40),  # 1/8
    (3, 3, 2, 6, 80),
    (3, 5, 1, 6, 112),  # 1/16
    (4, 5, 2, 6, 192),
    (1, 3, 1, 6, 320),  # 1/32
)
TAPS = (0, 1, 2, 4, 6)  # the last stage of each size
STEM = 32


class EfficientNet(nn.Module):
    """Maps at 1/2, 1/4, 1/8, 1/16, 1/32 of an image, each the last of its size.

    `width` and `depth` multiply the channels and the repeats of Lite0: 1.0 and 1.1 is
    Lite1; 1.1 and 1.2 Lite2; 1.2 and 1.4 Lite3; 1.4 and 1.8 Lite4. The image's height
    and width must be multiples of 32.
    """

    width: float = 1.0
    depth: float = 1.0
    dtype: jnp.dtype = jnp.float32

    @nn.compact
    def __call__(self, image: Float[Array, "b h w c"], *, train: bool) -> list:
        options = dict(stride=2, dtype=self.dtype)
        x = _blocks.conv(image, STEM, 3, name="conv_stem", **options)
        x = nn.relu6(_norm("bn0")(x, train=train))
        features, number = [], 0
        for i, (repeats, kernel, stride, expansion, channels) in enumerate(STAGES):
            if 0 < i < len(STAGES) - 1:
                repeats = math.ceil(repeats * self.depth)
            for j in range(repeats):
                x = Block(
                    features=_scaled(channels, self.width),
                    kernel=kernel,
                    stride=stride if j == 0 else 1,
                    expansion=expansion,
                    dtype=self.dtype,
                    name=f"blocks_{number}",
                )(x, train=train)
                number += 1
            if i in TAPS:
                features.append(x)
        return features


class Block(nn.Module):
    """Widens, convolves each channel by itself, narrows; added to the input if alike.

    Sandler et al., 2018, https://arxiv.org/abs/1801.04381 (inverted residuals).
    """

    features: int
    kernel: int
    stride: int
    expansion: int
    dtype: jnp.dtype

    @nn.compact
    def __call__(self, x: Float[Array, "b h w c"], *, train: bool):
        c, y = x.shape[-1], x
        if self.expansion > 1:
            wide = c * self.expansion
            y = _blocks.conv(y, wide, 1, name="expand_conv", dtype=self.dtype)
            y = nn.relu6(_norm("bn0")(y, train=train))
        depthwise = _blocks.DepthwiseConv(
            self.kernel, self.stride, self.dtype, name="depthwise_conv"
        )
        y = nn.relu6(_norm("bn1")(depthwise(y), train=train))
        y = _blocks.conv(y, self.features, 1, name="project_conv", dtype=self.dtype)
        y = _norm("bn2")(y, train=train)
        return x + y if self.stride == 1 and c == self.features else y


class Classifier(nn.Module):
    """Float32 logits [b, num_classes] of whole images: the published network.

    Takes the same images as `EfficientNet`, its module "encoder". Dropout, which comes
    before the last layer in training, is left out.
    """

    num_classes: int = 1000
    width: float = 1.0
    depth: float = 1.0

    @nn.compact
    def __call__(self, image: Float[Array, "b h w c"], *, train: bool):
        encoder = EfficientNet(self.width, self.depth, name="encoder")
        x = encoder(image, train=train)[-1]
        x = _blocks.conv(x, 1280, 1, name="conv_head", dtype=jnp.float32)
        x = nn.relu6(_norm("bn1")(x, train=train))
        return nn.Dense(self.num_classes, name="fc")(jnp.mean(x, (1, 2)))


def _norm(name):
    return _layers.BatchNorm(momentum=0.99, epsilon=1e-3, name=name)


def _scaled(channels, width):
    """Channels times width, to the nearest 8 but never below nine tenths of it."""
    wanted = channels * width
    nearest = max(8, int(wanted + 4) // 8 * 8)
    return nearest + 8 if nearest < 0.9 * wanted else nearest
