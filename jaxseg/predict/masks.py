"""One predicted image, as every format of `formats/` takes it."""

import io
import pathlib
from typing import NamedTuple

import numpy as np
import tifffile
from jaxtyping import Float, Int, UInt, UInt8

from jaxseg.data.files import orientation


class Labelled(NamedTuple):
    """Class ids of one image, and what a file that holds them has to say."""

    classes: UInt8[np.ndarray, "h w"]  # upright
    confidence: Float[np.ndarray, "h w"]
    pixels: UInt[np.ndarray, "h w c"]  # of the image, upright
    names: list[str]  # of the classes, background first
    source: pathlib.Path
    orientation: int  # the tag 1 to 8 by which the stored image was turned upright
    pixel_size: float | None  # micrometres
    origin: str  # names the input and the run by digests: same text, same file
    # label map of a run that looks for objects, 0 = background
    objects: Int[np.ndarray, "h w"] | None = None


def probability_tiff(image: Labelled, probability: Float[np.ndarray, "h w k"]) -> bytes:
    """The bytes of a TIFF with a page f32 a class, turned as the image is stored."""
    stored = orientation.turned_back(probability, image.orientation)
    pages, out, tags = np.moveaxis(stored, -1, 0), io.BytesIO(), []
    if image.orientation != orientation.UPRIGHT:
        tags = [(orientation.TAG, "H", 1, image.orientation, False)]
    tifffile.imwrite(
        out, pages, photometric="minisblack", metadata={"axes": "CYX"}, extratags=tags
    )
    return out.getvalue()
