"""Reads arrays of an .npz file, whose declared sizes are bounded beforehand."""

import io
import math
import os
import pathlib
import zipfile
from collections.abc import Mapping, Sequence

import numpy as np

from jaxseg import bounded_zip
from jaxseg.data.files import paths
from jaxseg.errors import DataError

_INFLATED = 100  # bytes for a byte of the file: sorted numbers compress well
_TO_SPARE = 2**24  # bytes that a small file may exceed that by
_HEADERS = {
    (1, 0): np.lib.format.read_array_header_1_0,
    (2, 0): np.lib.format.read_array_header_2_0,
}


def read(
    path: str | os.PathLike,
    kinds: Mapping[str, tuple[int, str]],
    *,
    optional: Sequence[str] = (),
) -> dict[str, np.ndarray]:
    """{name: array} of the names in `kinds`: (number of axes, the dtype kinds allowed).

    Those in `optional` may be missing. Raises DataError, naming the file, for what is
    missing, damaged, of another kind, or larger than a file of its size may hold.
    """
    path = pathlib.Path(path)
    if path.exists():
        paths.regular(path)
    try:
        limit = _INFLATED * path.stat().st_size + _TO_SPARE
        with zipfile.ZipFile(path) as archive:
            there = archive.namelist()
            names = [n for n in kinds if n not in optional or f"{n}.npy" in there]
            members = {f"{name}.npy": name for name in names}
            contents = bounded_zip.read(archive, members, limit=limit)
        return {
            members[file]: _array(content, *kinds[members[file]], name=members[file])
            for file, content in contents.items()
        }
    except OSError as error:
        raise DataError(f"{path} cannot be read: {error.strerror}.") from error
    except Exception as error:  # a damaged file can break the parsers anywhere
        why = " ".join(str(error).split())[:200] or type(error).__name__
        raise DataError(f"{path} is no .npz file of its kind: {why}.") from error


def _array(content: bytes, axes: int, kinds: str, *, name: str) -> np.ndarray:
    """The array in the content of a .npy file, of this many axes and these kinds."""
    file = io.BytesIO(content)
    version = np.lib.format.read_magic(file)
    if version not in _HEADERS:
        raise ValueError(f"{name} is of an unknown version")
    shape, fortran, dtype = _HEADERS[version](file)
    if dtype.kind not in kinds or len(shape) != axes or fortran and axes > 1:
        raise ValueError(f"{name} is an array of {dtype} and shape {shape}")
    rest = file.read()
    if min((0, *shape)) < 0 or math.prod(shape) * dtype.itemsize != len(rest):
        raise ValueError(f"{name} declares the shape {shape}, and holds another")
    if not dtype.itemsize:  # texts of no letters
        return np.zeros(shape, dtype)
    return np.frombuffer(rest, dtype).reshape(shape)
