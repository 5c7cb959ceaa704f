"""Writes class ids as a greyscale PNG, turned and tagged as the image is stored."""

import io

import cv2
from PIL import Image

from jaxseg.data.files import orientation
from jaxseg.predict.masks import Labelled

FOLDER, SUFFIX = "masks", ".png"


def check() -> None:
    """Nothing is missing: every installation can write it."""


def encode(image: Labelled) -> bytes:
    """The bytes of the file: u8, one number a pixel, 0 = background."""
    stored = orientation.turned_back(image.classes, image.orientation).copy()
    if image.orientation == orientation.UPRIGHT:
        return cv2.imencode(".png", stored)[1].tobytes()
    tags, out = Image.Exif(), io.BytesIO()
    tags[orientation.TAG] = image.orientation
    Image.fromarray(stored).save(out, "PNG", exif=tags)
    return out.getvalue()
