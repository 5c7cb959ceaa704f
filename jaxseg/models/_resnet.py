"""Encodes images by ResNet 1.5 (He et al., 2015, https://arxiv.org/abs/1512.03385).

The stride of a bottleneck sits in its 3x3 convolution, and modules are named as in
torchvision: its "layer1.0.downsample.0.weight" is "layer1_0/downsample_0/kernel" here.
"""

import flax.linen as nn
import jax.numpy as jnp
from jaxtyping import Array, Float

from jaxseg.models import _blocks, _layers

BLOCKS = {18: (2, 2, 2, 2), 34: (3, 4, 6, 3), 50: (3, 4, 6, 3), 101: (3, 4, 23, 3)}


class ResNet(nn.Module):
    """Maps at 1/2 (after the first ReLU), 1/4, 1/8, 1/16, 1/32 of an image.

    `blocks` is the number of blocks of each stage, `width` the channels of the first
    map; stages have `width` times 1, 2, 4, 8 channels, four times that if `bottleneck`.
    The last `dilated` stages keep the size of the map: their convolutions are dilated
    by 2, and 4 in the last of two (Yu et al., 2017, https://arxiv.org/abs/1705.09914).
    The image's height and width must be multiples of the largest of these factors.
    """

    blocks: tuple[int, ...]
    bottleneck: bool
    width: int = 64
    dilated: int = 0
    dtype: jnp.dtype = jnp.float32

    @nn.compact
    def __call__(self, image: Float[Array, "b h w c"], *, train: bool) -> list:
        pads = ((3, 3), (3, 3))
        options = dict(stride=2, padding=pads, dtype=self.dtype)
        x = _blocks.conv(image, self.width, 7, name="conv1", **options)
        x = nn.relu(_layers.BatchNorm(name="bn1")(x, train=train))
        features = [x]
        x = _blocks.max_pool_3x3(x)
        for i, count in enumerate(self.blocks):
            dilation = 2 ** max(0, i + 1 + self.dilated - len(self.blocks))
            for j in range(count):
                stride = 2 if i > 0 and j == 0 and dilation == 1 else 1
                name, width = f"layer{i + 1}_{j}", self.width * 2**i
                block = Block(
                    width, stride, self.bottleneck, self.dtype, dilation, name=name
                )
                x = block(x, train=train)
            features.append(x)
        return features


class Block(nn.Module):
    """Two 3x3 convolutions, or 1x1, 3x3 and 1x1, added to the input."""

    width: int
    stride: int
    bottleneck: bool
    dtype: jnp.dtype
    dilation: int = 1

    @nn.compact
    def __call__(self, x: Float[Array, "b h w c"], *, train: bool):
        def conv_norm(x, features, kernel, stride, conv, norm):
            # PyTorch's; "SAME" differs at stride 2
            pads = ((kernel // 2 * self.dilation,) * 2,) * 2
            options = dict(stride=stride, padding=pads, dtype=self.dtype)
            options["dilation"] = self.dilation
            x = _blocks.conv(x, features, kernel, name=conv, **options)
            return _layers.BatchNorm(name=norm)(x, train=train)

        if self.bottleneck:
            out = 4 * self.width
            y = nn.relu(conv_norm(x, self.width, 1, 1, "conv1", "bn1"))
            y = nn.relu(conv_norm(y, self.width, 3, self.stride, "conv2", "bn2"))
            y = conv_norm(y, out, 1, 1, "conv3", "bn3")
        else:
            out = self.width
            y = nn.relu(conv_norm(x, out, 3, self.stride, "conv1", "bn1"))
            y = conv_norm(y, out, 3, 1, "conv2", "bn2")
        if self.stride > 1 or x.shape[-1] != out:
            x = conv_norm(x, out, 1, self.stride, "downsample_0", "downsample_1")
        return nn.relu(x + y)
