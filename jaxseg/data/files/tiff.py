"""Reads TIFF files of one two-dimensional image with any number of channels."""

import io
import pathlib

import cv2
import numpy as np
import tifffile
from PIL import Image

from jaxseg.data.files.raster import Raw, check_pixels, from_bgr, upright
from jaxseg.errors import DataError

_MAX_CHANNELS = 64
_UNNAMED_CHANNELS = 8  # an axis without a name, this short, is taken for channels
_COLOURS = ("MINISBLACK", "MINISWHITE", "RGB", "PALETTE", "YCBCR")
_OWN_CODECS = ("NONE", "ADOBE_DEFLATE", "DEFLATE", "PACKBITS", "LZMA")  # of tifffile
_LOSSY = ("JPEG", "OJPEG", "JPEG_2000_LOSSY", "WEBP")


def read(path: pathlib.Path, max_pixels: int) -> Raw:
    """The upright pixels of a TIFF file, channels last; any exception when damaged.

    Channels may come first or last, as samples or as pages; a stack over depth or time
    is a DataError. LZW and JPEG compression are read through Pillow and OpenCV.
    """
    data = path.read_bytes()
    with tifffile.TiffFile(io.BytesIO(data)) as file:
        if len(file.series) != 1:
            raise DataError(
                f"it holds {len(file.series)} images of different sizes; save the one "
                "to use in a file of its own."
            )
        series, page = file.series[0], file.pages.first
        order = _axes(series.axes, series.shape)
        height, width = (series.shape[series.axes.index(a)] for a in "YX")
        if order == "last":  # unnamed: tifffile called the real axes Q, Y, X
            height, width = series.shape[:2]
        check_pixels((height, width), max_pixels)
        colours = page.photometric.name
        if colours not in _COLOURS:
            raise DataError(f"its colours are {colours}; save it as RGB or greyscale.")
        orientation = int(page.tags[274].value) if 274 in page.tags else 1
        array = _decode(file, data, orientation)
        if array is None:
            array = _channels_last(series.asarray(), series.axes, order)
        white_is_zero = colours == "MINISWHITE"
        if page.bitspersample == 1:  # white is painted, whichever bit says so
            array = array.astype(np.uint8) ^ white_is_zero
        extra = [sample.name for sample in page.extrasamples]
        return Raw(
            upright(array, orientation),
            palette=_palette(page) if colours == "PALETTE" else None,
            alpha=bool(extra) and extra[-1] in ("UNASSALPHA", "ASSOCALPHA"),
            scale=255 if page.bitspersample == 1 else 1,
            white_is_zero=white_is_zero and page.bitspersample > 1,
            lossy=page.compression.name in _LOSSY,
        )


def _axes(axes: str, shape: tuple[int, ...]) -> str:
    """Where the channels are: "named", or "first" or "last" of three unnamed axes."""
    long = {a: n for a, n in zip(axes, shape, strict=True) if a not in "YX" and n > 1}
    named = {a: n for a, n in long.items() if a in "SC"}
    if np.prod(list(named.values()) or [1]) > _MAX_CHANNELS:
        raise DataError(f"it has {named} channels; at most {_MAX_CHANNELS} are read.")
    if len(long) == len(named) <= 1:
        return "named"
    if len(shape) == 3 and axes[0] in "QI":
        if shape[-1] <= _UNNAMED_CHANNELS < min(shape[:2]):
            return "last"
        if shape[0] <= _UNNAMED_CHANNELS:
            return "first"
    raise DataError(
        f"it is a stack, axes {axes} of {shape}; save each slice as a file of its own, "
        "or name the axis of channels C."
    )


def _channels_last(array: np.ndarray, axes: str, order: str) -> np.ndarray:
    if order == "last":
        return array
    if order == "first":
        return np.moveaxis(array, 0, -1)
    channel = next(
        (a for a in axes if a in "SC" and array.shape[axes.index(a)] > 1), ""
    )
    keep = [axes.index(a) for a in "YX" + channel]
    rest = [i for i in range(array.ndim) if i not in keep]
    return array.transpose(keep + rest).reshape(*(array.shape[i] for i in keep[:2]), -1)


def _decode(
    file: tifffile.TiffFile, data: bytes, orientation: int
) -> np.ndarray | None:
    """The array [h, w, c] as stored where tifffile alone lacks the codec, else None."""
    page = file.pages.first
    if page.compression.name in _OWN_CODECS:
        return None
    if len(file.pages) == 1 and orientation == 1:
        if page.samplesperpixel == 1:
            with Image.open(io.BytesIO(data), formats=("TIFF",)) as image:
                array = np.asarray(image)[..., None]
            if page.photometric.name == "MINISWHITE" and page.bitspersample <= 8:
                array = ~array  # Pillow has turned these to black = 0
            return array
        array = cv2.imdecode(np.frombuffer(data, np.uint8), cv2.IMREAD_UNCHANGED)
        if array is not None:
            return from_bgr(array)
    raise DataError(
        f"its compression {page.compression.name} cannot be read in this form; save it "
        "uncompressed or with deflate."
    )


def _palette(page: tifffile.TiffPage) -> np.ndarray:
    colours = (page.colormap >> 8).astype(np.uint8).T
    palette = np.full((max(len(colours), 256), 4), 255, np.uint8)
    palette[: len(colours), :3] = colours
    return palette
