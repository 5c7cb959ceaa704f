"""Draws TIFF and DICOM files that hung, filled the memory, or ended the process."""

import io
import lzma
import struct
import zlib

import numpy as np
from PIL import Image

from fuzz.failed import BOMB, of


def _packed_zeros(packer) -> bytes:
    """Zeros that are more than the memory cap, packed piece by piece."""
    parts = (packer.compress(bytes(2**20)) for _ in range(BOMB))
    return b"".join(parts) + packer.flush()


def _tags(*tags: tuple[int, int, int, int], later: int = 0) -> bytes:
    """A directory of a little-endian TIFF: (code, kind, count, value) of each tag."""
    entries = b"".join(struct.pack("<HHII", *tag) for tag in tags)
    return struct.pack("<H", len(tags)) + entries + struct.pack("<I", later)


def _grey(width: int, height: int, packing: int, *more) -> list:
    """The tags of a grey page of 8 bits."""
    tags = [(256, 4, 1, width), (257, 4, 1, height), (258, 3, 1, 8)]
    tags += [(259, 3, 1, packing), (262, 3, 1, 1), (277, 3, 1, 1), (278, 4, 1, height)]
    return sorted([*tags, *more])


def _jpeg2000() -> bytes:
    data = io.BytesIO()
    Image.fromarray(np.arange(64, dtype=np.uint8).reshape(8, 8)).save(data, "JPEG2000")
    return data.getvalue()


@of("tiff")
def a_page_that_names_itself_as_the_next() -> bytes:
    page = _grey(4, 4, 1, (273, 4, 1, 8), (279, 4, 1, 16))
    return b"II*\0" + struct.pack("<I", 8) + _tags(*page, later=8)


@of("tiff")
def pages_of_two_sizes_in_a_circle() -> bytes:
    place = (273, 4, 1, 8), (279, 4, 1, 16)
    size = len(_tags(*_grey(4, 4, 1, *place)))
    pages = (
        _tags(*_grey(4, k, 1, *place), later=8 + size * (k % 3)) for k in (1, 2, 3)
    )
    return b"II*\0" + struct.pack("<I", 8) + b"".join(pages)


@of("tiff")
def a_chain_of_overlapping_directories() -> bytes:
    """Every few bytes begin a directory of no tags that names the next one."""
    count = 100_000
    parts = [b"II*\0" + struct.pack("<I", 8)]
    for i in range(count):
        parts.append(struct.pack("<HI", 0, 8 + 6 * (i + 1)))
    page = _grey(4, 4, 1, (273, 4, 1, 8), (279, 4, 1, 16))
    return b"".join(parts) + _tags(*page)


@of("tiff")
def pixels_that_inflate_far_beyond_the_size() -> bytes:
    packed = _packed_zeros(zlib.compressobj(1))
    page = _grey(4, 4, 8, (273, 4, 1, 200), (279, 4, 1, len(packed)))
    head = b"II*\0" + struct.pack("<I", 8) + _tags(*page)
    return head.ljust(200, b"\0") + packed


@of("tiff")
def lzma_pixels_that_inflate_far_beyond_the_size() -> bytes:
    packed = _packed_zeros(lzma.LZMACompressor(preset=0))
    page = _grey(4, 4, 34925, (273, 4, 1, 200), (279, 4, 1, len(packed)))
    head = b"II*\0" + struct.pack("<I", 8) + _tags(*page)
    return head.ljust(200, b"\0") + packed


@of("tiff")
def two_numbers_of_columns() -> bytes:
    """Times the number of rows they are a tuple of 2 GiB."""
    page = [(256, 4, 2, 200), (257, 4, 1, 2**27), (258, 3, 1, 8), (259, 3, 1, 1)]
    page += [(262, 3, 1, 1), (273, 4, 1, 8), (277, 3, 1, 1), (278, 4, 1, 2**27)]
    page += [(279, 4, 1, 16)]
    head = b"II*\0" + struct.pack("<I", 8) + _tags(*page)
    return head.ljust(200, b"\0") + struct.pack("<II", 4, 4)


@of("tiff")
def a_tile_much_larger_than_the_picture() -> bytes:
    page = [(256, 4, 1, 8), (257, 4, 1, 8), (258, 3, 1, 8), (259, 3, 1, 8)]
    page += [(262, 3, 1, 1), (277, 3, 1, 1), (322, 4, 1, 16), (323, 4, 1, 2**24)]
    packed = zlib.compress(bytes(64))
    page += [(324, 4, 1, 200), (325, 4, 1, len(packed))]
    head = b"II*\0" + struct.pack("<I", 8) + _tags(*page)
    return head.ljust(200, b"\0") + packed


@of("tiff")
def one_sample_that_is_transparency() -> bytes:
    page = _grey(4, 4, 1, (273, 4, 1, 200), (279, 4, 1, 16), (338, 3, 1, 1))
    page = [(262, 3, 1, 0) if tag[0] == 262 else tag for tag in page]
    head = b"II*\0" + struct.pack("<I", 8) + _tags(*page)
    return head.ljust(216, b"\0")


@of("tiff")
def samples_that_are_no_whole_number() -> bytes:
    one = struct.unpack("<I", struct.pack("<f", 1.0))[0]
    page = _grey(4, 4, 1, (273, 4, 1, 200), (279, 4, 1, 16), (338, 3, 1, 1))
    page = [(277, 11, 1, one) if tag[0] == 277 else tag for tag in page]
    head = b"II*\0" + struct.pack("<I", 8) + _tags(*page)
    return head.ljust(216, b"\0")


@of("tiff")
def sixty_four_channels_of_the_largest_size() -> bytes:
    page = [(256, 4, 1, 500), (257, 4, 1, 500), (258, 3, 1, 64), (259, 3, 1, 1)]
    page += [(262, 3, 1, 1), (273, 4, 1, 8), (277, 3, 1, 64), (278, 4, 1, 500)]
    page += [(279, 4, 1, 16), (284, 3, 1, 1), (339, 3, 1, 1)]
    return b"II*\0" + struct.pack("<I", 8) + _tags(*page)


@of("tiff")
def jpeg_2000_with_a_box_of_length_0() -> bytes:
    packed = _jpeg2000().replace(b"\0\0\0\x14ftyp", b"\0\0\0\0ftyp", 1)
    page = _grey(8, 8, 34712, (273, 4, 1, 200), (279, 4, 1, len(packed)))
    head = b"II*\0" + struct.pack("<I", 8) + _tags(*page)
    return head.ljust(200, b"\0") + packed


@of("tiff")
def no_directory_at_all() -> bytes:
    return b"II*\0" + bytes(19)


@of("tiff")
def a_width_in_several_numbers() -> bytes:
    page = _grey(4, 4, 1, (273, 4, 1, 8), (279, 4, 1, 16))
    page = [(c, k, 2 if c == 256 else n, v) for c, k, n, v in page]
    return b"II*\0" + struct.pack("<I", 8) + _tags(*page)


def _dicom(pixels: bytes, syntax: str, **tags: object) -> bytes:
    from pydicom import dcmwrite
    from pydicom.dataset import Dataset, FileMetaDataset

    ds, meta = Dataset(), FileMetaDataset()
    ds.SOPClassUID = meta.MediaStorageSOPClassUID = "1.2.840.10008.5.1.4.1.1.7"
    ds.SOPInstanceUID = meta.MediaStorageSOPInstanceUID = "1.2.3"
    ds.Rows = ds.Columns = ds.BitsAllocated = ds.BitsStored = 8
    ds.HighBit, ds.PixelRepresentation, ds.SamplesPerPixel = 7, 0, 1
    ds.PhotometricInterpretation = "MONOCHROME2"
    for name, value in tags.items():
        setattr(ds, name, value)
    ds.add_new("PixelData", "OB", pixels)
    meta.TransferSyntaxUID = syntax
    ds.file_meta, out = meta, io.BytesIO()
    dcmwrite(out, ds, enforce_file_format=True)
    return out.getvalue()


def _frame(kind: str) -> bytes:
    from pydicom.encaps import encapsulate

    data = io.BytesIO()
    pixels = np.arange(64, dtype=np.uint8).reshape(8, 8)
    Image.fromarray(pixels).save(data, kind)
    return encapsulate([data.getvalue()])


@of("dicom")
def fewer_bits_than_the_lossless_frame_has() -> bytes:
    syntax = "1.2.840.10008.1.2.4.70"  # JPEG Lossless, which a C++ library decodes
    return _dicom(_frame("JPEG"), syntax, BitsStored=5, HighBit=4)


@of("dicom")
def an_element_of_4_gib() -> bytes:
    data = _dicom(bytes(64), "1.2.840.10008.1.2.1")
    at = data.index(b"\xe0\x7f\x10\0OB\0\0") + 8
    return data[:at] + struct.pack("<I", 2**32 - 16) + data[at + 4 :]


@of("dicom")
def jpeg_2000_with_a_box_that_has_no_end() -> bytes:
    packed = _frame("JPEG2000").replace(b"\0\0\0\x14ftyp", b"\0\0\0\0ftyp", 1)
    return _dicom(packed, "1.2.840.10008.1.2.4.90")
