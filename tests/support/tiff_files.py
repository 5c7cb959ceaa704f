"""Writes TIFF files tag by tag, also those that no library would write."""

import pathlib
import struct
from collections.abc import Mapping, Sequence

import numpy as np

_TYPES = {"B": 1, "s": 2, "H": 3, "I": 4, "b": 6, "h": 8, "f": 11, "d": 12}
_RATIONAL = 5


def write(
    path: pathlib.Path,
    pages: Sequence[tuple[Mapping[int, tuple[str, Sequence]], Sequence[bytes]]],
    *,
    order: str = "<",
    following: Sequence[int] | None = None,
) -> pathlib.Path:
    """The path, with pages of ({tag: (type, values)}, strips or tiles).

    A type is a letter of `struct` or "R" for fractions (two numbers each). Offsets and
    byte counts of strips (273, 279), or of tiles where tag 322 is there, are added
    unless they are given. `following` holds, for each page, the number of the next
    one, to make a circle.
    """
    body, directories, starts = bytearray(8), [], []
    for tags, segments in pages:
        offsets = []
        for data in segments:
            offsets.append(len(body))
            body += data + b"\0" * (len(data) % 2)
        where = (324, 325) if 322 in tags else (273, 279)
        added = {where[0]: ("I", offsets), where[1]: ("I", [*map(len, segments)])}
        entries = []
        for code, (kind, values) in sorted({**added, **tags}.items()):
            letter = "I" if kind == "R" else kind
            number = _RATIONAL if kind == "R" else _TYPES[kind]
            if kind == "s":
                packed, count = values, len(values)
            else:
                packed = struct.pack(f"{order}{len(values)}{letter}", *values)
                count = len(values) // (2 if kind == "R" else 1)
            if len(packed) > 4:
                at = struct.pack(f"{order}I", len(body))
                body += packed + b"\0" * (len(packed) % 2)
                packed = at
            head = struct.pack(f"{order}HHI", code, number, count)
            entries.append(head + packed.ljust(4, b"\0"))
        starts.append(len(body))
        directories.append(entries)
        body += b"\0" * (2 + 12 * len(entries) + 4)
    for k, (start, entries) in enumerate(zip(starts, directories, strict=True)):
        after = following[k] if following else k + 1
        next_start = starts[after] if after < len(starts) else 0
        directory = struct.pack(f"{order}H", len(entries)) + b"".join(entries)
        directory += struct.pack(f"{order}I", next_start)
        body[start : start + len(directory)] = directory
    body[:8] = {"<": b"II", ">": b"MM"}[order] + struct.pack(
        f"{order}HI", 42, starts[0]
    )
    path.write_bytes(bytes(body))
    return path


def tags(size: tuple[int, int], bits: int, photometric: int = 1, **more) -> dict:
    """The tags of one uncompressed strip of one sample a pixel; `more` is t259=..."""
    basic = {256: size[1], 257: size[0], 258: bits, 259: 1, 262: photometric, 277: 1}
    out = {code: ("I" if code in (256, 257) else "H", [v]) for code, v in basic.items()}
    out[278] = ("I", [size[0]])
    for name, value in more.items():
        code = int(name[1:])
        if value is None:
            out.pop(code, None)
        else:
            out[code] = value if isinstance(value, tuple) else ("H", [value])
    return out


def packed(array: np.ndarray, bits: int, order: str = "<") -> bytes:
    """The rows of whole numbers [h, w] in `bits` bits each, rows padded to bytes."""
    if bits in (8, 16, 32):
        return array.astype(f"{order}u{bits // 8}").tobytes()
    shifts = np.arange(bits)[::-1]
    wide = (array[..., None].astype(np.int64) >> shifts & 1).astype(np.uint8)
    return b"".join(np.packbits(row).tobytes() for row in wide.reshape(len(array), -1))
