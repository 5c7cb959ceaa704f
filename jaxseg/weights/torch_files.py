"""Reads arrays of files that PyTorch wrote, without PyTorch and without running them.

Such a file is a pickle, and a pickle may call any function that can be imported. The
reader here knows a few names of PyTorch by heart, gives them its own harmless meaning,
and refuses all others: nothing is ever imported, nothing of the file is executed.
Both layouts are read: the zip archive (since PyTorch 1.6, 2020) and the one before it,
pickles and storages in a row.
"""

import functools
import io
import math
import os
import pathlib
import pickle
import zipfile
from typing import Any, NamedTuple

import numpy as np

from jaxseg.errors import DataError

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


def read(path: str | os.PathLike) -> Any:
    """What the file holds: dicts, lists and values, with numpy arrays for tensors.

    Arrays are read-only; bfloat16 becomes float32, which holds every value of it.
    Raises DataError for a file that is damaged, or that asks for anything but tensors;
    nothing of the file is executed.
    """
    path = pathlib.Path(path)
    try:
        with path.open("rb") as file:
            start = file.read(len(LEGACY))
            file.seek(0)
            read_it = _read_zip if start.startswith(ZIP) else _read_legacy
            content, bits = read_it(file)
            numbers = functools.cache(functools.partial(_numbers, bits))
            return _resolve(content, numbers, {})
    except _Refused as refused:
        raise DataError(
            f"{path} asks to call {refused}, which is no tensor: it was refused and "
            "nothing of it was run. If you trust the file, save its state_dict alone."
        ) from None
    except OSError:
        raise
    except Exception as error:  # a damaged file can break the parsers anywhere
        raise DataError(
            f"{path} is damaged or is no file of PyTorch's ({error!r}): get it again."
        ) from error


class _Refused(Exception):
    """A name that is not among the known ones."""


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


class _Dict(dict):
    """An ordered dict whose attributes (versions of modules) are dropped."""

    def __setstate__(self, state):
        pass


def _names() -> dict[tuple[str, str], Any]:
    """(module, name) in a file -> what it means here: the complete list.

    Made anew for each pickle: its BUILD instruction can set attributes of a function.
    """

    def tensor(storage, offset, shape, strides, *unused):
        return _Tensor(storage, offset, shape, strides, storage.dtype)

    def tensor_of_dtype(storage, offset, shape, strides, grad, hooks, dtype, *unused):
        return _Tensor(storage, offset, shape, strides, dtype)

    def parameter(tensor, *unused):
        return tensor

    names = {
        ("collections", "OrderedDict"): _Dict,
        ("torch", "Size"): tuple,
        ("torch._utils", "_rebuild_tensor"): tensor,
        ("torch._utils", "_rebuild_tensor_v2"): tensor,
        ("torch._utils", "_rebuild_tensor_v3"): tensor_of_dtype,
        ("torch._utils", "_rebuild_parameter"): parameter,
    }
    names |= {("torch", name): dtype for name, dtype in _DTYPES.items()}
    for module in ("torch", "torch.cuda", "torch.storage"):
        names |= {(module, name): dtype for name, dtype in _STORAGES.items()}
    return names


class _Unpickler(pickle.Unpickler):
    """Finds no class or function but the known ones; notes each storage asked for."""

    def __init__(self, file, storages):
        super().__init__(file, encoding="utf-8")
        self.names, self.storages = _names(), storages

    def find_class(self, module, name):
        if (module, name) not in self.names:
            raise _Refused(f"{module}.{name}")
        return self.names[module, name]

    def persistent_load(self, pid):
        kind, dtype, key, _, size, *view = pid
        if kind != "storage" or (view and view[0] is not None):
            raise ValueError(f"unknown reference {pid!r}")
        self.storages[str(key)] = dtype, int(size)
        return _Storage(str(key), dtype)


def _read_zip(file):
    """(content, {key: bytes of the storage}) of a zip archive with folder/data.pkl."""
    with zipfile.ZipFile(file) as archive:
        names = [n for n in archive.namelist() if n.split("/")[1:] == ["data.pkl"]]
        if len(names) != 1:
            raise ValueError("a zip archive without PyTorch's data.pkl")
        folder = names[0].split("/")[0]
        storages = {}
        content = _Unpickler(io.BytesIO(archive.read(names[0])), storages).load()
        order = f"{folder}/byteorder"
        if order in archive.namelist() and archive.read(order) != b"little":
            raise ValueError("numbers in big-endian order")
        return content, {k: archive.read(f"{folder}/data/{k}") for k in storages}


def _read_legacy(file):
    """(content, {key: bytes of the storage}) of pickles and storages in a row."""
    if _Unpickler(file, {}).load() != _MAGIC:
        raise ValueError("another start than PyTorch's")
    _Unpickler(file, {}).load()  # the version of the protocol
    if not _Unpickler(file, {}).load()["little_endian"]:
        raise ValueError("numbers in big-endian order")
    storages, bits = {}, {}
    content = _Unpickler(file, storages).load()
    for key in _Unpickler(file, {}).load():
        dtype, size = storages[str(key)]
        stored = int.from_bytes(file.read(8), "little", signed=True)
        if stored != size:
            raise ValueError(f"storage {key} has {stored} numbers, not {size}")
        bits[str(key)] = file.read(size * _stored(dtype).itemsize)
    return content, bits


def _resolve(value, numbers, done):
    """`value` with arrays for its tensors.

    `done` holds the values met before, by identity: a list of ten times the same list
    of ten times the same list is small in the file, and huge if written out.
    """
    if id(value) in done:
        return done[id(value)]
    out = value
    if isinstance(value, _Tensor):
        out = _array(value, numbers(value.storage.key, value.dtype))
    elif isinstance(value, dict):
        out = {k: _resolve(v, numbers, done) for k, v in value.items()}
    elif isinstance(value, list | tuple):
        out = [_resolve(v, numbers, done) for v in value]
    done[id(value)] = out
    return out


def _array(tensor, flat):
    """The window on the numbers of its storage; ValueError where it leaves them."""
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
