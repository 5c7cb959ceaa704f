"""Encodes images by a Swin Transformer.

Liu et al., 2021, https://arxiv.org/abs/2103.14030. Numerically equal to the backbone of
Hugging Face transformers: windows are always partitioned, maps are padded to whole
windows before the cyclic shift, and the window is never shrunk, however small the map.
One difference, in training only: stochastic depth drops both branches of a block, as in
the paper's own code; transformers drops the attention branch alone.

Weights start as in the paper's code: truncated normal of 0.02 (dense layers and
position bias), zero biases. Flax cuts the normal at two standard deviations, which
leaves 0.0176; the paper's code at 100. The patch embedding, a convolution that the
paper's code leaves at PyTorch's default, starts so too: a norm follows it.
"""

import jax
import jax.numpy as jnp
import numpy as np
from flax import linen as nn
from jaxtyping import Array, Float

_INIT = nn.initializers.truncated_normal(0.02)
_MASKED = -100.0  # added to the score of two pixels that the shift made neighbours


class Swin(nn.Module):
    """Feature maps of the four stages, each after its own norm.

    Stage i is [b, ceil(h / 2^(i+2)), ceil(w / 2^(i+2)), embed_dim * 2^i]. With
    `drop_path` > 0 and train=True it needs the random stream "dropout".
    """

    embed_dim: int
    depths: tuple[int, ...]
    num_heads: tuple[int, ...]
    window: int
    drop_path: float = 0.0
    remat: bool = False
    dtype: jnp.dtype = jnp.float32

    @nn.compact
    def __call__(self, image: Float[Array, "b h w c"], *, train: bool) -> list:
        block = nn.remat(Block) if self.remat else Block
        scales = self._branch_scales(image.shape[0]) if train else {}
        x = _dense(self.embed_dim, self.dtype, "patch_embed")(_patches(image, 4))
        x = _norm(self.dtype, "patch_norm")(x)
        features = []
        for i, depth in enumerate(self.depths):
            if i > 0:
                x = _norm(self.dtype, f"merge{i}_norm")(_merge(x))
                width = self.embed_dim * 2**i
                x = _dense(width, self.dtype, f"merge{i}", use_bias=False)(x)
            for j in range(depth):
                x = block(
                    heads=self.num_heads[i],
                    window=self.window,
                    shift=self.window // 2 if j % 2 else 0,
                    dtype=self.dtype,
                    name=f"stage{i + 1}_block{j}",
                )(x, scales.get(sum(self.depths[:i]) + j))
            features.append(_norm(self.dtype, f"stage{i + 1}_norm")(x))
        return features

    def _branch_scales(self, images: int) -> dict[int, Array]:
        """{number of a block: f32 [2, b]}, times which its two branches go on.

        Stochastic depth (Huang et al., 2016, https://arxiv.org/abs/1603.09382): a
        branch of an image is left out, or divided by the share of those that are not.
        Drawn at once for all blocks: XLA would compile each draw.
        """
        rates = drop_rates(self.drop_path, sum(self.depths))
        if not any(rates):
            return {}
        keep = 1 - jnp.asarray(rates)[:, None, None]
        shape = (len(rates), 2, images)
        kept = jax.random.bernoulli(self.make_rng("dropout"), keep, shape)
        scales = kept / keep
        return {i: scales[i] for i, rate in enumerate(rates) if rate > 0}


def drop_rates(last: float, blocks: int) -> list[float]:
    """Linear from 0 at the first block to `last` at the last one."""
    return [last * i / max(blocks - 1, 1) for i in range(blocks)]


class Block(nn.Module):
    """x + attention(norm(x)), then x + mlp(norm(x)).

    Where `scales` f32 [2, b] are given, the branches of image i are multiplied by
    scales[:, i] (stochastic depth).
    """

    heads: int
    window: int
    shift: int
    dtype: jnp.dtype

    @nn.compact
    def __call__(self, x: Float[Array, "b h w c"], scales: Array | None = None):
        def scaled(y, branch: int):
            if scales is None:
                return y
            return y * scales[branch, :, None, None, None].astype(y.dtype)

        c = x.shape[-1]
        y = _norm(self.dtype, "attention_norm")(x)
        y = WindowAttention(
            self.heads, self.window, self.shift, self.dtype, name="attention"
        )(y)
        x = x + scaled(y, 0)
        y = _norm(self.dtype, "mlp_norm")(x)
        y = gelu(_dense(4 * c, self.dtype, "mlp_in")(y))
        return x + scaled(_dense(c, self.dtype, "mlp_out")(y), 1)


class WindowAttention(nn.Module):
    """Self-attention within (shifted) windows of `window` x `window` pixels."""

    heads: int
    window: int
    shift: int
    dtype: jnp.dtype

    @nn.compact
    def __call__(self, x: Float[Array, "b h w c"]):
        (b, h, w, c), n = x.shape, self.window**2
        head = c // self.heads
        table = self.param(
            "bias_table", _INIT, (2 * self.window - 1,) * 2 + (self.heads,)
        )
        x = jnp.pad(x, ((0, 0), (0, -h % self.window), (0, -w % self.window), (0, 0)))
        high, wide = x.shape[1:3]
        x = jnp.roll(x, (-self.shift, -self.shift), (1, 2)) if self.shift else x
        x = to_windows(x, self.window)  # [b, windows, n, c]

        qkv = _dense(3 * c, self.dtype, "qkv")(x)
        q, k, v = jnp.moveaxis(qkv.reshape(b, -1, n, 3, self.heads, head), 3, 0)
        scores = jnp.einsum(
            "bwqhd,bwkhd->bwhqk", q * head**-0.5, k, preferred_element_type=jnp.float32
        )
        scores = scores + position_bias(table)[None, None]
        if self.shift:
            region = shift_regions(high, wide, self.window, self.shift)
            apart = region[:, :, None] != region[:, None, :]  # [windows, n, n]
            scores = scores + jnp.where(apart, _MASKED, 0.0)[None, :, None]
        share = nn.softmax(scores).astype(self.dtype)  # float32 up to here
        x = jnp.einsum("bwhqk,bwkhd->bwqhd", share, v).reshape(b, -1, n, c)
        x = _dense(c, self.dtype, "out")(x)

        x = from_windows(x, high, wide)
        x = jnp.roll(x, (self.shift, self.shift), (1, 2)) if self.shift else x
        return x[:, :h, :w]


def gelu(x: Float[Array, "..."]) -> Float[Array, "..."]:
    """The exact Gaussian error linear unit (Hendrycks and Gimpel, 2016).

    https://arxiv.org/abs/1606.08415. By erf; `nn.gelu(approximate=False)` goes by erfc,
    which on CPU takes three times as long to run and ten times as long to compile.
    """
    return 0.5 * x * (1.0 + jax.lax.erf(x * 0.5**0.5))


def to_windows(x: Float[Array, "b h w c"], window: int) -> Float[Array, "b m n c"]:
    """The windows of a map, row by row, each with its pixels row by row."""
    b, h, w, c = x.shape
    x = x.reshape(b, h // window, window, w // window, window, c)
    return x.swapaxes(2, 3).reshape(b, -1, window**2, c)


def from_windows(
    x: Float[Array, "b m n c"], height: int, width: int
) -> Float[Array, "b h w c"]:
    """The map whose windows `x` holds: the inverse of `to_windows`."""
    b, _, n, c = x.shape
    window = round(n**0.5)
    x = x.reshape(b, height // window, width // window, window, window, c)
    return x.swapaxes(2, 3).reshape(b, height, width, c)


def position_bias(table: Float[Array, "d d heads"]) -> Float[Array, "heads n n"]:
    """The bias of query pixel (a, b) and key pixel (c, d): table[a-c+w-1, b-d+w-1].

    Built from shears (broadcast, pad, reshape), not from a gather: the gradient of a
    gather is a scatter, slow on CPU and of unsteady order on a GPU.
    """
    rows = _differences(table)  # [a, c, 2w-1, heads]
    both = _differences(jnp.moveaxis(rows, 2, 0))  # [b, d, a, c, heads]
    n = both.shape[0] ** 2
    return both.transpose(4, 2, 0, 3, 1).reshape(-1, n, n)


def _differences(table):
    """[2w-1, ...] -> [w, w, ...] whose item (i, j) is table[i - j + w - 1]."""
    length, rest = table.shape[0], table.shape[1:]
    w = (length + 1) // 2
    flat = jnp.broadcast_to(table[None], (w, length, *rest)).reshape(-1, *rest)
    flat = jnp.pad(flat, ((0, w), *((0, 0) for _ in rest)))
    # Rows of length 2w over rows of length 2w-1: row i starts i items later.
    return flat.reshape(w, 2 * w, *rest)[:, :w][:, ::-1]


def shift_regions(height: int, width: int, window: int, shift: int) -> np.ndarray:
    """[windows, n] numbers; after the shift only pixels of one number are neighbours.

    `height` and `width` are those of the padded map.
    """
    row, column = (
        (np.arange(size) >= size - window).astype(np.int32)
        + (np.arange(size) >= size - shift)
        for size in (height, width)
    )
    region = row[:, None] * 3 + column[None]
    region = region.reshape(height // window, window, width // window, window)
    return region.swapaxes(1, 2).reshape(-1, window**2)


def _patches(image, size):
    """[b, h, w, c] -> [b, h/size, w/size, size * size * c], zeros beyond the edges."""
    b, h, w, c = image.shape
    image = jnp.pad(image, ((0, 0), (0, -h % size), (0, -w % size), (0, 0)))
    h, w = image.shape[1] // size, image.shape[2] // size
    image = image.reshape(b, h, size, w, size, c).swapaxes(2, 3)
    return image.reshape(b, h, w, size * size * c)


def _merge(x):
    """[b, h, w, c] -> [b, h/2, w/2, 4c]: each 2x2 square, column by column."""
    b, h, w, c = x.shape
    x = jnp.pad(x, ((0, 0), (0, h % 2), (0, w % 2), (0, 0)))
    h, w = x.shape[1] // 2, x.shape[2] // 2
    x = x.reshape(b, h, 2, w, 2, c).transpose(0, 1, 3, 4, 2, 5)
    return x.reshape(b, h, w, 4 * c)


def _dense(features, dtype, name, **options):
    return nn.Dense(features, dtype=dtype, kernel_init=_INIT, name=name, **options)


def _norm(dtype, name):
    # Two passes: the one-pass variance loses digits where the mean is large.
    return nn.LayerNorm(1e-5, dtype=dtype, use_fast_variance=False, name=name)
