"""Builds a data set once: locked, resumed, moved into place whole, never overwritten.

Beside the data stands `source.csv` with size, time and SHA-256 of every source file, so
that the same request later returns at once, also when the raw files were copied
elsewhere, and a changed source or option is refused with the difference.
"""

import contextlib
import csv
import fcntl
import hashlib
import os
import pathlib
import shutil
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor

import tensorflow_datasets as tfds
from absl import logging

from jaxseg import atomic
from jaxseg.data import prepared, sealed
from jaxseg.data.files import disk, paths
from jaxseg.errors import DataError

_SOURCE = "source.csv"
_COLUMNS = ["path", "size", "mtime_ns", "sha256"]


def locate(name: str, data_dir: str | os.PathLike) -> pathlib.Path | None:
    """The newest complete version of the data set `name` in `data_dir`, if any.

    A folder of a user's own images has a digest of its files behind the version; of
    several of one version the one that was prepared last counts.
    """
    cards = pathlib.Path(data_dir).expanduser().glob(f"{name}/*.*.*/card.json")
    versions = [(p, tfds.core.Version(v)) for p in cards if (v := _version(p))]
    newest = max(
        versions, key=lambda pair: (pair[1], _stat(pair[0])[1]), default=(None,)
    )
    return newest[0] and newest[0].parent


def _version(card: pathlib.Path) -> str | None:
    """The version in the name of the folder of a card; None where it is none."""
    version = card.parent.name.partition("-")[0]
    return version if tfds.core.Version.is_valid(version) else None


def once(
    builder: type[tfds.core.DatasetBuilder],
    *,
    source: pathlib.Path,
    files: Sequence[str],
    data_dir: str | os.PathLike,
    options: dict,
    build: Callable[[pathlib.Path], pathlib.Path],
) -> pathlib.Path:
    """The directory of the prepared data set, built now or found complete.

    `build(part)` makes the data set below the folder `part`, which outlives a crash,
    and returns its directory; it stores `options` in the extra of its card. `files`
    are those read, relative to `source`. Raises DataError when another source or other
    options were prepared at the same place, naming what differs.
    """
    data_dir = pathlib.Path(data_dir).expanduser()
    final = data_dir / builder.name / str(builder.VERSION)
    hidden = f".{builder.name}-{builder.VERSION}"
    part = data_dir / f"{hidden}.part"
    if (final / "card.json").is_file():
        _check_same(final, source, files, options)
        _remove_rest(part)
        return final
    with atomic.writable(data_dir):
        data_dir.mkdir(parents=True, exist_ok=True)
        lock = open(data_dir / f"{hidden}.lock", "w")
    with lock, _locked(lock):
        if (final / "card.json").is_file():  # another process was first
            _check_same(final, source, files, options)
        elif final.exists():
            raise DataError(
                f"{final} exists but is no finished data set of jaxseg (card.json is "
                "missing); move it away or choose another --data_dir."
            )
        else:
            before = {name: _stat(source / name) for name in files}
            with disk.room(data_dir, what="the prepared data set"):
                part.mkdir(exist_ok=True)
                built = build(part)
                _write_source(built / _SOURCE, source, before)
                final.parent.mkdir(exist_ok=True)
                built.rename(final)
            shutil.rmtree(part, ignore_errors=True)
    return final


def _remove_rest(part: pathlib.Path) -> None:
    """Removes what a process left that was killed after its data set was in place."""
    if not part.exists():
        return
    lock = part.with_suffix(".lock")
    with contextlib.suppress(OSError), open(lock, "a") as file:  # or it is at it now
        fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        shutil.rmtree(part, ignore_errors=True)


def _check_same(
    final: pathlib.Path, source: pathlib.Path, files: Sequence[str], options: dict
) -> None:
    """Raises DataError when `final` was prepared from other files or options."""
    stored = prepared.read_card(final)["extra"].get("options", {})
    differences = [
        f"{key}={stored.get(key)!r} (now {options.get(key)!r})"
        for key in sorted(stored.keys() | options.keys())
        if stored.get(key) != options.get(key)
    ]
    differences += _changed_files(final / _SOURCE, source, files)
    if differences:
        raise DataError(
            f"{final} was prepared differently: {'; '.join(differences)}. Nothing was "
            "changed; choose another --data_dir, or delete that folder."
        )


def _changed_files(
    table: pathlib.Path, source: pathlib.Path, files: Sequence[str]
) -> list[str]:
    try:
        with open(table, newline="", encoding="utf-8") as file:
            stored = {row["path"]: row for row in csv.DictReader(file)}
        for row in stored.values():
            int(row["size"]), int(row["mtime_ns"]), len(row["sha256"])
    except (OSError, KeyError, ValueError, TypeError, csv.Error) as error:
        raise sealed.damaged(str(table), error) from error
    new = sorted(set(files) - stored.keys())
    gone = sorted(stored.keys() - set(files))
    changed = [
        name
        for name in files
        if name in stored and not _same_file(source / name, stored[name])
    ]
    kinds = {"new": new, "gone": gone, "changed": changed}
    return [
        f"{len(names)} source files are {kind}, such as {names[0]}"
        for kind, names in kinds.items()
        if names
    ]


def _same_file(path: pathlib.Path, row: dict) -> bool:
    size, mtime = _stat(path)
    if size != int(row["size"]):
        return False
    return mtime == int(row["mtime_ns"]) or _sha256(path) == row["sha256"]


def _write_source(path: pathlib.Path, source: pathlib.Path, before: dict) -> None:
    """The table of the source files, which must be as they were before."""
    with ThreadPoolExecutor() as pool:
        digests = list(pool.map(lambda name: _sha256(source / name), before))
    with open(path, "w", newline="", encoding="utf-8") as file:
        writer = csv.writer(file, lineterminator="\n")
        writer.writerow(_COLUMNS)
        for (name, stat), digest in zip(before.items(), digests, strict=True):
            if _stat(source / name) != stat:
                raise DataError(
                    f"{source / name} changed while it was prepared; start again."
                )
            writer.writerow([name, *stat, digest])


def _sha256(path: pathlib.Path) -> str:
    with open(path, "rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def _stat(path: pathlib.Path) -> tuple[int, int]:
    stat = paths.regular(path)
    return stat.st_size, stat.st_mtime_ns


@contextlib.contextmanager
def _locked(file):
    """Holds the lock on an open file; it ends with the process, however that ends."""
    try:
        fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        logging.warning("Waiting for another process: %s is locked.", file.name)
        fcntl.flock(file, fcntl.LOCK_EX)
    yield
