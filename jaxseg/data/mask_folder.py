"""Reads a folder of masks that any other tool or person made for a split."""

import pathlib
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor

import numpy as np
from jaxtyping import UInt8

from jaxseg.data.files import images, listing, orientation
from jaxseg.data.prepared import Split
from jaxseg.errors import DataError

_WHITE = 255
_SUFFIXES = (".png", ".tif", ".tiff", ".bmp", ".jpg", ".jpeg")


class MaskFolder:
    """A mask for every image of a split; `masks[i]` is that of image i, u8 [h, w].

    A file has the id of its image as its path below the folder, without suffix. Values
    are class ids, whatever colours the masks of the data were painted in; with two
    classes, masks that hold 0 and 255 alone are black and white. Raises DataError with
    all problems at once: images without a mask, masks of another size, masks turned by
    a tag that their image does not have, or that cannot be read, and values that are no
    class.
    """

    def __init__(self, folder: pathlib.Path, split: Split) -> None:
        if not folder.is_dir():
            raise DataError(f"{folder} is no folder: name the one with the masks.")
        problems: list[str] = []
        paths = _by_id(folder, split, problems)
        with ThreadPoolExecutor() as pool:  # decoders let go of the GIL
            turned = split.orientations or [None] * len(split)
            sizes = split.sizes.tolist()
            values = list(pool.map(_inspect, paths, split.ids, sizes, turned))
        problems += [words for words, _ in values if words]
        met = {value for _, some in values for value in some}
        self.white = len(split.classes) == 2 and met <= {0, _WHITE}
        if not self.white:
            problems += _not_classes(paths, [some for _, some in values], split.classes)
        if problems:
            listing.raise_all(folder, problems)
        self.paths = [path for path in paths if path is not None]

    def __getitem__(self, index: int) -> UInt8[np.ndarray, "h w"]:
        mask = images.read_mask(self.paths[index])
        return (mask > 0).astype(np.uint8) if self.white else mask.astype(np.uint8)


def _by_id(
    folder: pathlib.Path, split: Split, problems: list[str]
) -> list[pathlib.Path | None]:
    """The file of each image, None where there is none; adds what is missing."""
    files = [p for p in listing.files(folder) if p.suffix.lower() in _SUFFIXES]
    stems = listing.by_stem(files, folder, problems)
    paths = [stems.get(name) for name in split.ids]
    missing = [n for n, path in zip(split.ids, paths, strict=True) if path is None]
    if missing:
        problems.append(
            f"{len(missing)} of {len(split)} images of {split.name} have no mask, such "
            f"as {missing[0]!r}: name each file after its image, {missing[0]}.png; "
            f"there are {len(stems)} files{_such_as(stems)}."
        )
    return paths


def _such_as(stems: dict[str, pathlib.Path]) -> str:
    return f", such as {next(iter(stems.values())).name}" if stems else ""


def _inspect(
    path: pathlib.Path | None, name: str, size: Sequence[int], turned: int | None
) -> tuple[str | None, list[int]]:
    """(what is wrong with a mask or None, the values that it holds).

    `turned` is the orientation of its image, called `name`; None where it is unknown.
    """
    if path is None:
        return None, []
    try:
        labels = images.read_labels(path)
        mask = images.alone(path, labels)
    except DataError as error:
        return str(error), []
    if list(mask.shape) != list(size):
        height, width = mask.shape
        return (
            f"{path} is {height}x{width} pixels, its image {size[0]}x{size[1]}: write "
            "masks at the size of their images."
        ), []
    apart = orientation.different(
        f"the image {name}", turned, path, labels.orientation, mask.shape
    )
    return apart or None, np.unique(mask).tolist()


def _not_classes(
    paths: Sequence[pathlib.Path | None],
    values: Sequence[Sequence[int]],
    classes: Sequence[str],
) -> list[str]:
    """A line for every mask with a value that is no class."""
    lines = []
    for path, some in zip(paths, values, strict=True):
        odd = [value for value in some if value >= len(classes)]
        if odd:
            ids = ", ".join(f"{k} {name}" for k, name in enumerate(classes))
            lines.append(
                f"{path} holds {odd[:5]}, which is no class: every pixel needs one of "
                f"{ids}."
            )
    return lines
