"""Predicts one image of any size, as its file stores it."""

import os
from collections.abc import Callable, Iterator
from typing import Any, NamedTuple

import numpy as np
from jaxtyping import Float, Int32, UInt, UInt8

from jaxseg.data import crops, intensity, pipeline, resize
from jaxseg.errors import DataError
from jaxseg.inference import forward, stitch, tiles
from jaxseg.postprocess import decision


class Prediction(NamedTuple):
    """What a model says of one image, at the size of that image."""

    classes: UInt8[np.ndarray, "h w"]  # class ids by the decision rule
    probability: Float[np.ndarray, "h w k"]
    # label map of a run that looks for objects, 0 = background; else None
    objects: Int32[np.ndarray, "h w"] | None = None
    # probability that the image shows foreground; None without a decision head
    image_score: float | None = None
    # probability of each class of whole images; None for a run that learned none
    image_classes: Float[np.ndarray, "m"] | None = None


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


def seen(
    image: UInt[np.ndarray, "h w c"],
    view: pipeline.View,
    pixel_size: float | None = None,
) -> UInt[np.ndarray, "height width c"]:
    """The image as the model sees it: its levels, at the size of the view.

    With fit "crop" that is its own size, or the one at the pixel size of the view;
    `pixel_size` (micrometres) is that of the image. Raises DataError where the view
    needs it and it was not given.
    """
    native = image.shape[:2]
    levels = intensity.to_levels(
        image, mode=view.intensity, low=view.low, high=view.high, bits=view.bits
    )
    crop = view.fit == "crop"
    size = view.scaled(native, pixel_size) if crop else view.size
    fit = "stretch" if crop else view.fit
    return resize.fit(levels, np.zeros(native, np.uint8), size, fit)[0]


def blocks(
    image: UInt[np.ndarray, "height width c"],
    grid: tiles.Grid | stitch.Plan,
    block: int,
) -> Iterator[UInt[np.ndarray, "block tile_height tile_width c"]]:
    """The tiles of an image in order, so many at a time; the last ones are padding."""
    for first in range(0, grid.count, block):
        shown = [
            crops.cut(image, grid.start(k), grid.tile, fill=0)
            for k in range(first, min(first + block, grid.count))
        ]
        nothing = np.zeros_like(shown[0])
        yield np.stack(shown + [nothing] * (block - len(shown)))


def at_native(
    probability: Float[np.ndarray, "height width k"],
    view: pipeline.View,
    native: tuple[int, int],
) -> Float[np.ndarray, "h w k"]:
    """The probabilities f32 at the `native` size of an image, as scoring has them."""
    k = probability.shape[-1]
    if view.fit == "crop" or k > 2:
        return np.reshape(view.to_native(probability, native), (*native, k))
    foreground = view.to_native(np.ascontiguousarray(probability[..., 1:]), native)
    foreground = np.reshape(foreground, (*native, 1))
    return np.concatenate([1 - foreground, foreground], axis=-1)


def maps_at_native(
    maps: Float[np.ndarray, "height width n"],
    view: pipeline.View,
    native: tuple[int, int],
    num_classes: int,
) -> Float[np.ndarray, "h w n"]:
    """Probabilities of k classes, as `at_native` has them, and the maps behind them."""
    probability = at_native(maps[..., :num_classes], view, native)
    if maps.shape[-1] == num_classes:
        return probability
    more = view.to_native(np.ascontiguousarray(maps[..., num_classes:]), native)
    return np.concatenate([probability, np.reshape(more, (*native, -1))], axis=-1)


def predict(
    image: np.ndarray,
    *,
    view: pipeline.View,
    maps: Callable[[np.ndarray], Any],
    num_classes: int,
    operating_point: dict[str, Any] | None,
    pixel_size: float | None = None,
    block: int = 1,
    exact: stitch.Field | None = None,
    find: Callable[..., np.ndarray] | None = None,
    num_maps: int | None = None,
    exclusive: bool = False,
) -> Prediction:
    """Class ids and probabilities of an image u8 or u16 [h, w, c] of any size.

    The image goes the way of the images of validation: its intensities become levels,
    it is brought to the size of the model, and its probabilities come back to its own.
    With fit "crop" the model sees tiles of it, `block` at a time, at the pixel size of
    the view; `pixel_size` (micrometres) is that of the image. Raises DataError where
    the view needs it and it was not given.
    `maps` turns u8 or u16 [block, height, width, c] into f32 [block, height, width, n]:
    the probabilities of `num_classes` classes, and behind them what else `find` takes,
    which makes the label map of (maps at native size, scale=): `num_maps` in all (None:
    every one). Behind these stands what the model says of the whole image, by several
    numbers of classes that may be `exclusive`. With the block of an
    evaluation every bit is as it was scored: programs for blocks of other sizes round
    otherwise. With `exact`, what the network sees
    around a pixel, tiles are not blended: see `stitch`.
    """
    levels = seen(image, view, pixel_size)
    shown, canvas = canvas_of(levels, view, exact)
    for batch in blocks(shown, canvas.plan, block):
        rows = np.asarray(maps(batch), np.float32)
        for row in rows[: canvas.plan.count - canvas.added]:
            canvas.add(row)
    native, joined = image.shape[:2], canvas.probability()
    count = joined.shape[-1] if num_maps is None else num_maps
    whole = maps_at_native(joined[..., :count], view, native, num_classes)
    probability = whole[..., :num_classes]
    objects = None if find is None else find(whole, scale=native[0] / len(levels))
    classes = decision.decide(probability, operating_point)
    said = joined[..., count:]
    whole_image = decided(said), classes_of(said, exclusive=exclusive)
    return Prediction(classes, probability, objects, *whole_image)


def decided(channels: Float[np.ndarray, "h w n"]) -> float | None:
    """The probability that the image shows foreground, of a head that says that alone.

    None without a head, and for one that says more than one thing of an image.
    """
    if channels.shape[-1] != 1:
        return None
    return float(forward.image_score(channels)[0])


def classes_of(
    channels: Float[np.ndarray, "h w n"], *, exclusive: bool
) -> Float[np.ndarray, "n"] | None:
    """The probabilities of the classes of whole images, of a head that says several.

    None without a head, and for one that says one number, which `decided` is of.
    """
    if channels.shape[-1] < 2:
        return None
    return forward.image_score(channels, exclusive=exclusive)


def canvas_of(
    image: UInt[np.ndarray, "height width c"],
    view: pipeline.View,
    exact: stitch.Field | None,
) -> tuple[UInt[np.ndarray, "height width c"], tiles.Canvas | stitch.Canvas]:
    """(what the tiles are cut from, what their predictions are added to).

    They are blended, or with `exact` joined; raises what `stitch.cuts` does.
    """
    size = image.shape[:2]
    if exact is None:
        return image, tiles.Canvas(tiles.grid(size, view.size, view.overlap))
    joined = stitch.Canvas(stitch.plan(size, view.size, exact))
    return stitch.grown(image, exact), joined
