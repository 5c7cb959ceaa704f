"""The files and names of a user's folder, and what a misspelt one may have meant."""

import difflib
import hashlib
import json
import os
import pathlib

SPLITS = ("train", "validation", "test")
UNLABELLED = "unlabelled"  # a split name in splits.csv: trained on, without a mask
_TOP = ("images", "masks", *SPLITS, "splits.csv", "classes.txt")
_ALIASES = {
    "validation": ("val", "valid", "dev", "eval", "valid_set"),
    "train": ("training", "tr"),
    "test": ("testing", "tst"),
    "images": ("image", "img", "imgs", "imgages", "pictures", "raw", "input"),
    "masks": ("mask", "label", "labels", "annotations", "gt", "target", "segmentation"),
}


def fingerprint(source: pathlib.Path, options: dict) -> str:
    """12 hex digits that change with any file (name, size, time) or option."""
    listing = []
    for top in _TOP:
        path = source / top
        for file in [path] if path.is_file() else files(path):
            stat = file.stat()
            name = file.relative_to(source).as_posix()
            listing.append((name, stat.st_size, stat.st_mtime_ns))
    text = json.dumps([str(source.resolve()), sorted(listing), options], sort_keys=True)
    return hashlib.sha256(text.encode()).hexdigest()[:12]


def suggestion(name: str, allowed) -> str:
    """A question that ends an error, or "" where no allowed name is near."""
    plain = name.lower()
    near = [a for a in allowed if plain in (a, *_ALIASES.get(a, ()))]
    near = near or sorted((a for a in allowed if name.startswith(a)), key=len)[-1:]
    near = near or difflib.get_close_matches(name, allowed, 1, 0.6)
    return f"; did you mean {near[0]!r}?" if near else ""


def visible(name: str) -> bool:
    return not name.startswith((".", "__MACOSX")) and name not in (
        "Thumbs.db",
        "desktop.ini",
    )


def files(folder: pathlib.Path) -> list[pathlib.Path]:
    """Every visible file below the folder, sorted; folders behind links included."""
    found, seen = [], set()
    for here, folders, names in os.walk(folder, followlinks=True):
        real = os.path.realpath(here)
        folders[:] = [] if real in seen else [d for d in folders if visible(d)]
        if real not in seen:
            found += [pathlib.Path(here, name) for name in names if visible(name)]
        seen.add(real)
    return sorted(found)
