"""Pairs the images and masks of a user's folder, and lists everything wrong with it."""

import os
import pathlib
import unicodedata
from typing import NamedTuple

from absl import logging

from jaxseg.data.datasets._folder import class_names, image_classes, image_labels
from jaxseg.data.datasets._folder.items import Item
from jaxseg.data.files import colours, images, text
from jaxseg.data.files.listing import (
    SPLITS,
    UNLABELLED,
    by_stem,
    files,
    suggestion,
    suggestions,
    visible,
)
from jaxseg.data.files.paths import regular, shown
from jaxseg.errors import DataError

_BESIDE = {"", ".csv", ".db", ".html", ".ini", ".json", ".md", ".txt", ".xml", ".yaml"}
_COLUMNS = ("stem", "split", "group")  # of splits.csv


class Layout(NamedTuple):
    """What a folder holds, and what is wrong with it."""

    items: list[Item]
    classes: list[str] | None  # None without classes.txt
    problems: list[str]
    whole: image_classes.ImageNames | None = None  # its classes of whole images
    listed: colours.Table | None = None  # colours of its masks; None: class ids


def find(
    source: pathlib.Path, *, allow_unlabelled: bool, instances: bool = False
) -> Layout:
    """The Layout of a folder; DataError when the folders themselves are not there.

    With `instances` a folder of that name beside masks/ holds the object ids of every
    image, or stands in place of masks/. Folders good/ and defect/ in place of images/,
    or a table labels.csv, hold labels of whole images, or their classes.
    """
    if not source.is_dir():
        raise DataError(f"{source} is no folder.")
    there = sorted(p.name for p in source.iterdir() if p.is_dir() and visible(p.name))
    problems: list[str] = []
    by_split = any(s in there for s in SPLITS)
    if "images" in there and by_split:
        raise DataError(
            f"{source} has images/ and also {[s for s in SPLITS if s in there]}; keep "
            "either images/ and masks/, or train/, validation/ and test/."
        )
    names = class_names.read(source, problems)
    classes = names.classes
    parts = [source / s for s in SPLITS if s in there] if by_split else [source]
    sorted_by_label = any(_is_sorted(_folders(part)) for part in parts)
    extra = [n for n in image_labels.FOLDERS if n in there and not sorted_by_label]
    if extra:
        logging.warning("%s: the folders %s are passed over", source, extra)
    if sorted_by_label:
        classes = classes or image_labels.CLASSES
        if os.path.lexists(source / image_labels.TABLE):
            problems.append(
                f"{source} has {image_labels.TABLE} beside good/ and defect/; keep "
                "one of them."
            )
    whole = None
    if not by_split:
        items = _one(source, "", there, problems, instances)
        if not sorted_by_label:
            items, whole = image_classes.from_table(source, items, classes, problems)
        items = _split_by_table(source, items, allow_unlabelled, problems)
    else:
        _need(source, SPLITS, there)
        if os.path.lexists(source / "splits.csv"):
            problems.append(f"{source}: splits.csv beside train/, validation/, test/.")
        items = []
        for split in SPLITS:
            inner = _folders(source / split)
            pairs = _one(source / split, f"{split}/", inner, problems, instances)
            if not pairs:
                problems.append(f"{source / split / 'images'} holds no image.")
            items += [item._replace(split=split) for item in pairs]
        if not sorted_by_label:
            items, whole = image_classes.from_table(source, items, classes, problems)
        problems += _without_mask(items, allow_unlabelled)
    if not items and not problems:
        raise DataError(f"{source / 'images'} holds no image.")
    return Layout(items, classes, problems, whole, names.listed)


def _folders(folder: pathlib.Path) -> list[str]:
    return sorted(p.name for p in folder.iterdir() if p.is_dir())


def _is_sorted(there: list[str]) -> bool:
    """Whether good/ and defect/ take the place of images/."""
    return "images" not in there and any(n in there for n in image_labels.FOLDERS)


def _one(
    folder: pathlib.Path,
    prefix: str,
    there: list[str],
    problems: list[str],
    instances: bool,
) -> list[Item]:
    """The items of a folder with images/ and masks/, or with good/ and defect/."""
    if _is_sorted(there):
        _need(folder, image_labels.FOLDERS, there)
        images = {n: _stems(folder / n, problems) for n in image_labels.FOLDERS}
        masks = _stems(folder / "masks", problems) if "masks" in there else {}
        return image_labels.items(prefix, images, masks, problems)
    table = folder / image_labels.TABLE
    if prefix:
        table = folder.parent / image_labels.TABLE
    needed = ("images", _masks(there, instances))
    _need(folder, needed[:1] if os.path.lexists(table) else needed, there)
    return _pairs(folder, prefix, problems, instances)


def _need(folder: pathlib.Path, names: tuple[str, ...], there: list[str]) -> None:
    missing = [name for name in names if name not in there]
    if not missing:
        return
    hints = [
        f"; rename {other}/ to {name}/"
        for name in missing
        for other in there
        if suggestion(other, [name])
    ]
    also = "" if names == SPLITS else " (or train/, validation/ and test/ with both)"
    if names[0] == "images":
        also += "; images of one label each can lie in good/ and defect/"
        hints += [
            f"; rename {other}/ to {name}/"
            for name in image_labels.FOLDERS
            for other in there
            if suggestion(other, [name])
        ]
    raise DataError(
        f"{folder} needs the folders {' and '.join(f'{n}/' for n in names)}{also}, but "
        f"holds {there or 'no folder'}{hints[0] if hints else ''}."
    )


def _masks(there: list[str], instances: bool) -> str:
    """The folder of the masks: instances/ where that stands alone, and may."""
    alone = "instances" in there and "masks" not in there
    return "instances" if instances and alone else "masks"


def _pairs(
    folder: pathlib.Path, prefix: str, problems: list[str], instances: bool
) -> list[Item]:
    """Images with the masks of the same relative path without suffix."""
    there = [path.name for path in folder.iterdir() if path.is_dir()]
    masks = _masks(there, instances)
    image_paths = _stems(folder / "images", problems)
    mask_paths = _stems(folder / masks, problems) if masks in there else {}
    id_paths: dict[str, pathlib.Path] = {}
    if instances and {"masks", "instances"} <= set(there):
        id_paths = _stems(folder / "instances", problems)
        for stem in [s for s in mask_paths if s in image_paths and s not in id_paths]:
            problems.append(
                f"{image_paths[stem]} has a mask, but no file in instances/; number "
                "its objects there, or remove the folder instances/."
            )
    for paths in (mask_paths, id_paths):
        alone = sorted(set(paths) - set(image_paths))
        hints = suggestions(alone, list(image_paths))
        for stem, hint in zip(alone, hints, strict=True):
            problems.append(f"{paths[stem]} is a mask without an image{hint}")
    return [
        Item(
            prefix + stem,
            path,
            mask_paths.get(stem),
            "",
            prefix + stem,
            id_paths.get(stem),
        )
        for stem, path in image_paths.items()
    ]


def _stems(folder: pathlib.Path, problems: list[str]) -> dict[str, pathlib.Path]:
    paths, beside = [], 0
    for path in files(folder):
        suffix = path.suffix.lower()
        if suffix not in images.SUFFIXES and is_dicom(path):
            problems.append(f"{shown(path)} is DICOM; give its name the suffix .dcm.")
        elif suffix in _BESIDE:
            beside += 1
        elif suffix not in images.SUFFIXES:
            problems.append(
                f"{shown(path)}: {suffix} cannot be read; convert it to PNG."
            )
        else:
            paths.append(path)
    if beside:
        logging.info("%s: %d files beside the images are ignored", folder, beside)
    return by_stem(paths, folder, problems)


def is_dicom(path: pathlib.Path) -> bool:
    """Whether a file begins as DICOM files do, whatever its name is."""
    try:
        regular(path)
        with open(path, "rb") as file:
            return file.read(132)[128:] == b"DICM"
    except (DataError, OSError):
        return False


def _split_by_table(
    source: pathlib.Path,
    items: list[Item],
    allow_unlabelled: bool,
    problems: list[str],
) -> list[Item]:
    path = source / "splits.csv"
    if not os.path.lexists(path):
        problems += _without_mask(items, allow_unlabelled)
        return items
    try:
        rows = _read_table(path, problems)
    except DataError as error:
        problems.append(str(error))
        return items
    ids = {item.id for item in items}
    wrong = [stem for stem in rows if stem not in ids]
    for stem, hint in zip(wrong, suggestions(wrong, list(ids)), strict=True):
        problems.append(f"{path} names {stem!r}, but there is no such image{hint}")
    out, groups = [], {}
    for item in items:
        if item.id not in rows:
            problems.append(f"{path} does not name the image {item.id!r}.")
            continue
        split, group = rows[item.id]
        if split == UNLABELLED:
            split = "train"
            if item.is_labelled:
                has = "a mask" if item.mask else "a label"
                problems.append(f"{path}: {item.id!r} is unlabelled, but has {has}.")
        else:
            here = [item._replace(split=split)]
            problems += _without_mask(here, allow_unlabelled)
        other = groups.setdefault(group or item.id, split)
        if other != split:
            problems.append(f"{path}: group {group!r} is in {other} and in {split}.")
        out.append(item._replace(split=split, group=group or item.id))
    chosen = {item.split for item in out if item.is_labelled}
    if "" in chosen and len(chosen) > 1:
        bare = [item.id for item in out if item.is_labelled and not item.split]
        more = f" and {len(bare) - 1} more have" if len(bare) > 1 else " has"
        problems.append(
            f"{path}: {bare[0]!r}{more} no split, and other images have one: give "
            "every image a split, or none of them."
        )
    missing = [s for s in SPLITS if s not in chosen]
    if out and "" not in chosen and missing:
        problems.append(f"{path} puts no labelled image in {', '.join(missing)}.")
    return out


def _read_table(path: pathlib.Path, problems: list[str]) -> dict[str, tuple[str, str]]:
    """stem -> (split, group); DataError when the file cannot be understood at all."""
    rows: dict[str, tuple[str, str]] = {}
    spelt: dict[str, str] = {}
    for line, row in text.table(path, "stem", _COLUMNS, problems):
        stem, split, group = (
            unicodedata.normalize("NFC", row[column]) for column in _COLUMNS
        )
        where = f"{path} line {line}"
        other = spelt.setdefault(" ".join(group.casefold().split()), group)
        if other != group:
            problems.append(
                f"{where}: the group {group!r} differs from {other!r} only in case or "
                "blanks; write both alike, or name them differently."
            )
        if stem in rows:
            problems.append(f"{where}: {stem!r} is named twice.")
        if split not in (*SPLITS, UNLABELLED, ""):
            hint = suggestion(split, [*SPLITS, UNLABELLED])
            problems.append(f"{where}: {split!r} is no split{hint}")
        rows[stem] = split, group
    return rows


def _without_mask(items: list[Item], allowed: bool) -> list[str]:
    return [
        f"{item.image} has no mask; draw one (all 0 where nothing is there), or "
        f"declare it {UNLABELLED} (splits.csv, or allow_unlabelled), in train only."
        for item in items
        if not item.is_labelled and not (allowed and item.split in ("train", ""))
    ]
