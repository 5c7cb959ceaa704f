"""Finds the files of COVID-QU-Ex, and everything wrong with the tree at once.

Its names have spaces, and each of the two top folders holds one of its own name. A
loader that looks for another name passes over every film of COVID-19 in silence, so
here a folder that is not there is an error, and the nearest name that is there is told.
"""

import difflib
import json
import pathlib
from collections.abc import Mapping
from typing import Any, NamedTuple

from jaxseg.data.files import images
from jaxseg.data.files.listing import (
    images_by_stem,
    raise_all,
    suggestions,
    visible,
)
from jaxseg.data.phantoms import covid_tree
from jaxseg.errors import DataError

SPLITS = {"Train": "train", "Val": "validation", "Test": "test"}
KINDS = {"Normal": "normal", "COVID-19": "covid19", "Non-COVID": "non_covid"}
FOLDERS = {"lung": covid_tree.LUNG, "infection": covid_tree.INFECTION}
_IMAGES, _LUNGS = covid_tree.IMAGES, covid_tree.LUNGS
_INFECTIONS = covid_tree.INFECTIONS


class Film(NamedTuple):
    """One image of a subset with the files that lie beside it, relative to a folder."""

    id: str
    image: str
    lungs: str
    infections: str  # "" in the lung subset
    split: str
    kind: str  # of the image: normal, covid19, non_covid
    note: str  # for the conversion
    label: None = None  # of the whole image: as its masks say
    group: str = ""  # the image alone: no patient is known
    stays: bool = True

    @property
    def files(self) -> tuple[str, ...]:
        """The image, its lung mask, and its infection mask where there is one."""
        return tuple(filter(None, (self.image, self.lungs, self.infections)))


def root_of(source: pathlib.Path, subsets: tuple[str, ...]) -> pathlib.Path:
    """The folder that holds the folders of the subsets.

    That is `source`, the one folder in it that does, or one above it where `source`
    itself is such a folder. Raises DataError, with the nearest name that is there.
    """
    if not source.is_dir():
        raise DataError(f"{source} is no folder.")
    wanted = [FOLDERS[subset] for subset in subsets]
    bases = [source]
    here = source.resolve()
    while here.name in FOLDERS.values():
        here = here.parent
        bases.append(here)
    below = [p for p in sorted(source.iterdir()) if p.is_dir() and visible(p.name)]
    bases += [folder for folder in below if not _near(folder.name)]
    for base in bases:
        if all((base / name).is_dir() for name in wanted):
            return base
    missing = [name for name in wanted if not (source / name).is_dir()]
    raise DataError(_no_folder(source, missing))


def find(
    root: pathlib.Path, subsets: tuple[str, ...], note: Mapping[str, Any]
) -> list[Film]:
    """The films of the subsets; DataError with all problems of the folders at once.

    `note` is what decides their conversion, as JSON has it.
    """
    problems: list[str] = []
    out = []
    for subset in subsets:
        folder = root / FOLDERS[subset]
        inner = folder / FOLDERS[subset]
        if not inner.is_dir() and not any((folder / s).is_dir() for s in SPLITS):
            raise DataError(_no_folder(folder, [FOLDERS[subset]]))
        top = inner if inner.is_dir() else folder
        for split in SPLITS:
            for kind in KINDS:
                place = top / split / kind
                out += _films(root, place, subset, note, problems)
    if problems:
        raise_all(root, list(dict.fromkeys(problems)))
    return out


def _films(
    root: pathlib.Path,
    place: pathlib.Path,
    subset: str,
    note: Mapping[str, Any],
    problems: list[str],
) -> list[Film]:
    """The films of one class in one split."""
    kinds = [_IMAGES, _LUNGS] + [_INFECTIONS] * (subset == "infection")
    for folder in (place.parent, place):
        if not folder.is_dir():
            problems.append(_no_folder(folder.parent, [folder.name]))
            return []
    if missing := [name for name in kinds if not (place / name).is_dir()]:
        problems.append(_no_folder(place, missing))
        return []
    stems = {
        name: images_by_stem(place / name, images.SUFFIXES, problems) for name in kinds
    }
    if not stems[_IMAGES]:
        problems.append(
            f"{place / _IMAGES} holds no image, so {place.parent.name} would have none "
            f"of {place.name}."
        )
    split, kind = SPLITS[place.parent.name], KINDS[place.name]
    for name in kinds[1:]:
        alone = sorted(stems[name].keys() - stems[_IMAGES].keys())
        hints = suggestions(alone, list(stems[_IMAGES]))
        for stem, hint in zip(alone, hints, strict=True):
            problems.append(
                f"{stems[name][stem]} is a mask without an image{hint or '.'}"
            )
    out = []
    for stem, path in sorted(stems[_IMAGES].items()):
        without = [name for name in kinds[1:] if stem not in stems[name]]
        if without:
            problems.append(
                f"{path} has no mask of its name in {' and none in '.join(without)}/; "
                "no image is left out in silence: restore it, or move the image away."
            )
            continue
        relative = [stems[name][stem].relative_to(root).as_posix() for name in kinds]
        out.append(
            Film(
                id=f"{subset}/{place.parent.name}/{place.name}/{stem}",
                image=relative[0],
                lungs=relative[1],
                infections=relative[2] if len(relative) > 2 else "",
                split=split,
                kind=kind,
                note=json.dumps({"kind": kind, "subset": subset, **note}),
            )
        )
    return out


def _no_folder(folder: pathlib.Path, missing: list[str]) -> str:
    """The sentence for folders that are not there, with the nearest name that is."""
    there = sorted(p.name for p in folder.iterdir() if p.is_dir() and visible(p.name))
    plain = {_plain(name): name for name in there}
    hints = []
    for name in missing:
        near = difflib.get_close_matches(_plain(name), list(plain), n=1, cutoff=0.7)
        if near and plain[near[0]] not in missing:
            hints.append(f"rename {plain[near[0]]!r} to {name!r}")
    return (
        f"{folder} needs the folder {' and the folder '.join(map(repr, missing))}, but "
        f"holds {there or 'no folder'}"
        + (f"; {', '.join(hints)}." if hints else "; names have spaces as published.")
    )


def _near(name: str) -> bool:
    """Whether a folder is one of the two top folders, or was meant to be."""
    plain = [_plain(folder) for folder in FOLDERS.values()]
    return bool(difflib.get_close_matches(_plain(name), plain, n=1, cutoff=0.8))


def _plain(name: str) -> str:
    return " ".join(name.replace("_", " ").replace("-", " ").lower().split())
