"""Turns an example into the record TFDS stores, and its PNG bytes back into arrays.

Everything is kept losslessly as PNG. Images have 8 or 16 bits; channel counts that PNG
does not know are stacked below one another, and so are the lower and upper 16 bits of
object ids of 32 bits. TensorFlow is not needed to write or to read.
"""

import io
from typing import TYPE_CHECKING

import cv2
import numpy as np

from jaxseg.errors import DataError
from jaxseg.labels import Example

if TYPE_CHECKING:  # the worker processes of a preparation do without it
    import tensorflow_datasets as tfds

_PNG_CHANNELS = (1, 3, 4)
# run-length coding: half the time of the default on radiographs, and smaller
_PNG = [cv2.IMWRITE_PNG_STRATEGY, cv2.IMWRITE_PNG_STRATEGY_RLE]


def features(
    channels: int, dtype: str, *, instances: bool = False
) -> "tfds.features.FeaturesDict":
    """TFDS features of Examples with images of `channels` of u8 or u16.

    With `instances`, every example has them.
    """
    import tensorflow_datasets as tfds

    stored = channels if channels in _PNG_CHANNELS else 1
    text = tfds.features.Text()
    parts = {"image": _png_feature(stored, dtype), "mask": _png_feature(1, "uint8")}
    if instances:
        parts["instances"] = _png_feature(1, "uint16")
    return tfds.features.FeaturesDict(
        parts | {"label": np.int32, "id": text, "group": text}
    )


def _png_feature(channels: int, dtype: str) -> "tfds.features.Image":
    import tensorflow_datasets as tfds

    return tfds.features.Image(
        shape=(None, None, channels), dtype=np.dtype(dtype), encoding_format="png"
    )


def encode(example: Example) -> dict:
    """The record TFDS stores: the example, its arrays as PNG bytes."""
    image, mask = example["image"], example["mask"]
    if image.ndim != 3 or image.dtype not in (np.uint8, np.uint16):
        raise DataError(
            f"{example['id']}: an image must be [h, w, c] of uint8 or uint16, "
            f"not {image.dtype} {image.shape}."
        )
    if mask.dtype != np.uint8 or mask.shape != image.shape[:2]:
        raise DataError(
            f"{example['id']}: the mask is {mask.dtype} {mask.shape}, but the image is "
            f"{image.shape[:2]}; a mask must be uint8 of the same height and width."
        )
    record = {**example, "image": encode_image(image), "mask": _encode(mask)}
    if "instances" in example:
        ids = example["instances"]
        if ids.dtype not in (np.uint16, np.uint32) or ids.shape != mask.shape:
            raise DataError(
                f"{example['id']}: the instances are {ids.dtype} {ids.shape}, but the "
                f"image is {mask.shape}; object ids must be uint16 or uint32 of the "
                "same height and width."
            )
        if ids.dtype == np.uint32:
            ids = np.concatenate([ids & 0xFFFF, ids >> 16]).astype(np.uint16)
        record["instances"] = _encode(ids)
    return record


def encode_image(image: np.ndarray) -> io.BytesIO:
    """The PNG bytes of an image [h, w, c]."""
    channels = image.shape[-1]
    if channels == 3:
        image = image[..., ::-1]
    elif channels == 4:
        image = image[..., [2, 1, 0, 3]]
    elif channels not in _PNG_CHANNELS:
        image = np.concatenate(np.moveaxis(image, -1, 0), axis=0)
    return _encode(np.ascontiguousarray(image))


def _encode(array: np.ndarray) -> io.BytesIO:
    ok, data = cv2.imencode(".png", array, _PNG)
    if not ok:
        raise DataError(f"cannot store an array {array.dtype} {array.shape} as PNG.")
    return io.BytesIO(data.tobytes())


def from_png(data: bytes, channels: int, what: str) -> np.ndarray:
    """The array [h, w, channels] of a stored PNG; `what` names it in the DataError."""
    array = cv2.imdecode(np.frombuffer(data, np.uint8), cv2.IMREAD_UNCHANGED)
    if array is None:
        raise DataError(f"{what} cannot be decoded; prepare the data set again.")
    if channels == 3:
        return array[..., ::-1]
    if channels == 4:
        return array[..., [2, 1, 0, 3]]
    if channels == 1:
        return array[..., None]
    return np.moveaxis(array.reshape(channels, -1, array.shape[-1]), 0, -1)


def instances_from_png(data: bytes, height: int, what: str) -> np.ndarray:
    """The object ids u16 or u32 [height, w] of a stored PNG: `from_png` of ids."""
    ids = from_png(data, 1, what)[..., 0]
    if len(ids) == height:
        return ids
    low, high = ids.astype(np.uint32).reshape(2, height, -1)
    return low | high << 16
