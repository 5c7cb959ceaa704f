"""Draws files of arrays: PyTorch's zip and its older layout, safetensors, and npz."""

import io
import json
import pickle
import random
import struct
import zipfile

import numpy as np

from fuzz.scars import changed, scarred, text, whole

_LEGACY = (0x1950A86A20F9469CFC6C, 1001, {"little_endian": True})
_STORAGES = ("FloatStorage", "HalfStorage", "LongStorage", "BFloat16Storage")
_STORAGES += ("BoolStorage", "UntypedStorage", "ByteStorage", "NoStorage")
_KINDS = ("F32", "F16", "BF16", "I64", "U8", "BOOL", "F64", "F8_E4M3", "I8", "X", "F4")
_DESCRS = ("<i4", "<i2", "|u1", "<f8", "|O", "<U9", "<U999999999", ">i8", "<V9", "xx")
_CALLS = ("os system", "builtins eval", "numpy load", "torch _load", "a b", "")


def _short(words: str) -> bytes:
    content = words.encode("utf-8", "surrogatepass")[:255]
    return b"\x8c" + bytes([len(content)]) + content


def _number(n: int) -> bytes:
    if 0 <= n < 256:
        return b"K" + bytes([n])
    if -(2**31) <= n < 2**31:
        return b"J" + struct.pack("<i", n)
    packed = n.to_bytes(9, "little", signed=True)
    return b"\x8a" + bytes([len(packed)]) + packed


def _call(module: str, name: str) -> bytes:
    return b"c" + module.encode() + b"\n" + name.encode() + b"\n"


def _odd_instruction(rng: random.Random) -> bytes:
    """A pickle instruction that asks for much, for code, or for nonsense."""
    huge = whole(rng, 2**31 - 1, odd=0.5)
    return rng.choice(
        (
            b"r" + struct.pack("<I", huge),  # LONG_BINPUT
            b"j" + struct.pack("<I", huge),  # LONG_BINGET
            b"p" + str(huge).encode() + b"\n",  # PUT
            b"\x8d" + struct.pack("<Q", huge),  # BINUNICODE8
            b"\x8e" + struct.pack("<Q", huge),  # BINBYTES8
            b"\x96" + struct.pack("<Q", huge),  # BYTEARRAY8
            b"\x95" + struct.pack("<Q", huge),  # FRAME
            b"\x8b" + struct.pack("<i", huge % 2**31),  # LONG4
            b"\x84" + struct.pack("<i", huge % 2**31),  # EXT4
            b"]" * rng.choice((10, 1000, 100_000)),  # nested lists
            b"(" * 1000 + b"t" * 999,
            _call(*(rng.choice(_CALLS) + " ").split(" ")[:2]) + b")R",
            b"b",  # BUILD
            b"0",
            b"2",
            b"\x94",
            b"\x97",
            b"Q",
            b"L" + b"9" * 5000 + b"L\n",
            bytes([rng.randrange(256)]),
        )
    )


def _tensor(rng: random.Random, key: str, shape: tuple[int, ...]) -> bytes:
    """Instructions that build a tensor; its fields fit or not."""
    storage = _STORAGES[0] if rng.random() < 0.6 else rng.choice(_STORAGES)
    module = "torch" if rng.random() < 0.95 else rng.choice(("torch.cuda", "os"))
    numbers = int(np.prod(shape))
    pid = b"(" + _short("storage") + _call(module, storage) + _short(key)
    pid += _short("cpu") + _number(whole(rng, numbers, odd=0.1)) + b"tQ"
    strides = tuple(int(np.prod(shape[i + 1 :])) for i in range(len(shape)))
    lists = []
    for values in (shape, strides):
        words = [
            _number(whole(rng, v, odd=0.05) - (rng.random() < 0.02)) for v in values
        ]
        lists.append(b"(" + b"".join(words) + b"t")
    offset = _number(whole(rng, 0, odd=0.1))
    rest = b"\x89" + _call("collections", "OrderedDict") + b")R"
    name = "_rebuild_tensor_v2" if rng.random() < 0.9 else "_rebuild_tensor"
    arguments = b"(" + pid + offset + b"".join(lists) + rest + b"t"
    return _call("torch._utils", name) + arguments + b"R"


def _state_dict(rng: random.Random) -> tuple[bytes, dict[str, int]]:
    """A pickle of {name: tensor}, and {key of a storage: its numbers}."""
    out, sizes = b"\x80\x02}(", {}
    for i in range(rng.choice((1, 1, 2, 4))):
        shape = tuple(rng.randint(0, 5) for _ in range(rng.randint(0, 4)))
        key = str(rng.choice((i, i, i, 0)))
        sizes[key] = max(sizes.get(key, 0), int(np.prod(shape)))
        name = f"layer{i}.weight" if rng.random() < 0.95 else text(rng)[:60]
        out += _short(name) + _tensor(rng, key, shape)
        if rng.random() < 0.1:
            out += _odd_instruction(rng)
    return out + b"u.", sizes


def torch(rng: random.Random) -> bytes:
    """A file of PyTorch's, in either layout."""
    content, sizes = _state_dict(rng)
    content = scarred(rng, content, odd=0.15)
    if rng.random() < 0.3:
        start = b"".join(pickle.dumps(part, protocol=2) for part in _LEGACY)
        keys = pickle.dumps(sorted(sizes), protocol=2)
        data = b""
        for key in sorted(sizes):
            count = struct.pack("<q", whole(rng, sizes[key], odd=0.05))
            data += count + rng.randbytes(4 * sizes[key])
        return scarred(rng, start + content + keys + data, odd=0.1)
    members = {"archive/data.pkl": content}
    for key, size in sizes.items():
        length = 4 * size + rng.choice((0,) * 12 + (1, -1, 8))
        members[f"archive/data/{key}"] = bytes(max(0, length))
    if rng.random() < 0.3:
        order = rng.choice((b"little", b"little", b"big", b""))
        members["archive/byteorder"] = order
    if rng.random() < 0.05:
        members[rng.choice(("other/data.pkl", "../data.pkl", "archive/x"))] = content
    return _zip(rng, members)


def _zip(rng: random.Random, members: dict[str, bytes]) -> bytes:
    """A zip archive whose sizes may lie, or whose member is a bomb."""
    out = io.BytesIO()
    with zipfile.ZipFile(out, "w") as archive:
        for name, content in members.items():
            packing = rng.choice((zipfile.ZIP_STORED,) * 3 + (zipfile.ZIP_DEFLATED,))
            content = content + bytes(2**22) * (rng.random() < 0.003)
            archive.writestr(zipfile.ZipInfo(name), content, packing)
    data = bytearray(out.getvalue())
    while rng.random() < 0.1:  # a field of a local header or of the directory
        places = [i for i in range(len(data) - 46) if data[i : i + 2] == b"PK"]
        at = rng.choice(places or [0]) + rng.choice((6, 8, 10, 18, 20, 22, 24, 26, 28))
        data[at : at + 4] = struct.pack("<I", whole(rng, 8, odd=0.9))
    return scarred(rng, bytes(data), odd=0.08)


def safetensors(rng: random.Random) -> bytes:
    """A safetensors file whose header may not fit its data."""
    header, at = {}, 0
    for i in range(rng.choice((0, 1, 1, 2, 3))):
        shape = [rng.randint(0, 4) for _ in range(rng.randint(0, 3))]
        size = 4 * int(np.prod(shape))
        kind = "F32" if rng.random() < 0.6 else rng.choice(_KINDS)
        header[f"layer{i}"] = {
            "dtype": kind,
            "shape": [whole(rng, n, odd=0.05) for n in shape],
            "data_offsets": [whole(rng, at, odd=0.03), whole(rng, at + size, odd=0.03)],
        }
        at += size
    if rng.random() < 0.2:
        header["__metadata__"] = {"format": "pt"}
    if rng.random() < 0.3:
        header = changed(rng, header, 1)
    words = scarred(rng, json.dumps(header).encode(), odd=0.1)
    words += b" " * (-len(words) % 8)
    length = struct.pack("<Q", whole(rng, len(words), odd=0.03))
    return scarred(rng, length + words + rng.randbytes(at), odd=0.1)


def npz(rng: random.Random) -> bytes:
    """Labelled pixels as a run stores them, whose arrays may not fit together."""
    n = rng.randint(0, 6)
    arrays = {
        "ids": np.array(["a", "b", "c"]),
        "size": np.array([8, 9]),
        "image": np.sort(np.array([rng.randrange(3) for _ in range(n)], np.int32)),
        "y": np.array([rng.randrange(8) for _ in range(n)], np.int16),
        "x": np.array([rng.randrange(9) for _ in range(n)], np.int16),
        "label": np.array([rng.randrange(2) for _ in range(n)], np.uint8),
        "options": np.array(json.dumps({"name": "clicks"})),
    }
    if rng.random() < 0.3:
        arrays["sizes"] = np.full((3, 2), 9, np.int32)
    members = {}
    for name, array in arrays.items():
        if rng.random() < 0.98:
            members[f"{name}.npy"] = _npy(rng, array)
    return _zip(rng, members)


def _npy(rng: random.Random, array: np.ndarray) -> bytes:
    """A .npy file of the array, with a header that may say something else."""
    header = {"descr": array.dtype.str, "fortran_order": False, "shape": array.shape}
    if rng.random() < 0.05:
        header["descr"] = rng.choice(_DESCRS)
    if rng.random() < 0.05:
        header["shape"] = tuple(whole(rng, 3, odd=0.5) for _ in range(rng.randrange(4)))
    words = repr(header)
    if rng.random() < 0.02:
        words = rng.choice(("{", "(" * 200, "__import__('os')", "{'descr': 1}", "[]"))
    words = scarred(rng, (words + "\n").encode(), odd=0.03)
    return b"\x93NUMPY\1\0" + struct.pack("<H", len(words)) + words + array.tobytes()
