"""Reads a TIFF image rows by rows, for images that are larger than memory.

Of a file in tiles or strips only those are decoded that the rows lie in; the last ones
are kept, as the next rows often need them too. What cannot be read in parts, or would
need the whole image to be understood, is a DataError.
"""

import pathlib
from types import TracebackType

import numpy as np
import tifffile
from jaxtyping import UInt

from jaxseg.data.files import orientation, tiff_pages
from jaxseg.errors import DataError

_PLAIN = ("MINISBLACK", "RGB")
_KEPT = 2  # rows of tiles or strips that stay decoded
_PART = 2**28  # the most pixels of one row of tiles, or of one strip
_SIDE = 2**24  # the most pixels of a side: more is damage


class Rows:
    """An opened TIFF file; a context that closes it."""

    def __init__(self, path: pathlib.Path, page: int | None = None):
        self._path = path
        with open(path, "rb") as file:
            tags = tiff_pages.directories(file, path.stat().st_size)
        self._file = tifffile.TiffFile(path, _multifile=False)
        try:
            self._page = self._only_page(page)
            offsets = [each.offset for each in self._file.pages]
            number = offsets.index(self._page.offset)
            tiff_pages.check(self._page, tags[number], _SIDE**2)
            self._check()
        except BaseException:
            self._file.close()
            raise
        self._kept: dict[int, np.ndarray] = {}

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

    def _only_page(self, number: int | None) -> tifffile.TiffPage:
        count = len(self._file.pages)
        if number is None and count > 1:
            raise DataError(
                f"{self._path} has {count} pages and more pixels than --max_pixels: "
                "choose one with --page, or save each as a file of its own."
            )
        if not 0 <= (number or 0) < count:
            raise DataError(f"{self._path} has {count} page(s), none {number}.")
        return self._file.pages[number or 0].aspage()

    def _check(self) -> None:
        page = self._page
        name = getattr(page.photometric, "name", str(page.photometric))
        turned = page.tags.valueof(orientation.TAG) or orientation.UPRIGHT
        problem = ""
        if name not in _PLAIN or page.extrasamples or page.planarconfig != 1:
            problem = f"its colours are {name} with other samples or planes beside them"
        elif turned != orientation.UPRIGHT:
            problem = f"it is turned by its orientation {turned}"
        elif page.dtype not in (np.uint8, np.uint16) or page.bitspersample not in (
            8,
            16,
        ):
            problem = f"it holds {page.dtype} numbers of {page.bitspersample} bits"
        elif self._height() * page.imagewidth > _PART and not page.is_memmappable:
            problem = f"its parts are {self._height()} rows high"
        if problem:
            raise DataError(
                f"{self._path} has more pixels than --max_pixels, so it is read by "
                f"rows, but {problem}: save it as grey or RGB of 8 or 16 bits, upright "
                "and in tiles, or raise --max_pixels where it fits into memory."
            )

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
        if self._page.is_memmappable:
            return self._mapped(top, bottom)
        high = self._height()
        first, last = top // high, -(-bottom // high)
        parts = [self._part(k) for k in range(first, last)]
        for old in sorted(self._kept)[:-_KEPT]:
            del self._kept[old]
        rows = np.concatenate(parts)
        return rows[top - first * high : bottom - first * high]

    def _mapped(self, top: int, bottom: int) -> np.ndarray:
        page = self._page
        row = page.imagewidth * page.samplesperpixel
        mapped = np.memmap(
            self._path,
            page.dtype.newbyteorder(page.parent.byteorder),
            "r",
            offset=page.dataoffsets[0] + top * row * page.dtype.itemsize,
            shape=(bottom - top, page.imagewidth, page.samplesperpixel),
        )
        return np.array(mapped, self.dtype)

    def _part(self, number: int) -> np.ndarray:
        """One decoded row of tiles, or one strip [rows, w, c]."""
        if number in self._kept:
            return self._kept[number]
        page, (height, width) = self._page, self.size
        across = -(-width // page.tilewidth) if page.is_tiled else 1
        out = np.zeros(
            (
                min(self._height(), height - number * self._height()),
                width,
                self.channels,
            ),
            self.dtype,
        )
        tables = {}
        if page.compression == tiff_pages.JPEG:
            tables = {"jpegtables": page.jpegtables}
        file = page.parent.filehandle
        for index in range(number * across, (number + 1) * across):
            file.seek(page.dataoffsets[index])
            data = file.read(page.databytecounts[index])
            try:
                part, (_, _, _, x, _), _ = page.decode(data, index, **tables)
            except Exception as error:  # decoders raise anything on damaged bytes
                raise DataError(
                    f"{self._path} is damaged in its tile or strip {index}: {error}"
                ) from error
            inside = part[0, : out.shape[0], : width - x]
            out[: inside.shape[0], x : x + inside.shape[1]] = inside
        self._kept[number] = out
        return out
