"""Replaces files in one rename, and removes what killed processes left of it.

A kill at any moment leaves the old file or the new one, and never a half. Beside them
it may leave a temporary file, whose name holds the process that was writing it.
"""

import contextlib
import errno
import os
import pathlib
import re
import shutil
import tempfile
from collections.abc import Iterator

from jaxseg.errors import NotWritable, NotWritten

# what to do where a place cannot be written, whatever room it has
_ADVICE = {
    errno.ENOTDIR: "a part of the path is a file and no folder; name another place",
    errno.EEXIST: "a file lies where a folder is needed; name another place",
    errno.ENOENT: "no folder can be made there; name another place",
    errno.EISDIR: "it is a folder; name a file",
    errno.EROFS: "mount that file system for writing, or use a copy on another",
    errno.ENAMETOOLONG: "give a shorter name",
    errno.ELOOP: "its links lead in a circle; remove one, or name another place",
    errno.EIO: "the disk failed; look at it, or name another place",
    **dict.fromkeys(
        (errno.EACCES, errno.EPERM),
        "ask for the right to write there, or name another place",
    ),
}
FULL = (errno.ENOSPC, errno.EDQUOT, errno.EFBIG)  # more room would help
# where a place is at fault, and not one file that should be there
REFUSING = frozenset(_ADVICE) - {errno.ENOENT, errno.EEXIST}
_TEMPORARY = re.compile(r"\.(\d+)\.tmp$")


def replace(path: str | os.PathLike, content: bytes) -> None:
    """Replaces a file in one step: a reader sees the old one or the new one.

    Raises NotWritten, with the old file untouched, where there is no room, and
    NotWritable where room would not help.
    """
    path = pathlib.Path(path)
    temporary = path.with_name(f"{path.name}.{os.getpid()}.tmp")
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        with temporary.open("wb") as file:
            file.write(content)
            file.flush()
            os.fsync(file.fileno())
        os.replace(temporary, path)
    except OSError as error:
        with contextlib.suppress(OSError):
            temporary.unlink(missing_ok=True)
        raise not_written(path, len(content), error) from error


def not_written(path: pathlib.Path, size: int, cause: OSError) -> NotWritten:
    """The error that says why a file could not be written, and what helps.

    Where a disk or a quota is full it says what was needed, and what is free.
    """
    if cause.errno not in FULL:
        return refused(path, cause)
    there = next(p for p in [path.parent, *path.absolute().parents] if p.is_dir())
    return NotWritten(
        cause.errno,
        f"{path} could not be written ({cause.strerror or cause}): it needs {size:,} "
        f"bytes, {shutil.disk_usage(there).free:,} are free in {there}. What was "
        "there before is untouched; make room, then start the same command again.",
    )


def refused(
    path: str | os.PathLike, cause: OSError, *, what: str = "cannot be written"
) -> NotWritable:
    """The error that says why nothing can be written at a place, and what helps."""
    advice = _ADVICE.get(cause.errno, "name another place")
    return NotWritable(
        cause.errno,
        f"{path} {what} ({cause.strerror or cause}): {advice}.",
    )


@contextlib.contextmanager
def writable(place: str | os.PathLike) -> Iterator[None]:
    """Inside, an OSError is NotWritable of `place`, unless more room would help."""
    try:
        yield
    except OSError as error:
        if error.errno in FULL:
            raise
        raise refused(place, error) from error


def check_folder(folder: str | os.PathLike) -> None:
    """Raises NotWritable where `folder` cannot be made or written to; leaves nothing.

    It is tried, since rights do not tell: root has all of them in /proc too. A disk
    that is full is no such place.
    """
    folder = pathlib.Path(folder)
    missing = [p for p in (folder, *folder.parents) if not os.path.lexists(p)]
    try:
        with writable(folder):
            folder.mkdir(parents=True, exist_ok=True)
            tempfile.TemporaryFile(dir=folder).close()
    except OSError as error:
        if error.errno not in FULL:
            raise
    finally:
        for made in missing:
            with contextlib.suppress(OSError):  # another process may write there now
                made.rmdir()


def clean(folder: str | os.PathLike, *, deep: bool = True) -> list[pathlib.Path]:
    """Removes the temporaries under `folder` whose process has ended; their paths.

    Whoever calls it holds the lock of `folder`: a process of another machine that
    wrote there has ended too. Without `deep` the folders in it, which others may hold,
    are left alone.
    """
    removed = []
    paths = pathlib.Path(folder)
    for path in sorted(paths.rglob("*.tmp") if deep else paths.glob("*.tmp")):
        match = _TEMPORARY.search(path.name)
        if match and not runs(int(match[1])):
            shutil.rmtree(path) if path.is_dir() else path.unlink(missing_ok=True)
            removed.append(path)
    return removed


def runs(process: int) -> bool:
    """Whether a process of this number runs on this machine, and is not this one."""
    if process == os.getpid():
        return False
    try:
        os.kill(process, 0)
    except (ProcessLookupError, OverflowError):
        return False
    except PermissionError:  # it belongs to somebody else
        return True
    return True


def told(error: OSError) -> NotWritten | None:
    """Puts into a sentence what is wrong with a place that no door asked for itself.

    None for what may be a mistake of the program, as that a file is not there.
    """
    if error.errno in FULL:
        where = f" to {error.filename}" if error.filename else ""
        return NotWritten(
            error.errno,
            f"nothing could be written{where}: {error.strerror}. Make room, then start "
            "the same command again.",
        )
    if error.errno not in REFUSING:
        return None
    if not error.filename and error.errno != errno.EROFS:
        return None
    what = "cannot be opened or written"
    return refused(error.filename or "a file", error, what=what)
