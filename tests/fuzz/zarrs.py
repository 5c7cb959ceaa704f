"""Draws Zarr arrays and images of OME-Zarr: a folder, its files one after another."""

import bz2
import gzip
import json
import lzma
import math
import pathlib
import random
import struct
import zlib

import numpy as np

from fuzz.scars import changed, scarred, text, whole

_TYPES = ("uint8", "uint16", "float32", "float16", "int16", "bool", "uint32", "|O")
_INFLATING = {"zlib": zlib.compress, "bz2": bz2.compress, "lzma": lzma.compress}
_INFLATING |= {"gzip": lambda data: gzip.compress(data, 9, mtime=0), "": bytes}
_ALLOWED = set("abcdefghijklmnopqrstuvwxyz0123456789./_")


def zarr(rng: random.Random) -> bytes:
    """An array or an image of OME-Zarr, of format 2 or 3, sound or not."""
    older = rng.random() < 0.4
    shape = rng.choice(((6, 5), (6, 5), (6, 5, 3), (3, 6, 5), (1, 2, 1, 6, 5), (6,)))
    files = (_older if older else _newer)(rng, shape)
    if rng.random() < 0.4:
        files = {f"full/{name}": content for name, content in files.items()}
        files |= _group(rng, older, len(shape))
    if rng.random() < 0.05:
        files.pop(rng.choice([*files]), None)
    return pack({n: scarred(rng, c, odd=0.05) for n, c in files.items()})


def pack(files: dict[str, bytes]) -> bytes:
    """One input of files, by their names below the folder."""
    heads = (struct.pack("<HI", len(name), len(c)) for name, c in files.items())
    each = zip(heads, files.items(), strict=True)
    return b"".join(head + name.encode() + content for head, (name, content) in each)


def unpack(data: bytes, folder: pathlib.Path) -> pathlib.Path:
    """The folder that an input describes, written to `folder`/input.zarr."""
    root = folder / "input.zarr"
    root.mkdir()
    while len(data) > 6:
        name_length, length = struct.unpack_from("<HI", data)
        name = data[6 : 6 + name_length].decode("latin1").lower()
        name = "".join(c for c in name[:80] if c in _ALLOWED).replace("..", "")
        path = root.joinpath(*filter(None, name.split("/")))
        content = data[6 + name_length : 6 + name_length + length]
        data = data[6 + name_length + length :]
        if path != root and not path.exists():
            try:
                path.parent.mkdir(parents=True, exist_ok=True)
            except (FileExistsError, NotADirectoryError):  # a file has that name
                continue
            path.write_bytes(content)
    return root


def _older(rng: random.Random, shape: tuple[int, ...]) -> dict[str, bytes]:
    """Files of an array of format 2."""
    chunks = tuple(rng.choice((n, max(n // 2, 1), n + 2)) for n in shape)
    kind = "uint8" if rng.random() < 0.6 else rng.choice(_TYPES)
    dtype = kind if kind == "|O" else np.dtype(kind).str
    coder = rng.choice([*_INFLATING])
    array = {"zarr_format": 2, "shape": shape, "chunks": chunks, "dtype": dtype}
    array |= {"order": rng.choice("CF"), "fill_value": 0, "filters": None}
    array["compressor"] = {"id": coder} if coder else None
    if rng.random() < 0.2:
        array["filters"] = [{"id": rng.choice(("pickle", "delta", "zlib", "packbits"))}]
    if rng.random() < 0.5:
        array["dimension_separator"] = rng.choice("./")
    between = array.get("dimension_separator", ".")
    files = {".zarray": _document(rng, array)}
    content = _chunk(rng, chunks, kind)
    for where in _grid(rng, shape, chunks):
        name = between.join(map(str, where)) or "0"
        files[name] = _INFLATING[coder](content)
    return files


def _newer(rng: random.Random, shape: tuple[int, ...]) -> dict[str, bytes]:
    """Files of an array of format 3."""
    chunks = tuple(rng.choice((n, max(n // 2, 1), n + 2)) for n in shape)
    kind = "uint8" if rng.random() < 0.6 else rng.choice(_TYPES)
    codecs: list = [{"name": "bytes", "configuration": {"endian": "little"}}]
    packed = rng.random() < 0.5
    if packed:
        codecs.append({"name": "gzip", "configuration": {"level": 1}})
    sharded = rng.random() < 0.2
    if sharded:
        index = [codecs[0], {"name": "crc32c"}]
        inner = {"chunk_shape": chunks, "codecs": codecs, "index_codecs": index}
        codecs = [{"name": "sharding_indexed", "configuration": inner}]
    more = (
        "numcodecs.pickle",
        "numcodecs.zlib",
        "zstd",
        "blosc",
        "transpose",
        "crc32c",
    )
    if rng.random() < 0.1:
        codecs.append({"name": rng.choice(more), "configuration": {}})
    grid = {"name": "regular", "configuration": {"chunk_shape": chunks}}
    array = {"zarr_format": 3, "node_type": "array", "shape": shape}
    array |= {"data_type": kind, "chunk_grid": grid, "codecs": codecs}
    array |= {"fill_value": 0, "attributes": {}}
    array["chunk_key_encoding"] = {"name": "default"}
    if rng.random() < 0.3:
        array["dimension_names"] = ["c", "y", "x"][-len(shape) :]
    files = {"zarr.json": _document(rng, array)}
    content = _chunk(rng, chunks, kind)
    content = gzip.compress(content, 1, mtime=0) if packed else content
    if sharded:
        entry = struct.pack("<QQ", whole(rng, 0), whole(rng, len(content)))
        content += entry + struct.pack("<I", rng.getrandbits(32))
    for where in _grid(rng, shape, chunks):
        files["/".join(["c", *map(str, where)])] = content
    return files


def _document(rng: random.Random, tree: dict) -> bytes:
    if rng.random() < 0.25:
        tree = changed(rng, json.loads(json.dumps(tree)), rng.choice((1, 1, 2)))
    return json.dumps(tree).encode("utf-8", "surrogatepass")


def _chunk(rng: random.Random, chunks: tuple[int, ...], kind: str) -> bytes:
    """The bytes of a chunk, now and then too few of them or many too many."""
    size = math.prod(chunks) * (8 if kind == "|O" else np.dtype(kind).itemsize)
    size = whole(rng, size, odd=0.05, most=2**16)
    return rng.randbytes(min(size, 64)) + bytes(max(size - 64, 0))


def _grid(rng: random.Random, shape: tuple, chunks: tuple) -> list[tuple[int, ...]]:
    """The places of at most four chunks."""
    counts = [-(-n // c) for n, c in zip(shape, chunks, strict=True)]
    return [*np.ndindex(*counts)][: rng.choice((4, 4, 4, 1))]


def _group(rng: random.Random, older: bool, axes: int) -> dict[str, bytes]:
    """The files of a group that holds the array as its finest level."""
    names = (
        [{"name": name, "type": "space"} for name in "tczyx"[-axes:]] if axes else []
    )
    for axis in names[-2:]:
        axis["unit"] = rng.choice(("micrometer", "nanometer", text(rng)))
    scale = {"type": "scale", "scale": [rng.choice((1.0, 0.5))] * axes}
    level = {"path": "full", "coordinateTransformations": [scale]}
    image = {"multiscales": [{"axes": names, "datasets": [level]}]}
    if older:
        head = {".zgroup": json.dumps({"zarr_format": 2}).encode()}
        return head | {".zattrs": _document(rng, image)}
    group = {"zarr_format": 3, "node_type": "group", "attributes": {"ome": image}}
    return {"zarr.json": _document(rng, group)}
