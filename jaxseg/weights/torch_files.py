"""Reads arrays of files that PyTorch wrote, without PyTorch and without running them.

Such a file is a pickle, and a pickle may call any function that can be imported. The
reader here knows a few names of PyTorch by heart, gives them its own harmless meaning,
and refuses all others: nothing is ever imported, nothing of the file is executed.
Both layouts are read: the zip archive (since PyTorch 1.6, 2020) and the one before it,
pickles and storages in a row.
"""

import functools
import math
import mmap
import os
import pathlib
import pickle
import zipfile
from typing import Any, BinaryIO, NamedTuple

import numpy as np

from jaxseg import bounded_zip
from jaxseg.errors import DataError
from jaxseg.weights import _unpickler

ZIP = b"PK\x03\x04"
_MAGIC = 0x1950A86A20F9469CFC6C  # the first pickle of the layout before 1.6
LEGACY = pickle.dumps(_MAGIC, protocol=2)
_BFLOAT16 = "bfloat16"  # numpy has none: read as its 16 bits, then widened
_DTYPES = {
    "float64": "f8",
    "float32": "f4",
    "float16": "f2",
    "bfloat16": _BFLOAT16,
    "int64": "i8",
    "int32": "i4",
    "int16": "i2",
    "int8": "i1",
    "uint8": "u1",
    "bool": "?",
}
_STORAGES = {
    "DoubleStorage": "f8",
    "FloatStorage": "f4",
    "HalfStorage": "f2",
    "BFloat16Storage": _BFLOAT16,
    "LongStorage": "i8",
    "IntStorage": "i4",
    "ShortStorage": "i2",
    "CharStorage": "i1",
    "ByteStorage": "u1",
    "BoolStorage": "?",
    "UntypedStorage": "u1",
}


_PICKLE = 2**24  # bytes of a pickle: it describes the tensors, it does not hold them
_INFLATED = 8  # bytes of all storages for a byte of the file: weights hardly compress
_SHARED = 16  # windows on a number of a storage, on average: weights may be tied
_AXES = 64  # of a tensor, numpy's limit
_TO_SPARE = 2**20  # bytes that small files may exceed these limits by


def read(path: str | os.PathLike) -> Any:
    """What the file holds: dicts, lists and values, with numpy arrays for tensors.

    Arrays are read-only; bfloat16 becomes float32, which holds every value of it.
    Raises DataError for a file that is damaged, that asks for anything but tensors, or
    declares more than it can hold; nothing of the file is executed.
    """
    path = pathlib.Path(path)
    try:
        with path.open("rb") as file:
            start = file.read(len(LEGACY))
            file.seek(0)
            read_it = _read_zip if start.startswith(ZIP) else _read_legacy
            content, bits = read_it(file)
        numbers = functools.cache(functools.partial(_numbers, bits))
        held = sum(map(len, bits.values()))
        return _resolve(content, numbers, {}, [_SHARED * held + _TO_SPARE])
    except _unpickler.Refused as refused:
        raise DataError(
            f"{path} asks to call {str(refused)[:200]}, which is no tensor: it was "
            "refused and nothing of it was run. If you trust the file, save its "
            "state_dict alone."
        ) from None
    except (FileNotFoundError, PermissionError, IsADirectoryError):
        raise
    except Exception as error:  # a damaged file can break the parsers anywhere
        raise DataError(
            f"{path} is damaged or is no file of PyTorch's ({_short(error)}): get it "
            "again."
        ) from error


def _short(error: Exception) -> str:
    """The error on one line, however long the content of the file makes it."""
    try:
        text = repr(error)
    except Exception:  # a number of more digits than Python prints
        text = type(error).__name__
    return text if len(text) < 300 else f"{text[:300]} ..."


class _Storage(NamedTuple):
    """A run of numbers in the file."""

    key: str
    dtype: str


class _Tensor(NamedTuple):
    """A window onto a storage; an array only when all storages are read."""

    storage: _Storage
    offset: int
    shape: tuple
    strides: tuple
    dtype: str


def _names(length: int) -> dict[tuple[str, str], Any]:
    """(module, name) in a file -> what it means here: the complete list.

    `length` bounds the items that all calls of OrderedDict together may copy: by the
    length of the pickle.
    """
    copied = [0]

    def ordered(items=()):
        out = _unpickler.Dict()
        copied[0] += len(items)
        if copied[0] > length:
            raise ValueError("it copies more than it holds")
        _unpickler.put(out, items)
        return out

    def size(values=()):
        if len(values) > _AXES:
            raise ValueError(f"a size of {len(values)} axes")
        return tuple(values)

    def tensor(storage, offset, shape, strides, *unused):
        return _Tensor(storage, offset, shape, strides, storage.dtype)

    def tensor_of_dtype(storage, offset, shape, strides, grad, hooks, dtype, *unused):
        return _Tensor(storage, offset, shape, strides, dtype)

    def parameter(tensor, *unused):
        return tensor

    names = {
        ("collections", "OrderedDict"): ordered,
        ("torch", "Size"): size,
        ("torch._utils", "_rebuild_tensor"): tensor,
        ("torch._utils", "_rebuild_tensor_v2"): tensor,
        ("torch._utils", "_rebuild_tensor_v3"): tensor_of_dtype,
        ("torch._utils", "_rebuild_parameter"): parameter,
    }
    names |= {("torch", name): dtype for name, dtype in _DTYPES.items()}
    for module in ("torch", "torch.cuda", "torch.storage"):
        names |= {(module, name): dtype for name, dtype in _STORAGES.items()}
    return names


def _unpickle(pickled: bytes, storages: dict[str, tuple[str, int]]) -> tuple[Any, int]:
    """(what the pickle at the start of `pickled` holds, its length).

    {key: (dtype, size)} of its storages go into `storages`.
    """

    def storage(pid):
        kind, dtype, key, _, size, *view = pid
        if kind != "storage" or (view and view[0] is not None):
            raise ValueError(f"unknown reference {pid!r}")
        if dtype not in _DTYPES.values() or not 0 <= int(size) < 2**63:
            raise ValueError(f"a storage of {size} numbers of kind {dtype!r}")
        storages[str(key)] = dtype, int(size)
        return _Storage(str(key), dtype)

    unpickler = _unpickler.Unpickler(pickled, _names(len(pickled)), storage)
    return unpickler.load(), unpickler.used


def _read_zip(file: BinaryIO) -> tuple[Any, dict[str, bytes]]:
    """(content, {key: bytes of the storage}) of a zip archive with folder/data.pkl."""
    largest = _INFLATED * os.fstat(file.fileno()).st_size + _TO_SPARE
    with zipfile.ZipFile(file) as archive:
        names = [n for n in archive.namelist() if n.split("/")[1:] == ["data.pkl"]]
        if len(names) != 1:
            raise ValueError("a zip archive without PyTorch's data.pkl")
        folder = names[0].split("/")[0]
        pickled = bounded_zip.read(archive, names, limit=min(largest, _PICKLE))
        (pickled,) = pickled.values()
        storages = {}
        content, _ = _unpickle(pickled, storages)
        order = f"{folder}/byteorder"
        if order in archive.namelist():
            (written,) = bounded_zip.read(archive, [order], limit=99).values()
            if written != b"little":
                raise ValueError("numbers in big-endian order")
        members = {f"{folder}/data/{key}": key for key in storages}
        bits = bounded_zip.read(archive, members, limit=largest)
        return content, {members[name]: content for name, content in bits.items()}


def _read_legacy(file: BinaryIO) -> tuple[Any, dict[str, bytes]]:
    """(content, {key: bytes of the storage}) of pickles and storages in a row."""
    with mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ) as whole:
        if _next_pickle(whole, {}) != _MAGIC:
            raise ValueError("another start than PyTorch's")
        _next_pickle(whole, {})  # the version of the protocol
        if not _next_pickle(whole, {})["little_endian"]:
            raise ValueError("numbers in big-endian order")
        storages, bits = {}, {}
        content = _next_pickle(whole, storages)
        for key in _next_pickle(whole, {}):
            dtype, size = storages[str(key)]
            stored = int.from_bytes(whole.read(8), "little", signed=True)
            if stored != size:
                raise ValueError(f"storage {key} has {stored} numbers, not {size}")
            bits[str(key)] = whole.read(size * _stored(dtype).itemsize)
            if len(bits[str(key)]) != size * _stored(dtype).itemsize:
                raise ValueError(f"storage {key} is cut short")
        return content, bits


def _next_pickle(whole: mmap.mmap, storages: dict[str, tuple[str, int]]) -> Any:
    start = whole.tell()
    content, length = _unpickle(whole[start : start + _PICKLE], storages)
    whole.seek(start + length)
    return content


def _resolve(value, numbers, done, left):
    """`value` with arrays for its tensors.

    `left` holds the bytes that the tensors to come may have together. `done` holds the
    values met before, by identity: a list of ten times the same list of ten times the
    same list is small in the file, and huge if written out.
    """
    if id(value) in done:
        return done[id(value)]
    out = value
    if isinstance(value, _Tensor):
        if value.dtype not in _DTYPES.values():
            raise ValueError(f"a tensor of kind {value.dtype!r}")
        out = _array(value, numbers(value.storage.key, value.dtype))
        left[0] -= out.nbytes
        if left[0] < 0:
            raise ValueError("its tensors are windows on the same few numbers")
    elif isinstance(value, dict):
        out = {k: _resolve(v, numbers, done, left) for k, v in value.items()}
    elif isinstance(value, list | tuple):
        out = [_resolve(v, numbers, done, left) for v in value]
    done[id(value)] = out
    return out


def _array(tensor, flat):
    """The window on the numbers of its storage; ValueError where it leaves them."""
    if max(len(tensor.shape), len(tensor.strides)) > _AXES:
        raise ValueError(f"a tensor of {len(tensor.shape)} axes")
    shape, strides = tuple(tensor.shape), tuple(tensor.strides)
    size = math.prod(shape)
    if len(shape) != len(strides) or min((0, tensor.offset, *shape, *strides)) < 0:
        raise ValueError(f"a tensor of shape {shape} and strides {strides}")
    if size == 0:
        return np.zeros(shape, flat.dtype)
    last = sum((n - 1) * s for n, s in zip(shape, strides, strict=True))
    # more numbers than the storage has would be a small file that fills the memory
    if tensor.offset + last >= flat.size or size > flat.size:
        raise ValueError(f"a tensor of shape {shape} in a storage of {flat.size}")
    return np.lib.stride_tricks.as_strided(
        flat[tensor.offset :], shape, [s * flat.itemsize for s in strides]
    )


def _numbers(bits, key, dtype):
    """The storage `key` as a read-only array [n]."""
    flat = np.frombuffer(bits[key], _stored(dtype))
    if dtype == _BFLOAT16:  # the upper half of a float32
        flat = (flat.astype("<u4") << 16).view("<f4")
        flat.flags.writeable = False
    return flat


def _stored(dtype):
    return np.dtype("<u2" if dtype == _BFLOAT16 else dtype).newbyteorder("<")
