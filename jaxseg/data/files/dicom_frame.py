"""Decodes the one frame of a DICOM data set, its size bounded before anything is made.

Nothing is corrected: the cells come as they are stored, with every bit in them.
"""

import struct
from typing import NamedTuple

import imagecodecs
import numpy as np
import pydicom
from pydicom import uid
from pydicom.encaps import generate_fragments, get_frame

from jaxseg.data.files import jpegs
from jaxseg.errors import DataError

_NATIVE = {uid.ImplicitVRLittleEndian, uid.ExplicitVRLittleEndian}
_NATIVE |= {uid.ExplicitVRBigEndian}
_PILLOW = {uid.JPEGBaseline8Bit, uid.JPEG2000, uid.JPEG2000Lossless}
_LOSSLESS = {uid.JPEGLossless, uid.JPEGLosslessSV1}
_LS = {uid.JPEGLSLossless, uid.JPEGLSNearLossless}
READABLE = _NATIVE | _PILLOW | _LOSSLESS | _LS
READABLE |= {uid.RLELossless, uid.JPEGExtended12Bit}
_STARTS = (b"\xff\xd8\xff", b"\xff\x4f\xff\x51")  # of JPEG and JPEG-LS, of JPEG 2000


class Coded(NamedTuple):
    """What a codestream announces."""

    size: tuple[int, int]  # height, width
    components: int
    bits: int  # of a component


def decode(ds: pydicom.Dataset, syntax: uid.UID) -> np.ndarray:
    """The cells [h, w] of a data set with one frame, 8 or 16 bits each.

    Raises DataError for more or less than one frame of the size that the header
    announces, and for a compression that no decoder reads.
    """
    if syntax in _NATIVE:
        if ds["PixelData"].is_undefined_length:
            raise DataError(
                f"the pixel data is compressed, but declared {syntax.name}; convert it "
                "with: gdcmconv --raw"
            )
        _check_length(ds)
        return _by_pydicom(ds, "")
    fragments = list(generate_fragments(ds.PixelData))
    if syntax == uid.RLELossless:
        return _run_lengths(ds, get_frame(ds.PixelData, 0, number_of_frames=1))
    starts = sum(fragment.startswith(_STARTS) for fragment in fragments[1:])
    if starts > 1:
        raise DataError(
            f"the pixel data holds {starts} frames; only 1 can be used: save each as a "
            "file of its own."
        )
    size = (int(ds.Rows), int(ds.Columns))
    frame = get_frame(ds.PixelData, 0, number_of_frames=1)
    coded = _announced(frame)
    if coded is None:
        raise DataError(f"the pixel data is no codestream of {syntax.name}.")
    if coded.size != size:  # before decoding: it may announce billions
        raise DataError(f"the header says {size} pixels, the pixel data {coded.size}.")
    if coded.components != 1:
        raise DataError(
            f"the pixel data has {coded.components} components; needed is 1: convert "
            "it to greyscale."
        )
    if frame.startswith(_STARTS[0]):
        jpegs.check(frame, ended=False)
    if syntax in _LOSSLESS | _LS:
        if ds.PixelRepresentation and coded.bits < ds.BitsStored:
            raise DataError(
                f"the pixel data has {coded.bits} bits, but the header says "
                f"{ds.BitsStored} with a sign, so negative values cannot be told."
            )
        ls = syntax in _LS
        read = imagecodecs.jpegls_decode if ls else imagecodecs.jpegsof3_decode
        return read(frame).reshape(size)
    if syntax == uid.JPEGExtended12Bit and ds.BitsStored != 8:
        raise DataError(
            f"{syntax.name} of {ds.BitsStored} bits cannot be decoded, only of 8; "
            "convert it with: gdcmconv --raw"
        )
    return _by_pydicom(ds, "pillow")


def _by_pydicom(ds: pydicom.Dataset, plugin: str) -> np.ndarray:
    ds.pixel_array_options(decoding_plugin=plugin, correct_unused_bits=False)
    return ds.pixel_array


def _check_length(ds: pydicom.Dataset) -> None:
    """Refuses uncompressed pixels that a wrong Rows or Columns could explain.

    Too few are left to the decoder. A few bytes more than needed are padding, as long
    as they are fewer than one row and one column.
    """
    cell = ds.BitsAllocated // 8
    needed = ds.Rows * ds.Columns * cell
    excess = len(ds.PixelData) - needed
    if excess > 1 and excess >= min(ds.Rows, ds.Columns) * cell:
        raise DataError(
            f"the pixel data has {len(ds.PixelData)} bytes, but {ds.Rows} x "
            f"{ds.Columns} pixels need {needed}: the size is wrong, or there are extra "
            "frames."
        )


def _run_lengths(ds: pydicom.Dataset, frame: bytes) -> np.ndarray:
    """The cells of a frame in RLE Lossless (PS3.5 annex G)."""
    cell = ds.BitsAllocated // 8
    kind = np.dtype(f"<{'i' if ds.PixelRepresentation else 'u'}{cell}")
    needed = ds.Rows * ds.Columns * cell
    data = imagecodecs.dicomrle_decode(frame, dtype=kind, out=needed)
    if len(data) != needed:
        raise DataError(
            f"the RLE pixel data holds {len(data)} bytes, but {ds.Rows} x {ds.Columns} "
            f"pixels need {needed}."
        )
    cells = np.frombuffer(data, kind).reshape(ds.Rows, ds.Columns)
    return cells.astype(kind.newbyteorder("="))


def _announced(frame: bytes) -> Coded | None:
    """What a JPEG, JPEG-LS or JPEG 2000 codestream announces; None without a header."""
    if frame[:4] == _STARTS[1] and len(frame) >= 43:  # JPEG 2000: SOC, SIZ
        right, bottom, left, top = struct.unpack_from(">4I", frame, 8)
        components, precision = struct.unpack_from(">HB", frame, 40)
        return Coded((bottom - top, right - left), components, (precision & 127) + 1)
    at = 2 if frame[:2] == b"\xff\xd8" else len(frame)
    while at + 10 <= len(frame) and frame[at] == 0xFF:
        marker, length = frame[at + 1], struct.unpack_from(">H", frame, at + 2)[0]
        if marker == 0xFF:  # a fill byte before the marker
            at += 1
        elif marker == 0xF7 or (0xC0 <= marker <= 0xCF and marker not in (0xC4, 0xCC)):
            bits, height, width, components = struct.unpack_from(">BHHB", frame, at + 4)
            return Coded((height, width), components, bits)
        else:
            at += 2 + length
    return None
