"""How one example is stored: image and mask losslessly as PNG bytes in a TFDS record.

Images have 8 or 16 bits; channel counts that PNG does not know are stacked below one
another. TensorFlow is not needed to write or to read.
"""

import io

import cv2
import numpy as np
import tensorflow_datasets as tfds

from jaxseg.errors import DataError
from jaxseg.types import Example

_PNG_CHANNELS = (1, 3, 4)
# run-length coding: half the time of the default on radiographs, and smaller
_PNG = [cv2.IMWRITE_PNG_STRATEGY, cv2.IMWRITE_PNG_STRATEGY_RLE]
RAW = {"image": tfds.decode.SkipDecoding(), "mask": tfds.decode.SkipDecoding()}


def features(channels: int, dtype: str) -> tfds.features.FeaturesDict:
    """TFDS features of an Example whose images have `channels` of u8 or u16."""
    stored = channels if channels in _PNG_CHANNELS else 1
    image = tfds.features.Image(
        shape=(None, None, stored), dtype=np.dtype(dtype), encoding_format="png"
    )
    mask = tfds.features.Image(shape=(None, None, 1), encoding_format="png")
    text = tfds.features.Text()
    return tfds.features.FeaturesDict(
        {"image": image, "mask": mask, "label": np.int32, "id": text, "group": text}
    )


def encode(example: Example) -> dict:
    """The record TFDS stores: the example with image and mask as PNG bytes."""
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
    return {**example, "image": io.BytesIO(_to_png(image)), "mask": _png(mask)}


def _png(array: np.ndarray) -> io.BytesIO:
    ok, data = cv2.imencode(".png", array, _PNG)
    if not ok:
        raise DataError(f"cannot store an array {array.dtype} {array.shape} as PNG.")
    return io.BytesIO(data.tobytes())


def _to_png(image: np.ndarray) -> bytes:
    channels = image.shape[-1]
    if channels == 3:
        image = image[..., ::-1]
    elif channels == 4:
        image = image[..., [2, 1, 0, 3]]
    elif channels not in _PNG_CHANNELS:
        image = np.concatenate(np.moveaxis(image, -1, 0), axis=0)
    return _png(np.ascontiguousarray(image)).getvalue()


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
