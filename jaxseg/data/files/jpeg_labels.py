"""Makes a mask of two values from one that was saved as JPEG, or refuses to.

JPEG changes values near edges, by up to about 100, but leaves areas of one value nearly
flat. So a flat area between black and white was painted grey: it is another class, or
foreground of a value that a threshold at 127 may lose.
"""

import cv2
import numpy as np

from jaxseg.errors import DataError

_THRESHOLD = 127
_WHITE = 192  # brighter than this is painted white, whatever JPEG did to it
_FLAT = ((24, 231, 24), (6, 48, 6))  # lowest and highest value, range in 3 x 3 pixels
_AREA = 12  # neighbouring pixels with a flat surrounding: 5 x 6 painted pixels


def black_or_white(grey: np.ndarray) -> np.ndarray:
    """The mask u8 [h, w] of 0 and 255 of a mask u8 [h, w] that JPEG has changed.

    Raises DataError where the mask was painted in other values than 0 and 255.
    """
    high = int(grey.max())
    if 0 < high <= _WHITE:
        raise DataError(
            f"it is a JPEG with values up to {high}, so its foreground is grey and not "
            "white; save masks as PNG, 0 and 255."
        )
    kernel = np.ones((3, 3), np.uint8)
    highest, lowest = cv2.dilate(grey, kernel), cv2.erode(grey, kernel)
    for low, top, span in _FLAT:
        flat = (lowest >= low) & (highest <= top) & (highest - lowest <= span)
        _, labels, stats, _ = cv2.connectedComponentsWithStats(flat.astype(np.uint8))
        areas = stats[1:, cv2.CC_STAT_AREA]
        if len(areas) and areas.max() >= _AREA:
            value = int(np.median(grey[labels == 1 + areas.argmax()]))
            raise DataError(
                f"it is a JPEG with an area of the grey value {value}, and only black "
                "and white survive in a JPEG; save masks as PNG."
            )
    return (grey > _THRESHOLD) * np.uint8(255)
