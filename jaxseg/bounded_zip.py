"""Reads members of a zip archive, with a bound on what they may inflate to.

What an archive declares of itself is checked before anything is allocated, and no more
is inflated than it declares: a small file cannot fill the memory.
"""

import zipfile
from collections.abc import Iterable

_METHODS = (zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED)


def read(
    archive: zipfile.ZipFile, names: Iterable[str], *, limit: int
) -> dict[str, bytes]:
    """{name: content} of these members, of `limit` bytes together at most.

    Raises ValueError where they declare more than that, or are compressed by another
    method than zip's own; zipfile.BadZipFile, zlib.error and KeyError for what is
    damaged or missing.
    """
    members = [archive.getinfo(name) for name in names]
    declared = sum(member.file_size for member in members)
    if declared > limit:
        raise ValueError(
            f"it would inflate to {declared:,} bytes, more than the {limit:,} that a "
            "file of its size may hold"
        )
    for member in members:
        if member.compress_type not in _METHODS:
            raise ValueError(f"{member.filename} is compressed by an unusual method")
    return {member.filename: _content(archive, member) for member in members}


def _content(archive: zipfile.ZipFile, member: zipfile.ZipInfo) -> bytes:
    with archive.open(member) as file:
        content = file.read(member.file_size + 1)  # one more: its end is looked at
    if len(content) != member.file_size:
        raise ValueError(
            f"{member.filename} holds {len(content):,} bytes and declares "
            f"{member.file_size:,}"
        )
    return content
