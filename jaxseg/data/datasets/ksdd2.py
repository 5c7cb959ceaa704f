"""Prepares KolektorSDD2: photographs of a surface in production, 356 with a defect.

    KolektorSDD2/
      train/10000.png  train/10000_GT.png  ...      2,085 good, 246 with a defect
      test/20000.png   test/20000_GT.png   ...        894 good, 110 with a defect

A mask is grey, defect above half of its range, and empty for a good sample. There is no
official validation split: it is made from train, and test stays as it is. Bozic,
Tabernik and Skocaj, Mixed supervision for surface-defect detection, 2021,
https://arxiv.org/abs/2104.06064 ; the licence of the data is CC BY-NC-SA 4.0.

The published lists of samples with a mask (N = 0, 16, 53, 126, 246) are pickles, which
are never opened here. Write the numbers of such a list into a text file, one a line
("10301"; lines that begin with # are passed over), and give it twice: as the option
`stays`, so that none of them goes to validation, and as the masks of training:

    --config.data.options.stays=n53.txt --config.supervision.name=mixed \\
    --config.supervision.paths=n53.txt
"""

import functools
import os
import pathlib
import re

import tensorflow_datasets as tfds

from jaxseg.data.datasets import _defect_source
from jaxseg.data.datasets._defect_source import Source
from jaxseg.data.files import text
from jaxseg.data.files.listing import raise_all, visible
from jaxseg.data.files.paths import usable
from jaxseg.data.preparation import build_once, tfds_builder
from jaxseg.errors import ConfigError, DataError

CLASSES = ("background", "defect")
_NAME = re.compile(r"(\d+)(_GT)?\.png", re.ASCII)


class Builder(tfds_builder.Builder):
    """The data set as TFDS stores it; `prepare` makes it from the raw files."""

    name = "ksdd2"
    VERSION = tfds.core.Version("1.0.0")


def prepare(
    source: str | os.PathLike,
    data_dir: str | os.PathLike,
    *,
    progress: bool = True,
    validation: float = 0.15,
    seed: int = 0,
    stays: str = "",
) -> pathlib.Path:
    """The directory of the prepared data set, made from the raw files in `source`.

    Returns at once when it is there already, made from the same files with the same
    options. `validation` is the share of train that becomes the validation split,
    stratified by label and area; what the list `stays` names stays in train. Raises
    DataError with all problems of the folder at once, and ConfigError for options that
    cannot be used.
    """
    if not 0 < validation < 1:
        raise ConfigError(
            f"validation={validation} must be a share of train between 0 and 1, for "
            "example 0.15."
        )
    source = pathlib.Path(source).expanduser()
    listed = _listed(stays)
    sources = find(source, listed)
    options = {"validation": validation, "seed": seed, "stays": sorted(listed)}
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


def find(root: pathlib.Path, stays: frozenset[str] = frozenset()) -> list[Source]:
    """The samples of the folder; DataError with everything wrong in it at once."""
    if not root.is_dir():
        raise DataError(f"{root} is no folder.")
    problems: list[str] = []
    out = []
    for split in ("train", "test"):
        images, masks = _paths(root / split, problems)
        for number in sorted(images.keys() | masks.keys()):
            if number not in masks:
                problems.append(f"{images[number]} has no mask {number}_GT.png.")
            elif number not in images:
                problems.append(f"{masks[number]} is a mask without an image.")
            else:
                paths = images[number], masks[number]
                files = (path.relative_to(root).as_posix() for path in paths)
                kept = number in stays
                out.append(Source(f"{split}/{number}", *files, split, None, stays=kept))
    numbers = {one.id.removeprefix("train/") for one in out if one.split == "train"}
    if not problems and (unknown := sorted(stays - numbers)):
        problems.append(
            f"the list `stays` names {unknown[0]!r}, which is not in train."
        )
    if problems:
        raise_all(root, problems)
    return out


def _paths(folder: pathlib.Path, problems: list[str]) -> tuple[dict, dict]:
    """({number: image}, {number: mask}) of a folder."""
    found: tuple[dict, dict] = {}, {}
    if not folder.is_dir():
        problems.append(f"{folder} is not there.")
        return found
    for path in sorted(folder.iterdir()):
        name = _NAME.fullmatch(path.name)
        if name:
            found[name[2] is not None][name[1]] = path
            problems += filter(None, [usable(path)])
        elif visible(path.name):
            problems.append(
                f"{path} does not belong there, only NNNNN.png and NNNNN_GT.png do."
            )
    return found


def _listed(path: str) -> frozenset[str]:
    """The numbers in a list, none without one."""
    if not path:
        return frozenset()
    lines = [line.strip() for line in text.read(pathlib.Path(path)).splitlines()]
    names = [line for line in lines if line and not line.startswith("#")]
    return frozenset(name.removeprefix("train/") for name in names)
