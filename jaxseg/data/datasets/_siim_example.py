"""Turns one film of SIIM-ACR into an example; the worker processes import this."""

import functools
import json
import pathlib

import numpy as np
from PIL import Image

from jaxseg.data.files import dicom, pixel_size, rle
from jaxseg.data.preparation import convert
from jaxseg.errors import DataError
from jaxseg.labels import Example

_ORIENTATION = 274  # EXIF tag
_MODES = {"L": np.uint8, "I;16": np.uint16}


def from_dicom(root: pathlib.Path, job: convert.Job) -> tuple[Example, dict]:
    """(the example of a DICOM file and its run lengths, its study and pixel size).

    Raises Refused for a film that cannot be read, DataError for impossible run lengths.
    """
    try:
        image, tags = dicom.read(root / job.files[0])
    except DataError as error:
        raise convert.Refused(str(error)) from error
    runs = json.loads(job.note)
    try:
        masks = [rle.decode(text, image.shape[:2]) for text in runs or [rle.EMPTY]]
    except DataError as error:
        raise DataError(f"{job.id}: {error}") from None
    mask = functools.reduce(np.logical_or, masks)
    if runs and not mask.any():
        raise DataError(
            f"{job.id}: its run lengths mark no pixel; an empty mask is -1."
        )
    study = tags["study_uid"]
    return _example(job, image, mask, tags["patient_id"] or study or job.id), {
        "study": study,
        "pixel_size": _micrometres(root / job.files[0]),
    }


def _micrometres(path: pathlib.Path) -> float | None:
    sides = dicom.pixel_sides(path)
    return pixel_size.square(sides and (1000 * sides[0], 1000 * sides[1]))


def from_png(root: pathlib.Path, job: convert.Job) -> tuple[Example, dict]:
    """(the example of an image and a mask as PNG, no study).

    Raises Refused for an image that cannot be read, DataError for a mask that is not of
    its size, holds more than 0 and 255, or contradicts the label in the table.
    """
    table_row = json.loads(job.note)
    try:
        image = _read_png(root / job.files[0])
    except DataError as error:
        raise convert.Refused(str(error)) from error
    mask = _read_png(root / job.files[1])[..., 0]
    if mask.shape != image.shape[:2]:
        raise DataError(
            f"{root / job.files[1]} is {mask.shape}, but its image {image.shape[:2]}."
        )
    values = np.setdiff1d(mask, [0, 255])
    if values.size:
        raise DataError(
            f"{root / job.files[1]} holds the value {values[0]}; allowed are 0 and 255."
        )
    if mask.any() != bool(table_row["label"]):
        raise DataError(
            f"{root / job.files[1]}: has_pneumo is {table_row['label']}, but the mask "
            f"marks {np.count_nonzero(mask)} pixels; one of them is wrong."
        )
    return _example(job, image, mask > 0, table_row["group"] or job.id), {"study": ""}


def _read_png(path: pathlib.Path) -> np.ndarray:
    """The pixels [h, w, 1] of a greyscale PNG; DataError for anything else."""
    try:
        with Image.open(path, formats=["PNG"]) as file:
            if file.mode not in _MODES or file.width * file.height > dicom.MAX_PIXELS:
                raise DataError(
                    f"{path} is {file.width} x {file.height} {file.mode}; needed is a "
                    f"greyscale PNG of at most {dicom.MAX_PIXELS // 10**6} Mpx."
                )
            if getattr(file, "n_frames", 1) > 1 or "transparency" in file.info:
                raise DataError(f"{path} has several frames, or is transparent.")
            if file.getexif().get(_ORIENTATION, 1) != 1:
                raise DataError(f"{path} has an orientation tag; turn it, and save it.")
            return np.asarray(file, _MODES[file.mode])[..., None]
    except (OSError, SyntaxError, ValueError, Image.DecompressionBombError) as error:
        if isinstance(error, DataError):
            raise
        raise DataError(f"{path}: broken or truncated PNG: {error}") from error


def _example(job: convert.Job, image, mask, group: str) -> Example:
    if image.min() == image.max():
        raise convert.Refused(f"every pixel is {image.min()}: a blank image")
    return {
        "image": image,
        "mask": mask.astype(np.uint8),
        "label": int(mask.any()),
        "id": job.id,
        "group": group,
    }
