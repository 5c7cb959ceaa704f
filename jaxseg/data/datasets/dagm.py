"""Prepares DAGM 2007: ten kinds of drawn textures, some of them with a defect.

    DAGM/
      Class1/Train/0001.PNG ...    Class1/Train/Label/0005_label.PNG ...
      Class1/Test/0001.PNG ...     Class1/Test/Label/0002_label.PNG ...
      ... Class10/

A label is an ellipse around the defect, white on black, and is there only for images
with one: the others are background in every pixel. The kinds are kept together in one
data set, with the id Class1/Train/0001; `kinds` chooses some. Test is as given, and
validation is made from Train. Weakly Supervised Learning for Industrial Optical
Inspection, competition of the DAGM symposium, 2007, https://hci.iwr.uni-heidelberg.de
"""

import functools
import os
import pathlib
import re

import tensorflow_datasets as tfds

from jaxseg.data.datasets import _defect_source
from jaxseg.data.datasets._defect_source import Source
from jaxseg.data.files.listing import raise_all, visible
from jaxseg.data.files.paths import usable
from jaxseg.data.preparation import build_once, tfds_builder
from jaxseg.errors import ConfigError, DataError

CLASSES = ("background", "defect")
_KINDS = range(1, 11)
_SPLITS = {"Train": "train", "Test": "test"}
_IMAGE = re.compile(r"(\d+)\.png", re.IGNORECASE | re.ASCII)
_LABEL = re.compile(r"(\d+)_label\.png", re.IGNORECASE | re.ASCII)


class Builder(tfds_builder.Builder):
    """The data set as TFDS stores it; `prepare` makes it from the raw files."""

    name = "dagm"
    VERSION = tfds.core.Version("1.0.0")


def prepare(
    source: str | os.PathLike,
    data_dir: str | os.PathLike,
    *,
    progress: bool = True,
    kinds: str = "",
    validation: float = 0.2,
    seed: int = 0,
) -> pathlib.Path:
    """The directory of the prepared data set, made from the raw files in `source`.

    Returns at once when it is there already, made from the same files with the same
    options. `kinds` are numbers such as "1,4"; without them all that are there.
    `validation` is the share of Train that becomes the validation split, stratified by
    label and area. Raises DataError with all problems of the folder at once, and
    ConfigError for options that cannot be used.
    """
    if not 0 < validation < 1:
        raise ConfigError(
            f"validation={validation} must be a share of Train between 0 and 1, for "
            "example 0.2."
        )
    chosen = _kinds(kinds)
    source = pathlib.Path(source).expanduser()
    sources = find(source, chosen)
    options = {"kinds": list(chosen), "validation": validation, "seed": seed}
    build = functools.partial(
        _defect_source.build,
        Builder,
        sources,
        source,
        classes=CLASSES,
        options=options,
        progress=progress,
    )
    return build_once.once(
        Builder,
        source=source,
        files=[name for one in sources for name in one.files],
        data_dir=data_dir,
        options=options,
        build=build,
    )


def _kinds(text: str) -> tuple[int, ...]:
    """The numbers in "1,4", () for ""; ConfigError for others than 1 to 10."""
    parts = [part.strip() for part in text.split(",")] if text else []
    if any(not part.isdecimal() or int(part) not in _KINDS for part in parts):
        raise ConfigError(f"kinds is {text!r}; give numbers from 1 to 10, such as 1,4.")
    return tuple(sorted({int(part) for part in parts}))


def find(root: pathlib.Path, kinds: tuple[int, ...] = ()) -> list[Source]:
    """The images of the folder; DataError with everything wrong in it at once."""
    wanted = [f"Class{k}" for k in kinds or _KINDS]
    there = [name for name in wanted if (root / name).is_dir()]
    lacking = [name for name in wanted if name not in there] if kinds else []
    if not there or lacking:
        raise DataError(
            f"{root} needs the folders {', '.join(lacking or ['Class1', '...'])}, each "
            "with Train/ and Test/."
        )
    problems: list[str] = []
    out = [
        source
        for name in there
        for folder in _SPLITS
        for source in _folder(root, name, folder, problems)
    ]
    if problems:
        raise_all(root, problems)
    return out


def _folder(root, kind: str, name: str, problems: list[str]) -> list[Source]:
    folder = root / kind / name
    if not folder.is_dir():
        problems.append(f"{folder} is not there.")
        return []
    images = _numbered(folder, _IMAGE, problems, but=("label",))
    labels = {}
    if (folder / "Label").is_dir():
        labels = _numbered(folder / "Label", _LABEL, problems, but=("labels.txt",))
    for number in sorted(labels.keys() - images.keys()):
        problems.append(f"{labels[number]} is a label without an image {number}.")
    return [
        Source(
            id=f"{kind}/{name}/{number}",
            image=path.relative_to(root).as_posix(),
            mask=_name(root, labels.get(number)),
            split=_SPLITS[name],
            label=int(number in labels),
        )
        for number, path in sorted(images.items())
    ]


def _name(root: pathlib.Path, path: pathlib.Path | None) -> str:
    return path.relative_to(root).as_posix() if path else ""


def _numbered(folder, pattern, problems: list[str], *, but) -> dict[str, pathlib.Path]:
    out = {}
    for path in sorted(folder.iterdir()):
        if name := pattern.fullmatch(path.name):
            out[name[1]] = path
            problems += filter(None, [usable(path)])
        elif visible(path.name) and path.name.lower() not in but:
            problems.append(f"{path} does not belong there; move it away.")
    return out
