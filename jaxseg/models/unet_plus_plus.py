"""Segments by UNet++: a U-Net whose skips are U-Nets themselves.

Zhou et al., 2018, https://arxiv.org/abs/1807.10165, and 2020,
https://arxiv.org/abs/1912.05074. With norm="instance", activation="leaky_relu" and
conv_bias=True it is `BasicUNetPlusPlus` of MONAI (https://monai.io).
"""

import functools

import flax.linen as nn
import jax.numpy as jnp
from jaxtyping import Array, Float

from jaxseg.models import _blocks, _unet
from jaxseg.types import Outputs

# The smallest fields with every part at work: what the tests over all models build.
TINY = dict(widths=(4, 6, 8, 10), dropout=0.1)


class Model(nn.Module):
    """Logits of any image [b, h, w, c] at the image's size.

    `widths` are the channels of each level, from fine to coarse; every level is half
    as large as the one before. Node (i, j) of level i gets all nodes before it on its
    level, and node (i + 1, j - 1) upsampled. The other fields are those of `unet`;
    upsampling "transposed" to the finest level keeps the channels, to others halves
    them where widths double.

    With `deep_supervision` also "deep": float32 logits at the image's size of the
    finest nodes but the last, the last but one first. Training with dropout needs the
    random stream "dropout". Raises ConfigError, when called, for fields that are no
    choice.
    """

    num_classes: int
    widths: tuple[int, ...] = (64, 128, 256, 512, 1024)
    convs: int = 2
    norm: str = "batch"
    dropout: float = 0.0
    up: str = "transposed"
    conv_bias: bool = False
    activation: str = "relu"
    down: str = "max_pool"
    deep_supervision: bool = False
    dtype: str = "float32"

    @nn.compact
    def __call__(self, image: Float[Array, "b h w c"], *, train: bool) -> Outputs:
        _blocks.check_fields(
            self,
            norm=_blocks.NORMS,
            up=_unet.UPS,
            down=_unet.DOWNS,
            activation=tuple(_blocks.ACTIVATIONS),
        )
        widths = _blocks.check_widths("widths", self.widths, 2, 8)
        style = _unet.Style(
            convs=_blocks.at_least_one("convs", self.convs),
            norm=self.norm,
            dropout=self.dropout,
            bias=self.conv_bias,
            dtype=jnp.dtype(self.dtype),
            activation=self.activation,
            start=_unet.START,
        )
        x = _blocks.pad_to_stride(image, 2 ** (len(widths) - 1)).astype(style.dtype)
        encoder = _unet.Encoder(widths, style, self.down, name="encoder")
        levels = [[x] for x in encoder(x, train=train)]
        for j in range(1, len(widths)):
            for i in range(len(widths) - j):
                up = self._double(levels[i + 1][j - 1], widths, i, j)
                block = _unet.Block(widths[i], style, name=f"node{i}_{j}")
                x = jnp.concatenate([*levels[i], up], -1)
                levels[i].append(block(x, train=train))
        head = functools.partial(
            _blocks.classifier, num_classes=self.num_classes, start=_unet.HEAD_START
        )
        _, *nodes, last = levels[0]
        h, w = image.shape[1:3]
        outputs: Outputs = {"logits": head(last)[:, :h, :w]}
        outputs["features"] = levels[-1][0]
        if self.deep_supervision and nodes:
            outputs["deep"] = [
                head(nodes[j - 1], name=f"head{j}")[:, :h, :w]
                for j in range(len(nodes), 0, -1)
            ]
        return outputs

    def _double(self, x, widths, i, j):
        """`x` at twice its size, for node (i, j)."""
        if self.up != "transposed":
            return _blocks.DOUBLE[self.up](x)
        width = widths[max(i, 1)]
        return _blocks.UpConv(width, jnp.dtype(self.dtype), name=f"up{i}_{j}")(x)
