"""Writes a folder that appears under its name only when it is complete."""

import contextlib
import os
import pathlib
from collections.abc import Iterator

from jaxseg.data.files import disk, scratch
from jaxseg.errors import DataError


@contextlib.contextmanager
def folder(directory: str | os.PathLike, *, what: str) -> Iterator[pathlib.Path]:
    """A place to write in, renamed to `directory` at the end and removed on failure.

    Raises DataError, which names `what` was to be written, when `directory` exists.
    """
    directory = pathlib.Path(directory)
    refusal = DataError(
        f"{directory} exists already; {what} are only written to a new folder: use "
        "that tree, name another one, or delete it."
    )
    if directory.exists():
        raise refusal
    with contextlib.ExitStack() as stack:
        stack.enter_context(disk.room(directory, what=what))
        directory.parent.mkdir(parents=True, exist_ok=True)
        folder = scratch.folder(directory.parent, directory.name)
        partial = stack.enter_context(folder)
        yield partial
        try:
            partial.rename(directory)
        except OSError as error:  # another process was faster
            raise refusal from error
