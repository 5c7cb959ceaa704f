"""Reads PNG, JPEG and BMP files as they are stored, before any opinion about them."""

import io
import pathlib
from typing import NamedTuple

import cv2
import numpy as np
from PIL import Image

from jaxseg.errors import DataError

_ORIENTATION = 274  # the EXIF and TIFF tag
_CHANNELS = {"1": 1, "L": 1, "I;16": 1, "I": 1, "LA": 2, "RGB": 3, "RGBA": 4, "P": 1}


class Raw(NamedTuple):
    """A file's numbers, and what one has to know to use them as image or as mask."""

    array: np.ndarray  # [h, w, c], as stored
    palette: np.ndarray | None = None  # u8 [n, 4] colours with alpha of the indices
    alpha: bool = False  # the last channel is transparency
    scale: int = 1  # to 8 bits, of images stored with 1, 2 or 4
    white_is_zero: bool = False
    lossy: bool = False  # JPEG: values near, but not equal to what was painted


def read(path: pathlib.Path, max_pixels: int) -> Raw:
    """The upright pixels of a PNG, JPEG or BMP file; any exception when it is damaged.

    Pillow reads it, as it notices truncation; OpenCV reads 16-bit colour, of which
    Pillow keeps 8 bits.
    """
    data = path.read_bytes()
    formats = ("PNG", "JPEG", "BMP")
    with Image.open(io.BytesIO(data), formats=formats) as image:
        check_pixels(image.size[::-1], max_pixels)
        depth = data[24] if image.format == "PNG" else 8  # of the IHDR chunk
        if image.format == "PNG":
            # loading forgives a file that lacks its end; verify reads every checksum
            with Image.open(io.BytesIO(data), formats=formats) as again:
                again.verify()
        if image.mode not in _CHANNELS:
            raise DataError(
                f"its colours are {image.mode}; save it as RGB or as greyscale."
            )
        image.load()
        orientation = image.getexif().get(_ORIENTATION, 1)
        raw = _decoded(image, data, depth)
        return raw._replace(
            array=upright(raw.array, orientation), lossy=image.format == "JPEG"
        )


def _decoded(image: Image.Image, data: bytes, depth: int) -> Raw:
    array = np.asarray(image)
    if depth == 16 and array.dtype == np.uint8:
        array = cv2.imdecode(np.frombuffer(data, np.uint8), cv2.IMREAD_UNCHANGED)
        if array is None:
            raise DataError("its 16-bit colours cannot be decoded.")
        return Raw(from_bgr(array), alpha=array.shape[-1] == 4)
    array = array.reshape(*array.shape[:2], -1)
    if image.mode == "P":
        return Raw(array, palette=_palette(image))
    if image.mode == "1":
        return Raw(array.astype(np.uint8), scale=255)
    if image.mode == "L" and depth < 8:  # Pillow stretches 2 and 4 bits to 8
        scale = 255 // (2**depth - 1)
        return Raw(array // scale, scale=scale)
    return Raw(array, alpha=image.mode in ("LA", "RGBA"))


def _palette(image: Image.Image) -> np.ndarray:
    colours = np.array(image.getpalette("RGB"), np.uint8).reshape(-1, 3)
    palette = np.full((256, 4), 255, np.uint8)
    palette[: len(colours), :3] = colours
    clear = image.info.get("transparency")
    if isinstance(clear, bytes):
        palette[: len(clear), 3] = np.frombuffer(clear, np.uint8)
    elif clear is not None:
        palette[clear, 3] = 0
    return palette


def check_pixels(size: tuple[int, int], max_pixels: int) -> None:
    """Raises DataError for a header that promises more than `max_pixels`."""
    if size[0] * size[1] > max_pixels:
        raise DataError(
            f"it is {size[0]} x {size[1]} pixels, more than max_pixels = {max_pixels}; "
            "cut it into tiles, or raise max_pixels."
        )


def from_bgr(array: np.ndarray) -> np.ndarray:
    """OpenCV's channel order as [h, w, c] red first."""
    if array.ndim == 2:
        return array[..., None]
    order = {3: [2, 1, 0], 4: [2, 1, 0, 3]}.get(array.shape[-1], ...)
    return array[..., order]


def upright(array: np.ndarray, orientation: int) -> np.ndarray:
    """The array as every viewer shows it, of the EXIF orientation 1 to 8."""
    if orientation in (5, 6, 7, 8):  # stored by columns
        array = array.swapaxes(0, 1)
    if orientation in (3, 4, 7, 8):
        array = array[::-1]
    if orientation in (2, 3, 6, 7):
        array = array[:, ::-1]
    return array
