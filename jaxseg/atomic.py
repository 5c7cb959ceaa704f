"""Replaces files in one rename, and removes what killed processes left of it.

A kill at any moment leaves the old file or the new one, and never a half. Beside them
it may leave a temporary file, whose name holds the process that was writing it.
"""

import contextlib
import os
import pathlib
import re
import shutil

from jaxseg.errors import NotWritten

_TEMPORARY = re.compile(r"\.(\d+)\.tmp$")


def replace(path: str | os.PathLike, content: bytes) -> None:
    """Replaces a file in one step: a reader sees the old one or the new one.

    Raises NotWritten, with the old file untouched, where there is no room or no right
    to write.
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
    """The error that says what was needed where, and why it could not be written."""
    there = next(p for p in [path.parent, *path.absolute().parents] if p.is_dir())
    return NotWritten(
        cause.errno,
        f"{path} could not be written ({cause.strerror or cause}): it needs {size:,} "
        f"bytes, {shutil.disk_usage(there).free:,} are free in {there}. What was "
        "there before is untouched; make room, then start the same command again.",
    )


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
