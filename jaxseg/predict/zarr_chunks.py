"""Bounds what the chunks of a Zarr array inflate to, before any of them is decoded.

A chunk of a few kilobytes can inflate to gigabytes, and `zarr` looks at the size of a
chunk when it has been decoded. Here the compressors are those of a list, one for a
chunk, and the length that a chunk will have is read from its header (blosc, lz4, zstd)
or found by inflating it piece by piece, keeping nothing (gzip, zlib, bz2, lzma).

Formats: Zarr 2 and 3, https://zarr-specs.readthedocs.io; frames of zstd, RFC 8878.
"""

import bz2
import itertools
import lzma
import math
import os
import pathlib
import struct
import zlib
from collections.abc import Iterator, Sequence
from typing import Any

import numpy as np

from jaxseg.data.files import paths
from jaxseg.errors import DataError

_PIECE = 2**20  # bytes that are inflated at once
_HEADER = 32  # bytes of a chunk that tell how long it will be
_SMALL = 2**22  # numbers of a chunk that are never too many
_MANY = 2**14  # chunks of an array, that may be tiny
_TINY = 2**8  # numbers of a chunk
_NOT_THERE = 2**64 - 1  # the offset of a chunk that a shard leaves out
_MORE = 8  # bytes before filters for each byte after them: float64 kept as uint8
_SLACK = 4096  # bytes of checksums and headers
_STREAMS = {
    "gzip": lambda: zlib.decompressobj(47),
    "zlib": lambda: zlib.decompressobj(47),
    "bz2": bz2.BZ2Decompressor,
    "lzma": lzma.LZMADecompressor,
}
_COMPRESSORS = ("blosc", "lz4", "zstd", *_STREAMS)
# what changes the length of a chunk a little, or by a factor up to _MORE
_FILTERS = ("bytes", "transpose", "crc32c", "crc32", "adler32", "fletcher32", "delta")
_FILTERS += ("shuffle", "bitround", "fixedscaleoffset", "quantize", "astype")


def check(array: Any, along: int, rows: range) -> None:
    """Raises DataError where chunks inflate to more bytes than they should have.

    `array` is one of the package `zarr`, `along` its axis of rows; looked at are the
    chunks that `rows` lie in. Refused are compressors that are not bounded here, too.
    """
    document = array.metadata.to_dict()
    outer = tuple(array.shards or array.chunks)
    most = max(math.prod(array.shape), _SMALL)
    if math.prod(outer) > most:
        raise DataError(
            f"its chunks are {outer}, {math.prod(outer):,} numbers each, and the array "
            f"has {math.prod(array.shape):,}: save it with chunks that are smaller."
        )
    sides = zip(array.shape, array.chunks, strict=True)
    count = math.prod(-(-n // c) for n, c in sides)
    if count > _MANY and math.prod(array.chunks) < _TINY:
        raise DataError(
            f"it has {count:,} chunks of {tuple(array.chunks)}, which takes minutes to "
            f"read: save it with chunks of {_TINY} numbers or more."
        )
    codecs = _codecs(document)
    inner = None
    if codecs and codecs[0]["name"] == "sharding_indexed":
        if len(codecs) > 1:
            raise DataError("its shards are compressed once more; save it without.")
        inner = codecs[0]["configuration"]
        codecs = inner["codecs"]
    compressor = _compressor(codecs)
    if compressor is None:
        return
    limit = math.prod(array.chunks) * array.dtype.itemsize * _MORE + _SLACK
    for path in _files(array, outer, along, rows):
        for start, length in _places(path, inner, outer):
            told = _inflated(path, start, length, compressor, limit)
            if told > limit:
                raise DataError(
                    f"the chunk {path.name} inflates to more than {limit:,} bytes, and "
                    f"should have {math.prod(array.chunks) * array.dtype.itemsize:,}."
                )


def _codecs(document: dict[str, Any]) -> Sequence[dict[str, Any]]:
    """The codecs of either format, as format 3 writes them."""
    if "codecs" in document:
        return document["codecs"]
    each = [*(document["filters"] or ()), document["compressor"]]
    return [{"name": codec["id"], "configuration": codec} for codec in each if codec]


def _compressor(codecs: Sequence[dict[str, Any]]) -> str | None:
    """The one that is used, if any; DataError for several, or for another codec."""
    names = [codec["name"].removeprefix("numcodecs.") for codec in codecs]
    used = [name for name in names if name not in _FILTERS]
    if len(used) > 1 or not {*used} <= {*_COMPRESSORS}:
        raise DataError(
            f"its chunks are stored through {', '.join(used)}; save it with one of "
            f"{', '.join(_COMPRESSORS)}, or without."
        )
    return used[0] if used else None


def _files(
    array: Any, outer: Sequence[int], along: int, rows: range
) -> Iterator[pathlib.Path]:
    """The files that exist of the chunks, or shards, with these rows."""
    folder = pathlib.Path(array.store.root) / array.path
    spans = [range(-(-n // c)) for n, c in zip(array.shape, outer, strict=True)]
    step = outer[along]
    spans[along] = range(rows.start // step, -(-rows.stop // step))
    for place in itertools.product(*spans):
        path = folder / array.metadata.encode_chunk_key(place)
        if os.path.lexists(path):
            paths.regular(path)
            yield path


def _places(
    path: pathlib.Path, inner: dict[str, Any] | None, outer: Sequence[int]
) -> list[tuple[int, int]]:
    """(start, length) of each compressed chunk in a file."""
    size = path.stat().st_size
    if inner is None:
        return [(0, size)]
    counts = [-(-n // c) for n, c in zip(outer, inner["chunk_shape"], strict=True)]
    checksum = 4 * sum(each["name"] == "crc32c" for each in inner["index_codecs"])
    length = 16 * math.prod(counts) + checksum
    at = 0 if inner.get("index_location") == "start" else size - length
    if size < length:
        raise DataError(f"the shard {path.name} has {size} bytes, less than its index.")
    entries = np.frombuffer(_read(path, at, length - checksum), "<u8").reshape(-1, 2)
    there = [(int(s), int(n)) for s, n in entries if s != _NOT_THERE]
    if any(start + n > size for start, n in there):
        raise DataError(f"the index of the shard {path.name} is damaged.")
    return there


def _read(path: pathlib.Path, start: int, length: int) -> bytes:
    with path.open("rb") as file:
        file.seek(start)
        return file.read(length)


def _inflated(
    path: pathlib.Path, start: int, length: int, compressor: str, limit: int
) -> int:
    """How many bytes a chunk inflates to; of streams no more than `limit` + 1."""
    head = _read(path, start, min(length, _HEADER))
    match compressor:
        case "blosc":
            return struct.unpack_from("<I", head, 4)[0]
        case "lz4":
            return struct.unpack_from("<I", head)[0]
        case "zstd":
            return _of_zstd(head)
    stream, left, total = _STREAMS[compressor](), _read(path, start, length), 0
    while total <= limit and not stream.eof:
        piece = stream.decompress(left, _PIECE)
        left = getattr(stream, "unconsumed_tail", b"")
        total += len(piece)
        if not piece and not left:
            break
    return total


def _of_zstd(head: bytes) -> int:
    """The length that a frame of zstd says its content has (RFC 8878, 3.1.1.1)."""
    if head[:4] != b"\x28\xb5\x2f\xfd":
        raise DataError("a chunk is no frame of zstd.")
    descriptor = head[4]
    single = descriptor >> 5 & 1
    width = (single, 2, 4, 8)[descriptor >> 6]
    if not width:
        raise DataError(
            "a chunk does not say how long it is when inflated; save it with zstd of "
            "numcodecs, or with gzip."
        )
    at = 5 + (1 - single) + (0, 1, 2, 4)[descriptor & 3]
    told = int.from_bytes(head[at : at + width], "little")
    return told + 256 * (width == 2)
