"""Looks at paths that a user gave, before anything is opened."""

import os
import pathlib
import stat

from jaxseg.errors import DataError


def regular(path: pathlib.Path) -> os.stat_result:
    """The status of a regular file; DataError, naming the path, for anything else.

    A named pipe would be waited for, and a device never ends.
    """
    try:
        status = path.stat()
    except FileNotFoundError:
        if path.is_symlink():
            raise DataError(
                f"{shown(path)} is a link to {shown(path.readlink())}, which is not "
                "there; fetch that file, or remove the link."
            ) from None
        raise DataError(f"{shown(path)}: there is no such file.") from None
    except OSError as error:
        raise DataError(f"{shown(path)} cannot be opened: {error.strerror}.") from None
    if not stat.S_ISREG(status.st_mode):
        raise DataError(
            f"{shown(path)} is no regular file but a folder, pipe, socket or device."
        )
    return status


def name(path: pathlib.PurePath) -> str:
    """The path as text of Unicode, whatever the locale; DataError where it is none."""
    try:
        return os.fsencode(path).decode("utf-8")
    except UnicodeDecodeError:
        raise DataError(
            f"{shown(path)}: the name is not UTF-8; rename the file."
        ) from None


def shown(path: pathlib.PurePath) -> str:
    """The path as text that can always be printed: odd bytes as \\xff."""
    return os.fsencode(path).decode("utf-8", "backslashreplace")
