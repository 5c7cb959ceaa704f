"""Writes PNG and BMP files of every depth and kind, bit by bit."""

import pathlib
import struct
import zlib

import numpy as np

_PASSES = ((0, 0, 8, 8), (0, 4, 8, 8), (4, 0, 8, 4), (0, 2, 4, 4))
_PASSES += ((2, 0, 4, 2), (0, 1, 2, 2), (1, 0, 2, 1))  # of Adam7: y, x, steps of y, x


def png(
    path: pathlib.Path,
    array: np.ndarray,
    depth: int,
    colour: int,
    *,
    palette: np.ndarray | None = None,
    transparent: bytes | None = None,
    interlaced: bool = False,
) -> pathlib.Path:
    """The path of a PNG of [h, w] or [h, w, c] numbers of so many bits each."""
    array = array.reshape(*array.shape[:2], -1)
    parts = [array]
    if interlaced:
        parts = [array[y::down, x::right] for y, x, down, right in _PASSES]
    lines = [b"\0" + row for p in parts if p.size for row in _rows(p, depth)]
    height, width = array.shape[:2]
    head = struct.pack(">2I5B", width, height, depth, colour, 0, 0, int(interlaced))
    chunks = [_chunk(b"IHDR", head)]
    if palette is not None:
        chunks.append(_chunk(b"PLTE", palette.astype(np.uint8).tobytes()))
    if transparent is not None:
        chunks.append(_chunk(b"tRNS", transparent))
    chunks += [_chunk(b"IDAT", zlib.compress(b"".join(lines))), _chunk(b"IEND", b"")]
    path.write_bytes(b"\x89PNG\r\n\x1a\n" + b"".join(chunks))
    return path


def bmp(
    path: pathlib.Path,
    array: np.ndarray,
    bits: int,
    *,
    palette: np.ndarray | None = None,
    top_down: bool = False,
) -> pathlib.Path:
    """The path of a BMP: indices of 1, 4, 8 bits, 16-bit numbers, or blue-green-red."""
    rows = [r + b"\0" * (-len(r) % 4) for r in _rows(array, bits if bits < 8 else 0)]
    body = b"".join(rows if top_down else rows[::-1])
    height, width = array.shape[:2]
    table, count = b"", 0
    if palette is not None:
        table = b"".join(bytes([b, g, r, 0]) for r, g, b in palette.tolist())
        count = len(palette)
    head = struct.pack(
        "<IiiHHIIiiII", 40, width, -height if top_down else height, 1, bits, 0,
        len(body), 0, 0, count, 0,
    ) + table  # fmt: skip
    size = 14 + len(head)
    start = b"BM" + struct.pack("<IHHI", size + len(body), 0, 0, size)
    path.write_bytes(start + head + body)
    return path


def _rows(array: np.ndarray, depth: int) -> list[bytes]:
    if not depth:  # whole bytes, lowest first
        return [row.astype(array.dtype.newbyteorder("<")).tobytes() for row in array]
    shifts = np.arange(depth)[::-1]
    bits = (array.reshape(len(array), -1, 1).astype(np.int64) >> shifts & 1) > 0
    return [np.packbits(row).tobytes() for row in bits.reshape(len(array), -1)]


def _chunk(kind: bytes, body: bytes) -> bytes:
    check = struct.pack(">I", zlib.crc32(kind + body))
    return struct.pack(">I", len(body)) + kind + body + check
