"""Reads stored pictures, and makes panels of one size and their pictures of them."""

import io
import pathlib

import numpy as np
from PIL import Image

from jaxseg.errors import DataError
from jaxseg.report.figures import Picture

SIDE = 360  # longer side of a panel on the page


def read(path: pathlib.Path, mode: str) -> np.ndarray:
    """The pixels u8 of a picture, "RGB" or "L"; DataError where it is none."""
    try:
        with Image.open(path) as image:
            # palettes hold class ids: their indices, not their colours
            if not (mode == "L" and image.mode in ("L", "P")):
                image = image.convert(mode)
            return np.array(image)
    except (OSError, SyntaxError) as error:
        raise DataError(f"{path} cannot be read as a picture: {error}.") from error


def size(shape: tuple[int, ...]) -> tuple[int, int]:
    """Width and height of the panel of an image [h, w, ...]."""
    scale = SIDE / max(shape[:2])
    return max(1, round(shape[1] * scale)), max(1, round(shape[0] * scale))


def fit(image: np.ndarray) -> np.ndarray:
    """The image u8 at the size of its panel."""
    wanted = size(image.shape)
    return np.array(Image.fromarray(image).resize(wanted, Image.Resampling.BICUBIC))


def side_by_side(panels: list[np.ndarray]) -> np.ndarray:
    """Panels of one height in a row, u8 [h, w, 3]."""
    gap = np.full((panels[0].shape[0], 8, 3), 255, np.uint8)
    parts = [part for panel in panels for part in (gap, panel)]
    return np.concatenate(parts[1:], axis=1)


def picture(name: str, panel: np.ndarray, alt: str) -> Picture:
    """The picture of a panel u8 [h, w, 3], for a page."""
    if (panel == panel[..., :1]).all():
        panel = panel[..., 0]  # grey: a third of the bytes
    data = io.BytesIO()
    Image.fromarray(panel).save(data, format="PNG")
    safe = "".join(c if c.isalnum() and c.isascii() else "_" for c in name)
    height, width = panel.shape[:2]
    return {
        "name": safe,
        "png": data.getvalue(),
        "svg": None,
        "alt": alt,
        "caption": "",
        "width": width,
        "height": height,
    }
