"""Reads a TIFF image rows by rows, for images that are larger than memory.

Of a file in tiles or strips only those are decoded that the rows lie in; the last ones
are kept, as the next rows often need them too. What cannot be read in parts, or would
need the whole image to be understood, is a DataError.
"""

import contextlib
import pathlib
from collections.abc import Iterator
from types import TracebackType

import numpy as np
import tifffile
from jaxtyping import UInt

from jaxseg.data.files import nodata, orientation, raw, tiff, tiff_pages
from jaxseg.errors import DataError

_PLAIN = {"MINISBLACK": 1, "RGB": 3}  # channels
_NUMBERS = ("uint8", "uint16")
_KEPT = 2  # rows of tiles or strips that stay decoded
_PART = 2**28  # the most pixels of one row of tiles, or of one strip
_SMALL = 2**22  # pixels of a tile that are never too many
_SIDE = 2**24  # the most pixels of a side: more is damage


class Rows:
    """An opened TIFF file; a context that closes it."""

    def __init__(self, path: pathlib.Path, page: int | None = None):
        self._path = path
        self._kept: dict[int, np.ndarray] = {}
        with naming(path, "TIFF file"):
            with open(path, "rb") as file:
                tags = tiff_pages.directories(file, path.stat().st_size)
            self._file = tifffile.TiffFile(path, _multifile=False)
        try:
            with naming(path, "TIFF file"):
                _check_sides(self._file.pages.first)
                series, pages, order = tiff.checked(self._file, tags, _SIDE**2, page)
                self._page = pages[0]
                one = len(pages) == 1 and order == "named"
                if not one or np.prod(series.shape) != np.prod(self._page.shape):
                    raise DataError("its channels are pages of their own.")
                self._check(tiff.orientation_of(pages))
        except BaseException:
            self._file.close()
            raise

    def __enter__(self) -> "Rows":
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self._file.close()

    @property
    def size(self) -> tuple[int, int]:
        """Height and width."""
        return self._page.imagelength, self._page.imagewidth

    @property
    def channels(self) -> int:
        """The channels of the image."""
        return self._page.samplesperpixel

    @property
    def dtype(self) -> np.dtype:
        """The type of the numbers."""
        return self._page.dtype.newbyteorder("=")

    def _check(self, turned: int) -> None:
        page, width = self._page, self.size[1]
        name = getattr(page.photometric, "name", str(page.photometric))
        problem, advice = "", "as grey or RGB of 8 or 16 bits, upright and in tiles"
        plain = page.planarconfig == 1 and page.imagedepth == 1
        if name not in _PLAIN or page.extrasamples or not plain:
            problem = f"its colours are {name} with other samples or planes beside them"
        elif page.samplesperpixel != _PLAIN[name]:
            problem = f"it has {page.samplesperpixel} channels"
        elif turned != orientation.UPRIGHT:
            problem = f"it is turned by its orientation {turned}"
        elif str(self.dtype) not in _NUMBERS or page.bitspersample not in (8, 16):
            problem = f"it holds {page.dtype} numbers of {page.bitspersample} bits"
        elif page.is_contiguous and (page.fillorder != 1 or page.predictor != 1):
            problem = "its bytes are not stored as they are"
        elif self._has_nodata():
            problem = (
                f"its tag {nodata.NAME} declares a number as no data, whose level is "
                "known from the whole image alone"
            )
        elif not all(isinstance(n, int) for n in self.size):
            problem = f"its size is {self.size}"
        elif not page.is_contiguous and self._height() * width > _PART:
            problem = f"its parts are {self._height()} rows high"
            most = _PART // width  # sides of tiles are multiples of 16
            advice = f"in tiles of at most {most // 16 * 16 or most} rows"
        elif page.is_tiled and self._tile() > max(self.size[0] * width, _SMALL):
            problem = f"a tile of it has {self._tile():,} pixels, more than the image"
            advice = "in smaller tiles"
        if problem:
            raise DataError(
                f"it has more pixels than --max_pixels, so it is read by rows, but "
                f"{problem}: save it {advice}, or raise --max_pixels where it fits "
                "into memory."
            )

    def _has_nodata(self) -> bool:
        """Whether pixels may be declared as no data, and take no part in the levels."""
        value = nodata.of_page(self._page)
        return nodata.is_stretched(self.dtype) and nodata.holds(self.dtype, value)

    def _tile(self) -> int:
        """The pixels of a tile, all of which are decoded."""
        return self._page.tilelength * self._page.tilewidth

    def _height(self) -> int:
        """The rows that one row of tiles, or one strip, has."""
        page = self._page
        return (
            page.tilelength
            if page.is_tiled
            else min(page.rowsperstrip, page.imagelength)
        )

    def read(self, top: int, bottom: int) -> UInt[np.ndarray, "rows w c"]:
        """The rows from `top` up to `bottom`; DataError where they are damaged."""
        with naming(self._path, "TIFF file"):
            if self._page.is_contiguous:
                return self._stored(top, bottom)
            high = self._height()
            first, last = top // high, -(-bottom // high)
            parts = [self._part(k) for k in range(first, last)]
            for old in sorted(self._kept)[:-_KEPT]:
                del self._kept[old]
            rows = np.concatenate(parts)
            return rows[top - first * high : bottom - first * high]

    def _stored(self, top: int, bottom: int) -> np.ndarray:
        """Rows of a file that holds all of them in one piece, uncompressed."""
        page, file = self._page, self._page.parent.filehandle
        row = page.imagewidth * page.samplesperpixel
        kind = page.dtype.newbyteorder(page.parent.byteorder)
        file.seek(page.dataoffsets[0] + top * row * kind.itemsize)
        rows = np.frombuffer(file.read((bottom - top) * row * kind.itemsize), kind)
        shape = (bottom - top, page.imagewidth, page.samplesperpixel)
        return rows.reshape(shape).astype(self.dtype)

    def _part(self, number: int) -> np.ndarray:
        """One decoded row of tiles, or one strip [rows, w, c]."""
        if number in self._kept:
            return self._kept[number]
        page, (height, width) = self._page, self.size
        across = -(-width // page.tilewidth) if page.is_tiled else 1
        rows = min(self._height(), height - number * self._height())
        out = np.zeros((rows, width, self.channels), self.dtype)
        for index in range(number * across, (number + 1) * across):
            part, (_, _, _, x, _), _ = tiff_pages.segment(page, index)
            inside = part[0, :rows, : width - x]
            out[: inside.shape[0], x : x + inside.shape[1]] = inside
        self._kept[number] = out
        return out


def _check_sides(page: tifffile.TiffPage) -> None:
    """Raises DataError for more pixels than any image has, which no setting allows."""
    height, width = page.imagelength, page.imagewidth
    raw.check_sides((height, width))
    if height * width > _SIDE**2:
        raise DataError(
            f"it announces {height:,} x {width:,} pixels, and {_SIDE:,} x {_SIDE:,} "
            "are the most: it is damaged, save it anew, or cut it into images."
        )


@contextlib.contextmanager
def naming(path: pathlib.Path, kind: str) -> Iterator[None]:
    """Inside, whatever damaged bytes raise is a DataError that names the file."""
    try:
        yield
    except DataError as error:
        raise DataError(f"{path}: {error}") from None
    except Exception as error:  # parsers and decoders raise anything at all
        why = " ".join(f"{type(error).__name__}: {error}".split())
        raise DataError(f"{path} is damaged, or no {kind} ({why}).") from error
