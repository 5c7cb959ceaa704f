"""Says in one sentence that a disk is full, whoever noticed it."""

import contextlib
import errno
import os
import pathlib
import shutil
from collections.abc import Iterator

from jaxseg.errors import DataError, NotWritten

_FULL = (errno.ENOSPC, errno.EDQUOT)


@contextlib.contextmanager
def room(where: pathlib.Path, *, what: str, need: int = 0) -> Iterator[None]:
    """Inside, a full disk is NotWritten: `what` needs up to `need` bytes in `where`.

    Libraries of C++ tell it in the text of an error of their own.
    """
    try:
        yield
    except (DataError, NotWritten):
        raise
    except Exception as error:
        told = any(os.strerror(code) in str(error) for code in _FULL)
        if getattr(error, "errno", None) not in _FULL and not told:
            raise
        needs = f"needs up to {amount(need)}, but" if need else "does not fit, and"
        raise NotWritten(
            errno.ENOSPC,
            f"the disk of {where} is full: {what} {needs} {_free(where)} are free; "
            "make room, or choose another folder.",
        ) from error


def amount(size: float) -> str:
    """A number of bytes in words: 3 kB, 12 MB, 1.3 GB."""
    for unit, name in ((1e9, "GB"), (1e6, "MB")):
        if size >= unit:
            return f"{size / unit:.1f} {name}"
    return f"{size / 1e3:.0f} kB"


def _free(where: pathlib.Path) -> str:
    while not where.exists():
        where = where.parent
    return amount(shutil.disk_usage(where).free)
