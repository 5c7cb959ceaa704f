"""Lists the files of a user's folder, and finds what a misspelt name may have meant."""

import difflib
import hashlib
import json
import os
import pathlib
import unicodedata
from collections.abc import Iterable, Sequence
from typing import NoReturn

from jaxseg.data.files import paths
from jaxseg.errors import DataError

SPLITS = ("train", "validation", "test")
UNLABELLED = "unlabelled"  # a split name in splits.csv: trained on, without a mask
_PROBLEMS = 20  # shown in one error
_SUGGESTED = 20  # names that get a suggestion: each is compared with every allowed one
_LITTER = ("thumbs.db", "ehthumbs.db", "desktop.ini", "icon\r", "@eadir")
_TOP = ("images", "masks", "instances", *SPLITS, "splits.csv", "classes.txt")
_TOP += ("empty.txt", "good", "defect", "labels.csv")
_ALIASES = {
    "validation": ("val", "valid", "dev", "eval", "valid_set"),
    "train": ("training", "tr"),
    "test": ("testing", "tst"),
    "good": ("ok", "normal", "negative", "negatives", "no_defect", "goods"),
    "defect": ("defects", "bad", "defective", "positive", "positives", "anomaly"),
    "images": ("image", "img", "imgs", "imgages", "pictures", "raw", "input"),
    "masks": ("mask", "label", "labels", "annotations", "gt", "target", "segmentation"),
}


def fingerprint(source: pathlib.Path, options: dict) -> str:
    """12 hex digits that change with any file (name, size, time) or option."""
    listing = []
    for top in _TOP:
        path = source / top
        for file in files(path) if path.is_dir() else [path] * os.path.lexists(path):
            stat = paths.regular(file)
            name = file.relative_to(source).as_posix()
            listing.append((name, stat.st_size, stat.st_mtime_ns))
    text = json.dumps([str(source.resolve()), sorted(listing), options], sort_keys=True)
    return hashlib.sha256(text.encode()).hexdigest()[:12]


def suggestion(name: str, allowed: Iterable[str]) -> str:
    """A question that ends an error, or "" where no allowed name is near."""
    plain = name.lower()
    near = [a for a in allowed if plain in (a, *_ALIASES.get(a, ()))]
    near = near or sorted((a for a in allowed if name.startswith(a)), key=len)[-1:]
    near = near or difflib.get_close_matches(name, allowed, 1, 0.6)
    return f"; did you mean {near[0]!r}?" if near else ""


def suggestions(names: Sequence[str], allowed: Sequence[str]) -> list[str]:
    """The `suggestion` for each name; "" after the first 20."""
    near = [suggestion(name, allowed) for name in names[:_SUGGESTED]]
    return near + [""] * (len(names) - len(near))


def raise_all(source: pathlib.Path, problems: Sequence[str]) -> NoReturn:
    """Raises the DataError that shows the first problems and counts them all."""
    lines = [f"  {problem}" for problem in problems[:_PROBLEMS]]
    if len(problems) > _PROBLEMS:
        lines.append(f"  and {len(problems) - _PROBLEMS} more")
    raise DataError(
        f"{source} cannot be used, {len(problems)} problem(s):\n" + "\n".join(lines)
    )


def visible(name: str) -> bool:
    """Whether a file is the user's, not one that an operating system leaves behind."""
    if name.startswith((".", "__MACOSX")) or name.endswith(":Zone.Identifier"):
        return False
    return name.lower() not in _LITTER


def files(folder: pathlib.Path, *, whole: str = "") -> list[pathlib.Path]:
    """Every visible file below the folder, sorted; folders behind links included.

    Folders whose name ends with `whole` ("": none) stand for what is in them. Raises
    DataError for a folder that cannot be listed.
    """

    def fail(error: OSError):
        what = paths.shown(pathlib.Path(error.filename))
        raise DataError(f"{what} cannot be listed: {error.strerror}.") from error

    out, visited = [], set()
    for here, folders, names in os.walk(folder, followlinks=True, onerror=fail):
        real = os.path.realpath(here)
        folders[:] = [] if real in visited else [d for d in folders if visible(d)]
        if whole:
            one = [name for name in folders if name.lower().endswith(whole)]
            folders[:] = [name for name in folders if name not in one]
            names = [*names, *one]
        if real not in visited:
            out += [pathlib.Path(here, name) for name in names if visible(name)]
        visited.add(real)
    return sorted(out)


def by_stem(
    given: Iterable[pathlib.Path], folder: pathlib.Path, problems: list[str]
) -> dict[str, pathlib.Path]:
    """{path in `folder` without suffix: path}; adds a problem where two are equal.

    And where a name is not UTF-8, whatever the locale says.
    """
    stems: dict[str, pathlib.Path] = {}
    for path in given:
        try:
            stem = paths.name(path.relative_to(folder).with_suffix(""))
        except DataError as error:
            problems.append(f"{paths.shown(folder)}: {error}")
            continue
        # macOS writes the accents of file names in another way than all others
        other = stems.setdefault(unicodedata.normalize("NFC", stem), path)
        if other != path:
            problems.append(f"{path} and {other.name} have the same stem.")
    return stems


def images_by_stem(
    folder: pathlib.Path, suffixes: Iterable[str], problems: list[str]
) -> dict[str, pathlib.Path]:
    """{stem: path} of the images of a folder that holds nothing else.

    What has none of the `suffixes`, is a folder or cannot be read goes to `problems`.
    """
    out = []
    for path in sorted(folder.iterdir()):
        if not visible(path.name):
            continue
        if path.is_dir() or path.suffix.lower() not in suffixes:
            problems.append(f"{path} is no image; convert it, or move it away.")
        else:
            out.append(path)
            problems += filter(None, [paths.usable(path)])
    return by_stem(out, folder, problems)
