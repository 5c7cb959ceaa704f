"""Pairs the raw files of the click study, and turns one pair into an example."""

import json
import pathlib
import re
from typing import NamedTuple

import numpy as np

from jaxseg.data import intensity
from jaxseg.data.files import images
from jaxseg.data.files.listing import by_stem, raise_all, suggestions, visible
from jaxseg.data.files.paths import usable
from jaxseg.data.preparation import convert
from jaxseg.errors import DataError
from jaxseg.labels import Example

SPLITS = ("train", "test")
_SUFFIXES = {"images": (".jpg", ".jpeg"), "labels": (".png",)}
_GREYS, _TIMES = 3, 4  # as many greys, so much oftener than white, are no soft edge


class Pair(NamedTuple):
    """An image and its label, relative to the source."""

    id: str  # train/stem or test/stem
    files: tuple[str, str]
    group: str


def find(source: pathlib.Path, group_pattern: str) -> list[Pair]:
    """The pairs of the folder, sorted; DataError with everything wrong in it at once.

    Files that an operating system hides or leaves behind are passed over.
    """
    if not source.is_dir():
        raise DataError(f"{source} is no folder.")
    problems: list[str] = []
    pairs = []
    for split in _folders(source, SPLITS, problems):
        inner = _folders(source / split, tuple(_SUFFIXES), problems)
        if len(inner) < len(_SUFFIXES):
            continue
        image_paths, label_paths = (
            _stems(source / split / name, problems) for name in inner
        )
        problems += _alone(image_paths, label_paths, "an image without a label")
        problems += _alone(label_paths, image_paths, "a label without an image")
        if not image_paths:
            problems.append(f"{source / split / 'images'} holds no image.")
        for stem in sorted(image_paths.keys() & label_paths.keys()):
            paths = image_paths[stem], label_paths[stem]
            files = tuple(path.relative_to(source).as_posix() for path in paths)
            group = _group(paths[0], stem, group_pattern, problems)
            pairs.append(Pair(f"{split}/{stem}", files, f"{split}/{group}"))
    if problems:
        raise_all(source, problems)
    return pairs


def _folders(
    folder: pathlib.Path, names: tuple[str, ...], problems: list[str]
) -> list[str]:
    """Those of the folders `names` that are there; anything else is a problem."""
    there = [p for p in sorted(folder.iterdir()) if visible(p.name)]
    present = [name for name in names if (folder / name).is_dir()]
    wanted = " and ".join(f"{name}/" for name in names)
    if len(present) < len(names):
        held = ", ".join(p.name + "/" * p.is_dir() for p in there) or "nothing"
        problems.append(f"{folder} needs the folders {wanted}, but holds {held}.")
    for path in there:
        if path.name not in present:
            problems.append(
                f"{path} does not belong there, only {wanted}; move it away."
            )
    return present


def _stems(folder: pathlib.Path, problems: list[str]) -> dict[str, pathlib.Path]:
    suffixes, paths = _SUFFIXES[folder.name], []
    for path in sorted(folder.iterdir()):
        if not visible(path.name):
            continue
        if path.is_dir() or path.suffix.lower() not in suffixes:
            allowed = " or ".join(suffixes)
            problems.append(
                f"{path} does not belong there, only {allowed} files; convert it, or "
                "move it away."
            )
        else:
            paths.append(path)
            problems += filter(None, [usable(path)])
    return by_stem(paths, folder, problems)


def _alone(these: dict, others: dict, what: str) -> list[str]:
    free = [stem for stem in others if stem not in these]
    alone = [path for stem, path in these.items() if stem not in others]
    hints = suggestions([path.stem for path in alone], free)
    return [f"{p} is {what}{h or '.'}" for p, h in zip(alone, hints, strict=True)]


def _group(path: pathlib.Path, stem: str, pattern: str, problems: list[str]) -> str:
    if not pattern:
        return stem
    match = re.search(pattern, stem)
    if match and match[1]:
        return match[1]
    problems.append(f"{path}: group_pattern {pattern!r} finds no group in its name.")
    return stem


def job(pair: Pair, *, label_values: str, colour: bool) -> convert.Job:
    """What `example` converts; `colour` repeats a grey image into three channels."""
    note = json.dumps([pair.group, label_values, colour])
    return convert.Job(pair.id, pair.files, note)


def example(root: pathlib.Path, job: convert.Job) -> tuple[Example, dict]:
    """(the example of a pair, what is counted in it); Refused for an unfit pair."""
    group, label_values, colour = json.loads(job.note)
    path, label = (root / name for name in job.files)
    try:
        picture, labels = images.read_picture(path), images.read_labels(label)
        if different := images.different(path, picture, label, labels):
            raise DataError(different)
        mask, soft = to_mask(images.alone(label, labels), label, label_values)
    except DataError as error:
        raise convert.Refused(str(error)) from error
    image = picture.pixels
    if colour:
        image = np.repeat(image, 3 // image.shape[-1], axis=-1)
    elif (image == image[..., :1]).all():
        image = image[..., :1]
    columns = {"soft": soft, "intensity": intensity.histogram(image).tolist()}
    return {
        "image": np.ascontiguousarray(image),
        "mask": mask,
        "label": int(mask.any()),
        "id": job.id,
        "group": group,
    }, columns


def to_mask(
    values: np.ndarray, path: pathlib.Path, label_values: str
) -> tuple[np.ndarray, int]:
    """(mask u8 of 0 and 1, number of grey pixels between the ends) of a label file.

    Raises DataError, naming `path`, for a label that would become all background
    though it marks something, for one that numbers objects or classes, and for a value
    above 1 where labels are class ids.
    """
    top, high = (255 if values.dtype == np.uint8 else 65535), int(values.max())
    if label_values == "class_ids":
        if high > 1:
            raise DataError(
                f"{path} holds {high}; labels of class_ids hold 0 and 1. Set "
                "label_values to 'grey' when foreground is above half of the range."
            )
        return values.astype(np.uint8), 0
    mask = values > top / 2
    if high and not mask.any():
        advice = "save it as 0 and 255"
        if high == 1:
            advice = "set label_values to 'class_ids' if 1 is foreground, or " + advice
        raise DataError(
            f"{path} holds values up to {high}, none above half of its range "
            f"({top / 2}), so all of it would be background; {advice}."
        )
    between = values[(values > 0) & (values < top)]
    many = len(between) > _TIMES * np.count_nonzero(values == top)
    if many and len(np.unique(between)) >= _GREYS:
        raise DataError(
            f"{path} holds far more grey than white, so its values seem to number "
            "objects or classes; save it as 0 and 255, or use the data set "
            "image_folder."
        )
    return mask.astype(np.uint8), len(between)
