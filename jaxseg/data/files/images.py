"""Reads images and masks from PNG, JPEG, BMP, TIFF and DICOM files.

Nothing is guessed in silence: what could be read in two ways is refused, with advice.
"""

import pathlib

import numpy as np

from jaxseg.data.files import dicom, raster, tiff
from jaxseg.errors import DataError

SUFFIXES = (".png", ".jpg", ".jpeg", ".bmp", ".tif", ".tiff", ".dcm")
MAX_PIXELS = 64_000_000


def read_image(path: str | pathlib.Path, *, max_pixels: int = MAX_PIXELS) -> np.ndarray:
    """Image u8 or u16 [h, w, c] of a file, upright, channels as stored.

    EXIF orientation is applied; palettes become colours; an opaque alpha channel is
    dropped. Raises DataError, naming the file, when it is unreadable, truncated,
    transparent, larger than `max_pixels` (by its header), or holds anything but
    whole numbers from 0 to 65535.
    """
    path = pathlib.Path(path)
    raw = _read(path, max_pixels)
    array, alpha = raw.array, raw.alpha
    if raw.palette is not None:
        array, alpha = raw.palette[array[..., 0]], True
    array = _whole_numbers(path, array)
    if raw.scale > 1:
        array = array * np.uint8(raw.scale)
    if alpha:
        if (array[..., -1] != np.iinfo(array.dtype).max).any():
            raise DataError(
                f"{path} is partly transparent; flatten it onto a background, or "
                "remove its alpha channel."
            )
        array = array[..., :-1]
    if raw.palette is not None and (array == array[..., :1]).all():
        array = array[..., :1]  # a palette of greys
    if raw.white_is_zero:
        array = np.iinfo(array.dtype).max - array
    return np.ascontiguousarray(array)


def read_mask(
    path: str | pathlib.Path, *, threshold: bool = False, max_pixels: int = MAX_PIXELS
) -> np.ndarray:
    """Mask [h, w] of a file, upright: whole numbers >= 0 of any type, as stored.

    Palette files give their indices, files of 1, 2 or 4 bits their small numbers.
    JPEG does not keep labels: such a mask is a DataError, or becomes 0 and 255 with
    `threshold` (above 127). Raises DataError as `read_image`, and for colours (unless
    all channels are equal), DICOM, and TIFF that counts white as zero.
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
        raise DataError(
            f"{path} is a JPEG, which changes label values; save masks as PNG, or set "
            "mask_format to 'binary' to cut at 127."
        )
    array = _whole_numbers(path, raw.array, most=None)
    if raw.alpha:
        if (array[..., -1] != np.iinfo(array.dtype).max).any():
            raise DataError(f"{path} is partly transparent; save labels without alpha.")
        array = array[..., :-1]
    if (array != array[..., :1]).any():
        raise DataError(
            f"{path} is a mask in {array.shape[-1]} channels that differ; save class "
            "ids in one channel (greyscale or palette), not colours."
        )
    array = np.ascontiguousarray(array[..., 0])
    return (array > 127) * np.uint8(255) if raw.lossy else array


def different_sizes(
    image_path: pathlib.Path,
    image: np.ndarray,
    mask_path: pathlib.Path,
    mask: np.ndarray,
) -> str:
    """What is wrong with an image and its mask of another size; "" if nothing is."""
    if mask.shape == image.shape[:2]:
        return ""
    turned = mask.shape == image.shape[1::-1]
    return (
        f"{image_path} is {image.shape[0]} x {image.shape[1]} (height x width), but "
        f"{mask_path} is {mask.shape[0]} x {mask.shape[1]}"
        + ("; one of them is turned (by its EXIF tag?)." if turned else ".")
    )


def _read(path: pathlib.Path, max_pixels: int) -> raster.Raw:
    suffix = path.suffix.lower()
    if suffix not in SUFFIXES:
        raise DataError(f"{path}: {suffix} cannot be read; use one of {SUFFIXES}.")
    if path.is_file() and not path.stat().st_size:
        raise DataError(f"{path} is empty (0 bytes).")
    if suffix == ".dcm":
        return raster.Raw(dicom.read(path)[0])  # has limits and messages of its own
    read = tiff.read if suffix in (".tif", ".tiff") else raster.read
    try:
        return read(path, max_pixels)
    except DataError as error:
        raise DataError(f"{path}: {error}") from None
    except Exception as error:  # decoders raise anything at all on damaged bytes
        raise DataError(
            f"{path} cannot be read, it is damaged or no {suffix} file "
            f"({type(error).__name__}: {error})."
        ) from error


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
