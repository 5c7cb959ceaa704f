"""Prepares ELPV: electroluminescence images of 2,624 solar cells, labelled as a whole.

    elpv-dataset/
      labels.csv              path, probability of a defect, mono or poly
      images/cell0001.png ... 300 x 300, grey

The folder is `data/` of the Python package elpv-dataset: with the source "package" it
is looked for there (pip install 'jaxseg[elpv]'). The images are under CC BY-NC-SA 4.0,
for NON-COMMERCIAL use, so they are an extra and never part of this project.
Buerhop-Lutz et al., A benchmark for visual identification of defective solar cells in
electroluminescence imagery, 2018, https://doi.org/10.4229/35thEUPVSEC20182018-5CV.3.15

Experts gave each cell 0, 1/3, 2/3 or 1; a cell from `threshold` on is labelled defect,
by default from 1/2, so that 2/3 and 1 are. There are no masks: a defect has a label and
no labelled pixel, a good cell is background everywhere. The cells come from 44 modules
whose bounds are not told, in the order of their numbers, so the splits take contiguous
blocks of `block` cells, also cut where mono- and polycrystalline cells meet. A module
at the border of two blocks may still be in two splits.
"""

import functools
import importlib.util
import os
import pathlib

import tensorflow_datasets as tfds

from jaxseg.data.datasets import _defect_source
from jaxseg.data.datasets._defect_source import Source
from jaxseg.data.files import text
from jaxseg.data.files.listing import raise_all
from jaxseg.data.preparation import build_once, splits, tfds_builder
from jaxseg.errors import ConfigError, DataError

CLASSES = ("background", "defect")
PACKAGE = "package"  # the source that stands for the installed package
_TABLE = "labels.csv"


class Builder(tfds_builder.Builder):
    """The data set as TFDS stores it; `prepare` makes it from the raw files."""

    name = "elpv"
    VERSION = tfds.core.Version("1.0.0")


def prepare(
    source: str | os.PathLike,
    data_dir: str | os.PathLike,
    *,
    progress: bool = True,
    threshold: float = 0.5,
    block: int = 64,
    validation: float = 0.2,
    test: float = 0.2,
    seed: int = 0,
) -> pathlib.Path:
    """The directory of the prepared data set; `source` is a folder, or "package".

    Returns at once when it is there already, made from the same files with the same
    options. `validation` and `test` are shares of the cells, dealt out in blocks and
    stratified by label. Raises DataError with all problems of the table at once and
    where the package is not installed, ConfigError for options that cannot be used.
    """
    shares = splits.shares(validation=validation, test=test)
    if not 0 < threshold <= 1 or block < 1:
        raise ConfigError(
            f"threshold={threshold:g} and block={block}: a probability of a defect is "
            "above 0 and at most 1, and a block has 1 cell or more."
        )
    root = _package() if str(source) == PACKAGE else pathlib.Path(source).expanduser()
    sources = find(root, threshold=threshold, block=block)
    options = {"threshold": threshold, "block": block, "validation": validation}
    options |= {"test": test, "seed": seed}
    build = functools.partial(
        _build, sources, root, shares=shares, options=options, progress=progress
    )
    return build_once.once(
        Builder,
        source=root,
        files=[_TABLE, *(one.image for one in sources)],
        data_dir=data_dir,
        options=options,
        build=build,
    )


def _package() -> pathlib.Path:
    """The folder of the data in the installed package."""
    spec = importlib.util.find_spec("elpv_dataset")
    if spec is None or not spec.submodule_search_locations:
        raise DataError(
            "the package elpv-dataset is not installed; its images are for "
            "non-commercial use: pip install elpv-dataset==1.0.0.post1, or name a "
            "folder with labels.csv and images/."
        )
    return pathlib.Path(spec.submodule_search_locations[0]) / "data"


def find(root: pathlib.Path, *, threshold: float, block: int) -> list[Source]:
    """The cells of labels.csv; DataError with everything wrong in it at once."""
    path = root / _TABLE
    if not path.is_file():
        raise DataError(f"{root} has no {_TABLE}; name the folder that holds it.")
    problems: list[str] = []
    out: list[Source] = []
    blocks, inside, last = 0, 0, ""
    for number, line in enumerate(text.read(path).splitlines(), 1):
        cells = line.split()
        if not cells:
            continue
        chance = _chance(cells[1]) if len(cells) == 3 else None
        if chance is None or cells[2] not in ("mono", "poly"):
            problems.append(
                f"{path} line {number} is {line.strip()!r}; it must be a path, a "
                "probability from 0 to 1, and mono or poly."
            )
            continue
        if not (root / cells[0]).is_file():
            problems.append(f"{path} line {number} names {cells[0]}, which is missing.")
        if inside == block or cells[2] != last:
            blocks, inside = blocks + 1, 0
        inside, last = inside + 1, cells[2]
        name = pathlib.PurePosixPath(cells[0]).stem
        label = int(chance >= threshold)
        group = f"{cells[2]}-{blocks:03}"
        out.append(Source(name, cells[0], "", "", label, group=group))
    if problems:
        raise_all(root, problems)
    return out


def _chance(word: str) -> float | None:
    try:
        value = float(word)
    except ValueError:
        return None
    return value if 0 <= value <= 1 else None


def _build(
    sources: list[Source],
    root: pathlib.Path,
    part: pathlib.Path,
    *,
    shares: dict,
    options: dict,
    progress: bool,
) -> pathlib.Path:
    one = functools.partial(_defect_source.example, root)
    rows = _defect_source.rows(sources, root, part, one=one, progress=progress)
    _defect_source.divide(rows, shares=shares, seed=options["seed"])
    return _defect_source.store(
        Builder,
        rows,
        part,
        classes=CLASSES,
        root=root,
        rule=f"{splits.describe(shares)}, in contiguous blocks of {options['block']} "
        f"cells, stratified by label, seed {options['seed']}",
        options=options,
    )
