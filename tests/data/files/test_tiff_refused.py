"""TIFF files that lie, are damaged, or could be meant in two ways are refused, soon."""

import io
import itertools
import tracemalloc
import zlib

import imagecodecs
import numpy as np
import pytest
import tifffile
from PIL import Image
from support import tiff_files

from jaxseg.data.files.images import read_image, read_mask
from jaxseg.errors import DataError

RNG = np.random.default_rng(0)
SIZE = (32, 48)
GREY = RNG.integers(0, 256, SIZE, dtype=np.uint8)
COLOUR = RNG.integers(0, 256, (*SIZE, 3), dtype=np.uint8)


def tags(bits=8, photometric=1, size=SIZE, **more):
    return tiff_files.tags(size, bits, photometric, **more)


def page(array=GREY, **more):
    return tags(size=array.shape, **more), [array.tobytes()]


def jpeg(array):
    file = io.BytesIO()
    image = array if isinstance(array, Image.Image) else Image.fromarray(array)
    image.save(file, "JPEG")
    return file.getvalue()


def wavelets(array):
    return imagecodecs.jpeg2k_encode(array, codecformat="j2k", reversible=True)


def ome(pixels):
    head = '<OME xmlns="http://www.openmicroscopy.org/Schemas/OME/2016-06"><Image>'
    return ("s", f"{head}{pixels}</Image></OME>\0".encode())


ELSEWHERE = ome(
    '<Pixels DimensionOrder="XYCZT" SizeX="48" SizeY="32" SizeC="2" SizeZ="1" '
    'SizeT="1" Type="uint8"><TiffData IFD="0"><UUID FileName="../secret.tif">urn:uuid:1'
    "</UUID></TiffData></Pixels>"
)
MANY = ("H", [8] * 64)
TILE = {322: ("I", [65536]), 323: ("I", [65536])}
DOTS = {322: ("I", [1]), 323: ("I", [1])}
MILLION = bytes(10_000_000)
STRIPS = [imagecodecs.lzw_encode(GREY[k : k + 8].tobytes()) for k in range(0, 32, 8)]
FOUR = jpeg(Image.fromarray(np.dstack([COLOUR, GREY]), "CMYK"))
LZW = imagecodecs.lzw_encode(GREY.tobytes())
CASES = {  # pages, what is said
    "circle": ([page(), page()], "in a circle"),
    "300 pages": ([page()] * 300, "more than 256 pages"),
    "9 pages": ([page()] * 9, "stack, axes IYX"),
    "12 narrow pages": ([page(GREY[:, :8])] * 12, "stack, axes IYX"),
    "equal pages": ([page()] * 3, "3 pages of which some are equal"),
    "two sizes": ([page(), page(GREY[:9, :12].copy())], "2 images of different sizes"),
    "mask page": ([page(), page(t262=4)], "2 images of different sizes"),
    "turned page": ([page(), page(t274=3)], r"orientations \[1, 3\]"),
    "sub-pages": ([page(t330=("I", [8] * 5000))], "5000 sub-pages"),
    "orientation 9": ([page(t274=9)], "orientation is 9, and allowed are 1 to 8"),
    "XMP differs": (
        [page(t274=6, t700=("B", b"<tiff:Orientation>3<"))],
        "TIFF orientation is 6, but its XMP says 3",
    ),
    "64 channels": ([(tags(t277=64, t258=MANY, size=(8000, 8000)), [b"0"])], "64 chan"),
    "65535 channels": ([page(t277=65535)], "at most 64 are read"),
    "huge tile": ([({**tags(t259=8), **TILE}, [b"0"])], "65536 x 65536 pixels"),
    "tiny tiles": ([({**tags(), **DOTS}, [b"0"])], "1 strips or tiles, but.*1536"),
    "inflates": ([(tags(t259=8), [zlib.compress(MILLION)])], "damaged"),
    "inflates by zstd": (
        [(tags(t259=50000), [imagecodecs.zstd_encode(MILLION)])],
        "damaged",
    ),
    "large JPEG": (
        [(tags(t259=7), [jpeg(np.zeros((900, 900), "u1"))])],
        "holds 900 x 900",
    ),
    "large wavelets": (
        [(tags(t259=34712), [wavelets(np.zeros((900, 900), "u1"))])],
        "parts of 32 x 48 pixels, but one holds 900 x 900",
    ),
    "16 bits in 8": ([(tags(t259=34712), [wavelets(GREY * np.uint16(2))])], "uint16"),
    "3 samples in 1": ([(tags(t259=7), [jpeg(COLOUR)])], "1 samples, but.* hold 3"),
    "3 wavelets in 1": ([(tags(t259=34712), [wavelets(COLOUR)])], "hold 3"),
    "no JPEG": ([(tags(t259=7), [GREY.tobytes()])], "are no JPEG"),
    "cut short": ([(tags(), [GREY.tobytes()[:1000]])], "end beyond the file"),
    "short LZW": ([(tags(t259=5), [LZW[:300]])], "damaged"),
    "cut deflate": ([(tags(t259=8), [zlib.compress(GREY.tobytes())[:99]])], "damaged"),
    "one strip of 7": ([page(t278=("I", [5]))], "1 strips or tiles, but.* needs 7"),
    "strip not stored": (
        [(tags(t259=5, t278=("I", [8])), [*STRIPS[:2], b"", STRIPS[3]])],
        "some of its strips or tiles are not stored; save it whole",
    ),
    "no photometric": ([page(t262=None)], "lacks the tag PhotometricInterpretation"),
    "no width": ([page(t256=None)], "lacks the tag ImageWidth"),
    "no rows": ([page(t257=("I", [0]))], "0 x 48 pixels"),
    "565": ([page(t277=3, t258=("H", [5, 6, 5]), t262=2)], r"\(5, 6, 5\) bits"),
    "3 bits": ([page(t258=3)], "3 bits in the sample format 1"),
    "doubles": (
        [(tags(t258=64, t339=3), [GREY.astype("f8").tobytes()])],
        "64 bits in the sample format 3; .*, unless it is a mask, as 32-bit float",
    ),
    "white floats": (
        [(tags(t258=32, t339=3, t262=0), [GREY.astype("f4").tobytes()])],
        "MINISWHITE, but its numbers are float32; save it as RGB or as greyscale in",
    ),
    "void": ([page(t339=4)], "8 bits in the sample format 4"),
    "compression": ([page(t259=34887)], "compression LERC cannot be read"),
    "no compression": ([page(t259=999)], "compression 999 cannot be read"),
    "predictor": ([page(t258=12, t317=2)], "predictor 2 for 12 bits"),
    "no palette": ([page(t262=3)], "palette is missing"),
    "small palette": ([page(t262=3, t320=("H", [7] * 30))], "palette is .* wrong size"),
    "palette pages": (
        [page(GREY + np.uint8(k), t262=3, t320=("H", [9] * 768)) for k in range(2)],
        "has a palette, and 2 pages",
    ),
    "YCbCr and alpha": (
        [(tags(t277=4, t258=("H", [8] * 4), t259=7, t262=6, t338=2), [FOUR])],
        "colours are YCbCr of an unusual kind",
    ),
    "other OME files": ([page(t270=ELSEWHERE)], "OME description does not fit"),
    "ImageJ": (
        [page(t270=("s", b"ImageJ=1.53t\nimages=248874\nslices=248874\n\0"))],
        "ImageJ description does not fit",
    ),
    "shaped": ([page(t270=("s", b'{"shape": [99999999, 32, 48]}\0'))], "stack"),
}


@pytest.mark.parametrize("name", CASES)
def test_refused_in_one_sentence_before_anything_is_allocated(tmp_path, name):
    pages, words = CASES[name]
    following = [1, 0] if name == "circle" else None
    path = tiff_files.write(tmp_path / "a.tif", pages, following=following)
    tracemalloc.start()
    try:
        with pytest.raises(DataError, match=f"a.tif.*{words}"):
            read_image(path)
        peak = tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()
    assert peak < 100 * 2**20


def test_another_kind_of_file_is_told_what_to_be_called(tmp_path):
    (tmp_path / "a.tif").write_bytes(b"\x89PNG\r\n\x1a\n" + bytes(99))
    with pytest.raises(
        DataError, match="no TIFF file; save it as TIFF, or give its na"
    ):
        read_image(tmp_path / "a.tif")


def test_channels_of_all_pages_count(tmp_path):
    planes = [page(GREY + np.uint8(k)) for k in range(5)]
    path = tiff_files.write(tmp_path / "a.tif", planes)
    assert read_image(path, max_pixels=2 * GREY.size).shape == (*SIZE, 5)
    with pytest.raises(DataError, match="32 x 48 pixels of 5 channels, more values"):
        read_image(path, max_pixels=GREY.size)


def test_a_tag_that_cannot_be_parsed_is_no_missing_tag(tmp_path):
    path = tiff_files.write(tmp_path / "a.tif", [page(t284=2, t277=1)])
    data = bytearray(path.read_bytes())
    at = data.index((284).to_bytes(2, "little") + b"\x03\0")
    data[at + 2] = 99  # a type that TIFF does not have
    path.write_bytes(data)
    with pytest.raises(DataError, match=r"its tags \[284\] are damaged"):
        read_image(path)


def test_tags_that_claim_more_than_the_file(tmp_path):
    path = tiff_files.write(tmp_path / "a.tif", [page(t700=("B", b"<xmp/>"))])
    data = bytearray(path.read_bytes())
    at = data.index((700).to_bytes(2, "little") + b"\x01\0")
    data[at + 4 : at + 8] = (2**30).to_bytes(4, "little")
    path.write_bytes(data)
    with pytest.raises(DataError, match="its tags claim more bytes than it has"):
        read_image(path)


def test_what_may_stand_beside_the_image(tmp_path):
    copy = GREY[:9, :12].copy()
    pages = [page(), page(copy, t254=("I", [1]))]
    path = tiff_files.write(tmp_path / "a.tif", pages)
    np.testing.assert_array_equal(read_image(path)[..., 0], GREY)
    path = tiff_files.write(path, [page()] * 2)
    np.testing.assert_array_equal(read_mask(path), GREY)  # of equal pages
    planes = [page(np.ascontiguousarray(COLOUR[..., k])) for k in range(3)]
    path = tiff_files.write(path, planes)
    np.testing.assert_array_equal(read_image(path), COLOUR)
    first = tags(t270=("s", b"ImageJ=1.53t\nimages=3\nchannels=3\n\0"))
    planes = np.moveaxis(COLOUR, -1, 0).tobytes()  # behind the only page
    path = tiff_files.write(path, [(first, [planes])])
    np.testing.assert_array_equal(read_image(path), COLOUR)


def test_pages_are_rows_only_of_an_array_saved_whole(tmp_path):
    """An image of 37 x 45 pixels of 5 channels, or 37 pages of 45 x 5 pixels?"""
    array = RNG.integers(0, 256, (37, 45, 5), dtype=np.uint8)
    path, options = tmp_path / "a.tif", {"photometric": "minisblack"}
    tifffile.imwrite(path, array, **options)
    np.testing.assert_array_equal(read_image(path), array)
    for pages in (array, array[:12]):
        tifffile.imwrite(path, pages, metadata=None, **options)
        with pytest.raises(DataError, match="stack, axes IYX"):
            read_image(path)
    tifffile.imwrite(path, array[:12, :, :4], **options)  # 12 rows, or 12 slices
    with pytest.raises(DataError, match="stack, axes QYX"):
        read_image(path)


def test_every_damaged_byte_is_read_right_or_refused(tmp_path):
    """Each byte of the header and the tags, changed: no other error, no other shape."""
    path = tiff_files.write(tmp_path / "a.tif", [(tags(t259=5), [LZW])])
    whole = path.read_bytes()
    positions = [*range(8), *range(len(whole) - 130, len(whole))]
    for position, change in itertools.product(positions, (0x01, 0x80, 0xFF)):
        data = bytearray(whole)
        data[position] ^= change
        path.write_bytes(data)
        try:
            image = read_image(path)
        except DataError as error:
            assert "a.tif" in str(error)
        else:
            assert image.ndim == 3 and image.size <= 4 * 64_000_000
