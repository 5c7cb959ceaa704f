"""Lists what is to be predicted, and reads it exactly as training images are read.

The files are those of the folder data set: PNG, JPEG, BMP, TIFF and DICOM, upright by
their orientation tag; beside them Zarr arrays, which are folders. What cannot be used
is a sentence beside the others, no error.
"""

import hashlib
import os
import pathlib
from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
from jaxtyping import UInt

from jaxseg.data import intensity
from jaxseg.data.files import dicom, images, listing, paths, pixel_size
from jaxseg.errors import DataError
from jaxseg.predict import zarr_rows

_PIECE = 2**20  # bytes of a file that are hashed at once


class Input(NamedTuple):
    """One file; `id` is its path below the folder, without suffix."""

    id: str
    path: pathlib.Path
    problem: str = ""  # why it cannot be predicted, known from its name


class Wanted(NamedTuple):
    """What an image must be: what the run was trained on."""

    channels: int
    dtype: str  # of the pixels as stored
    floats: bool  # the files held floating-point numbers
    max_pixels: int = images.MAX_PIXELS
    page: int | None = None  # of a TIFF file, counted from 0
    pixel_size: float | None = None  # micrometres, where the file does not say it


class Stored(NamedTuple):
    """One image as its file stores it; `problem` says why it cannot be used."""

    pixels: UInt[np.ndarray, "h w c"]  # upright
    orientation: int  # the tag 1 to 8 by which it was turned upright
    pixel_size: float | None  # micrometres; None = the file does not say it
    sha256: str  # of the file
    problem: str = ""


def find(source: pathlib.Path) -> list[Input]:
    """The files to predict: `source` itself, or all images below that folder, sorted.

    Files of other kinds are left out. Raises DataError where there is no image, for the
    folder of a data set with images/ and masks/, and for two images whose masks would
    have one name; ConfigError for a Zarr array without the package that reads it.
    """
    if zarr_rows.is_zarr(source) and source.is_dir():
        zarr_rows.check(source)
        return [_named(source, source.parent)]
    if not source.is_dir():
        paths.regular(source)
        return [_named(source, source.parent)]
    if all((source / name).is_dir() for name in ("images", "masks")):
        raise DataError(
            f"{source} is a data set with images/ and masks/; predict its images with "
            f"--input={source / 'images'}."
        )
    found: list[Input] = []
    for path in listing.files(source, whole=zarr_rows.SUFFIX):
        if zarr_rows.is_zarr(path):
            zarr_rows.check(path)
            found.append(_named(path, source))
        elif path.suffix.lower() in images.SUFFIXES:
            found.append(_named(path, source))
        elif dicom.is_dicom(path):
            problem = f"{paths.shown(path)} is DICOM; give its name the suffix .dcm."
            found.append(_named(path, source)._replace(problem=problem))
    if not found:
        suffixes = (*images.SUFFIXES, zarr_rows.SUFFIX)
        kinds = ", ".join(suffix[1:] for suffix in suffixes)
        raise DataError(f"{source} holds no image: no file of {kinds}.")
    _check_names(found)
    return found


def _named(path: pathlib.Path, folder: pathlib.Path) -> Input:
    relative = path.relative_to(folder).with_suffix("")
    try:
        return Input(paths.name(relative), path)
    except DataError as error:
        return Input(paths.shown(relative), path, str(error))


def _check_names(found: Sequence[Input]) -> None:
    first: dict[str, pathlib.Path] = {}
    for each in found:
        other = first.setdefault(each.id, each.path)
        if other != each.path:
            raise DataError(
                f"{other} and {each.path} have one name, so one mask would replace the "
                "other; rename one of them, or predict them into two folders."
            )


def read(item: Input, wanted: Wanted) -> list:
    """The fields of the Stored of one file, as they travel from a worker process."""
    nothing = np.zeros((0, 0, 0), np.uint8)
    try:
        digest = sha256(item.path)
        read_picture = images.read_picture
        if zarr_rows.is_zarr(item.path):
            read_picture = zarr_rows.picture
        picture = read_picture(
            item.path, max_pixels=wanted.max_pixels, page=wanted.page
        )
        pixels = fitting(picture, wanted, item.path)
        size = side_of_pixel(item.path, wanted)
        return [pixels, picture.orientation, size, digest, ""]
    except DataError as error:
        return [nothing, 1, None, "", str(error)]
    except Exception as error:  # of whatever kind: it is this image's alone
        why = " ".join(f"{type(error).__name__}: {error}".split())
        return [nothing, 1, None, "", f"{item.path} cannot be read ({why})."]


def side_of_pixel(path: pathlib.Path, wanted: Wanted) -> float | None:
    """The side of a pixel in micrometres, as the file says it or as it was given."""
    read = zarr_rows.side_of_pixel if zarr_rows.is_zarr(path) else pixel_size.read
    return read(path) or wanted.pixel_size


def unreadable(item: Input, error: DataError) -> list:
    """What `read` says of a file that ended the worker process that read it."""
    return [np.zeros((0, 0, 0), np.uint8), 1, None, "", str(error)]


def sha256(path: pathlib.Path) -> str:
    """The SHA-256 of a file; DataError, naming it, where it is no regular file.

    That of a Zarr array is of the names and digests of all files in it.
    """
    if zarr_rows.is_zarr(path) and path.is_dir():
        return _of_all(path)
    paths.regular(path)
    digest = hashlib.sha256()
    with open(path, "rb") as file:
        while piece := file.read(_PIECE):
            digest.update(piece)
    return digest.hexdigest()


def _of_all(folder: pathlib.Path) -> str:
    digest = hashlib.sha256()
    for file in sorted(p for p in folder.rglob("*") if not p.is_dir()):
        name = os.fsencode(file.relative_to(folder).as_posix())
        digest.update(name + f" {sha256(file)}\n".encode())
    return digest.hexdigest()


def fitting(
    picture: images.Picture, wanted: Wanted, path: pathlib.Path
) -> UInt[np.ndarray, "h w c"]:
    """The pixels as the run takes them: grey is repeated for a run of colours.

    So does the folder data set. Raises DataError for other channels and another type of
    numbers.
    """
    pixels, channels = picture.pixels, picture.pixels.shape[-1]
    floats = picture.numbers in intensity.FLOATS
    if channels != wanted.channels and (channels, wanted.channels) != (1, 3):
        told = ""
        if zarr_rows.is_zarr(path):
            told = " (without names of its axes it is read as [h, w, c])"
        raise DataError(
            f"{path} has {channels} channel(s){told}, and the run was trained on "
            f"images of {wanted.channels}; save it with as many."
        )
    if floats != wanted.floats or str(pixels.dtype) != wanted.dtype:
        numbers = " or ".join(intensity.FLOATS) if wanted.floats else wanted.dtype
        raise DataError(
            f"{path} holds {picture.numbers} numbers, and the run was trained on "
            f"{numbers}: save it as its training images were."
        )
    if channels < wanted.channels:
        return np.repeat(pixels, wanted.channels, axis=-1)
    return pixels
