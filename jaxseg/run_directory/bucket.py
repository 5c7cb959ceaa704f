"""Reads and writes the objects of a bucket, s3:// or gs://, through fsspec.

A bucket has no rename, no append and no lock, and its listing is the only directory it
has; an object appears whole when its upload has ended. What needs more than that is
done in `mirror`. file:// is a folder used in the same way (a disk that hosts share).
"""

import contextlib
import os
import pathlib
import re
from collections.abc import Iterable, Iterator
from typing import Any, NamedTuple

import fsspec

from jaxseg.errors import ConfigError

# {scheme: what to install for it}
SCHEMES = {"s3": "jaxseg[s3]", "gs": "jaxseg[gcs]", "file": "", "memory": ""}
_URL = re.compile(r"([a-zA-Z][\w+.-]*)://(.*)")


class Fault(Exception):
    """What a bucket answered instead of doing as it was told; for `mirror`."""


class Bucket(NamedTuple):
    """A place for objects, from `open_bucket`."""

    url: str
    files: Any  # fsspec.AbstractFileSystem
    root: str  # of the url, as `files` writes it


def is_url(text: str | os.PathLike) -> bool:
    """Whether `text` names something else than a path of this machine."""
    return _URL.match(os.fspath(text)) is not None


def refuse(name: str, value: str | os.PathLike) -> None:
    """Raises ConfigError where a setting that takes a path has a URL."""
    if is_url(value):
        raise ConfigError(
            f"{name}={value}: a bucket is taken by --workdir of python -m jaxseg.main "
            "alone. Copy it once to a disk that every host of the run sees (aws s3 "
            "sync, gcloud storage rsync), and give that path."
        )


def check(url: str) -> None:
    """Raises ConfigError for what is no URL of a bucket that can be used here."""
    scheme, path = _URL.match(url).groups()
    names = [name for name in path.split("/") if name]
    if scheme not in SCHEMES:
        raise ConfigError(
            f"{url}: {scheme}:// is not supported; give s3://BUCKET/NAME, "
            "gs://BUCKET/NAME, file:///FOLDER/NAME or a path."
        )
    if len(names) < 2 or ".." in names or re.search(r"[*?\[\]@]", path):
        raise ConfigError(
            f"{url}: name the bucket and the run in it, such as "
            f"{scheme}://my-bucket/runs/x, without any of * ? [ ] @."
        )


def open_bucket(url: str) -> Bucket:
    """The bucket of a URL; ConfigError where the package for it is not installed."""
    check(url)
    scheme = _URL.match(url)[1]
    # listings are asked for anew: another process may have written since
    options = {"skip_instance_cache": True, "use_listings_cache": False}
    options |= {"auto_mkdir": True} if scheme == "file" else {}
    try:
        files = fsspec.filesystem(scheme, **options)
    except ImportError as error:
        raise ConfigError(
            f"{url} needs a package that is not installed ({error}): "
            f"pip install '{SCHEMES[scheme]}'."
        ) from None
    except Exception as error:  # credentials that cannot be read, say
        raise ConfigError(f"{url} cannot be opened: {_words(error)}.") from error
    return Bucket(url.rstrip("/"), files, files._strip_protocol(url).rstrip("/"))


def names(bucket: Bucket, folder: str) -> list[str]:
    """The objects below `folder`, by name below the bucket's URL, in order."""
    with _faults(bucket, f"list {folder}"):
        try:
            paths = bucket.files.find(f"{bucket.root}/{folder}")
        except FileNotFoundError:
            return []
        return sorted(path[len(bucket.root) + 1 :] for path in paths)


def read(bucket: Bucket, name: str) -> bytes:
    """The content of an object."""
    with _faults(bucket, f"read {name}"):
        return bucket.files.cat_file(f"{bucket.root}/{name}")


def write(bucket: Bucket, name: str, content: bytes) -> None:
    """Writes a small object."""
    with _faults(bucket, f"write {name}"):
        bucket.files.pipe_file(f"{bucket.root}/{name}", content)


def send(bucket: Bucket, path: pathlib.Path, name: str) -> None:
    """Writes a file as an object, in parts where it is large."""
    with _faults(bucket, f"write {name}"):
        bucket.files.put_file(os.fspath(path), f"{bucket.root}/{name}")


def fetch(bucket: Bucket, name: str, path: pathlib.Path) -> None:
    """Writes an object to a file."""
    path.parent.mkdir(parents=True, exist_ok=True)
    with _faults(bucket, f"read {name}"):
        bucket.files.get_file(f"{bucket.root}/{name}", os.fspath(path))


def delete(bucket: Bucket, objects: Iterable[str]) -> None:
    """Removes objects, one after the other."""
    for name in objects:
        with _faults(bucket, f"delete {name}"), contextlib.suppress(FileNotFoundError):
            bucket.files.rm_file(f"{bucket.root}/{name}")


@contextlib.contextmanager
def _faults(bucket: Bucket, what: str) -> Iterator[None]:
    """Turns whatever the client of a bucket raises into one sentence."""
    try:
        yield
    except Exception as error:  # each client has its own kinds
        raise Fault(f"{bucket.url} could not {what}: {_words(error)}") from error


def _words(error: Exception) -> str:
    text = " ".join(str(error).split()).rstrip(".")
    return (text or type(error).__name__)[:300]
