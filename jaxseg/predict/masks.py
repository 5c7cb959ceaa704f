"""One predicted image, as every format of `formats/` takes it."""

import pathlib
from typing import NamedTuple

import numpy as np
from jaxtyping import Float, UInt, UInt8


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
