"""Opens BMP files so that indices come as they are stored, beside their palette.

Pillow takes a palette of black and white for pixels of 1 bit, and one of rising greys
for pixels of 8 bits, whatever the header says: masks of 4 and 8 bits come out as noise.
It is handed a palette that is no grey, and the true one is read here. Header and
palette: BITMAPINFOHEADER and its older and newer forms,
https://learn.microsoft.com/windows/win32/gdi/bitmap-header-types
"""

import io
import struct

import numpy as np
from PIL import BmpImagePlugin

from jaxseg.data.files import palettes
from jaxseg.data.files.raw import Raw
from jaxseg.errors import DataError

_FILE_HEADER = 14  # bytes before the header that says what the pixels are
_OLDEST = 12  # bytes of the header of OS/2, whose colours have 3 bytes
_INDEXED = (1, 4, 8)  # bits of a pixel that is an index
_FIELDS = (("<H", 28), ("<I", 46))  # bits of a pixel, colours of the palette
_NO_GREY = b"\1\2\3"
_BLACK_WHITE = [[0, 0, 0], [255, 255, 255]]


def opened(file: io.BytesIO) -> BmpImagePlugin.BmpImageFile:
    """The image of a BMP file, in mode P wherever its pixels are indices."""
    data = file.getvalue()
    bits, start, _ = _layout(data)
    if bits in _INDEXED:
        data = data[:start] + _NO_GREY + data[start + len(_NO_GREY) :]
    return BmpImagePlugin.BmpImageFile(io.BytesIO(data))


def indexed(indices: np.ndarray, data: bytes) -> Raw:
    """The Raw of the indices u8 [h, w, 1] in the content of a BMP file.

    Where an index is its own grey, and where 1 bit is black or white, no palette is
    needed: the numbers say the same. Raises DataError for an index without a colour.
    """
    bits, start, end = _layout(data)
    entry = _entry(data)
    stored = np.frombuffer(data[start:end], np.uint8)
    colours = stored[: len(stored) // entry * entry].reshape(-1, entry)[:256, 2::-1]
    palette = palettes.opaque(indices, colours)
    if bits == 1 and colours.tolist() == _BLACK_WHITE:
        return Raw(indices, 1)
    if (colours == np.arange(len(colours))[:, None]).all():
        return Raw(indices, 8)
    return Raw(indices, 8, palette=palette)


def _layout(data: bytes) -> tuple[int, int, int]:
    """(bits of a pixel, where the palette begins and ends) of the content of a BMP.

    Raises DataError for pixels that begin within the first colour.
    """
    data = data[: _FILE_HEADER + 40].ljust(_FILE_HEADER + 40, b"\0")
    pixels, header = struct.unpack_from("<2I", data, 10)
    start, entry = _FILE_HEADER + header, _entry(data)
    if header == _OLDEST:
        bits, colours = struct.unpack_from("<H", data, 24)[0], 0
    else:
        bits, colours = (struct.unpack_from(f, data, k)[0] for f, k in _FIELDS)
    if bits not in _INDEXED:
        return bits, start, start
    end = start + entry * (colours or 2**bits)
    if pixels in (0, start):  # they follow the palette, however long it is
        return bits, start, end
    if pixels < start + entry:
        raise DataError("its pixels would begin within its palette; it is damaged.")
    return bits, start, min(end, pixels)


def _entry(data: bytes) -> int:
    """The bytes of a colour: blue, green, red, and one that is not used."""
    header = struct.unpack_from("<I", data, _FILE_HEADER)[0]
    return 3 if header == _OLDEST else 4
