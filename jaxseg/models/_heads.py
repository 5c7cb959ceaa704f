"""Decides about whole images: heads that read the deepest map and the logits of pixels.

A head is a Linen module with __call__(features, logits, *, train) that returns f32
[b, n]; `features` [b, y, x, c] and `logits` f32 [b, h, w, k] are outputs of a model.
"""

from collections.abc import Sequence

import flax.linen as nn
import jax
import jax.numpy as jnp
from jaxtyping import Array, Float

from jaxseg.errors import ConfigError
from jaxseg.models import _blocks, _layers
from jaxseg.models._feature_norm import SQRT_OF, NormConv

POOLS = ("average", "maximum", "both")


def multiply_gradient(x: Array, by: float) -> Array:
    """`x`, whose gradient is multiplied by `by` on the way back: m x + stop((1 - m) x).

    With 0 nothing flows back, with 1 all of it.
    """
    if by == 1:
        return x
    if by == 0:
        return jax.lax.stop_gradient(x)
    return by * x + jax.lax.stop_gradient((1 - by) * x)


class SegDec(nn.Module):
    """The decision network of SegDecNet: the logit of "the image shows foreground".

    Bozic et al., 2021, https://arxiv.org/abs/2104.06064: the features and the log odds
    of foreground, side by side, go through [max pool 2, convolution, feature norm,
    ReLU] for each of `widths`; the global maximum and average of the last map, and
    those of the log odds at their own size, go through one linear layer. Log odds of
    another size than the features are averaged down to it.

    What flows back is multiplied by `features_multiplier` (into features and log odds,
    where they go into the convolutions), `maximum_multiplier` and `average_multiplier`
    (into the two numbers of the log odds): 0 protects the segmentation from the
    decision, 1 lets it learn from labels of images. Pooling drops an odd last row; an
    axis of fewer than 4 pixels is pooled no further, because the norm of a single pixel
    is empty. Raises ConfigError, when called, for fields that are no choice, and for
    features of a single pixel.
    """

    widths: tuple[int, ...] = (8, 16, 32)
    kernel: int = 5
    eps: float = 1e-3
    sqrt_of: str = "std"
    features_multiplier: float = 0.0
    maximum_multiplier: float = 0.0
    average_multiplier: float = 0.0

    @nn.compact
    def __call__(
        self,
        features: Float[Array, "b y x c"],
        logits: Float[Array, "b h w k"],
        *,
        train: bool,
    ) -> Float[Array, "b 1"]:
        del train
        widths = _check_segdec(self, features)
        odds = log_odds(logits)
        size = features.shape[1:3]
        small = _averaged(odds[..., None], size).astype(features.dtype)
        x = jnp.concatenate([features, small], -1)
        x = multiply_gradient(x, self.features_multiplier)
        for i, width in enumerate(widths, 1):
            block = NormConv(
                width,
                self.kernel,
                self.eps,
                self.sqrt_of,
                features.dtype,
                name=f"level{i}",
            )
            x = block(halved(x))
        x = x.astype(jnp.float32)
        odds = odds[..., None]
        parts = [
            largest(x),
            jnp.mean(x, (1, 2)),
            multiply_gradient(largest(odds), self.maximum_multiplier),
            multiply_gradient(jnp.mean(odds, (1, 2)), self.average_multiplier),
        ]
        return nn.Dense(1, dtype=jnp.float32, name="out")(jnp.concatenate(parts, -1))


class Pooled(nn.Module):
    """Global pooling of the features, dropout, and a linear layer to `outputs` logits.

    `pool` is "average", "maximum" or "both" side by side. Training with dropout needs
    the random stream "dropout". Raises ConfigError, when called, for fields that are no
    choice.
    """

    pool: str = "average"
    dropout: float = 0.0
    outputs: int = 1

    @nn.compact
    def __call__(
        self,
        features: Float[Array, "b y x c"],
        logits: Float[Array, "b h w k"],
        *,
        train: bool,
    ) -> Float[Array, "b n"]:
        del logits
        if self.pool not in POOLS:
            raise ConfigError(f"pool is {self.pool!r}: use one of {[*POOLS]}.")
        if not 0.0 <= self.dropout < 1.0:
            raise ConfigError(f"dropout is {self.dropout}: it must be in [0, 1).")
        x = features.astype(jnp.float32)
        pooled = {"average": jnp.mean(x, (1, 2)), "maximum": largest(x)}
        names = tuple(pooled) if self.pool == "both" else (self.pool,)
        x = jnp.concatenate([pooled[name] for name in names], -1)
        x = nn.Dropout(self.dropout, deterministic=not train)(x)
        outputs = _blocks.at_least_one("outputs", self.outputs)
        return nn.Dense(outputs, dtype=jnp.float32, name="out")(x)


BUILT_IN = {"segdec": SegDec, "pooled": Pooled}


def log_odds(logits: Float[Array, "b h w k"]) -> Float[Array, "b h w"]:
    """log P(any foreground class) - log P(background) of each pixel."""
    return jax.nn.logsumexp(logits[..., 1:], axis=-1) - logits[..., 0]


def largest(x: Float[Array, "b h w c"]) -> Float[Array, "b c"]:
    """The maximum of each channel; equal values share the gradient.

    A tournament of pairs. The gradient of `jnp.max` divides by how many values equal
    the maximum, and a compiler that computes the values twice, rounded in two ways, may
    count none: the gradient is then no number.
    """
    x = x.reshape(x.shape[0], -1, x.shape[-1])
    while (pairs := x.shape[1] // 2) > 0:
        won = jnp.maximum(x[:, :pairs], x[:, pairs : 2 * pairs])
        x = jnp.concatenate([won, x[:, 2 * pairs :]], 1)
    return x[:, 0]


def halved(x: Float[Array, "b h w c"]) -> Float[Array, "b y x c"]:
    """Maximum of each 2x2 square, an odd last row or column dropped.

    An axis of fewer than 4 pixels stays as it is.
    """
    for axis in (1, 2):
        size = x.shape[axis]
        if size >= 4:
            even = jax.lax.slice_in_dim(x, 0, size // 2 * 2, 2, axis)
            odd = jax.lax.slice_in_dim(x, 1, size // 2 * 2, 2, axis)
            x = jnp.maximum(even, odd)
    return x


def _averaged(x, size: Sequence[int]):
    """`x` at another size: means of the pixels that each cell covers."""
    if x.shape[1:3] == tuple(size):
        return x
    rows, columns = (
        _layers.pool_matrix(n, m) for n, m in zip(x.shape[1:3], size, strict=True)
    )
    return _layers.separable(x, rows, columns)


def _check_segdec(head: SegDec, features) -> tuple[int, ...]:
    widths = _blocks.check_widths("widths", head.widths, 1, 8)
    if head.sqrt_of not in SQRT_OF:
        raise ConfigError(f"sqrt_of is {head.sqrt_of!r}: use one of {[*SQRT_OF]}.")
    if head.kernel < 1 or head.kernel % 2 == 0:
        raise ConfigError(f"kernel is {head.kernel}: give an odd number of pixels.")
    for name in ("features", "maximum", "average"):
        value = getattr(head, f"{name}_multiplier")
        if not 0 <= value <= 1:
            raise ConfigError(f"{name}_multiplier is {value}: it must be from 0 to 1.")
    if features.shape[1] * features.shape[2] < 2:
        raise ConfigError(
            "the deepest map of the model is a single pixel, of which the decision "
            "head 'segdec' can learn nothing: use larger images, a shallower model, or "
            "config.decision.name='pooled'."
        )
    return widths
