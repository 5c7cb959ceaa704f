"""Hidden folders to write in: removed at the end, or, after a kill, by the next one.

Beside each stands a lock file that its process holds as long as it lives; the kernel
lets go of it however that ends. So a folder whose lock is free has no owner any more.
"""

import contextlib
import fcntl
import os
import pathlib
import secrets
import shutil
import time
from collections.abc import Iterator
from typing import IO

from absl import logging

_LOCK, _MARK = ".lock", ".partial-"
_OLD = 24 * 3600  # seconds without a write: a folder without lock has no owner


@contextlib.contextmanager
def folder(parent: pathlib.Path, stem: str) -> Iterator[pathlib.Path]:
    """A new empty folder `parent`/.STEM.partial-..., removed at the end.

    What dead processes left in `parent` under the same stem is removed first. Raises
    OSError where nothing can be written.
    """
    remove_abandoned(parent, f".{stem}")
    path = parent / f".{stem}{_MARK}{os.getpid()}-{secrets.token_hex(4)}"
    lock = _held(path.with_name(path.name + _LOCK))
    with lock:
        try:
            path.mkdir()
            yield path
        finally:
            shutil.rmtree(path, ignore_errors=True)
            pathlib.Path(lock.name).unlink(missing_ok=True)


def remove_abandoned(parent: pathlib.Path, prefix: str) -> None:
    """Removes the hidden folders with this prefix whose process is dead.

    One without a lock file is of an earlier version: it goes when nothing was written
    there for a day.
    """
    with contextlib.suppress(OSError):  # not there, or not ours to look at
        for path in sorted(parent.iterdir()):
            if not path.name.startswith(prefix):
                continue
            if path.name.endswith(_LOCK) and _MARK in path.name:
                _remove_if_free(path)
            elif path.is_dir() and not path.with_name(path.name + _LOCK).exists():
                if time.time() - _newest(path) > _OLD:
                    _remove(path)


def _held(path: pathlib.Path) -> IO[str]:
    """A new lock file, locked; another process may have taken it for abandoned."""
    while True:
        lock = open(path, "w")
        with contextlib.suppress(OSError):  # a file system without locks
            fcntl.flock(lock, fcntl.LOCK_EX)
        with contextlib.suppress(FileNotFoundError):
            if os.path.samestat(os.fstat(lock.fileno()), path.stat()):
                return lock
        lock.close()


def _remove_if_free(lock: pathlib.Path) -> None:
    with contextlib.suppress(OSError), open(lock) as file:  # locked: its owner lives
        fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        folder = lock.with_name(lock.name.removesuffix(_LOCK))
        if folder.exists():
            _remove(folder)
        lock.unlink()


def _remove(folder: pathlib.Path) -> None:
    logging.info("%s was left by a process that died; removed.", folder)
    shutil.rmtree(folder, ignore_errors=True)


def _newest(folder: pathlib.Path) -> float:
    """When something was last written in a folder; now for what disappears."""
    newest = 0.0
    try:
        for here, _, names in os.walk(folder):
            paths = [here, *(os.path.join(here, name) for name in names)]
            newest = max(newest, *(os.lstat(path).st_mtime for path in paths))
    except OSError:
        return time.time()
    return newest
