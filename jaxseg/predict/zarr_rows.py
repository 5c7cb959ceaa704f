"""Reads a Zarr array as an image: whole, or rows by rows where it exceeds memory.

`NAME.zarr` is a folder: an array [h, w] or [h, w, c], or an image of OME-Zarr, of which
the finest level is taken (Moore et al., 2021, "OME-NGFF",
https://doi.org/10.1038/s41592-021-01326-w). Of its chunks only those are decoded that
the rows lie in; the last ones are kept, as the next rows often need them too. A chunk
that is not there holds the fill value of the array: that is how Zarr stores it.
"""

import importlib.util
import os
import pathlib
from types import TracebackType
from typing import Any, NamedTuple

import numpy as np
from jaxtyping import UInt

from jaxseg.data import intensity
from jaxseg.data.files import images, orientation, paths, pixel_size, raw
from jaxseg.errors import ConfigError, DataError
from jaxseg.predict import regions, zarr_chunks

SUFFIX = ".zarr"
_WHOLE = ("uint8", "uint16")
_KEPT = 2  # rows of chunks that stay decoded
_PART = 2**28  # the most pixels of one row of chunks
_SIDE = 2**24  # the most pixels of a side: more is damage
_METADATA = ("zarr.json", ".zarray", ".zattrs", ".zgroup", ".zmetadata")
_LONGEST = 2**26  # bytes of such a file
_MICROMETRES = {"nanometer": 1e-3, "micrometer": 1.0, "millimeter": 1e3}
_MICROMETRES |= {"centimeter": 1e4, "meter": 1e6}


class _Image(NamedTuple):
    """An opened array, and what its axes are."""

    array: Any  # of zarr
    axes: str  # a letter each: y, x, perhaps c, and others of length 1
    scale: tuple[float, ...]  # of each axis, in micrometres; () = not told

    @property
    def size(self) -> tuple[int, int]:
        """Height and width."""
        height, width = (self.array.shape[self.axes.index(axis)] for axis in "yx")
        return int(height), int(width)

    @property
    def channels(self) -> int:
        """The length of the axis c, 1 without one."""
        return self.array.shape[self.axes.index("c")] if "c" in self.axes else 1

    def read(self, top: int, bottom: int) -> UInt[np.ndarray, "rows w c"]:
        """Rows, decoded from the chunks they lie in."""
        zarr_chunks.check(self.array, self.axes.index("y"), range(top, bottom))
        usual = {"y": slice(top, bottom), "x": slice(None), "c": slice(None)}
        rows = np.asarray(self.array[tuple(usual.get(axis, 0) for axis in self.axes)])
        left = [axis for axis in self.axes if axis in usual]
        rows = rows if "c" in left else rows[..., None]
        order = [[*left, "c"].index(axis) for axis in "yxc"]
        rows = rows.transpose(order)
        return np.ascontiguousarray(rows, rows.dtype.newbyteorder("="))


def is_zarr(path: pathlib.Path) -> bool:
    """Whether a name is that of a Zarr array."""
    return path.suffix.lower() == SUFFIX


def check(path: pathlib.Path) -> None:
    """Raises ConfigError, with the command that installs it, without `zarr`."""
    if importlib.util.find_spec("zarr") is None:
        raise ConfigError(
            f"{path} is a Zarr array, which needs the package zarr: "
            'pip install "jaxseg[zarr]"'
        )


def size(path: pathlib.Path) -> tuple[int, int]:
    """Height and width, from its metadata; DataError where it is no image."""
    with regions.naming(path, "Zarr array"):
        return _opened(path, None).size


def side_of_pixel(path: pathlib.Path) -> float | None:
    """The side of a pixel in micrometres; None where OME-Zarr does not say it.

    None as well for pixels that are not square, and for what cannot be read.
    """
    try:
        image = _opened(path, None)
    except Exception:  # who reads the pixels says so
        return None
    if not image.scale:
        return None
    y, x = (image.scale[image.axes.index(axis)] for axis in "yx")
    return pixel_size.square((y, x))


def picture(
    path: pathlib.Path, *, max_pixels: int, page: int | None = None
) -> images.Picture:
    """The whole image in memory, as `images.read_picture` gives that of a file.

    Raises DataError for what is no image, has more than `max_pixels`, or holds other
    numbers than u8, u16, f16 and f32.
    """
    with regions.naming(path, "Zarr array"):
        image = _opened(path, page)
        numbers = _numbers(image)
        raw.check_pixels(image.size, max_pixels, image.channels)
        pixels = image.read(0, image.size[0])
        if numbers in intensity.FLOATS:
            pixels = intensity.from_float(pixels)
    return images.Picture(pixels, numbers, orientation.UPRIGHT)


class Rows:
    """An opened array, used as `regions.Rows` is."""

    def __init__(self, path: pathlib.Path, page: int | None = None):
        self._path = path
        self._kept: dict[int, np.ndarray] = {}
        with regions.naming(path, "Zarr array"):
            self._image = _opened(path, page)
            problem, numbers = "", _numbers(self._image)
            if numbers not in _WHOLE:
                problem = f"it holds {numbers} numbers"
            elif self._height() * self.size[1] * self.channels > _PART:
                problem = f"its chunks are {self._height()} rows high"
            if problem:
                raise DataError(
                    f"it has more pixels than --max_pixels, so it is read by rows, but "
                    f"{problem}: save it with {' or '.join(_WHOLE)} numbers in chunks "
                    "of fewer rows, or raise --max_pixels where it fits into memory."
                )

    def __enter__(self) -> "Rows":
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self._kept.clear()

    @property
    def size(self) -> tuple[int, int]:
        """Height and width."""
        return self._image.size

    @property
    def channels(self) -> int:
        """The channels of the image."""
        return self._image.channels

    @property
    def dtype(self) -> np.dtype:
        """The type of the numbers."""
        return self._image.array.dtype.newbyteorder("=")

    def _height(self) -> int:
        """The rows of a chunk."""
        return int(self._image.array.chunks[self._image.axes.index("y")])

    def read(self, top: int, bottom: int) -> UInt[np.ndarray, "rows w c"]:
        """The rows from `top` up to `bottom`; DataError where they are damaged."""
        high = self._height()
        first, last = top // high, -(-bottom // high)
        with regions.naming(self._path, "Zarr array"):
            rows = np.concatenate([self._part(k) for k in range(first, last)])
        for old in sorted(self._kept)[:-_KEPT]:
            del self._kept[old]
        return rows[top - first * high : bottom - first * high]

    def _part(self, number: int) -> np.ndarray:
        """The rows of one row of chunks [rows, w, c]."""
        if number not in self._kept:
            top = number * self._height()
            bottom = min(top + self._height(), self.size[0])
            self._kept[number] = self._image.read(top, bottom)
        return self._kept[number]


def _opened(path: pathlib.Path, page: int | None) -> _Image:
    """The image that a folder holds; DataError where it is none."""
    if page:
        raise DataError(f"it has page 0 alone, no {page}.")
    if not path.is_dir():
        raise DataError("it is no folder, and a Zarr array is one.")
    import zarr  # an extra: only who has such files needs it

    _check_metadata(path)
    node, axes, scale = zarr.open(str(path), mode="r"), "yxc", ()
    if not hasattr(node, "shape"):
        node, axes, scale = _finest(node, path)
    elif node.ndim < 4:
        names = getattr(node.metadata, "dimension_names", None) or ()
        named = {*names} in ({"y", "x"}, {"c", "y", "x"}) and len(names) == node.ndim
        axes = "".join(names) if named else axes[: node.ndim]
    problem = ""
    if not len({*axes}) == len(axes) == node.ndim or not {"y", "x"} <= {*axes}:
        problem = (
            f"its shape is {node.shape}, and an image is [h, w] or [h, w, c]; save it "
            "so, or name the axes of others (dimension_names)"
        )
    elif 0 in node.shape or max(node.shape) > _SIDE:
        problem = (
            f"its shape is {node.shape}, and a side has 1 to {_SIDE:,} pixels; cut it "
            "into arrays of that, or save it anew if it is damaged"
        )
    elif 0 in node.chunks:
        problem = f"its chunks are {node.chunks}, of no pixel: save it anew"
    else:
        for axis, length in zip(axes, node.shape, strict=True):
            if axis not in "yxc" and length > 1:
                problem = f"it has {length} images along its axis {axis}; save one"
    if problem:
        raise DataError(f"{problem}.")
    return _Image(node, axes, scale)


def _check_metadata(folder: pathlib.Path) -> None:
    """Raises DataError for metadata that `zarr` would wait for, or never end to read.

    Where there is none of a name, another format is read.
    """
    for name in _METADATA:
        path = folder / name
        if not os.path.lexists(path):
            continue
        if (length := paths.regular(path).st_size) > _LONGEST:
            raise DataError(
                f"its {name} has {length:,} bytes, and metadata {_LONGEST:,} at most: "
                "save the array anew."
            )


def _finest(group: Any, folder: pathlib.Path) -> tuple[Any, str, tuple[float, ...]]:
    """(array, axes, their scale) of the finest level of an image of OME-Zarr.

    The group is that of `folder`.
    """
    attributes = dict(group.attrs)
    several = attributes.get("ome", attributes).get("multiscales")
    if not several:
        raise DataError(
            "it is a group without an image of OME-Zarr (multiscales); give one of its "
            "arrays a folder of its own, NAME.zarr."
        )
    image = several[0]
    level = image["datasets"][0]
    axes = [axis if type(axis) is str else axis["name"] for axis in image["axes"]]
    if any(len(axis) != 1 for axis in axes):
        raise DataError(f"its axes are {axes}; they are named by one letter each.")
    scale = np.ones(len(axes))
    for transform in [
        *level.get("coordinateTransformations", []),
        *image.get("coordinateTransformations", []),
    ]:
        scale = scale * np.array(transform.get("scale", 1.0), float)
    units = [type(axis) is dict and axis.get("unit") for axis in image["axes"]]
    sides = [_MICROMETRES.get(unit) for unit in units]
    told = all(side for side, axis in zip(sides, axes, strict=True) if axis in "yx")
    scaled = [n * (side or 1.0) for n, side in zip(scale, sides, strict=True)]
    for part in pathlib.PurePosixPath(level["path"]).parts:
        folder = folder / part
        _check_metadata(folder)
    return group[level["path"]], "".join(axes), tuple(scaled) if told else ()


def _numbers(image: _Image) -> str:
    """The type of its numbers; DataError for one that no image has."""
    numbers = str(image.array.dtype.newbyteorder("="))
    if numbers not in (allowed := (*_WHOLE, *intensity.FLOATS)):
        raise DataError(f"it holds {numbers} numbers; save it as one of {allowed}.")
    return numbers
