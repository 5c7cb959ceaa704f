"""Gives the deepest map of a ResNet to a head of whole images, and computes no decoder.

He et al., 2015, https://arxiv.org/abs/1512.03385 (ResNet), with torchvision's layout of
weights: with config.decision.name="pooled" it is their classifier. What it says of
pixels is nothing, 0 for every class, which costs nothing either; or, where pixels are
learned too, a 1x1 convolution of the deepest map, upsampled (FCN-32s: Long, Shelhamer
and Darrell, 2015, https://arxiv.org/abs/1411.4038).
"""

import flax.linen as nn
import jax.numpy as jnp
from jaxtyping import Array, Float

from jaxseg.models import _blocks, _layers, _resnet
from jaxseg.types import Outputs

# The smallest fields with every part at work: what the tests over all models build.
TINY = dict(depth=18, width=4, pixel_head=True)


class Model(nn.Module):
    """Features at 1/32 of any image [b, h, w, c], and logits at the image's size.

    `depth` is 18, 34, 50 or 101; `width` the channels of the encoder's first map, 64 in
    published networks. Without `pixel_head` all logits are 0. `dtype` ("float32" or
    "bfloat16") is that of the computation; parameters, statistics and logits are
    float32. Raises ConfigError, when called, for fields that are no choice.
    """

    num_classes: int
    depth: int = 50
    width: int = 64
    pixel_head: bool = False
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
        height, width = image.shape[1:3]
        x = _blocks.pad_to_stride(image, 32).astype(jnp.dtype(self.dtype))
        *_, deepest = encoder(x, train=train)
        if not self.pixel_head:
            logits = jnp.zeros((len(image), height, width, self.num_classes))
            return {"logits": logits, "features": deepest}
        logits = _blocks.classifier(deepest, self.num_classes, start="lecun")
        logits = _layers.resize(logits, x.shape[1:3])[:, :height, :width]
        return {"logits": logits, "features": deepest}
