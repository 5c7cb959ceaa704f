"""Writes what is predicted of an image that is larger than memory.

Rows come from top to bottom and go to a temporary file, from which the TIFF is made at
last and moved to its place: whoever looks finds a whole file or none.
"""

import os
import pathlib
from collections.abc import Iterator
from typing import Any

import numpy as np
import tifffile
from jaxtyping import Float, Int32, UInt8

from jaxseg import atomic

_TILE = 512
_BIG = 2**32 - 2**25  # bytes that offsets of 32 bits reach, less those of tags


class _Raw:
    """A temporary file of numbers in the place of `path`; a context that removes it."""

    def __init__(self, path: pathlib.Path, shape: tuple[int, ...], dtype: type):
        self.path, self.shape, self.dtype = path, shape, np.dtype(dtype)
        self._raw = path.with_name(f"{path.name}.raw.{os.getpid()}.tmp")
        self._out = path.with_name(f"{path.name}.{os.getpid()}.tmp")
        self._next = 0  # row

    def __enter__(self):
        self.path.parent.mkdir(parents=True, exist_ok=True)
        self._file = os.open(self._raw, os.O_RDWR | os.O_CREAT | os.O_TRUNC)
        return self

    def __exit__(self, *error: object) -> None:
        os.close(self._file)
        self._raw.unlink(missing_ok=True)
        self._out.unlink(missing_ok=True)

    def _put(self, rows: np.ndarray, plane: int) -> None:
        """Writes rows of a plane; a full disk would kill a memory map."""
        height, width = self.shape[-2:]
        at = (plane * height + self._next) * width * self.dtype.itemsize
        data = memoryview(np.ascontiguousarray(rows, self.dtype)).cast("B")
        try:
            while data:
                done = os.pwrite(self._file, data, at)
                data, at = data[done:], at + done
        except OSError as error:
            raise self._not_written(error) from error

    def _tiles(self) -> Iterator[np.ndarray]:
        """The numbers in tiles, plane by plane; few of them are in memory."""
        *planes, height, width = self.shape
        for plane in range(int(np.prod(planes))):
            for top in range(0, height, _TILE):
                band = self._band(plane, top, min(_TILE, height - top))
                for left in range(0, width, _TILE):
                    part = band[:, left : left + _TILE]
                    out = np.zeros((_TILE, _TILE), self.dtype)
                    out[: part.shape[0], : part.shape[1]] = part
                    yield out

    def _band(self, plane: int, top: int, rows: int) -> np.ndarray:
        height, width = self.shape[-2:]
        size = rows * width * self.dtype.itemsize
        at = (plane * height + top) * width * self.dtype.itemsize
        data = bytearray()
        while len(data) < size:  # one call reads 2 GiB at most
            more = os.pread(self._file, size - len(data), at + len(data))
            if not more:
                raise RuntimeError(f"{self._raw} lacks rows from {top} on.")
            data += more
        return np.frombuffer(data, self.dtype).reshape(rows, width)

    def _write(
        self, parts: Iterator[np.ndarray], dtype: np.typing.DTypeLike, **options: Any
    ) -> None:
        """Writes the TIFF of these tiles, and moves it to its place."""
        form = {"shape": self.shape, "dtype": dtype, "tile": (_TILE, _TILE)}
        big = int(np.prod(self.shape)) * self.dtype.itemsize > _BIG
        parts = (part.astype(dtype, copy=False) for part in parts)
        try:
            with open(self._out, "wb") as file:
                tifffile.imwrite(file, parts, bigtiff=big, **form, **options)
                file.flush()
                os.fsync(file.fileno())
            os.replace(self._out, self.path)
        except OSError as error:
            raise self._not_written(error) from error

    def _not_written(self, error: OSError) -> Exception:
        size = int(np.prod(self.shape)) * self.dtype.itemsize
        return atomic.not_written(self.path, size, error)


class Mask(_Raw):
    """A mask u8, which becomes a TIFF in compressed tiles."""

    def __init__(self, path: pathlib.Path, size: tuple[int, int]):
        super().__init__(path, size, np.uint8)

    def add(self, classes: UInt8[np.ndarray, "rows w"]) -> None:
        """Writes the next rows; NotWritten where there is no room."""
        self._put(classes, 0)
        self._next += len(classes)

    def finish(self, shown: bool, tags: dict[str, Any]) -> None:
        """Writes the TIFF with these arguments of tifffile; 0 if not `shown`."""
        parts = (part * np.uint8(shown) for part in self._tiles())
        self._write(parts, self.dtype, compression="zlib", **tags)


class Planes(_Raw):
    """Probabilities f32 [k, h, w], which become a TIFF with a page a class."""

    def __init__(self, path: pathlib.Path, shape: tuple[int, int, int]):
        super().__init__(path, shape, np.float32)

    def add(self, probability: Float[np.ndarray, "rows w k"]) -> None:
        """Writes the next rows; NotWritten where there is no room."""
        for plane in range(self.shape[0]):
            self._put(probability[..., plane], plane)
        self._next += len(probability)

    def finish(self) -> None:
        """Writes the TIFF, which is not compressed."""
        axes = {"axes": "CYX"}
        self._write(self._tiles(), self.dtype, photometric="minisblack", metadata=axes)


class LabelMap(_Raw):
    """A label map i32, which becomes a TIFF in compressed tiles, u16 or u32."""

    def __init__(self, path: pathlib.Path, size: tuple[int, int]):
        super().__init__(path, size, np.int32)
        self._largest = 0

    def __enter__(self):
        super().__enter__()
        os.ftruncate(self._file, int(np.prod(self.shape)) * self.dtype.itemsize)
        return self

    def put(
        self, labels: Int32[np.ndarray, "rows w"], top: int, *, offset: int
    ) -> None:
        """Writes these objects, numbered from `offset` + 1, into the rows from `top`.

        What is there already stays. Raises NotWritten where there is no room.
        """
        before = self._band(0, top, len(labels))
        self._next = top
        self._put(np.where(labels > 0, labels + offset, before), 0)

    def renumber(self, number: Int32[np.ndarray, "n"]) -> None:
        """Gives the object n the number `number[n]`; NotWritten without room."""
        self._largest = int(number.max(initial=0))
        for top in range(0, self.shape[0], _TILE):
            band = self._band(0, top, min(_TILE, self.shape[0] - top))
            self._next = top
            self._put(number[band], 0)

    def read(self) -> np.memmap:
        """The label map, of which the system keeps in memory what it has room for."""
        return np.memmap(self._raw, self.dtype, "r", shape=self.shape)

    @property
    def wide(self) -> bool:
        """Whether there are more objects than 16 bits can number."""
        return self._largest > np.iinfo(np.uint16).max

    def finish(self, tags: dict[str, Any]) -> None:
        """Writes the TIFF with these arguments of tifffile."""
        dtype = np.uint32 if self.wide else np.uint16
        self._write(self._tiles(), dtype, compression="zlib", **tags)
