"""Writes class ids as a TIFF of 8 bits, which keeps the size of a pixel."""

import io
from typing import Any

import numpy as np
import tifffile
from jaxtyping import UInt

from jaxseg.data.files import orientation
from jaxseg.predict.masks import Labelled

FOLDER, SUFFIX = "masks", ".tif"


def check() -> None:
    """Nothing is missing: every installation can write it."""


def encode(image: Labelled) -> bytes:
    """The bytes of the file: u8, turned and tagged as the image is stored."""
    return of_array(image.classes, image)


def of_array(upright: UInt[np.ndarray, "h w"], image: Labelled) -> bytes:
    """The same of any whole numbers at the pixels of the image."""
    stored, out = orientation.turned_back(upright, image.orientation), io.BytesIO()
    tags = tagged(image.orientation, image.pixel_size, wide=stored.itemsize > 2)
    tifffile.imwrite(out, stored, compression="zlib", **tags)
    return out.getvalue()


def tagged(
    turned: int, pixel_size: float | None, *, wide: bool = False
) -> dict[str, Any]:
    """Arguments of tifffile: orientation, and micrometres as ImageJ reads them.

    ImageJ knows no numbers of 32 bits: `wide` ones have pixels a centimetre instead.
    """
    out: dict[str, Any] = {"photometric": "minisblack"}
    if turned != orientation.UPRIGHT:
        out["extratags"] = [(orientation.TAG, "H", 1, turned, True)]
    if pixel_size is None:
        return out | {"metadata": None}
    if wide:
        out |= {"metadata": None, "resolutionunit": "CENTIMETER"}
        return out | {"resolution": (1e4 / pixel_size, 1e4 / pixel_size)}
    each = (1 / pixel_size, 1 / pixel_size)
    return out | {"imagej": True, "resolution": each, "metadata": {"unit": "um"}}
