"""Predicts one image of any size, as its file stores it."""

import os
from collections.abc import Callable
from typing import Any, NamedTuple

import numpy as np
from jaxtyping import Float, UInt8

from jaxseg.data import crops, intensity, pipeline, resize
from jaxseg.errors import DataError
from jaxseg.inference import tiles
from jaxseg.postprocess import decision


class Prediction(NamedTuple):
    """What a model says of one image, at the size of that image."""

    classes: UInt8[np.ndarray, "h w"]  # class ids by the decision rule
    probability: Float[np.ndarray, "h w k"]


def as_stored(
    image: np.ndarray, *, channels: int, dtype: str, floats: bool = False
) -> np.ndarray:
    """The image [h, w, c], checked against what the model was trained on.

    A grey image may come as [h, w]. With `floats` the training images were floating-
    point numbers, and so must this one be: it becomes `dtype` as they did, by
    `intensity.from_float`. Raises DataError for another number of channels and for
    another type of numbers: nothing is converted silently; and for what is no image at
    all, such as the name of a file.
    """
    if isinstance(image, (str, bytes, os.PathLike)):
        raise DataError(
            f"{image!r} is the name of a file; give its pixels, as "
            "cv2.imread(name, cv2.IMREAD_UNCHANGED) reads them."
        )
    if image is None:
        raise DataError(
            "None came instead of an image, as from cv2.imread for a file that it "
            "cannot read."
        )
    try:
        image = np.asarray(image)
    except ValueError:  # rows of different lengths
        image = np.array(None)
    if image.dtype.kind not in "biuf":
        raise DataError(
            f"the image is no array of numbers (it holds {image.dtype}); give the "
            "pixels as the file stores them."
        )
    image = image.astype(image.dtype.newbyteorder("="), copy=False)
    shaped = image[..., None] if image.ndim == 2 else image
    if shaped.ndim != 3 or shaped.shape[-1] != channels or 0 in shaped.shape:
        raise DataError(
            f"the image has the shape {image.shape}; this model takes "
            f"[height, width, {channels}]{' or [height, width]' * (channels == 1)}."
        )
    if floats and str(shaped.dtype) in intensity.FLOATS:
        try:
            return intensity.from_float(shaped)
        except DataError as error:
            raise DataError(f"the image {error}") from None
    if floats or shaped.dtype != np.dtype(dtype):
        raise DataError(
            f"the image holds {shaped.dtype} numbers, but the model was trained on "
            f"{' or '.join(intensity.FLOATS) if floats else dtype}: give the pixels as "
            "the file stores them."
        )
    return shaped


def predict(
    image: np.ndarray,
    *,
    view: pipeline.View,
    probabilities: Callable[[np.ndarray], Any],
    operating_point: dict[str, Any] | None,
    pixel_size: float | None = None,
) -> Prediction:
    """Class ids and probabilities of an image u8 or u16 [h, w, c] of any size.

    The image goes the way of the images of validation: its intensities become levels,
    it is brought to the size of the model, and its probabilities come back to its own.
    With fit "crop" the model sees tiles of it, one after another, at the pixel size of
    the view; `pixel_size` (micrometres) is that of the image. Raises DataError where
    the view needs it and it was not given.
    `probabilities` maps u8 or u16 [1, height, width, c] to f32 [1, height, width, k].
    """
    native = image.shape[:2]
    grey = intensity.to_levels(
        image, mode=view.intensity, low=view.low, high=view.high, bits=view.bits
    )
    if view.fit == "crop":
        no_mask, size = np.zeros(native, np.uint8), view.scaled(native, pixel_size)
        scaled, _ = resize.fit(grey, no_mask, size)
        probability = _by_tiles(scaled, view, probabilities)
        probability = view.to_native(probability, native).reshape(*native, -1)
        return Prediction(decision.decide(probability, operating_point), probability)
    no_mask = np.zeros(native, np.uint8)
    fitted, _ = resize.fit(grey, no_mask, view.size, view.fit)
    at_size = np.asarray(probabilities(fitted[None])[0], np.float32)
    k = at_size.shape[-1]
    if k == 2:  # as in scoring, only the foreground is resized
        foreground = resize.unfit(at_size[..., 1:], native, view.fit).reshape(
            *native, 1
        )
        probability = np.concatenate([1 - foreground, foreground], axis=-1)
    else:
        probability = resize.unfit(at_size, native, view.fit).reshape(*native, k)
    classes = decision.decide(probability, operating_point)
    return Prediction(classes, probability)


def _by_tiles(
    grey: UInt8[np.ndarray, "h w c"],
    view: pipeline.View,
    probabilities: Callable[[np.ndarray], Any],
) -> Float[np.ndarray, "h w k"]:
    canvas = tiles.Canvas(tiles.grid(grey.shape[:2], view.size, view.overlap))
    for number in range(canvas.grid.count):
        tile = crops.cut(grey, canvas.grid.start(number), view.size, fill=0)
        canvas.add(np.asarray(probabilities(tile[None])[0], np.float32))
    return canvas.probability()
