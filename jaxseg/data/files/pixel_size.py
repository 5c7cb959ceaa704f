"""Reads how large a pixel is, from the header of an image file.

Only what an instrument writes is believed: Pixel Spacing of DICOM, and the calibration
of OME-TIFF and of ImageJ. The resolution that other TIFF, PNG and JPEG files give "per
inch" is a wish about paper.
"""

import pathlib
import re

import numpy as np
import tifffile

from jaxseg.data.files import dicom

_MICROMETRES = {"nm": 1e-3, "um": 1.0, "µm": 1.0, "\u03bcm": 1.0, "micron": 1.0}
_MICROMETRES |= {"microns": 1.0, "\\u00B5m": 1.0, "mm": 1e3, "cm": 1e4, "m": 1e6}
_SQUARE = 0.01  # sides may differ by this share, as rounded ones do


def read(path: pathlib.Path) -> float | None:
    """The side of a pixel in micrometres; None where the file does not say it.

    None as well for pixels that are not square: they have no one size.
    """
    suffix = path.suffix.lower()
    if suffix == ".dcm":
        sides = dicom.pixel_sides(path)
        return square(sides and (1000 * sides[0], 1000 * sides[1]))
    if suffix not in (".tif", ".tiff"):
        return None
    try:
        with tifffile.TiffFile(path) as file:
            return square(_ome(file.ome_metadata) or _imagej(file))
    except Exception:  # damaged tags can raise anything; who reads the pixels says so
        return None


def square(sides: tuple[float, float] | None) -> float | None:
    """The side of a pixel with these two sides, where it is square."""
    if sides is None or not min(sides) > 0 or not np.isfinite(sides).all():
        return None
    return float(np.mean(sides)) if max(sides) <= (1 + _SQUARE) * min(sides) else None


def _ome(text: str | None) -> tuple[float, float] | None:
    if not text or not (pixels := re.search(r"<(?:\w+:)?Pixels\b[^>]*>", text)):
        return None
    fields = dict(re.findall(r'(\w+)="([^"]*)"', pixels.group()))
    sides = []
    for axis in "YX":
        unit = fields.get(f"PhysicalSize{axis}Unit", "µm")
        if f"PhysicalSize{axis}" not in fields or unit not in _MICROMETRES:
            return None
        sides.append(float(fields[f"PhysicalSize{axis}"]) * _MICROMETRES[unit])
    return sides[0], sides[1]


def _imagej(file: tifffile.TiffFile) -> tuple[float, float] | None:
    unit = (file.imagej_metadata or {}).get("unit")
    tags = file.pages.first.tags
    if unit not in _MICROMETRES or 282 not in tags or 283 not in tags:
        return None
    y, x = (tags[code].value for code in (283, 282))  # pixels a unit, as fractions
    return _MICROMETRES[unit] * y[1] / y[0], _MICROMETRES[unit] * x[1] / x[0]
