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


def usable(path: pathlib.Path) -> str:
    """What is wrong with a file whose name the data set stores; "" if nothing is."""
    try:
        regular(path)
        if name(path) == str(path):
            return ""
    except DataError as error:
        return str(error)
    return (
        f"{shown(path)}: this locale cannot write the name; set LC_ALL=C.UTF-8, or "
        "PYTHONUTF8=1, and start again."
    )


def shown(path: pathlib.PurePath) -> str:
    """The path as text that can always be printed: odd bytes as \\xff."""
    return os.fsencode(path).decode("utf-8", "backslashreplace")
