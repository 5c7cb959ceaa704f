"""Prepares Severstal steel: photographs of steel strips, with four kinds of defects.

    severstal/
      train.csv                    ImageId,ClassId,EncodedPixels
      train_images/0002cc93b.jpg   of 256 x 1600 pixels
      test_images/...              (without labels: not read)

Run lengths are pairs of (start, length) over the pixels in column-major order; a start
counts from 1. An image that the table does not name has no defect. There are no
official splits with labels: train is divided. Severstal: Steel Defect Detection, 2019,
https://www.kaggle.com/c/severstal-steel-defect-detection

With `classes` "binary" the four kinds are one class, as the published results on the
presence of a defect have it; with "four" each is one, the label of an image is the kind
with most pixels, and a pixel of two kinds belongs to the one with the higher number.
"""

import functools
import json
import os
import pathlib

import numpy as np
import tensorflow_datasets as tfds

from jaxseg.data.datasets import _defect_source
from jaxseg.data.datasets._defect_source import Source
from jaxseg.data.files import images, rle, text
from jaxseg.data.files.listing import raise_all, suggestions, visible
from jaxseg.data.files.paths import usable
from jaxseg.data.preparation import build_once, convert, splits, tfds_builder
from jaxseg.errors import ConfigError, DataError
from jaxseg.labels import Example

CLASSES = {
    "binary": ("background", "defect"),
    "four": ("background", "defect_1", "defect_2", "defect_3", "defect_4"),
}
TABLE, IMAGES = "train.csv", "train_images"
_COLUMNS = ("ImageId", "ClassId", "EncodedPixels")
_KINDS = ("1", "2", "3", "4")


class Builder(tfds_builder.Builder):
    """The data set as TFDS stores it; `prepare` makes it from the raw files."""

    name = "severstal"
    VERSION = tfds.core.Version("1.0.0")


def prepare(
    source: str | os.PathLike,
    data_dir: str | os.PathLike,
    *,
    progress: bool = True,
    classes: str = "binary",
    validation: float = 0.15,
    test: float = 0.15,
    seed: int = 0,
) -> pathlib.Path:
    """The directory of the prepared data set, made from the raw files in `source`.

    Returns at once when it is there already, made from the same files with the same
    options. `validation` and `test` are shares of the images, stratified by label and
    area. Raises DataError with all problems of table and files at once, and ConfigError
    for options that cannot be used.
    """
    if classes not in CLASSES:
        raise ConfigError(f"classes is {classes!r}; allowed are 'binary' and 'four'.")
    shares = splits.shares(validation=validation, test=test)
    source = pathlib.Path(source).expanduser()
    sources = find(source, classes)
    options = {"classes": classes, "validation": validation, "test": test, "seed": seed}
    build = functools.partial(
        _build, sources, source, shares=shares, options=options, progress=progress
    )
    return build_once.once(
        Builder,
        source=source,
        files=[TABLE, *(one.image for one in sources)],
        data_dir=data_dir,
        options=options,
        build=build,
    )


def find(root: pathlib.Path, classes: str) -> list[Source]:
    """The images of the folder; DataError with everything wrong in it at once."""
    if not (root / TABLE).is_file() or not (root / IMAGES).is_dir():
        raise DataError(f"{root} needs {TABLE} and the folder {IMAGES}/.")
    problems: list[str] = []
    paths = {p.name: p for p in sorted((root / IMAGES).iterdir()) if visible(p.name)}
    problems += filter(None, map(usable, paths.values()))
    runs: dict[str, dict[str, str]] = {}
    for line, row in text.table(root / TABLE, "ImageId", _COLUMNS, problems):
        name, kind, pixels = (row[column] for column in _COLUMNS)
        where = f"{root / TABLE} line {line}"
        own = runs.setdefault(name, {})
        if not pixels and not kind:
            continue  # an image without a defect, named nevertheless
        if kind not in _KINDS:
            problems.append(f"{where}: ClassId is {kind!r}; it is one of 1, 2, 3, 4.")
        elif not pixels:
            problems.append(f"{where}: {name} is of class {kind}, but marks no pixel.")
        elif kind in own:
            problems.append(f"{where}: {name} has class {kind} twice.")
        else:
            own[kind] = pixels
    wrong = sorted(runs.keys() - paths.keys())
    for name, hint in zip(wrong, suggestions(wrong, list(paths)), strict=True):
        problems.append(f"{root / TABLE} names {name!r}, which is missing{hint or '.'}")
    if not paths:
        problems.append(f"{root / IMAGES} holds no image.")
    if problems:
        raise_all(root, problems)
    return [
        Source(
            id=path.stem,
            image=path.relative_to(root).as_posix(),
            mask="",
            split="",
            label=None,
            note=json.dumps([classes, sorted(runs.get(name, {}).items())]),
        )
        for name, path in paths.items()
    ]


def example(root: pathlib.Path, job: convert.Job) -> tuple[Example, dict]:
    """(the example of an image and its run lengths, what is counted in it)."""
    _, group, colour, note = json.loads(job.note)
    classes, runs = json.loads(note)
    try:
        image = images.read_image(root / job.files[0])
        mask = np.zeros(image.shape[:2], np.uint8)
        for kind, pixels in runs:
            inside = rle.decode_from_one(pixels, image.shape[:2])
            mask[inside] = int(kind) if classes == "four" else 1
    except DataError as error:
        raise convert.Refused(f"{root / job.files[0]}: {error}") from error
    counts = np.bincount(mask.ravel(), minlength=2)
    label = 1 + int(counts[1:].argmax()) if mask.any() else 0
    out = _defect_source.finish(job, image, mask, label, group=group, colour=colour)
    return out, _defect_source.columns(out)


def _build(
    sources: list[Source],
    root: pathlib.Path,
    part: pathlib.Path,
    *,
    shares: dict,
    options: dict,
    progress: bool,
) -> pathlib.Path:
    one = functools.partial(example, root)
    rows = _defect_source.rows(sources, root, part, one=one, progress=progress)
    _defect_source.divide(rows, shares=shares, seed=options["seed"])
    return _defect_source.store(
        Builder,
        rows,
        part,
        classes=CLASSES[options["classes"]],
        root=root,
        rule=f"{splits.describe(shares)}, stratified by label and area, seed "
        f"{options['seed']}",
        options=options,
    )
