"""Seals a run: run.json has a digest of itself and, in the end, of every file.

A digit that changes afterwards, by a bad disk or by hand, is then found where the file
is read. Runs of before have no such digests: of them nothing is said.
"""

import hashlib
import json
import os
import pathlib
import re
from collections.abc import Iterable, Sequence
from typing import Any

from jaxseg import errors
from jaxseg.run_directory import files, schemas

_SEALED = (files.CONFIG, files.HISTORY, str(files.OPERATING_POINT), "supervision.npz")


def close(workdir: str | os.PathLike, record: dict[str, Any]) -> dict[str, Any]:
    """Writes run.json of a run that has ended, with digests; the record with them."""
    digests = {name: _digest(path) for name, path in _files(workdir).items()}
    return write(workdir, {**record, "digests": digests})


def renew(workdir: str | os.PathLike, written: Iterable[pathlib.Path]) -> None:
    """Notes the digests of files that were written since, where others are noted."""
    record = read(workdir)
    names = [path.relative_to(workdir).as_posix() for path in written]
    new = {name: _digest(pathlib.Path(workdir) / name) for name in names}
    if "digests" in record and not new.items() <= record["digests"].items():
        write(workdir, {**record, "digests": record["digests"] | new})


def write(workdir: str | os.PathLike, record: dict[str, Any]) -> dict[str, Any]:
    """Writes run.json with the digest of its own content; the record with it."""
    record = files.plain(record)
    record["sha256"] = _of_record(record)
    files.write(pathlib.Path(workdir) / files.RUN, record, schemas.Record)
    return record


def read(workdir: str | os.PathLike) -> schemas.Record:
    """The record of a run, run.json; DataError where it is not as it was written."""
    path = pathlib.Path(workdir) / files.RUN
    record = files.read(path, schemas.Record)
    if "sha256" in record and record["sha256"] != _of_record(record):
        raise errors.DataError(
            f"{path} is not as the run wrote it (its SHA-256 differs): put the file "
            "back as it was."
        )
    return record


def check(
    workdir: str | os.PathLike, record: schemas.Record, *, names: Sequence[str] = ()
) -> None:
    """Raises DataError naming a file that is not what the finished run wrote.

    Only the files in `names` are looked at, or all of them where it is empty.
    """
    for name in changed(workdir, record):
        if names and name not in names:
            continue
        raise errors.DataError(
            f"{pathlib.Path(workdir) / name} is not what the run wrote (its SHA-256 "
            f"differs): {_advice(name, workdir, record)}."
        )


def changed(workdir: str | os.PathLike, record: schemas.Record) -> list[str]:
    """The files that are there, and are not what the finished run wrote."""
    if record["status"] != "finished":
        return []
    digests, there = record.get("digests") or {}, _files(workdir)
    return [
        name
        for name, digest in digests.items()
        if name in there and _digest(there[name]) != digest
    ]


def is_noted(record: schemas.Record, name: str, content: bytes) -> bool:
    """Whether `content` is that of the file which the finished run wrote as `name`."""
    noted = (record.get("digests") or {}).get(name)
    return hashlib.sha256(content).hexdigest() == noted


def _advice(name: str, workdir: str | os.PathLike, record: schemas.Record) -> str:
    if name == files.HISTORY:
        return "start the run's own command again, which writes it from the checkpoint"
    door = f"python -m jaxseg.evaluate --run={workdir}"
    if name == files.COST.as_posix():
        return f"{door} --cost measures it again"
    for split in () if "masks" in record else record["dataset"]["split_hash"]:
        if re.match(rf"eval/{re.escape(split)}[._]", name):
            return f"{door} --split={split} says what differs"
    return "put the file back as it was"


def _files(workdir: str | os.PathLike) -> dict[str, pathlib.Path]:
    """{name: path} of the files that are sealed and are there."""
    workdir = pathlib.Path(workdir)
    paths = [workdir / name for name in _SEALED]
    paths += sorted((workdir / "eval").rglob("*"))
    return {p.relative_to(workdir).as_posix(): p for p in paths if p.is_file()}


def _digest(path: pathlib.Path) -> str:
    try:
        return hashlib.sha256(path.read_bytes()).hexdigest()
    except OSError as error:
        raise errors.DataError(f"{path} cannot be read: {error.strerror}.") from None


def _of_record(record: dict[str, Any]) -> str:
    content = {key: value for key, value in record.items() if key != "sha256"}
    return hashlib.sha256(json.dumps(content, sort_keys=True).encode()).hexdigest()
