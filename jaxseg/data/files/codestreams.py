"""Reads the header of compressed pictures inside a file: their size, and their losses.

The size is known before anything is decoded or allocated. JPEG: ITU-T T.81, annex B.
JPEG 2000: ITU-T T.800, annex A. WebP: RFC 9649.
"""

import struct
from typing import NamedTuple

_JPEG_2000 = b"\xff\x4f\xff\x51"  # start of codestream, image and tile size
_LOOK = 1 << 16  # bytes within which a codestream must begin and say what it is


class Header(NamedTuple):
    """What the header of a compressed picture promises."""

    height: int
    width: int
    samples: int
    lossy: bool  # whether values may come back changed


def jpeg(data: bytes) -> Header | None:
    """The Header of a JPEG or JPEG-LS stream; None where it has none."""
    at = 2
    while at + 10 <= len(data) and data[at] == 0xFF:
        marker, length = data[at + 1], struct.unpack_from(">H", data, at + 2)[0]
        if marker == 0xFF:  # a fill byte before the marker
            at += 1
        elif marker == 0xF7 or (0xC0 <= marker <= 0xCF and marker not in (0xC4, 0xCC)):
            height, width, samples = struct.unpack_from(">2HB", data, at + 5)
            return Header(height, width, samples, marker not in (0xC3, 0xF7))
        else:
            at += 2 + length
    return None


def jpeg_2000(data: bytes) -> Header | None:
    """The Header of a JPEG 2000 codestream, bare or in boxes; None where it has none.

    The boxes are not walked: their lengths may be 0, for "to the end", or a lie.
    """
    start = data.find(_JPEG_2000, 0, _LOOK)
    if start < 0 or len(data) < start + 42:
        return None
    right, bottom, left, top = struct.unpack_from(">4I", data, start + 8)
    samples = struct.unpack_from(">H", data, start + 40)[0]
    style = data.find(b"\xff\x52", start + 40, start + _LOOK)  # coding style default
    reversible = 0 <= style and data[style + 13 : style + 14] == b"\x01"
    return Header(bottom - top, right - left, samples, not reversible)


def webp(data: bytes) -> Header | None:
    """The Header of a WebP picture; None where it has none."""
    if data[:4] != b"RIFF" or data[8:12] != b"WEBP" or len(data) < 30:
        return None
    kind = data[12:16]
    if kind == b"VP8L":
        bits = struct.unpack_from("<I", data, 21)[0]
        height, width = (bits >> 14 & 0x3FFF) + 1, (bits & 0x3FFF) + 1
        return Header(height, width, 3 + (bits >> 28 & 1), False)
    if kind == b"VP8X":
        width, height = (int.from_bytes(data[k : k + 3], "little") for k in (24, 27))
        samples = 3 + (data[20] >> 4 & 1)
        return Header(height + 1, width + 1, samples, b"VP8L" not in data[:_LOOK])
    width, height = struct.unpack_from("<2H", data, 26)
    return Header(height & 0x3FFF, width & 0x3FFF, 3, True)
