"""Writes and reads the markers of a bucket, each a list of the files of one run.

A marker, `markers/NUMBER.json`, is written after all objects that it lists, and is not
written again: what no marker lists was not sent. It holds its own digest, so that half
of one is found.
"""

import hashlib
import json
from typing import NamedTuple

from absl import logging

from jaxseg.errors import DataError
from jaxseg.run_directory import bucket as buckets
from jaxseg.run_directory.bucket import Bucket, Fault

_KEPT = 2  # markers in a bucket


class File(NamedTuple):
    """Where the content of a file lies."""

    name: str  # of the object
    size: int  # bytes
    sha256: str


class Marker(NamedTuple):
    """A run directory as it was sent once."""

    number: int  # 1, 2, 3 ...
    writer: str  # of the folder that it was sent from
    files: dict[str, File]  # by path in the run directory


def remove_old(bucket: Bucket) -> None:
    """Removes markers but the last ones, and all objects that those do not list."""
    try:
        every = numbers(bucket)
        kept = [read(bucket, number) for number in every[-_KEPT:]]
        used = {file.name for m in kept if m for file in m.files.values()}
        buckets.delete(bucket, map(_marker_name, every[:-_KEPT]))
        there = buckets.names(bucket, "objects")
        buckets.delete(bucket, (name for name in there if name not in used))
    except Fault as fault:  # it costs room there, and is tried again next time
        logging.warning("%s.", fault)


def numbers(bucket: Bucket) -> list[int]:
    """The numbers of all markers, in order."""
    stems = (name.split("/")[-1].split(".")[0] for name in _marker_names(bucket))
    return sorted(int(stem) for stem in stems if stem.isdigit())


def _marker_names(bucket: Bucket) -> list[str]:
    return [n for n in buckets.names(bucket, "markers") if n.endswith(".json")]


def newest(bucket: Bucket) -> Marker | None:
    """The newest marker that can be read; None where there is none at all."""
    every = numbers(bucket)
    markers = (read(bucket, number) for number in reversed(every))
    marker = next((m for m in markers if m), None)
    if marker is None and every:
        raise DataError(
            f"{bucket.url} holds markers, and none of them is whole: give another "
            "--workdir, or empty it."
        )
    return marker


def write(bucket: Bucket, marker: Marker) -> None:
    """Writes a marker; all that it lists must be there."""
    buckets.write(bucket, _marker_name(marker.number), _encode(marker))


def _marker_name(number: int) -> str:
    return f"markers/{number:08d}.json"


def _encode(marker: Marker) -> bytes:
    content = json.dumps(marker._asdict(), sort_keys=True)
    digest = hashlib.sha256(content.encode()).hexdigest()
    return json.dumps({"marker": content, "sha256": digest}).encode()


def read(bucket: Bucket, number: int) -> Marker | None:
    """A marker; None, and a warning, for one that is not as it was sent."""
    content = buckets.read(bucket, _marker_name(number))
    try:
        outer = json.loads(content)
        if hashlib.sha256(outer["marker"].encode()).hexdigest() != outer["sha256"]:
            raise ValueError("its SHA-256 differs")
        plain = json.loads(outer["marker"])
        listed = {path: File(*file) for path, file in plain["files"].items()}
        return Marker(plain["number"], plain["writer"], listed)
    except (ValueError, KeyError, TypeError, AttributeError) as error:
        name = _marker_name(number)
        logging.warning("%s/%s is damaged (%s).", bucket.url, name, error)
        return None
