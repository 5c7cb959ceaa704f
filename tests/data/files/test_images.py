"""Every format people bring: the stored numbers come back, damage is an error."""

import importlib.metadata
import struct
import zlib

import cv2
import numpy as np
import pytest
import tifffile
from PIL import Image, ImageOps

from jaxseg.data.files import colours, images
from jaxseg.data.files.images import read_image, read_mask
from jaxseg.errors import DataError

RNG = np.random.default_rng(0)
GREY = RNG.integers(0, 256, (30, 41), dtype=np.uint8)
COLOUR = RNG.integers(0, 256, (30, 41, 3), dtype=np.uint8)
WIDE = RNG.integers(0, 65536, (30, 41, 3), dtype=np.uint16)
IDS = RNG.integers(0, 4, (30, 41), dtype=np.uint8)


def save(path, array, **options):
    Image.fromarray(array).save(path, **options)
    return path


@pytest.mark.parametrize("suffix", ["png", "bmp", "tif", "PNG"])
@pytest.mark.parametrize("array", [GREY, COLOUR], ids=["grey", "colour"])
def test_eight_bits_come_back(tmp_path, suffix, array):
    image = read_image(save(tmp_path / f"a.{suffix}", array))
    assert image.dtype == np.uint8
    np.testing.assert_array_equal(image, array.reshape(30, 41, -1))


def test_jpeg_comes_back_nearly(tmp_path):
    smooth = cv2.GaussianBlur(COLOUR, (0, 0), 6)
    image = read_image(save(tmp_path / "a.jpg", smooth, quality=95))
    assert image.shape == (30, 41, 3)
    assert np.abs(image.astype(int) - smooth).mean() < 3


@pytest.mark.parametrize("array", [WIDE, WIDE[..., 0]], ids=["colour", "grey"])
def test_sixteen_bit_png(tmp_path, array):
    bgr = array[..., ::-1] if array.ndim == 3 else array
    cv2.imwrite(str(tmp_path / "a.png"), bgr)
    image = read_image(tmp_path / "a.png")
    assert image.dtype == np.uint16
    np.testing.assert_array_equal(image, array.reshape(30, 41, -1))


@pytest.mark.parametrize("orientation", range(1, 9))
@pytest.mark.parametrize("suffix", ["jpg", "png", "tif"])
def test_exif_orientation_is_applied(tmp_path, orientation, suffix):
    path, blocks = tmp_path / f"a.{suffix}", np.kron(GREY[:3, :4], np.ones((8, 8)))
    blocks, exif = blocks.astype(np.uint8), Image.Exif()
    exif[274] = orientation
    other = tmp_path / ("b.png" if suffix == "tif" else f"a.{suffix}")
    save(other, blocks, exif=exif, **({"quality": 100} if suffix == "jpg" else {}))
    if suffix == "tif":
        tag = (274, "H", 1, orientation, True)
        tifffile.imwrite(path, blocks, extratags=[tag])
    with Image.open(other) as image:
        expected = np.asarray(ImageOps.exif_transpose(image))
    np.testing.assert_array_equal(read_image(path)[..., 0], expected)
    if suffix != "jpg":
        np.testing.assert_array_equal(read_mask(path), expected)


@pytest.mark.parametrize(
    "shape, options",
    [
        ((30, 41, 5), {}),
        ((30, 41, 5), {"metadata": {"axes": "YXC"}}),
        ((30, 41, 5), {"photometric": "minisblack", "planarconfig": "contig"}),
        ((30, 41, 3), {}),
        ((5, 30, 41), {}),
        ((5, 30, 41), {"metadata": {"axes": "CYX"}}),
        ((2, 30, 41), {"imagej": True}),
        ((3, 30, 41), {"photometric": "rgb"}),
        ((4, 30, 41), {"metadata": None, "photometric": "minisblack"}),
        ((1, 3, 30, 41), {"imagej": True, "metadata": {"axes": "ZCYX"}}),
    ],
)
def test_tiff_channels_first_or_last(tmp_path, shape, options):
    array = RNG.integers(0, 65536, shape, dtype=np.uint16)
    tifffile.imwrite(tmp_path / "a.tif", array, **options)
    image = read_image(tmp_path / "a.tif")
    last = array if shape[0] == 30 else np.moveaxis(array.reshape(-1, 30, 41), 0, -1)
    assert image.dtype == np.uint16
    np.testing.assert_array_equal(image, last)


@pytest.mark.parametrize("compression", ["tiff_lzw", "tiff_adobe_deflate", "packbits"])
@pytest.mark.parametrize("kind", ["grey", "colour", "bits", "palette", "white0"])
def test_compressed_tiff(tmp_path, compression, kind):
    path, options = tmp_path / "a.tif", {"compression": compression}
    if kind == "bits":
        save(path, GREY > 99, **options)
        np.testing.assert_array_equal(read_mask(path), GREY > 99)
        expected = (GREY > 99) * 255
    elif kind == "palette":
        Image.fromarray(IDS).convert("P").save(path, **options)
        np.testing.assert_array_equal(read_mask(path), IDS)
        expected = IDS  # the palette of convert("P") is grey
    elif kind == "white0":
        Image.fromarray(GREY).save(path, tiffinfo={262: 0}, **options)
        with Image.open(path) as image:
            expected = np.asarray(image)  # Pillow shows what a viewer shows
        with pytest.raises(DataError, match="a.tif counts white as zero"):
            read_mask(path)
    else:
        expected = GREY if kind == "grey" else COLOUR
        save(path, expected, **options)
    np.testing.assert_array_equal(read_image(path), expected.reshape(30, 41, -1))


@pytest.mark.parametrize("bits", [1, 2, 4])
def test_small_numbers_of_few_bits(tmp_path, bits):
    ids = np.asarray(IDS % 2**bits)
    path = tmp_path / "a.png"
    if bits == 1:
        Image.fromarray(ids.astype(bool)).save(path)
    else:
        png = Image.fromarray(ids)
        png.putpalette([c for k in range(2**bits) for c in (k * 9, 250 - k * 9, 7)])
        png.save(path, bits=bits)
    np.testing.assert_array_equal(read_mask(path), ids)
    if bits > 1:
        image = read_image(path)  # colours, not indices
        np.testing.assert_array_equal(image[..., 0], ids * 9)
        assert image.shape[-1] == 3


def grey_png(depth, row, size=None):
    """A greyscale PNG of `depth` bits a pixel; no library here writes 2 or 4."""

    def chunk(kind, body):
        check = struct.pack(">I", zlib.crc32(kind + body))
        return struct.pack(">I", len(body)) + kind + body + check

    bits = "".join(f"{value:0{depth}b}" for value in row)
    count = -(-len(bits) // 8)
    line = b"\0" + int(bits.ljust(8 * count, "0"), 2).to_bytes(count, "big")
    head = struct.pack(">2I5B", *(size or (len(row), 1)), depth, 0, 0, 0, 0)
    body = chunk(b"IDAT", zlib.compress(line)) + chunk(b"IEND", b"")
    return b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", head) + body


@pytest.mark.parametrize("depth", [1, 2, 4])
def test_grey_of_few_bits_is_a_small_number_in_a_mask(tmp_path, depth):
    ids, path = [0, 1, 2**depth - 1, 1, 0], tmp_path / "a.png"
    path.write_bytes(grey_png(depth, ids))
    np.testing.assert_array_equal(read_mask(path)[0], ids)
    scale = 255 // (2**depth - 1)
    np.testing.assert_array_equal(read_image(path)[0, :, 0], np.array(ids) * scale)


def test_alpha(tmp_path):
    clear = np.full((30, 41, 1), 255, np.uint8)
    path = save(tmp_path / "a.png", np.concatenate([COLOUR, clear], -1))
    np.testing.assert_array_equal(read_image(path), COLOUR)
    clear[3, 4] = 254
    save(path, np.concatenate([COLOUR, clear], -1))
    with pytest.raises(DataError, match="a.png is partly transparent"):
        read_image(path)


def test_masks_in_colour(tmp_path):
    path = save(tmp_path / "m.png", np.repeat(IDS[..., None], 3, -1))
    np.testing.assert_array_equal(read_mask(path), IDS)
    with pytest.raises(colours.InColour, match="m.png is a mask in 3 channels") as no:
        read_mask(save(path, COLOUR))
    assert no.value.counts[:, 3].sum() == COLOUR[..., 0].size
    red = np.zeros((30, 41, 3), np.uint8)
    red[:3, :, 0] = 255
    with pytest.raises(DataError, match=r"0,0,0 \(90 %\), 255,0,0 \(10 %\); save"):
        read_mask(save(path, red))


def test_jpeg_masks(tmp_path):
    blocks = np.kron(IDS[:3, :4] % 2, np.full((8, 8), 255)).astype(np.uint8)
    path = save(tmp_path / "m.jpg", blocks)
    with pytest.raises(DataError, match="label values; save masks as PNG.$"):
        read_mask(path)
    np.testing.assert_array_equal(read_mask(path, threshold=True), blocks)


def test_instance_ids_above_255(tmp_path):
    ids = np.arange(30 * 41, dtype=np.int32).reshape(30, 41)
    tifffile.imwrite(tmp_path / "m.tif", ids)
    np.testing.assert_array_equal(read_mask(tmp_path / "m.tif"), ids)


def test_dicom():
    path = next(
        f.locate()
        for f in importlib.metadata.files("pydicom-data")
        if f.name == "RG3_UNCR.dcm"
    )
    image = read_image(path)
    assert image.dtype == np.uint16 and image.ndim == 3 and image.shape[-1] == 1
    with pytest.raises(DataError, match="mask cannot be DICOM"):
        read_mask(path)


@pytest.mark.parametrize("suffix", ["png", "jpg", "bmp", "tif", "dcm"])
@pytest.mark.parametrize("left", [0, 3, 0.5, -9])
def test_damaged_files_are_named(tmp_path, suffix, left):
    path = tmp_path / f"broken.{suffix}"
    whole = save(tmp_path / f"a.{'png' if suffix == 'dcm' else suffix}", COLOUR)
    data = whole.read_bytes()
    path.write_bytes(data[: int(len(data) * left) if left == 0.5 else left])
    with pytest.raises(DataError, match=f"broken.{suffix}"):
        read_image(path)


def test_refused(tmp_path):
    path = tmp_path / "a.tif"
    for array, words in [
        (np.zeros((4, 5), np.float64), "64 bits in the sample format 3"),
        (np.full((4, 5), -1, np.int16), "from -1 to -1"),
        (np.full((4, 5), 70000, np.int32), "to 70000.*0 to 65535"),
        (np.zeros((20, 14, 15), np.uint8), "stack"),
    ]:
        tifffile.imwrite(path, array, photometric="minisblack")
        with pytest.raises(DataError, match=f"a.tif.*{words}"):
            read_image(path)
    with pytest.raises(DataError, match="a.gif: .gif cannot be read"):
        read_image(tmp_path / "a.gif")
    Image.fromarray(GREY).convert("CMYK").save(tmp_path / "a.jpg")
    with pytest.raises(DataError, match="a.jpg: its colours are CMYK"):
        read_image(tmp_path / "a.jpg")


@pytest.mark.parametrize("suffix", ["png", "tif"])
def test_bombs_are_refused_from_the_header(tmp_path, suffix):
    path = tmp_path / f"a.{suffix}"
    if suffix == "png":
        path.write_bytes(grey_png(1, [0] * 8, size=(9000, 8000)))
    else:
        tifffile.imwrite(path, np.zeros((2, 9000), np.uint8))
        with tifffile.TiffFile(path, mode="r+") as file:
            file.pages.first.tags["ImageLength"].overwrite(8000)
    with pytest.raises(DataError, match=f"a.{suffix}: it is 8000 x 9000 pixels"):
        read_image(path)
    whole = save(tmp_path / f"b.{suffix}", GREY)
    assert read_image(whole, max_pixels=30 * 41).size
    with pytest.raises(DataError, match="30 x 41 pixels, more than max_pixels = 1229"):
        read_image(whole, max_pixels=30 * 41 - 1)
    assert images.MAX_PIXELS == 64_000_000
