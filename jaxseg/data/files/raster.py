"""Reads PNG, JPEG and BMP files as they are stored, before any opinion about them."""

import io
import pathlib

import imagecodecs
import numpy as np
from PIL import Image, JpegImagePlugin, PngImagePlugin

from jaxseg.data.files import bitmaps, jpegs, orientation, palettes
from jaxseg.data.files.raw import Raw, check_pixels
from jaxseg.errors import DataError

_PNG = b"\x89PNG\r\n\x1a\n"
_OPENERS = {  # by the first bytes; `Image.open` would have a limit of its own
    _PNG: PngImagePlugin.PngImageFile,
    b"\xff\xd8\xff": JpegImagePlugin.jpeg_factory,
    b"BM": bitmaps.opened,
}
_JPEG = ("JPEG", "MPO")  # MPO: several JPEG pictures in one file, as phones write
_CHANNELS = {"1": 1, "L": 1, "I;16": 1, "I": 1, "LA": 2, "RGB": 3, "RGBA": 4, "P": 1}


def read(path: pathlib.Path, max_pixels: int) -> Raw:
    """The upright pixels of a PNG, JPEG or BMP file; any exception when it is damaged.

    Pillow reads it, as it notices truncation; imagecodecs reads PNG colours of 16 bits,
    of which Pillow keeps 8. Of an MPO the first picture is read, as viewers do.
    """
    data = path.read_bytes()
    opener = next((o for start, o in _OPENERS.items() if data.startswith(start)), None)
    if opener is None:
        raise DataError(
            f"it is no PNG, JPEG or BMP file, but begins with {data[:12]}; convert it."
        )
    with opener(io.BytesIO(data)) as image:
        check_pixels(image.size[::-1], max_pixels)
        if image.mode not in _CHANNELS:
            raise DataError(
                f"its colours are {image.mode}; save it as RGB or as greyscale."
            )
        if image.format == "PNG":
            # loading forgives a file that lacks its end; verify reads every checksum
            with opener(io.BytesIO(data)) as again:
                again.verify()
            frames = getattr(image, "n_frames", 1)
            if frames > 1:
                raise DataError(
                    f"it is animated, {frames} frames; save the frame to use as a file "
                    "of its own."
                )
        if image.format in _JPEG:
            jpegs.check(data)
        depth = data[24] if image.format == "PNG" else 8  # of the IHDR chunk
        image.load()
        raw = _decoded(image, data, depth)
        if raw.array.shape[:2] != image.size[::-1]:
            raise DataError(
                f"its header says {image.size[::-1]} pixels, its data hold "
                f"{raw.array.shape[:2]}; it is damaged."
            )
        turned = orientation.of_picture(image)
        return raw._replace(
            array=orientation.upright(raw.array, turned),
            orientation=turned,
            lossy=image.format in _JPEG,
        )


def _decoded(image: Image.Image, data: bytes, depth: int) -> Raw:
    if depth == 16 and (image.mode != "I;16" or "transparency" in image.info):
        array = imagecodecs.png_decode(data)  # a transparent colour becomes alpha
        array = array.reshape(*array.shape[:2], -1)
        channels = array.shape[-1]
        return Raw(array, depth, alpha=channels - 1 if channels in (2, 4) else None)
    array = np.asarray(image)
    array = array.reshape(*array.shape[:2], -1)
    if depth == 16:
        return Raw(array, depth)
    if image.mode == "P" and image.format == "BMP":
        return bitmaps.indexed(array, data)
    if image.mode == "P":
        return Raw(array, 8, palette=_palette(image, array))
    if image.mode == "1":
        return _without_key(Raw(array.astype(np.uint8), 1), image)
    if image.mode == "L" and depth < 8:  # Pillow stretches 2 and 4 bits to 8
        return _without_key(Raw(array // (255 // (2**depth - 1)), depth), image)
    alpha = array.shape[-1] - 1 if image.mode in ("LA", "RGBA") else None
    return _without_key(Raw(array, 8, alpha=alpha), image)


def _without_key(raw: Raw, image: Image.Image) -> Raw:
    """The same with an alpha channel where a PNG declares one colour transparent."""
    key = image.info.get("transparency")
    if key is None or raw.alpha is not None:
        return raw
    if image.mode == "1":
        key = key > 0
    most = 2**raw.bits - 1
    opaque = (raw.array != np.array(key)).any(axis=-1, keepdims=True)
    alpha = np.where(opaque, most, 0).astype(raw.array.dtype)
    array = np.concatenate([raw.array, alpha], axis=-1)
    return raw._replace(array=array, alpha=raw.array.shape[-1])


def _palette(image: Image.Image, indices: np.ndarray) -> np.ndarray:
    colours = np.array(image.getpalette("RGB"), np.uint8).reshape(-1, 3)
    palette = palettes.opaque(indices, colours)
    clear = image.info.get("transparency")
    if isinstance(clear, bytes):
        palette[: len(clear), 3] = np.frombuffer(clear, np.uint8)
    elif clear is not None:
        palette[clear, 3] = 0
    return palette
