"""Finds the files of the crack collection, and everything wrong with them at once."""

import pathlib
import unicodedata

from jaxseg.data.datasets._defect_source import Source
from jaxseg.data.files import images, text
from jaxseg.data.files.listing import (
    images_by_stem,
    raise_all,
    suggestions,
    visible,
)
from jaxseg.errors import DataError

_FOLDERS = {"train": "train", "val": "validation", "validation": "validation"}
_FOLDERS |= {"test": "test"}  # {name on disk: split}
_KINDS = ("negative", "positive")
_MASK = "_GT"
_WITHOUT = "image_level.txt"  # names positives that have a label and no mask


def find(root: pathlib.Path) -> tuple[list[Source], str]:
    """(the images of the folder, which layout it has); DataError with all problems."""
    if not root.is_dir():
        raise DataError(f"{root} is no folder.")
    there = {p.name for p in root.iterdir() if p.is_dir() and visible(p.name)}
    sided = [f"{f}_{k}" for f in _FOLDERS for k in _KINDS if f"{f}_{k}" in there]
    plain = [name for name in _FOLDERS if name in there]
    if bool(sided) == bool(plain):
        raise DataError(
            f"{root} needs the folders train/ and test/ with images/ and masks/, or "
            f"train_positive/, train_negative/ ... with _GT files, and not both; it "
            f"holds {sorted(there) or 'no folder'}."
        )
    problems: list[str] = []
    bare = set(_names(root / _WITHOUT, problems))
    if plain:
        out = [s for name in plain for s in _plain(root, name, bare, problems)]
    else:
        out = [s for name in sided for s in _sided(root, name, bare, problems)]
    files = {pathlib.PurePath(one.image).name for one in out}
    problems += _unknown(root / _WITHOUT, bare, files)
    out = _by_lists(root, out, problems)
    missing = [s for s in ("train", "test") if s not in {one.split for one in out}]
    if missing and not problems:
        problems.append(f"no image is in {' and none in '.join(missing)}.")
    if problems:
        raise_all(root, problems)
    return out, "images and masks" if plain else "positive and negative"


def lists(root: pathlib.Path) -> set[str]:
    """The text files that decide about images, relative to the folder."""
    found = [root / _WITHOUT, *(path for path, _ in _lists(root))]
    return {p.relative_to(root).as_posix() for p in found if p.is_file()}


def _plain(root, name: str, bare: set[str], problems: list[str]) -> list[Source]:
    """The sources of train/images and train/masks, which have the same file stems."""
    folder = root / name
    absent = [k for k in ("images", "masks") if not (folder / k).is_dir()]
    if absent:
        problems.append(f"{folder} has no folder {' and no '.join(absent)}/.")
        return []
    image_paths, mask_paths = (
        images_by_stem(folder / k, images.SUFFIXES, problems)
        for k in ("images", "masks")
    )
    alone = sorted(mask_paths.keys() - image_paths.keys())
    for stem, hint in zip(alone, suggestions(alone, list(image_paths)), strict=True):
        problems.append(f"{mask_paths[stem]} is a mask without an image{hint or '.'}")
    out = []
    for stem, path in sorted(image_paths.items()):
        mask = mask_paths.get(stem)
        if stem.endswith(_MASK):
            problems.append(f"{path} is a mask by its name; move it to masks/.")
            continue
        label = _label(path, mask, bare, None, problems)
        out.append(_source(root, name, f"{name}/{stem}", path, mask, label))
    return out


def _sided(root, name: str, bare: set[str], problems: list[str]) -> list[Source]:
    """The sources of train_positive/ and the like: <id> and, beside it, <id>_GT."""
    split, _, kind = name.rpartition("_")
    paths = images_by_stem(root / name, images.SUFFIXES, problems)
    masks = {s.removesuffix(_MASK): p for s, p in paths.items() if s.endswith(_MASK)}
    image_paths = {s: p for s, p in paths.items() if not s.endswith(_MASK)}
    for stem in sorted(masks.keys() - image_paths.keys()):
        problems.append(f"{masks[stem]} is a mask without an image {stem}.")
    out = []
    for stem, path in sorted(image_paths.items()):
        mask = masks.get(stem)
        label = _label(path, mask, bare, _KINDS.index(kind), problems)
        out.append(_source(root, split, f"{name}/{stem}", path, mask, label))
    return out


def _label(path, mask, bare: set[str], label: int | None, problems: list[str]):
    """The label of an image, 0, 1 or None; adds what is wrong with having no mask."""
    if path.name in bare:
        if mask is not None:
            problems.append(
                f"{_WITHOUT} names {path.name!r}, which has a mask: {mask}."
            )
        if label == 0:
            problems.append(f"{_WITHOUT} names {path.name!r}, which is a negative.")
        return 1
    if mask is None and label != 0:
        problems.append(
            f"{path} has no mask; an image without a crack needs an empty one here, "
            f"and a positive that has none must be named in {_WITHOUT}."
        )
    return label


def _source(root, folder: str, name: str, path, mask, label) -> Source:
    return Source(
        id=name,
        image=path.relative_to(root).as_posix(),
        mask=mask.relative_to(root).as_posix() if mask else "",
        split=_FOLDERS[folder],
        label=label,
    )


def _lists(root: pathlib.Path) -> list[tuple[pathlib.Path, str]]:
    """(path, split) of the lists that name one."""
    paths = [(root / "splits" / f"split_{n}.txt", s) for n, s in _FOLDERS.items()]
    return [(path, split) for path, split in paths if path.is_file()]


def _by_lists(root, sources: list[Source], problems: list[str]) -> list[Source]:
    """The sources with the splits of the lists, where there are any."""
    chosen: dict[str, str] = {}
    files = {pathlib.PurePath(one.image).name for one in sources}
    for path, split in _lists(root):
        names = _names(path, problems)
        problems += _unknown(path, names, files)
        for name in names:
            if chosen.setdefault(name, split) != split:
                problems.append(f"{path} names {name!r}, which is in {chosen[name]}.")
    return [
        one._replace(split=chosen.get(pathlib.PurePath(one.image).name, one.split))
        for one in sources
    ]


def _unknown(path: pathlib.Path, names, files: set[str]) -> list[str]:
    wrong = sorted(set(names) - files)
    hints = suggestions(wrong, sorted(files))
    return [
        f"{path} names {name!r}, but there is no such image{hint or '.'}"
        for name, hint in zip(wrong, hints, strict=True)
    ]


def _names(path: pathlib.Path, problems: list[str]) -> list[str]:
    """The lines of a list, [] where it is not there."""
    if not path.is_file():
        return []
    try:
        lines = unicodedata.normalize("NFC", text.read(path)).splitlines()
    except DataError as error:
        problems.append(str(error))
        return []
    return [line.strip() for line in lines if line.strip()]
