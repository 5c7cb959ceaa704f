"""Turns pictures upright, and tells when an image and its mask may be turned apart.

A camera stores the sensor's rows and a tag that says how to turn them (EXIF 2.32, tag
274 Orientation, 1 to 8, https://www.cipa.jp/std/documents/e/DC-008-Translation-2019-E.pdf;
the same tag in TIFF; `tiff:Orientation` in XMP). Programs that draw masks obey the tag
or ignore it, and the mask they write carries none.
"""

import pathlib
import re

import numpy as np
from PIL import Image

from jaxseg.errors import DataError

TAG = 274  # of EXIF and of TIFF
UPRIGHT = 1
_BY_COLUMNS = (5, 6, 7, 8)  # height and width change places
_XMP = re.compile(rb"tiff:Orientation\s*(?:=\s*[\"']|>)\s*(\d+)")


def of_picture(image: Image.Image) -> int:
    """The orientation 1 to 8 of an opened PNG, JPEG or BMP; 1 where no tag says it."""
    xmp = image.info.get("xmp") or image.info.get("XML:com.adobe.xmp") or b""
    xmp = xmp.encode() if isinstance(xmp, str) else xmp
    return choose(image.getexif().get(TAG), xmp, "EXIF")


def choose(tag: object, xmp: bytes, source: str) -> int:
    """The orientation that a tag and XMP text agree on; 1 where neither is there.

    `source` names where the tag was. Raises DataError where the two differ, and for a
    tag that is no orientation. 0 is what some cameras write for "not known".
    """
    if isinstance(tag, tuple | list):
        tag = tag[0] if len(tag) == 1 else str(tag)
    if tag is not None and tag not in range(9):
        raise DataError(
            f"its {source} orientation is {tag}, and allowed are 1 to 8; remove the "
            "tag, or turn the picture upright and save it again."
        )
    other = _XMP.search(xmp)
    written = int(other[1]) if other else None
    if tag is None:
        tag = written if written in range(9) else None
    elif written is not None and (written or UPRIGHT) != (tag or UPRIGHT):
        raise DataError(
            f"its {source} orientation is {tag}, but its XMP says {written}; turn the "
            "picture upright and save it without these tags."
        )
    return int(tag or UPRIGHT)


def upright(array: np.ndarray, orientation: int) -> np.ndarray:
    """The array [h, w, ...] as viewers that obey an orientation 1 to 8 show it."""
    if orientation in _BY_COLUMNS:
        array = array.swapaxes(0, 1)
    if orientation in (3, 4, 7, 8):
        array = array[::-1]
    if orientation in (2, 3, 6, 7):
        array = array[:, ::-1]
    return array


def turned_back(array: np.ndarray, orientation: int) -> np.ndarray:
    """The array [h, w, ...] whose `upright` with this orientation is the given one."""
    return upright(array, {6: 8, 8: 6}.get(orientation, orientation))


def different(
    image_path: pathlib.Path | str,
    image_orientation: int | None,
    mask_path: pathlib.Path,
    mask_orientation: int,
    size: tuple[int, int],
) -> str:
    """What is wrong with a pair of which one is tagged as turned; "" if nothing is.

    Both have the upright `size` (h, w). A picture that was turned by a quarter and is
    not square proves by its size that the other one was drawn upright. Nothing proves
    it for squares, half turns and mirror images. None is the orientation of an image
    that is upright now, and was stored without the tag of its file.
    """
    if image_orientation is None:
        # a mask without a tag is upright as its image is: more cannot be known of it
        if _proved(UPRIGHT, mask_orientation, size):
            return ""
        return (
            f"{mask_path} has the orientation {mask_orientation} (EXIF, TIFF or XMP "
            f"tag), and {image_path} was prepared without its own, so it cannot be "
            "told whether the mask was drawn on the upright or on the stored pixels; "
            "save it upright without the tag."
        )
    if _proved(image_orientation, mask_orientation, size):
        return ""
    return (
        f"{image_path} has the orientation {image_orientation} (EXIF, TIFF or XMP "
        f"tag), but {mask_path} has {mask_orientation}, so it cannot be told whether "
        "the mask was drawn on the upright or on the stored pixels; save both upright "
        "without the tag."
    )


def _proved(one: int, other: int, size: tuple[int, int]) -> bool:
    """Whether two orientations leave no doubt of a pair of this upright size."""
    quarter = (one in _BY_COLUMNS) != (other in _BY_COLUMNS)
    return one == other or (UPRIGHT in (one, other) and quarter and size[0] != size[1])
