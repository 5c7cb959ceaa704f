"""Reads images and masks from PNG, JPEG, BMP, TIFF and DICOM files.

Nothing is guessed in silence: what could be read in two ways is refused, with advice.
"""

import functools
import pathlib
from typing import NamedTuple

import numpy as np

from jaxseg.data import intensity
from jaxseg.data.files import (
    colours,
    dicom,
    jpeg_labels,
    nodata,
    orientation,
    palettes,
    raster,
    tiff,
)
from jaxseg.data.files.raw import Raw, check_file
from jaxseg.errors import DataError

SUFFIXES = (".png", ".jpg", ".jpeg", ".bmp", ".tif", ".tiff", ".dcm")
MAX_PIXELS = 64_000_000


class Picture(NamedTuple):
    """An image as a data set stores it, and what its file said about it."""

    pixels: np.ndarray  # u8 or u16 [h, w, c], upright
    numbers: str  # of the file: uint8, uint16, or float16 and float32
    orientation: int  # the tag 1 to 8 by which it was turned upright
    pages: bool = False  # its channels are pages that no tag names
    nodata: bool = False  # it holds 8-bit numbers that its file declares as no data


class Labels(NamedTuple):
    """A mask as its file stores it, and what its file said about it."""

    values: np.ndarray  # [h, w], upright: whole numbers >= 0 of any type
    colours: palettes.Colours  # of the palette indices in use; empty without a palette
    orientation: int  # the tag 1 to 8 by which it was turned upright


def read_image(path: str | pathlib.Path, *, max_pixels: int = MAX_PIXELS) -> np.ndarray:
    """Image u8 or u16 [h, w, c] of a file, upright, channels as stored.

    The orientation tag is applied; palettes become colours; an opaque alpha channel is
    dropped. Numbers of 16- or 32-bit float become u16 by `intensity.from_float`. What a
    TIFF file declares as no data becomes the darkest level, unless it has 8 bits.
    Raises DataError, naming the file, when it is unreadable, truncated, transparent,
    larger than `max_pixels` (by its header), or holds anything but whole numbers from
    0 to 65535 or finite floats.
    """
    return read_picture(path, max_pixels=max_pixels).pixels


def read_picture(
    path: str | pathlib.Path, *, max_pixels: int = MAX_PIXELS, page: int | None = None
) -> Picture:
    """The Picture in a file: `read_image`, and what it was made from.

    `page`, counted from 0, chooses one of a TIFF file that holds several; other files
    have page 0 alone.
    """
    path = pathlib.Path(path)
    return _picture(path, _read(path, max_pixels, page))


def _picture(path: pathlib.Path, raw: Raw) -> Picture:
    """The Picture that the numbers of a file are."""
    array, most, alpha = raw.array, 2**raw.bits - 1, raw.alpha
    if raw.palette is not None:
        if alpha is not None:
            array = _without_alpha(path, array, alpha, most)
        array, alpha, most = raw.palette[array[..., 0]], 3, 255
    floats = array.dtype.kind == "f"
    if alpha is not None:
        array = _without_alpha(path, array, alpha, 1 if floats else most)
    array, absent = _without_nodata(path, array, raw)
    if not floats:
        array = _whole_numbers(path, array)
    if raw.palette is not None and (array == array[..., :1]).all():
        array = array[..., :1]  # a palette of greys
    if raw.white_is_zero:
        array = (most - array).astype(array.dtype)
    if most < 255:
        array = array * np.uint8(255 // most)
    if raw.pages:
        _check_pages(path, array)
    numbers = str(array.dtype)
    if floats:
        try:
            array = intensity.from_float(array, absent=absent)
        except DataError as error:
            raise DataError(f"{path} {error}") from None
    pixels = np.ascontiguousarray(array)
    stored = absent is not None and array.dtype == np.uint8
    return Picture(pixels, numbers, raw.orientation, raw.pages, stored)


def read_mask(
    path: str | pathlib.Path, *, threshold: bool = False, max_pixels: int = MAX_PIXELS
) -> np.ndarray:
    """Mask [h, w] of a file, upright: whole numbers >= 0 of any type.

    As `read_labels`, but a palette of black and white is read by its colours, as 0 and
    255; DataError for one whose order contradicts a dark background.
    """
    labels = read_labels(path, threshold=threshold, max_pixels=max_pixels)
    return alone(pathlib.Path(path), labels)


def alone(path: pathlib.Path, labels: Labels) -> np.ndarray:
    """The mask [h, w] that Labels mean when no other mask of their set is known."""
    if not labels.colours:
        return labels.values
    by_colour, problems = palettes.decide([path], [labels.colours])
    if problems:
        raise DataError(problems[0])
    if by_colour:
        return palettes.by_colour(labels.values, labels.colours, white=255)
    return labels.values


class Lossy(DataError):
    """A mask was saved as JPEG, which keeps no labels."""


def read_labels(
    path: str | pathlib.Path, *, threshold: bool = False, max_pixels: int = MAX_PIXELS
) -> Labels:
    """The Labels in a file: palette files give their indices and the colours of these.

    Files of 1, 2 or 4 bits give their small numbers. JPEG does not keep labels: such a
    mask is Lossy, or becomes 0 and 255 with `threshold` (above 127) where nothing
    else was painted. Raises DataError as `read_image`, and for DICOM, TIFF that counts
    white as zero, and channels that differ (InColour with their counts where they are
    colours).
    """
    path = pathlib.Path(path)
    if path.suffix.lower() == ".dcm":
        raise DataError(f"{path}: a mask cannot be DICOM; save it as PNG or TIFF.")
    raw = _read(path, max_pixels)
    if raw.white_is_zero:
        raise DataError(
            f"{path} counts white as zero, so its labels could be meant either way; "
            "save it as PNG, background 0."
        )
    if raw.lossy and not threshold:
        raise Lossy(f"{path} is a JPEG, which changes label values; save masks as PNG.")
    array = _whole_numbers(path, raw.array, most=None)
    if raw.alpha is not None:
        array = _without_alpha(path, array, raw.alpha, 2**raw.bits - 1)
    if (array != array[..., :1]).any():
        channels = f"{path} is a mask in {array.shape[-1]} channels that differ"
        advice = "save class ids in one channel (greyscale or palette), not colours."
        if array.shape[-1] != 3 or array.dtype != np.uint8:
            raise DataError(f"{channels}; {advice}")
        counts = colours.count(array)
        shown = colours.shares(counts)
        error = colours.InColour(f"{channels}, the colours {shown}; {advice}")
        error.counts = counts
        raise error
    array = np.ascontiguousarray(array[..., 0])
    if raw.lossy:
        if array.dtype != np.uint8:
            raise DataError(
                f"{path} is compressed with losses in {array.dtype} numbers, which "
                "changes label values; save masks as PNG."
            )
        try:
            array = jpeg_labels.black_or_white(array)
        except DataError as error:
            raise DataError(f"{path}: {error}") from None
    used = {} if raw.palette is None else palettes.in_use(array, raw.palette)
    return Labels(array, used, raw.orientation)


def read_painted(
    path: str | pathlib.Path, table: colours.Table, *, max_pixels: int = MAX_PIXELS
) -> Labels:
    """The Labels in a file whose colours the `table` lists.

    Grey g is the colour g,g,g, and a palette is read by its colours. Raises DataError
    as `read_image`, for a colour that is not listed, for JPEG, which changes colours,
    for DICOM, and for colours of more than 8 bits.
    """
    path = pathlib.Path(path)
    if path.suffix.lower() == ".dcm":
        raise DataError(f"{path}: a mask cannot be DICOM; save it as PNG or TIFF.")
    raw = _read(path, max_pixels)
    if raw.lossy:
        raise DataError(f"{path} is a JPEG, which changes colours; save masks as PNG.")
    pixels = _picture(path, raw).pixels
    if pixels.dtype != np.uint8 or pixels.shape[-1] not in (1, 3):
        raise DataError(
            f"{path} is a mask of {pixels.shape[-1]} x {pixels.dtype}, but classes.txt "
            "lists colours: save it as RGB or greyscale of 8 bits."
        )
    pixels = np.broadcast_to(pixels, (*pixels.shape[:2], 3))
    values, unlisted = colours.labels(pixels, table)
    if len(unlisted):
        raise DataError(f"{path} holds {colours.unlisted(unlisted, table)}.")
    return Labels(values, {}, raw.orientation)


def different(
    image_path: pathlib.Path, image: Picture, mask_path: pathlib.Path, mask: Labels
) -> str:
    """What is wrong with an image and its mask; "" if they lie on one another.

    They do not when they have different sizes, or when an orientation tag on one of
    them alone leaves open which pixels the mask was drawn on.
    """
    size, drawn = image.pixels.shape[:2], mask.values.shape
    if drawn == size:
        return orientation.different(
            image_path, image.orientation, mask_path, mask.orientation, size
        )
    return (
        f"{image_path} is {size[0]} x {size[1]} (height x width), but "
        f"{mask_path} is {drawn[0]} x {drawn[1]}"
        + "; one of them is turned (by its EXIF tag?)" * (drawn == size[::-1])
        + "."
    )


def _read(path: pathlib.Path, max_pixels: int, page: int | None = None) -> Raw:
    suffix = path.suffix.lower()
    if suffix not in SUFFIXES:
        raise DataError(f"{path}: {suffix} cannot be read; use one of {SUFFIXES}.")
    check_file(path, max_pixels)
    if page and suffix not in (".tif", ".tiff"):
        raise DataError(f"{path} is no TIFF and has page 0 alone, no {page}.")
    if suffix == ".dcm":  # has limits and messages of its own
        image = dicom.read(path)[0]
        return Raw(image, 8 * image.dtype.itemsize)
    read = raster.read
    if suffix in (".tif", ".tiff"):
        read = functools.partial(tiff.read, page=page)
    try:
        return read(path, max_pixels)
    except DataError as error:
        raise DataError(f"{path}: {error}") from None
    except Exception as error:  # decoders raise anything at all on damaged bytes
        reason = " ".join(str(error).split())
        raise DataError(
            f"{path} cannot be read, it is damaged or no {suffix} file "
            f"({type(error).__name__}: {reason})."
        ) from error


def _without_alpha(
    path: pathlib.Path, array: np.ndarray, alpha: int, opaque: int
) -> np.ndarray:
    """The array [h, w, c - 1] without its channel `alpha`, which must be opaque."""
    if (array[..., alpha] != opaque).any():
        raise DataError(
            f"{path} is partly transparent; flatten it onto a background, or "
            "remove its alpha channel."
        )
    if alpha == array.shape[-1] - 1:
        return array[..., :alpha]
    return np.delete(array, alpha, axis=-1)


def _without_nodata(
    path: pathlib.Path, array: np.ndarray, raw: Raw
) -> tuple[np.ndarray, np.ndarray | None]:
    """(the array [h, w, c], bool: where it holds no data; None where all is data).

    Whole numbers of more than 8 bits are darkened there.
    """
    absent = None if raw.palette is not None else nodata.where(array, raw.nodata)
    if absent is None or not nodata.is_stretched(array.dtype):
        return array, absent
    try:
        nodata.check(absent, raw.nodata)
    except DataError as error:
        raise DataError(f"{path}: {error}") from None
    if array.dtype.kind != "f":
        array = nodata.darkened(array, absent, white_is_zero=raw.white_is_zero)
    return array, absent


def _check_pages(path: pathlib.Path, array: np.ndarray) -> None:
    """Raises DataError where pages taken for channels hold the same picture twice."""
    channels = {channel.tobytes() for channel in np.moveaxis(array, -1, 0)}
    if len(channels) < array.shape[-1]:
        raise DataError(
            f"{path} has {array.shape[-1]} pages of which some are equal, so they are "
            "hardly channels; save one page, or name the axis of channels C."
        )


def _whole_numbers(
    path: pathlib.Path, array: np.ndarray, most: int | None = 65535
) -> np.ndarray:
    """The array in an unsigned type; with `most`, in 8 or 16 bits."""
    if array.dtype == bool:
        array = array.astype(np.uint8)
    if array.dtype.kind not in "iu":
        advice = (
            "scale it to whole numbers from 0 to 65535 and save it as uint16"
            if most
            else "save labels as whole numbers (uint8 or uint16)"
        )
        raise DataError(f"{path} holds {array.dtype}; {advice}.")
    low, high = int(array.min()), int(array.max())
    if low < 0 or (most and high > most):
        raise DataError(
            f"{path} holds {array.dtype} values from {low} to {high}; allowed are 0 to "
            f"{most or 'any positive number'}: add an offset, or scale, and save again."
        )
    if most and array.dtype not in (np.uint8, np.uint16):
        return array.astype(np.uint16)
    return array
