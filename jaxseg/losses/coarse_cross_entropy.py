"""Computes cross-entropy at 1/8 of the size, with soft labels.

    y_c  = mean over 17 x 17 pixels around every eighth of [the pixel is of class c]
    loss = 1/n sum_j s_j W_j sum_c y_jc (-log p_jc),   n = sum_j s_j

over the cells j of one image, s_j the share of its window that is labelled; labels and
weights are means over the labelled part. The image is reflected at its edges. For two
classes it is the binary cross-entropy by which SegDecNet learns its mask (Bozic,
Tabernik and Skocaj, 2021, https://arxiv.org/abs/2104.06064); `_emphasis` says what W is
at the size of the image. A soft label costs its entropy also where it is right.

An image without any labelled pixel costs 0 and still counts in the mean of its batch:
the fewer masks there are, the less this term weighs beside one of whole images.
"""

import functools

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float, Integer

from jaxseg.errors import ConfigError
from jaxseg.losses import _emphasis, _pixels
from jaxseg.types import IGNORE

STRIDE, WINDOW = 8, 17


def loss(
    coarse_logits: Float[Array, "b y x k"],
    mask: Integer[Array, "b h w"],
    *,
    w_max: float = 1.0,
    power: float = 2.0,
    dilate: int = 1,
    per_object: bool = False,
) -> Float[Array, "b"]:
    """Mean weighted cross-entropy over the cells of each image; 0 without a label.

    The settings are those of `distance_cross_entropy`. Raises ConfigError for them, and
    for logits that are not at 1/8 of the size of the mask, rounded up.
    """
    _emphasis.check(w_max, power, dilate)
    classes = coarse_logits.shape[-1]
    size = tuple(-(-n // STRIDE) for n in mask.shape[1:])
    if coarse_logits.shape[1:3] != size or classes < 2:
        raise ConfigError(
            f"coarse_cross_entropy got logits {coarse_logits.shape} and mask "
            f"{mask.shape}, but needs [b, {size[0]}, {size[1]}, k] with at least 2 "
            "classes: use a model with logits at 1/8 of the size, such as segdecnet."
        )
    truth = _emphasis.dilated(mask, dilate)
    labelled = (truth != IGNORE).astype(jnp.float32)
    weight = _emphasis.weights(truth, w_max=w_max, power=power, per_object=per_object)
    right = _pixels.is_class(truth, range(classes)) * labelled[..., None]
    planes = jnp.stack([labelled, labelled * weight], -1)
    pooled = soft(jnp.concatenate([right, planes], -1))
    share = pooled[..., classes]
    some = jnp.where(share > 0, share, 1.0)
    label, weight = pooled[..., :classes] / some[..., None], pooled[..., -1] / some
    wrong = jnp.any((truth != IGNORE) & ~_valid(truth, classes), (1, 2))
    logits = coarse_logits.astype(jnp.float32)
    logits = jnp.where(share[..., None] > 0, logits, 0.0)
    cost = -jnp.sum(label * jax.nn.log_softmax(logits), -1)
    mean = _pixels.mean_labelled(weight * cost, share)
    return jnp.where(wrong, jnp.nan, mean)  # a value that is no class stops training


def _valid(truth, classes):
    return (truth >= 0) & (truth < classes)


def soft(values: Float[Array, "b h w c"]) -> Float[Array, "b y x c"]:
    """Means over 17 x 17 pixels around every eighth, the image reflected 8 pixels."""
    h, w = values.shape[1:3]
    dot = functools.partial(jnp.einsum, precision=jax.lax.Precision.HIGHEST)
    values = dot("yh,bhwc->bywc", jnp.asarray(_means(h)), values)
    return dot("xw,bywc->byxc", jnp.asarray(_means(w)), values)


@functools.lru_cache(maxsize=256)
def _means(size: int) -> np.ndarray:
    """[ceil(size / 8), size]: what each cell takes of the pixels along an axis."""
    cells, reach = -(-size // STRIDE), WINDOW // 2
    place = STRIDE * np.arange(cells)[:, None] + np.arange(-reach, reach + 1)
    turn = max(2 * (size - 1), 1)  # there and back again, without the edge twice
    place = np.abs((place + size - 1) % turn - (size - 1)) if size > 1 else 0 * place
    matrix = np.zeros((cells, size))
    np.add.at(matrix, (np.arange(cells)[:, None], place), 1 / WINDOW)
    return matrix.astype(np.float32)
