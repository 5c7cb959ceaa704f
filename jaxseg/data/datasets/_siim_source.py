"""Lists what lies in a SIIM-ACR folder, in either of its two forms; reads no pixel.

The challenge's own form is DICOM files and a CSV of run lengths; the other one, widely
re-packaged, is PNG images and masks with a CSV of names and labels.
"""

import csv
import dataclasses
import io
import json
import os
import pathlib
from collections.abc import Container, Sequence

from jaxseg.data.files import dicom, listing, paths, rle, text
from jaxseg.data.preparation.convert import Job
from jaxseg.errors import DataError

_MISSING = 0.05  # a larger share of lost or unlabelled images is a wrong folder
_PNG_HOME = "siim-acr-pneumothorax-data"
_PNG_TABLE = "stage_1_train_images.csv"
_RLE_COLUMNS = ("ImageId", "EncodedPixels")
_PNG_COLUMNS = ("new_filename", "ImageId", "has_pneumo")


@dataclasses.dataclass(frozen=True)
class Listing:
    """What a source folder holds."""

    root: pathlib.Path  # `jobs` and `files` are relative to it
    form: str  # "dicom" or "png"
    table: str  # the CSV
    jobs: list[Job]
    files: list[str]  # every file that decides the result
    refused: list[dict]  # {file, reason}
    set_aside: int  # images of the hidden test set, which nobody has labels for


def find(source: str | os.PathLike, *, table: str = "") -> Listing:
    """What the folder `source` holds; `table` names the CSV where there are several.

    Raises DataError for a folder of neither form, for a CSV that cannot be right, and
    when more than 5 % of the rows have no image, or of the images no row.
    """
    source = pathlib.Path(source).expanduser()
    if not source.is_dir():
        raise DataError(f"{source} is no folder; --source names the unpacked data set.")
    for root in (source, source / _PNG_HOME):
        if not table and (root / _PNG_TABLE).is_file():
            return _find_png(root)
    return _find_dicom(source, table or _only_table(source))


def _only_table(source: pathlib.Path) -> str:
    tables = sorted(p.name for p in source.glob("*.csv"))
    likely = [n for n in tables if "rle" in n.lower() or n == "stage_2_train.csv"]
    likely = [n for n in likely if "sample" not in n.lower()]
    if len(likely) != 1:
        raise DataError(
            f"{source} must hold one CSV of run lengths, such as train-rle.csv, or "
            f"{_PNG_TABLE}; found {likely or tables or 'no CSV'}. With several, name "
            "one with --csv."
        )
    return likely[0]


def _find_dicom(source: pathlib.Path, table: str) -> Listing:
    runs = _read_runs(source / table)
    images: dict[str, str] = {}
    for path in listing.files(source):
        image = _image_id(path, runs)
        if image is None:
            continue
        name = paths.name(path.relative_to(source))
        if image in images:
            raise DataError(
                f"{source}: {images[image]} and {name} are the same image id."
            )
        images[image] = name
    alone = [images[i] for i in images if i not in runs]
    hidden = [n for n in alone if _is_test(n)]
    refused = [
        {"file": name, "reason": f"no row in {table}: not labelled"}
        for name in alone
        if not _is_test(name)
    ]
    missing = [image for image in runs if image not in images]
    _check_share(source, len(missing), len(runs), f"rows of {table}", "DICOM file")
    _check_share(source, len(refused), len(images), "images", f"row in {table}")
    refused += [{"file": i, "reason": f"in {table}, but no file"} for i in missing]
    jobs = [
        Job(image, (images[image],), json.dumps(runs[image]))
        for image in sorted(images.keys() & runs.keys())
    ]
    files = [table, *sorted(images.values())]
    return Listing(source, "dicom", table, jobs, files, refused, len(hidden))


def _image_id(path: pathlib.Path, runs: Container[str]) -> str | None:
    """The id that the name of a DICOM file stands for; None for other files.

    A name without suffix is the id itself, dots and all.
    """
    if path.suffix.lower() in dicom.SUFFIXES:
        return path.stem
    return path.name if path.name in runs or dicom.is_dicom(path) else None


def _without_suffix(image: str) -> str:
    """The id in a table, which some write with the suffix of the file."""
    stem, dot, suffix = image.rpartition(".")
    return stem if dot and f".{suffix.lower()}" in dicom.SUFFIXES else image


def _is_test(name: str) -> bool:
    folders = name.lower().split("/")[:-1]
    return any("test" in folder or "stage_2_images" in folder for folder in folders)


def _read_runs(path: pathlib.Path) -> dict[str, list[str]]:
    """The run lengths of every ImageId, [] for an empty mask."""
    runs: dict[str, list[str]] = {}
    for row in _read_table(path, _RLE_COLUMNS):
        image = _without_suffix(row["ImageId"])
        runs.setdefault(image, []).append(row["EncodedPixels"])
    for image, texts in runs.items():
        empty = texts.count(rle.EMPTY)
        if empty and empty < len(texts):
            raise DataError(
                f"{path}: {image} has a row {rle.EMPTY} (no pneumothorax) and "
                f"{len(texts) - empty} rows with run lengths; only one can be right."
            )
        runs[image] = [] if empty else texts
    return runs


def _find_png(root: pathlib.Path) -> Listing:
    jobs, refused, names = [], [], set()
    for row in _read_table(root / _PNG_TABLE, _PNG_COLUMNS):
        name, label = row["new_filename"], row["has_pneumo"]
        if label not in ("0", "1") or "/" in name or "\\" in name or name in names:
            raise DataError(
                f"{root / _PNG_TABLE}: the row of {name!r} with has_pneumo={label!r} "
                "cannot be right: file names are unique and have no folder, labels are "
                "0 or 1."
            )
        names.add(name)
        pair = (f"png_images/{name}", f"png_masks/{name}")
        lost = [file for file in pair if not (root / file).is_file()]
        if lost:
            refused.append({"file": lost[0], "reason": "in the CSV, but no file"})
        else:
            note = {"label": int(label), "group": row["ImageId"]}
            jobs.append(Job(pathlib.Path(name).stem, pair, json.dumps(note)))
    _check_share(root, len(refused), len(names), "rows", "image or mask")
    on_disk = {
        p.relative_to(root).as_posix() for p in root.glob("png_*/*.png") if p.is_file()
    }
    used = {file for job in jobs for file in job.files}
    alone = sorted(f for f in on_disk - used if not _is_test_png(f))
    _check_share(root, len(alone), len(on_disk), "PNG files", f"row in {_PNG_TABLE}")
    refused += [{"file": f, "reason": f"no row in {_PNG_TABLE}"} for f in alone]
    files = [_PNG_TABLE, *sorted(used)]
    hidden = sum(f.startswith("png_images/") for f in on_disk - used - set(alone))
    return Listing(root, "png", _PNG_TABLE, jobs, files, refused, hidden)


def _is_test_png(name: str) -> bool:
    return "_test_" in name


def _read_table(path: pathlib.Path, columns: Sequence[str]) -> list[dict[str, str]]:
    """The rows of a CSV, names and values stripped; DataError without `columns`."""
    lines = io.StringIO(text.read(path), newline="")
    try:
        rows = [[cell.strip() for cell in row] for row in csv.reader(lines) if row]
    except csv.Error as error:
        raise DataError(f"{path} cannot be read as CSV: {error}.") from error
    names = rows[0] if rows else []
    twice = [name for name in columns if names.count(name) > 1]
    if twice:
        raise DataError(f"{path} has the column {twice[0]!r} twice; keep one of them.")
    lost = [name for name in columns if name not in names]
    if lost:
        raise DataError(f"{path} has no column {lost[0]!r}, only {names}.")
    bad = [n for n, row in enumerate(rows, 1) if len(row) != len(names)]
    if bad:
        raise DataError(f"{path}: line {bad[0]} does not have {len(names)} values.")
    if len(rows) < 2:
        raise DataError(f"{path} has no rows.")
    return [dict(zip(names, row, strict=True)) for row in rows[1:]]


def _check_share(
    root: pathlib.Path, lost: int, total: int, what: str, without: str
) -> None:
    if lost > _MISSING * total:
        raise DataError(
            f"{root}: {lost} of {total} {what} have no {without}; more than "
            f"{_MISSING:.0%} means a wrong or unfinished folder."
        )
