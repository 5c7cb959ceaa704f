"""Decodes the pages of a TIFF file, each strictly as its own tags declare it.

What decoders and parsers forgive is an error here: pages in a circle, strips that are
missing or cut short, a compressed picture of another size or depth than the tags of its
page. All sizes are checked before anything of that size is allocated.
"""

import struct
from typing import BinaryIO

import imagecodecs
import numpy as np
import tifffile

from jaxseg.data.files import codestreams, jpegs, nodata
from jaxseg.data.files.raw import check_pixels
from jaxseg.errors import DataError

_MAX_PAGES = 256
_MAX_TAGS = 4096
_SHARED = 16  # times the file, are all tags of all pages: they may share a profile
_SMALL = 2**24  # bytes of tags that any file may have
# bytes of a value of the types of tags that have more than one
_WIDTHS = dict.fromkeys((3, 8), 2) | dict.fromkeys((4, 9, 11, 13), 4)
_WIDTHS |= dict.fromkeys((5, 10, 12, 16, 17, 18), 8)
_SUB_PAGES = 330  # the tag that lists further pages
# values of the tag Compression
JPEG = 7
_JPEG_2000, _WEBP = (34712, 33004, 33005), (50001, 34927)
_PICTURES = {JPEG: codestreams.jpeg}
_PICTURES |= dict.fromkeys(_JPEG_2000, codestreams.jpeg_2000)
_PICTURES |= dict.fromkeys(_WEBP, codestreams.webp)
_FAX = (2, 3, 4)
_BYTES = (1, 5, 8, 32946, 32773, 34925, 50000, 34926)  # none, LZW, deflate, ...
_WHOLE = (8, 16, 32, 64)
_DEPTHS = {"u": (1, 2, 4, *range(8, 17), 32, 64), "i": _WHOLE, "f": (16, 32)}
_KINDS = {1: "u", 2: "i", 3: "f"}  # of the tag SampleFormat
# tags that say what the pixels are: none of them may get lost in parsing
_ESSENTIAL = {254, 256, 257, 258, 259, 262, 266, 273, 274, 277, 278, 279, 284, 317, 320}
_ESSENTIAL |= {322, 323, 324, 325, 338, 339, 347, 529, 530, 532, nodata.TAG}


def directories(file: BinaryIO, size: int) -> list[set[int]]:
    """The tags of every page of a TIFF file of `size` bytes, in the order of pages.

    Raises DataError for a file that is no TIFF or cut short, for pages in a circle, for
    more than 256 pages or sub-pages, and for tags that claim more than the file has.
    """
    head = file.read(16)
    order = {b"II": "<", b"MM": ">"}.get(head[:2])
    version = struct.unpack(f"{order}H", head[2:4])[0] if order and head[3:] else 0
    if version not in (42, 43) or len(head) < 16:
        raise DataError(
            "it is damaged, or no TIFF file; save it as TIFF, or give its name the "
            "suffix of what it is."
        )
    big = version == 43
    count, entry, offset = ("Q", 20, "Q") if big else ("H", 12, "I")
    width, step = struct.calcsize(f"={count}"), struct.calcsize(f"={offset}")
    at = struct.unpack_from(f"{order}{offset}", head, 8 if big else 4)[0]
    visited: set[int] = set()
    pages: list[set[int]] = []
    claimed = 0
    while at:
        if at in visited:
            raise DataError("its pages refer to each other in a circle; it is damaged.")
        if len(pages) == _MAX_PAGES:
            raise DataError(
                f"it is a stack of more than {_MAX_PAGES} pages; save each slice as a "
                "file of its own."
            )
        visited.add(at)
        file.seek(at)
        number = file.read(width).ljust(width, b"\0")
        tags = struct.unpack(f"{order}{count}", number)[0]
        body = file.read(tags * entry + step) if 0 < tags <= _MAX_TAGS else b""
        if at > size or not body or len(body) < tags * entry + step:
            raise DataError(f"its page {len(pages)} is cut short or damaged.")
        codes = set()
        for k in range(tags):
            code, kind, many = struct.unpack_from(f"{order}HH{offset}", body, k * entry)
            claimed += many * _WIDTHS.get(kind, 1)
            if code == _SUB_PAGES and many > _MAX_PAGES:
                raise DataError(f"it has {many} sub-pages; save one of them alone.")
            codes.add(code)
        if claimed > _SHARED * size + _SMALL:
            raise DataError("its tags claim more bytes than it has; it is damaged.")
        pages.append(codes)
        at = struct.unpack_from(f"{order}{offset}", body, tags * entry)[0]
    if not pages:
        raise DataError("it holds no page.")
    return pages


def check(page: tifffile.TiffPage, tags: set[int], max_pixels: int) -> None:
    """Raises DataError for a page that cannot be decoded right, or is too large.

    `tags` are those that stand in the file, of which parsing may have lost some.
    """
    lost = sorted((tags & _ESSENTIAL) - {tag.code for tag in page.tags})
    if lost:
        raise DataError(f"its tags {lost} are damaged.")
    for tag, name in ((256, "ImageWidth"), (257, "ImageLength")):
        if tag not in tags:
            raise DataError(f"it lacks the tag {name}; it is damaged.")
    if 262 not in tags:
        raise DataError(
            "it lacks the tag PhotometricInterpretation, so black and white could be "
            "meant either way; save it again."
        )
    counts = (page.imagedepth, page.samplesperpixel, page.rowsperstrip)
    counts += (page.tilelength, page.tilewidth, page.tiledepth) * page.is_tiled
    if not all(isinstance(count, int) for count in counts):  # a tag says which kind
        raise DataError(f"its counts {counts} are not whole numbers; it is damaged.")
    size = (page.imagelength, page.imagewidth)
    if min(*size, page.imagedepth, page.samplesperpixel) < 1:
        raise DataError(f"it is {size[0]} x {size[1]} pixels; it is damaged.")
    check_pixels(size, max_pixels, page.samplesperpixel * page.imagedepth)
    if page.is_tiled:
        tile = (page.tilelength, page.tilewidth)
        if min(*tile, page.tiledepth) < 1:
            raise DataError(f"its tiles are {tile[0]} x {tile[1]}; it is damaged.")
        check_pixels(tile, max_pixels, page.samplesperpixel * page.tiledepth)
    _check_samples(page)
    _check_segments(page)


def _check_samples(page: tifffile.TiffPage) -> None:
    bits, kind = page.bitspersample, _KINDS.get(page.sampleformat)
    if isinstance(bits, tuple):
        raise DataError(
            f"its samples have {bits} bits; save them with the same number of bits."
        )
    if kind is None or page.dtype is None or bits not in _DEPTHS[kind]:
        raise DataError(
            f"its samples have {bits} bits in the sample format {page.sampleformat}; "
            "save it with 8 or 16 bits, or, unless it is a mask, as 32-bit float."
        )
    compression = int(page.compression)
    if compression not in (*_BYTES, *_FAX, *_PICTURES):
        raise DataError(
            f"its compression {_name(page)} cannot be read; save it uncompressed or "
            "with deflate or LZW."
        )
    if compression in _FAX and (bits != 1 or page.samplesperpixel != 1):
        raise DataError(f"its compression is for 1 bit, but it has {bits}.")
    if compression in _FAX and not hasattr(imagecodecs, "ccittrle_decode"):
        raise DataError(
            f"its compression {_name(page)} needs a newer imagecodecs: pip install -U "
            "imagecodecs tifffile"
        )
    if page.predictor != 1 and (bits not in _WHOLE or page.predictor not in (2, 3)):
        raise DataError(
            f"its predictor {int(page.predictor)} for {bits} bits cannot be read; save "
            "it without predictor."
        )
    if page.is_subsampled and compression != JPEG:
        raise DataError("its chroma is subsampled; save it as RGB.")


def _check_segments(page: tifffile.TiffPage) -> None:
    """Raises DataError unless every strip or tile is there, within the file."""
    size, count = page.parent.filehandle.size, int(np.prod(page.chunked))
    offsets, lengths = page.dataoffsets, page.databytecounts
    listed = page.tags.get(324, page.tags.get(273)).count
    if page.is_contiguous and listed == count:  # one piece of the file
        offsets, lengths, count = offsets[:1], [page.nbytes], 1
    if not len(offsets) == len(lengths) == count:
        raise DataError(
            f"it has {len(offsets)} strips or tiles, but its size needs {count}; it is "
            "damaged."
        )
    for offset, length in zip(offsets, lengths, strict=True):
        if not offset or not length:
            raise DataError(
                "some of its strips or tiles are not stored; save it whole."
            )
        if offset + length > size:
            raise DataError("it is cut short: its pixels would end beyond the file.")


def decode(page: tifffile.TiffPage) -> tuple[np.ndarray, bool]:
    """(the array of a checked page in its own shape, whether values may be changed).

    Any exception when the compressed bytes are damaged; DataError where they hold
    another size or type of numbers than the tags declare.
    """
    if page.is_contiguous:
        return _declared(page.asarray(maxworkers=1), page, page.shape), False
    out = np.zeros(page.shaped, page.dtype)
    lossy = False
    for index in range(len(page.dataoffsets)):
        part, (s, d, y, x, _), changed = segment(page, index)
        lossy |= changed
        inside = part[: out.shape[1] - d, : out.shape[2] - y, : out.shape[3] - x]
        depth, height, width = inside.shape[:3]
        out[s, d : d + depth, y : y + height, x : x + width] = inside
    return out.reshape(page.shape), lossy


def segment(
    page: tifffile.TiffPage, index: int
) -> tuple[np.ndarray, tuple[int, ...], bool]:
    """(one strip or tile [d, h, w, c], where it begins, whether values may be changed).

    Raises what `decode` does.
    """
    header, file = _PICTURES.get(int(page.compression)), page.parent.filehandle
    tables = {"jpegtables": page.jpegtables} if page.compression == JPEG else {}
    file.seek(page.dataoffsets[index])
    data = file.read(page.databytecounts[index])
    lossy = header is not None and _checked(header(data), page).lossy
    if tables:
        jpegs.check(data, page.jpegtables, ended=False)
    part, place, _ = page.decode(data, index, **tables)
    return _declared(part, page, None), place, lossy


def _checked(
    header: codestreams.Header | None, page: tifffile.TiffPage
) -> codestreams.Header:
    """The header of one strip or tile, which must not be larger than the tags say."""
    if header is None:
        raise DataError(f"its compressed data are no {_name(page)}; it is damaged.")
    height = page.tilelength if page.is_tiled else page.rowsperstrip
    width = page.tilewidth if page.is_tiled else page.imagewidth
    block = 16  # JPEG pads to whole blocks
    if header.height >= height + block or header.width >= width + block:
        raise DataError(
            f"its tags declare parts of {height} x {width} pixels, but one holds "
            f"{header.height} x {header.width}; it is damaged."
        )
    samples = page.shaped[-1]
    without_alpha = page.compression in _WEBP and samples == 4  # which is then opaque
    if header.samples != samples - without_alpha * (header.samples == 3):
        raise DataError(
            f"its tags declare {samples} samples, but its data hold {header.samples}; "
            "it is damaged."
        )
    return header


def _declared(
    array: np.ndarray, page: tifffile.TiffPage, shape: tuple[int, ...] | None
) -> np.ndarray:
    """The array, of the type and shape that the tags of its page declare."""
    dtype = page.dtype.newbyteorder("=")
    if page.bitspersample == 1 and array.dtype == np.uint8 and array.max() <= 1:
        array = array.astype(dtype)
    if array.dtype != dtype or (shape is not None and array.shape != shape):
        raise DataError(
            f"its tags declare {dtype} numbers {shape or ''}, but its data hold "
            f"{array.dtype} {array.shape}; it is damaged."
        )
    if array.dtype.kind == "u" and page.bitspersample not in _WHOLE:
        high = int(array.max())
        if high >> page.bitspersample:
            raise DataError(
                f"its tags declare {page.bitspersample} bits, but it holds {high}."
            )
    return array


def _name(page: tifffile.TiffPage) -> str:
    """The compression of a page in words; its number where it has no name."""
    return getattr(page.compression, "name", str(page.compression))
