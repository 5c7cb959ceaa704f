"""The records that travel through jaxseg, and the label contract.

A mask holds one class id per pixel; IGNORE marks a pixel that is not labelled and
counts nowhere. Full masks, clicks, scribbles and image-level labels are all this
one record, so any model works with any loss and any supervision.
"""

from collections.abc import Callable
from typing import Any, NamedTuple, NotRequired, TypedDict

import flax.struct
import jax
import jax.numpy as jnp
from jaxtyping import Array, Float, Int, Int8, UInt, UInt8

from jaxseg import labels

IGNORE, Example = labels.IGNORE, labels.Example
Normalise = Callable[[jax.Array], jax.Array]  # image f32 in [0, 1] -> what a model gets


class Batch(TypedDict):
    """Examples at one size; `weight` is 0 for padding, so padding counts nowhere."""

    image: UInt[Array, "b h w c"]  # u8, or u16 where 16 bits are kept
    mask: UInt8[Array, "b h w"]
    label: Int[Array, "b"]
    weight: Float[Array, "b"]
    index: Int[Array, "b"]  # position in the split: names the example
    # 0 = no object, numbered within the image; where objects are learned
    instances: NotRequired[Int[Array, "b h w"]]
    # 1 shows this class of images, 0 does not, -1 unknown; where the data has such
    image_classes: NotRequired[Int8[Array, "b m"]]


def unit_interval(image: UInt[Array, "*shape"]) -> Float[Array, "*shape"]:
    """The image as f32 in [0, 1]: its integers divided by the largest of their type."""
    return image.astype(jnp.float32) / jnp.iinfo(image.dtype).max


class Target(NamedTuple):
    """What the channels of a network mean: a file of targets/ with its settings."""

    name: str
    channels: int
    instances: bool  # whether its truth needs object ids
    split: Callable  # logits f32 [b h w n] -> {"logits": [b h w k'], ...}
    truth: Callable  # (mask, ids or None) -> what losses ask for beside the mask
    maps: Callable  # logits f32 -> [b h w k + m] in [0, 1], the classes first
    mirror: Callable  # (maps, axis) -> the maps of the mirrored image
    names: tuple[str, ...]  # of the m maps
    ray_length: float  # of a ray that is 1, in pixels; 0 without rays


class Outputs(TypedDict):
    """What a model returns: logits at the size of the image, in float32."""

    logits: Float[Array, "b h w k"]
    # the deepest map, of the dtype of the computation: every model here returns it, a
    # head of whole images (config.decision) reads it
    features: NotRequired[Float[Array, "b y x c"]]
    # logits at 1/8 of the size, rounded up: segdecnet without its decoder
    coarse_logits: NotRequired[Float[Array, "b y x k"]]
    aux: NotRequired[Float[Array, "b h w k"]]  # only models with an auxiliary head
    # deep supervision: logits of coarser levels, of ceil(h / 2^i) pixels, or of earlier
    # nodes at the size of the image
    deep: NotRequired[list]
    # only with a head of whole images: with n = 1 the logit of "shows foreground"
    image_logits: NotRequired[Float[Array, "b n"]]


@flax.struct.dataclass
class TrainState:
    """Everything training changes, and nothing but arrays."""

    step: Any  # i32: optimizer steps done = position in the data
    params: Any
    model_state: Any  # batch statistics; {} when the model has none
    opt_state: Any
    ema_params: Any  # None when no average is kept
    bad_run: Any  # i32: non-finite steps in a row, up to now
    bad_total: Any  # i32: non-finite steps skipped since the beginning
