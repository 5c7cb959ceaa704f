"""Turns arrays of weights between PyTorch's layout and ours, and between shapes.

PyTorch has [out, in, height, width], Flax [height, width, in, out]. Shapes differ where
a model is used for something else than it was published for: other input channels,
another window, other classes. What is done then is decided here, and reported.
"""

import math
import re
from typing import NamedTuple

import cv2
import numpy as np

_PATCH = "params/backbone/patch_embed/kernel"  # a dense layer on flattened patches
_PATCH_SIDE = 4
_STEMS = re.compile(  # the kernels that see the image
    rf"{_PATCH}|params/encoder/(conv1|conv_stem|level1/(layer1|shortcut)_conv)/kernel"
)
_CLASSES = re.compile(  # what has one number for each class
    r"\w+/(classifier|aux_classifier|head|head_norm)/\w+"
)
# Dense layers there; every other matrix is a convolution of 1x1 there.
_DENSE = re.compile(r"params/(backbone/.*|fc/kernel)")


def to_ours(arrays: list[np.ndarray], path: str, ndim: int) -> np.ndarray:
    """The leaf `path`, of `ndim` axes, from arrays in PyTorch's layout; float32.

    Several arrays are parts of one projection, side by side in the last axis.
    """
    parts = [_to_ours(np.asarray(a, np.float32), path, ndim) for a in arrays]
    return parts[0] if len(parts) == 1 else np.concatenate(parts, -1)


def to_torch(value: np.ndarray, path: str, parts: int) -> list[np.ndarray]:
    """The inverse of `to_ours`: `parts` contiguous float32 arrays."""
    pieces = np.split(np.asarray(value, np.float32), parts, -1)
    return [np.ascontiguousarray(_to_torch(piece, path)) for piece in pieces]


def _to_ours(array, path, ndim):
    if path.endswith("bias_table"):  # [(2w-1)^2, heads]
        side = math.isqrt(len(array))
        return array.reshape(side, side, -1) if side * side == len(array) else array
    if array.ndim == 4:
        array = array.transpose(2, 3, 1, 0)
        if path == _PATCH:
            return array.reshape(-1, array.shape[-1])
        return array[0, 0] if ndim == 2 and array.shape[:2] == (1, 1) else array
    return array.T


def _to_torch(array, path):
    if path.endswith("bias_table"):
        return array.reshape(-1, array.shape[-1])
    if path == _PATCH:
        array = array.reshape(_PATCH_SIDE, _PATCH_SIDE, -1, array.shape[-1])
    elif array.ndim == 2 and not _DENSE.fullmatch(path):
        array = array[None, None]
    return array.transpose(3, 2, 0, 1) if array.ndim == 4 else array.T


class Fit(NamedTuple):
    """What becomes of one leaf."""

    kind: str  # loaded, adapted, re-initialised; "" = it does not fit
    value: np.ndarray | None = None
    why: str = ""


def fit(value: np.ndarray, shape: tuple[int, ...], path: str) -> Fit:
    """`value` for a leaf of `shape`, by the rule of that leaf where shapes differ."""
    if value.shape == shape:
        return Fit("loaded", value)
    if value.ndim != len(shape):
        return Fit("")
    if _STEMS.fullmatch(path) and value.shape[-1] == shape[-1]:
        return _fit_stem(value, shape, path)
    if path.endswith("bias_table") and value.shape[-1] == shape[-1]:
        before, after = (side // 2 + 1 for side in (len(value), shape[0]))
        why = f"resized from window {before} to {after}, bicubic"
        return Fit("adapted", resize_table(value, shape[0]), why)
    if _CLASSES.fullmatch(path) and value.shape[:-1] == shape[:-1]:
        why = f"the file has {value.shape[-1]} classes, the model {shape[-1]}"
        return Fit("re-initialised", None, why)
    return Fit("")


def _fit_stem(value, shape, path):
    flat = path == _PATCH
    kernel, wanted = value, shape
    if flat:
        side = (_PATCH_SIDE, _PATCH_SIDE)
        kernel, wanted = (
            value.reshape(*side, -1, value.shape[-1]),
            (*side, shape[0] // _PATCH_SIDE**2, shape[1]),
        )
    if kernel.shape[:2] != wanted[:2]:
        return Fit("")
    has, wants = kernel.shape[2], wanted[2]
    rule = "summed" if wants == 1 else f"copied in turn, times {has}/{wants}"
    kernel = adapt_channels(kernel, wants).reshape(shape)
    return Fit("adapted", kernel, f"{has} input channels to {wants}: {rule}")


def adapt_channels(kernel: np.ndarray, channels: int) -> np.ndarray:
    """A kernel [h, w, c, f] as [h, w, channels, f].

    One channel gets the sum, so a grey image answers as its copy in all channels did;
    more get copies of the old ones in turn, scaled so that a constant image answers
    as before where the copies come out even. The rule of timm (Wightman, 2019,
    https://github.com/huggingface/pytorch-image-models, `adapt_input_conv`).
    """
    if channels == 1:
        return kernel.sum(2, keepdims=True)
    has = kernel.shape[2]
    return kernel[:, :, np.arange(channels) % has] * np.float32(has / channels)


def resize_table(table: np.ndarray, side: int) -> np.ndarray:
    """A table of position biases [d, d, heads] as [side, side, heads], bicubic.

    As the paper's code does when the window changes (Liu et al., 2021,
    https://github.com/microsoft/Swin-Transformer): pixel centres, a = -0.75.
    """
    resized = [
        cv2.resize(head, (side, side), interpolation=cv2.INTER_CUBIC)
        for head in np.ascontiguousarray(np.moveaxis(table, -1, 0))
    ]
    return np.stack(resized, -1)
