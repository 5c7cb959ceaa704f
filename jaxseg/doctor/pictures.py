"""Draws what augmentation does: images with their masks, before and after."""

import pathlib

import cv2
import numpy as np

from jaxseg import atomic, pictures
from jaxseg.data import intensity
from jaxseg.doctor import feeding, probe
from jaxseg.doctor.case import Case
from jaxseg.errors import ConfigError
from jaxseg.types import IGNORE

PAGE = "doctor.md"
CAPTIONS = {
    "doctor_augmented.png": "Training images: as read, with mask, both augmented",
    "doctor_pattern.png": "The pattern: as sent in, with mask, both augmented",
}
_MARK = "# doctor\n"  # how the page begins
_ROWS, _SIDE, _GAP = 6, 192, 3


def check_free(folder: pathlib.Path) -> None:
    """Raises ConfigError where files lie that a doctor before did not write.

    Raises NotWritable where nothing can be written.
    """
    atomic.check_folder(folder)
    page = folder / PAGE
    if page.is_file() and page.read_text(errors="replace").startswith(_MARK):
        return  # what lies beside an older page is its own
    taken = [n for n in (PAGE, *CAPTIONS) if (folder / n).exists()]
    if taken:
        raise ConfigError(
            f"{folder / taken[0]} is not of jaxseg.doctor and is not replaced: give "
            "another --output."
        )


def write(folder: pathlib.Path, case: Case, page: str) -> None:
    """Writes the page and its pictures into `folder`."""
    folder.mkdir(parents=True, exist_ok=True)
    for name, picture in zip(CAPTIONS, (_training(case), _pattern(case)), strict=True):
        bgr = np.ascontiguousarray(picture[..., ::-1])
        atomic.replace(folder / name, cv2.imencode(".png", bgr)[1].tobytes())
    atomic.replace(folder / PAGE, page.encode())


def _training(case: Case) -> np.ndarray:
    s = case.stages()
    fore = ((s.mask > 0) & (s.mask != IGNORE)).sum((1, 2))
    order = np.argsort(-fore, kind="stable")  # with most to see first
    chosen = list({s.image[i].tobytes(): i for i in order[::-1]}.values())[::-1]
    return np.concatenate(
        [
            row(s.image[i], s.mask[i], s.augmented[i], s.changed[i])
            for i in chosen[:_ROWS]
        ]
    )


def _pattern(case: Case) -> np.ndarray:
    batch, _ = feeding.pattern(case.experiment)
    image, _, mask = probe.catcher(case.experiment)(batch, 0)
    before = batch["image"], batch["mask"]
    return np.concatenate(
        [row(before[0][i], before[1][i], image[i], mask[i]) for i in range(len(mask))][
            :_ROWS
        ]
    )


def row(image, mask, augmented, changed) -> np.ndarray:
    """u8 [h, 4 w, 3]: image, mask upon it, the augmented image, its mask upon it."""
    out = []
    for picture, labels in (
        (intensity.eight_bits(image), mask),
        (np.rint(255 * np.clip(augmented, 0, 1)).astype(np.uint8), changed),
    ):
        colour = picture if picture.shape[-1] == 3 else picture[..., :1].repeat(3, -1)
        shown = {"tp": (labels > 0) & (labels != IGNORE)}
        out += [colour, pictures.paint(colour, shown)]
    joined = pictures.small(np.concatenate(out, axis=1), side=_SIDE)
    return np.pad(joined, ((0, _GAP), (0, 0), (0, 0)), constant_values=255)
