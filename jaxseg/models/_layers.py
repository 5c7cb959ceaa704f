"""Defines what models share: conv + norm + ReLU, pooling and resizing by matrices.

Resizing and adaptive pooling are linear and separable, so each is two matrix
products with small constants. Their gradients are matrix products too: no scatter,
hence the same bits on every run, and fast on CPU and GPU alike.
"""

import functools

import flax.linen as nn
import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float

from jaxseg.models import _convolution

# He et al., 2015, https://arxiv.org/abs/1502.01852, in the fan-out form that
# mmsegmentation uses for every convolution that a batch norm and a ReLU follow.
he_normal = nn.initializers.variance_scaling(2.0, "fan_out", "normal")


class BatchNorm(nn.Module):
    """Normalises over batch, height and width (Ioffe and Szegedy, 2015).

    https://arxiv.org/abs/1502.03167. Statistics are float32. The running variance is
    the unbiased one, as in PyTorch: a map pooled to 1x1 has only `batch` values a
    channel, and for those the biased variance would be far too small.
    """

    momentum: float = 0.9
    epsilon: float = 1e-5

    @nn.compact
    def __call__(self, x: Float[Array, "b h w c"], *, train: bool):
        c = x.shape[-1]
        scale = self.param("scale", nn.initializers.ones, (c,))
        bias = self.param("bias", nn.initializers.zeros, (c,))
        mean_ = self.variable("batch_stats", "mean", jnp.zeros, (c,))
        var_ = self.variable("batch_stats", "var", jnp.ones, (c,))
        wide = x.astype(jnp.float32)
        if train:
            mean = jnp.mean(wide, (0, 1, 2))
            var = jnp.mean(jnp.square(wide - mean[None, None, None]), (0, 1, 2))
            if not self.is_initializing():
                count = x.size // c
                keep, unbiased = self.momentum, count / max(count - 1, 1)
                mean_.value = keep * mean_.value + (1 - keep) * mean
                var_.value = keep * var_.value + (1 - keep) * unbiased * var
        else:
            mean, var = mean_.value, var_.value
        gain = scale * jax.lax.rsqrt(var + self.epsilon)
        y = (wide - mean[None, None, None]) * gain[None, None, None]
        return (y + bias[None, None, None]).astype(x.dtype)


class ConvBnRelu(nn.Module):
    """Convolution without bias, batch norm, ReLU; the size of the map is kept."""

    features: int
    kernel: int = 3
    dtype: jnp.dtype = jnp.float32

    @nn.compact
    def __call__(self, x: Float[Array, "b h w c"], *, train: bool):
        options = dict(use_bias=False, dtype=self.dtype, kernel_init=he_normal)
        if self.kernel == 1:  # as a matrix product: 13x faster weight gradient on CPU
            x = nn.Dense(self.features, name="conv", **options)(x)
        else:
            window = (self.kernel, self.kernel)
            options["conv_general_dilated"] = _convolution.conv
            x = nn.Conv(self.features, window, name="conv", **options)(x)
        return nn.relu(BatchNorm(name="norm")(x, train=train))


@functools.lru_cache(maxsize=256)
def pool_matrix(size: int, bins: int) -> np.ndarray:
    """[bins, size]: row i averages pixels floor(i n / s) .. ceil((i + 1) n / s) - 1.

    Bins of equal number but, where `bins` does not divide `size`, of unequal width,
    overlapping by a pixel: the rule of PyTorch's adaptive average pooling.
    """
    matrix = np.zeros((bins, size), np.float32)
    for i in range(bins):
        start, end = i * size // bins, -(-(i + 1) * size // bins)
        matrix[i, start:end] = 1.0 / (end - start)
    return matrix


@functools.lru_cache(maxsize=256)
def resize_matrix(size: int, new: int) -> np.ndarray:
    """[new, size]: bilinear weights between pixel centres, edges repeated.

    The rule of `align_corners=False` without antialiasing.
    """
    centre = np.maximum((np.arange(new) + 0.5) * size / new - 0.5, 0.0)
    low = np.minimum(np.floor(centre).astype(int), size - 1)
    high = np.minimum(low + 1, size - 1)
    matrix = np.zeros((new, size))
    np.add.at(matrix, (np.arange(new), low), 1.0 - (centre - low))
    np.add.at(matrix, (np.arange(new), high), centre - low)
    return matrix.astype(np.float32)


def adaptive_pool(x: Float[Array, "b h w c"], bins: int) -> Float[Array, "b s s c"]:
    """Means over bins x bins regions of the map."""
    return separable(x, pool_matrix(x.shape[1], bins), pool_matrix(x.shape[2], bins))


def resize(
    x: Float[Array, "b h w c"], shape: tuple[int, int]
) -> Float[Array, "b y x c"]:
    """`x` at height and width `shape`: bilinear, align_corners=False."""
    if x.shape[1:3] == tuple(shape):
        return x
    h, w = x.shape[1:3]
    return separable(x, resize_matrix(h, shape[0]), resize_matrix(w, shape[1]))


def separable(x, rows, columns):
    # HIGHEST: a GPU would otherwise round float32 maps to TensorFloat-32 here.
    dot = functools.partial(jnp.einsum, precision=jax.lax.Precision.HIGHEST)
    x = dot("yh,bhwc->bywc", jnp.asarray(rows, x.dtype), x)
    return dot("xw,bywc->byxc", jnp.asarray(columns, x.dtype), x)
