"""Finds the pixels that a TIFF file declares as no data, and takes them off the levels.

GDAL and what builds on it write the number that stands where nothing was measured into
the tag GDAL_NODATA, as text that counts for every band alone,
https://gdal.org/en/stable/drivers/raster/gtiff.html#nodata-value. As the padding of
DICOM, such pixels become as dark as the darkest pixel of the picture. Numbers of 8 bits
have no levels to lose, and large photographs of them are read by rows, so that the
darkest pixel is not known: there the number stays what it is.
"""

import math

import numpy as np
import tifffile

from jaxseg.errors import DataError

TAG = 42113
NAME = "GDAL_NODATA"
_LARGEST = 1e30  # beyond it the end of the numbers of 32 bits is meant, in any digits
_ROUNDED = 1e-3
_MOST = 0.99  # of a channel may be no data
_NAN = ("#IND", "#QNAN")  # as older Windows writes nan: -1.#IND


def of_page(page: tifffile.TiffPage) -> int | float | None:
    """The number that a page declares as no data; None where it declares none.

    Raises DataError for a text that is no number.
    """
    value = page.tags.valueof(TAG)
    if isinstance(value, bytes):
        value = value.decode("ascii", "replace")
    text = str("" if value is None else value).strip("\0 ")
    if not text:
        return None
    if text.upper().endswith(_NAN):
        return math.nan
    for kind in (int, float):
        try:
            return kind(text)
        except ValueError:
            continue
    raise DataError(
        f"its tag {NAME} is {text[:40]!r}, but it holds a number, or nan; correct the "
        "tag, or remove it."
    )


def is_stretched(dtype: np.dtype) -> bool:
    """Whether the levels of such numbers are chosen from the picture."""
    return dtype.kind == "f" or dtype.itemsize > 1


def holds(dtype: np.dtype, value: int | float | None) -> bool:
    """Whether numbers of this type can be the value that stands for no data.

    Whole numbers often cannot: programs write -9999, or nan, into all of their files.
    """
    if value is None or dtype.kind == "f":
        return value is not None
    if not math.isfinite(value) or value != int(value):
        return False
    limits = np.iinfo(np.uint8 if dtype.kind == "b" else dtype)
    return bool(limits.min <= value <= limits.max)


def where(array: np.ndarray, value: int | float | None) -> np.ndarray | None:
    """Bool, as the array: the numbers that are no data; None where there are none."""
    if value is None:
        return None
    if array.dtype.kind == "f":
        if math.isnan(value):
            found = np.isnan(array)
        elif abs(value) >= _LARGEST and array.dtype.itemsize > 2:
            found = np.isclose(array, value, rtol=_ROUNDED, atol=0)
        else:
            with np.errstate(over="ignore"):
                found = array == array.dtype.type(value)
    elif holds(array.dtype, value):
        found = array == int(value)
    else:
        return None
    return found if found.any() else None


def check(found: np.ndarray, value: int | float) -> None:
    """Raises DataError where a channel of no data [h, w, c] holds little else.

    The window of levels is chosen later, from all pixels: of a picture that is smaller
    than the share above its upper percentile, nothing would be left.
    """
    for k, channel in enumerate(np.moveaxis(found, -1, 0)):
        if (share := channel.mean()) > _MOST:
            raise DataError(
                f"{100 * share:.4g} % of its channel {k} are {value:g}, which its tag "
                f"{NAME} declares as no data, and at most {100 * _MOST:g} % may be; "
                "leave the image out, or correct the tag."
            )


def darkened(
    array: np.ndarray, found: np.ndarray, *, white_is_zero: bool
) -> np.ndarray:
    """The array of whole numbers [h, w, c], no data as dark as the darkest pixel."""
    out = array.copy()
    for k in range(array.shape[-1]):
        film = array[..., k][~found[..., k]]
        out[..., k][found[..., k]] = film.max() if white_is_zero else film.min()
    return out
