"""Normalises each channel of each image, as SegDecNet does, after a convolution.

    y = gamma (x - mean) / sqrt(s + eps) + beta

over the pixels of one map. The published code of Bozic et al., 2021,
https://arxiv.org/abs/2104.06064, takes the standard deviation for s, of n - 1 degrees
of freedom: the square root is drawn twice, so that a channel keeps the square root of
its contrast. With the variance for s it is instance normalisation.
"""

import flax.linen as nn
import jax
import jax.numpy as jnp
from jaxtyping import Array, Float

from jaxseg.models import _blocks

SQRT_OF = ("std", "var")
_FLAT = 1e-20  # a variance whose deviation, 1e-10, is lost beside eps
# Glorot and Bengio, 2010: a normal, not a truncated one
xavier_normal = nn.initializers.variance_scaling(1.0, "fan_avg", "normal")


class FeatureNorm(nn.Module):
    """Normalises over height and width; statistics are float32.

    `sqrt_of` is "std" or "var"; without `use_bias` there is no beta. A channel without
    contrast, and every map of a single pixel, becomes beta; its gradient is finite.
    """

    eps: float = 1e-3
    sqrt_of: str = "std"
    use_bias: bool = True

    @nn.compact
    def __call__(self, x: Float[Array, "b h w c"]) -> Float[Array, "b h w c"]:
        c, pixels = x.shape[-1], x.shape[1] * x.shape[2]
        scale = self.param("scale", nn.initializers.ones, (c,))
        wide = x.astype(jnp.float32)
        centred = wide - jnp.mean(wide, (1, 2), keepdims=True)
        spread = jnp.sum(jnp.square(centred), (1, 2), keepdims=True)
        spread = spread / max(pixels - 1, 1)
        if self.sqrt_of == "std":
            # where the slope of a square root is infinite, or its square is no number
            flat = spread < _FLAT
            spread = jnp.where(flat, 0.0, jnp.sqrt(jnp.where(flat, 1.0, spread)))
        y = centred * jax.lax.rsqrt(spread + self.eps) * scale[None, None, None]
        if self.use_bias:
            bias = self.param("bias", nn.initializers.zeros, (c,))
            y = y + bias[None, None, None]
        return y.astype(x.dtype)


class NormConv(nn.Module):
    """Convolution without bias, feature norm, ReLU; the size of the map is kept."""

    features: int
    kernel: int
    eps: float = 1e-3
    sqrt_of: str = "std"
    dtype: jnp.dtype = jnp.float32

    @nn.compact
    def __call__(self, x: Float[Array, "b h w c"]) -> Float[Array, "b h w f"]:
        x = _blocks.conv(
            x,
            self.features,
            self.kernel,
            name="conv",
            dtype=self.dtype,
            start=xavier_normal,
        )
        return nn.relu(FeatureNorm(self.eps, self.sqrt_of, name="norm")(x))
