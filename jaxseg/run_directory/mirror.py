"""Mirrors a run directory to a bucket, and brings it back, whole or not at all.

A run directory needs what a bucket lacks: a lock, renames, files that grow. So it stays
a folder of this machine, and a bucket holds copies of it. Files go there under names
that hold their digest, `objects/PATH@DIGEST`, and are never written over; after all of
them goes a marker, `markers/NUMBER.json`, that lists them. What no marker lists was not
sent: a kill at any moment leaves the marker before, and all that it lists. The last two
markers are kept with their files.

Beside the folder NAME lies NAME.mirror/, with a lock and the note of the marker that
the folder is a copy of.
"""

import hashlib
import json
import os
import pathlib
import shutil
import uuid
from typing import NamedTuple

from absl import logging

from jaxseg import atomic
from jaxseg.errors import ConfigError, DataError, NotWritten
from jaxseg.run_directory import bucket as buckets
from jaxseg.run_directory import files, manifest, markers
from jaxseg.run_directory.bucket import Bucket, Fault
from jaxseg.run_directory.markers import File, Marker

_STEPS = "checkpoints"
_UNFINISHED = "orbax-checkpoint-tmp"  # in the name of a step that is being written


class Copy(NamedTuple):
    """The folder of this machine that is mirrored, and what is known of it."""

    bucket: Bucket
    folder: pathlib.Path
    writer: str
    marker: Marker | None  # what the folder is a copy of, and was changed since
    number: int  # of the last marker in the bucket


def cache_dir() -> pathlib.Path:
    """Where demonstration data, programs and copies of buckets lie: $JAXSEG_CACHE."""
    default = pathlib.Path.home() / ".cache" / "jaxseg"
    return pathlib.Path(os.environ.get("JAXSEG_CACHE", default)).absolute()


def local_copy(url: str) -> pathlib.Path:
    """The run directory of this machine for a URL; ConfigError for one of no bucket."""
    buckets.check(url)
    url = url.rstrip("/")
    key = hashlib.sha256(url.encode()).hexdigest()[:12]
    return cache_dir() / "buckets" / key / url.rpartition("/")[2]


def beside(folder: pathlib.Path) -> pathlib.Path:
    """The folder with the lock and the notes of a mirrored run directory."""
    return folder.with_name(f"{folder.name}.mirror")


def stored_config(url: str) -> pathlib.Path | None:
    """A folder with the config.json of the run at a URL; None where no run is there."""
    folder, bucket = beside(local_copy(url)), buckets.open_bucket(url)
    try:
        for number in reversed(markers.numbers(bucket)):
            marker = markers.read(bucket, number)
            if marker and files.CONFIG in marker.files:
                content = buckets.read(bucket, marker.files[files.CONFIG].name)
                atomic.replace(folder / files.CONFIG, content)
                return folder
    except Fault as fault:
        raise ConfigError(f"{fault}. {_ADVICE}") from fault
    return None


def open_copy(url: str) -> Copy:
    """The folder of a URL, brought from the bucket where that holds something newer.

    Call it with the lock of `beside` held. A folder that the bucket has gone past is
    moved aside. Raises ConfigError where the bucket cannot be read or written, and
    DataError where nothing in it is whole.
    """
    bucket, folder = buckets.open_bucket(url), local_copy(url)
    note = _read_note(folder)
    writer = note.get("writer") or uuid.uuid4().hex
    try:
        # says before hours of training whether there is a right to write
        buckets.write(bucket, "opened.json", json.dumps({"writer": writer}).encode())
        newest, number = markers.newest(bucket), max(markers.numbers(bucket), default=0)
        if newest is None:
            if note.get("number"):
                logging.warning("%s holds no run any more: all is sent again.", url)
            marker = None
        elif (folder / files.CONFIG).is_file() and _is_ours(newest, note, writer):
            marker = newest
        else:
            marker = _bring(bucket, folder)
    except Fault as fault:
        raise ConfigError(f"{fault}. {_ADVICE}") from fault
    copy = Copy(bucket, folder, writer, marker, number)
    _write_note(copy)
    return copy


def stage(folder: pathlib.Path, *, newest: int | None = None) -> pathlib.Path:
    """A copy of the run directory as it is now, to be sent while the run goes on.

    Files of checkpoints, which never change, are linked. Left out are the lock,
    temporary files, steps after `newest`, and steps that are not whole: one may be
    removed at the same time.
    """
    place = beside(folder) / "stage"
    shutil.rmtree(place, ignore_errors=True)
    for parent, _, names in os.walk(folder):
        parts = pathlib.Path(parent).relative_to(folder).parts
        if _stays(folder, parts, newest):
            continue
        place.joinpath(*parts).mkdir(parents=True, exist_ok=True)
        for name in sorted(names):
            path, target = pathlib.Path(parent, name), place.joinpath(*parts, name)
            if not (name == files.LOCK or name.endswith(".tmp") or path.is_symlink()):
                _link_or_copy(path, target, in_step=parts[:1] == (_STEPS,))
    for step in place.glob(f"{_STEPS}/[0-9]*"):
        if not _has_all(step):
            shutil.rmtree(step)
    return place


def send(copy: Copy, staged: pathlib.Path) -> Copy:
    """Sends what `stage` made; the copy with its marker.

    Only content that the last marker does not list is sent. Raises Fault where the
    bucket does not take it (the marker before is good then), and ConfigError where
    somebody else sends a run there.
    """
    bucket, known = copy.bucket, copy.marker.files if copy.marker else {}
    _check_alone(copy)
    listed = {}
    for path in sorted(p for p in staged.rglob("*") if p.is_file()):
        name, digest = path.relative_to(staged).as_posix(), _digest(path)
        if name in known and known[name].sha256 == digest:
            listed[name] = known[name]
            continue
        size = path.stat().st_size
        listed[name] = File(f"objects/{name}@{digest[:16]}", size, digest)
        buckets.send(bucket, path, listed[name].name)
    shutil.rmtree(staged, ignore_errors=True)
    if listed == known:  # nothing new, or nothing at all
        return copy
    _check_alone(copy)
    marker = Marker(copy.number + 1, copy.writer, listed)
    markers.write(bucket, marker)
    copy = copy._replace(marker=marker, number=marker.number)
    _write_note(copy)
    markers.remove_old(bucket)
    return copy


def not_sent(copy: Copy, fault: Exception) -> NotWritten:
    """The error for a run that ends while the bucket lacks some of it."""
    return NotWritten(
        None,
        f"{fault}. The run is whole in {copy.folder}, and {copy.bucket.url} holds it "
        "as it was sent before: start the same command on this machine again.",
    )


def _bring(bucket: Bucket, folder: pathlib.Path) -> Marker:
    """Replaces `folder` by what the newest whole marker lists."""
    temporary = folder.with_name(f"{folder.name}.{os.getpid()}.tmp")
    atomic.clean(folder.parent)
    for number in reversed(markers.numbers(bucket)):
        shutil.rmtree(temporary, ignore_errors=True)
        marker = markers.read(bucket, number)
        if marker is None or not _fetch(bucket, marker, temporary):
            continue
        if folder.exists():
            aside = folder.with_name(f"{folder.name}.behind")
            shutil.rmtree(aside, ignore_errors=True)
            folder.rename(aside)
            logging.warning(
                "%s holds what another machine went on to; what lay in %s was moved "
                "to %s.",
                bucket.url,
                folder,
                aside,
            )
        temporary.rename(folder)
        logging.info(
            "brought %d files, %s bytes, from %s to %s",
            len(marker.files),
            f"{sum(file.size for file in marker.files.values()):,}",
            bucket.url,
            folder,
        )
        return marker
    raise DataError(
        f"{bucket.url} holds a run of which nothing is whole: give another --workdir, "
        "or empty it."
    )


def _fetch(bucket: Bucket, marker: Marker, folder: pathlib.Path) -> bool:
    """Whether all that a marker lists is now in `folder`, with its digests."""
    folder.mkdir(parents=True)
    there = set(buckets.names(bucket, "objects"))
    for path, file in marker.files.items():
        if pathlib.PurePosixPath(path).is_absolute() or ".." in path.split("/"):
            raise DataError(f"{bucket.url}: the marker lists the path {path!r}.")
        if file.name in there:
            buckets.fetch(bucket, file.name, folder / path)
        if file.name not in there or _digest(folder / path) != file.sha256:
            logging.warning(
                "%s/%s is %s; what was sent before it is taken.",
                bucket.url,
                file.name,
                "damaged" if file.name in there else "not there",
            )
            return False
    return True


def _stays(folder: pathlib.Path, parts: tuple[str, ...], newest: int | None) -> bool:
    """Whether a folder below the run directory holds something half written."""
    if any(_UNFINISHED in part or part.endswith(".tmp") for part in parts):
        return True
    if not (len(parts) > 1 and parts[0] == _STEPS and parts[1].isdigit()):
        return False
    later = newest is not None and int(parts[1]) > newest
    return later or not folder.joinpath(*parts[:2], manifest.NAME).is_file()


def _link_or_copy(path: pathlib.Path, target: pathlib.Path, *, in_step: bool) -> None:
    """Links or copies a file; one of a step may be gone by now."""
    if in_step:
        try:
            os.link(path, target)
            return
        except FileNotFoundError:
            return
        except OSError:  # a file system without links
            pass
    try:
        shutil.copyfile(path, target)
    except FileNotFoundError:
        if not in_step:
            raise


def _has_all(step: pathlib.Path) -> bool:
    """Whether every file that the manifest of a step lists is there."""
    record, wrong = manifest.read(step)
    return not wrong and all((step / name).is_file() for name in record["files"])


def _check_alone(copy: Copy) -> None:
    """ConfigError where a marker came since the last one of ours."""
    newest = max(markers.numbers(copy.bucket), default=0)
    if newest > copy.number:
        raise ConfigError(
            f"another run has sent marker {newest} to {copy.bucket.url} while this one "
            f"was at {copy.number}: stop one of them, or give another --workdir."
        )


def _is_ours(marker: Marker, note: dict, writer: str) -> bool:
    """Whether the folder of `note` is where the marker was sent from, or later.

    A kill may have come after the marker was sent and before it was noted.
    """
    number = note.get("number") or 0
    noted = note.get("of") == marker.writer and number >= marker.number
    return noted or (marker.writer == writer and marker.number == number + 1)


def _read_note(folder: pathlib.Path) -> dict:
    try:
        return json.loads((beside(folder) / "note.json").read_text())
    except (OSError, ValueError):
        return {}


def _write_note(copy: Copy) -> None:
    note = {"url": copy.bucket.url, "writer": copy.writer}
    if copy.marker:
        note |= {"of": copy.marker.writer, "number": copy.marker.number}
    files.write_json(beside(copy.folder) / "note.json", note)


def _digest(path: pathlib.Path) -> str:
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


_ADVICE = "Look whether the bucket is there, and at the credentials and the network."
