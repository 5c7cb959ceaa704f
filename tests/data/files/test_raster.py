"""PNG, BMP and JPEG of every kind: the numbers come back, transparency is refused."""

import io
import os
import struct

import cv2
import numpy as np
import pytest
from PIL import Image
from support import raster_files

from jaxseg.data.files import raster
from jaxseg.data.files.images import read_image, read_mask
from jaxseg.errors import DataError

RNG = np.random.default_rng(0)
SIZE = (9, 13)
SMOOTH = cv2.GaussianBlur(RNG.integers(0, 256, (24, 40), np.uint8), (0, 0), 3)
GREY, RGB, INDEXED, GREY_ALPHA, RGB_ALPHA = 0, 2, 3, 4, 6
KINDS = [(GREY, depth, 1) for depth in (1, 2, 4, 8, 16)]
KINDS += [(RGB, 8, 3), (RGB, 16, 3), (GREY_ALPHA, 8, 2), (GREY_ALPHA, 16, 2)]
KINDS += [(RGB_ALPHA, 8, 4), (RGB_ALPHA, 16, 4)]


@pytest.mark.parametrize("interlaced", [False, True])
@pytest.mark.parametrize("colour, depth, channels", KINDS)
def test_png_of_every_kind(tmp_path, colour, depth, channels, interlaced):
    path, top = tmp_path / "a.png", 2**depth - 1
    array = RNG.integers(0, top + 1, (*SIZE, channels))
    opaque = colour in (GREY_ALPHA, RGB_ALPHA)
    if opaque:
        array[..., -1] = top
    kept = array[..., : channels - opaque]
    raster_files.png(path, array, depth, colour, interlaced=interlaced)
    image = read_image(path)
    assert image.dtype == (np.uint16 if depth == 16 else np.uint8)
    np.testing.assert_array_equal(image, kept * (255 // top if depth < 8 else 1))
    if kept.shape[-1] == 1:
        np.testing.assert_array_equal(read_mask(path), kept[..., 0])
    if opaque:
        array[2, 3, -1] = top - 1
        raster_files.png(path, array, depth, colour, interlaced=interlaced)
        for read in (read_image, read_mask):
            with pytest.raises(DataError, match="a.png is partly transparent"):
                read(path)


@pytest.mark.parametrize("depth, colour", [k[1::-1] for k in KINDS[:7]])
def test_png_with_one_transparent_colour(tmp_path, colour, depth):
    path, channels = tmp_path / "a.png", 3 if colour == RGB else 1
    array = RNG.integers(0, 2**depth, (*SIZE, channels))
    key = struct.pack(f">{channels}H", *array[3, 4].tolist())
    raster_files.png(path, array, depth, colour, transparent=key)
    for read in (read_image, read_mask):
        with pytest.raises(DataError, match="a.png is partly transparent"):
            read(path)
    array = np.where(array == 0, 1, array)  # now the transparent colour is nowhere
    raster_files.png(path, array, depth, colour, transparent=bytes(2 * channels))
    scale = 255 // (2**depth - 1) if depth < 8 else 1
    np.testing.assert_array_equal(read_image(path), array * scale)


@pytest.mark.parametrize("depth", [1, 2, 4, 8])
def test_png_and_bmp_with_a_palette(tmp_path, depth):
    array = RNG.integers(0, 2**depth, SIZE)
    colours = RNG.integers(0, 256, (2**depth, 3))
    colours[0] = 0, 0, 9  # no black, and no white, so labels are indices
    png = raster_files.png(tmp_path / "a.png", array, depth, INDEXED, palette=colours)
    paths = [png]
    if depth != 2:
        for down in (False, True):
            paths.append(tmp_path / f"{down}.bmp")
            raster_files.bmp(
                paths[-1], array.astype("u1"), depth, palette=colours, top_down=down
            )
    for path in paths:
        np.testing.assert_array_equal(read_image(path), colours[array])
        np.testing.assert_array_equal(read_mask(path), array)
    clear = bytes([7])
    raster_files.png(png, array, depth, INDEXED, palette=colours, transparent=clear)
    array[0, 0] = 0
    raster_files.png(png, array, depth, INDEXED, palette=colours, transparent=clear)
    with pytest.raises(DataError, match="partly transparent"):
        read_image(png)
    np.testing.assert_array_equal(read_mask(png), array)  # a label is no colour


@pytest.mark.parametrize("suffix", ["png", "bmp"])
@pytest.mark.parametrize("depth", [1, 4, 8])
@pytest.mark.parametrize("white_first", [False, True])
def test_black_and_white_is_read_by_colour(tmp_path, depth, suffix, white_first):
    white, top = RNG.integers(0, 2, SIZE), 2**depth - 1
    greys = np.linspace(0, 255, top + 1).astype(int)
    greys = greys[::-1] if white_first else greys
    colours, array = np.stack([greys] * 3, 1), (white ^ white_first) * top
    path = tmp_path / f"m.{suffix}"
    if suffix == "png":
        raster_files.png(path, array, depth, INDEXED, palette=colours)
    else:
        raster_files.bmp(path, array.astype("u1"), depth, palette=colours)
    np.testing.assert_array_equal(read_image(path)[..., 0], white * 255)
    np.testing.assert_array_equal(read_mask(path) > 0, white)


BLACK, WHITE = (0, 0, 0), (255, 255, 255)
RAMP = [(k, k, k) for k in range(16)]


def oldest(path):
    """The same BMP with the header of OS/2, whose colours have three bytes."""
    data = path.read_bytes()
    width, height, planes, bits = struct.unpack_from("<2i2H", data, 18)
    start = struct.unpack_from("<I", data, 10)[0]
    table = b"".join(data[k : k + 3] for k in range(54, start, 4))
    table = table.ljust(3 * 2**bits, b"\7")
    head = struct.pack("<I4H", 12, width, height, planes, bits) + table
    body = head + data[start:]
    path.write_bytes(
        struct.pack("<2sI2HI", b"BM", 14 + len(body), 0, 0, 14 + len(head)) + body
    )


def run_lengths(path, array, bits):
    """The same BMP in runs, each of one pixel: RLE8 or RLE4."""
    data = path.read_bytes()
    start = struct.unpack_from("<I", data, 10)[0]
    shift = 4 if bits == 4 else 0
    rows = (b"".join(bytes([1, k << shift]) for k in row) for row in array[::-1])
    head = bytearray(data[:start])
    struct.pack_into("<I", head, 30, 2 if bits == 4 else 1)
    path.write_bytes(bytes(head) + b"\0\0".join(rows) + b"\0\1")


@pytest.mark.parametrize("form", ["up", "down", "runs", "oldest"])
@pytest.mark.parametrize("bits", [1, 4, 8])
@pytest.mark.parametrize("colours", [[BLACK, WHITE], [WHITE, BLACK], RAMP[:2], RAMP])
def test_bmp_whose_palette_has_few_greys(tmp_path, colours, bits, form):
    if bits == 1 and (form == "runs" or len(colours) > 2):
        return  # there is no such file
    colours = np.array(colours)
    array, path = RNG.integers(0, len(colours), SIZE).astype("u1"), tmp_path / "m.bmp"
    raster_files.bmp(path, array, bits, palette=colours, top_down=form == "down")
    if form == "oldest":
        oldest(path)
    if form == "runs":
        run_lengths(path, array, bits)
    shown = colours[array][..., :1]
    np.testing.assert_array_equal(read_image(path), shown)
    by_other_means = cv2.imread(str(path), cv2.IMREAD_GRAYSCALE)
    np.testing.assert_array_equal(by_other_means[..., None], shown)
    mask = read_mask(path)
    np.testing.assert_array_equal(mask > 0, shown[..., 0] > 0)
    if colours.max() < 255:  # greys that number classes
        np.testing.assert_array_equal(mask, array)


@pytest.mark.parametrize("suffix", ["png", "bmp"])
@pytest.mark.parametrize("bits", [4, 8])
def test_an_index_without_a_colour_is_refused(tmp_path, bits, suffix):
    array, colours = RNG.integers(0, 3, SIZE).astype("u1"), np.array([BLACK, WHITE])
    path = tmp_path / f"m.{suffix}"
    if suffix == "bmp":
        raster_files.bmp(path, array, bits, palette=colours)
    else:
        raster_files.png(path, array, bits, INDEXED, palette=colours)
    for read in (read_image, read_mask):
        with pytest.raises(DataError, match="index 2, but its palette has 2 colours"):
            read(path)


def test_bmp_of_many_bits(tmp_path):
    path, colour = tmp_path / "a.bmp", RNG.integers(0, 256, (*SIZE, 4), np.uint8)
    raster_files.bmp(path, colour[..., :3], 24)
    np.testing.assert_array_equal(read_image(path), colour[..., 2::-1])
    raster_files.bmp(path, colour, 32)  # the fourth byte is not used
    np.testing.assert_array_equal(read_image(path), colour[..., 2::-1])
    mask = RNG.integers(0, 2, SIZE).astype(np.uint16)
    raster_files.bmp(path, mask * np.uint16(0x7FFF), 16)  # five bits a colour
    np.testing.assert_array_equal(read_mask(path), mask * 255)


def test_a_jpeg_is_known_by_its_content(tmp_path):
    image = Image.fromarray(SMOOTH)
    options = {"save_all": True, "append_images": [image], "quality": 95}
    image.save(tmp_path / "phone.jpg", format="MPO", **options)
    image.save(tmp_path / "jpeg.png", format="JPEG", quality=95)
    for name in ("phone.jpg", "jpeg.png"):
        near = read_image(tmp_path / name)[..., 0].astype(int) - SMOOTH
        assert np.abs(near).max() < 9
        with pytest.raises(DataError, match=f"{name} is a JPEG, which changes label"):
            read_mask(tmp_path / name)


def test_animation_is_refused(tmp_path):
    frames = [Image.fromarray(SMOOTH), Image.fromarray(255 - SMOOTH)]
    frames[0].save(tmp_path / "a.png", save_all=True, append_images=frames[1:])
    with pytest.raises(DataError, match="a.png: it is animated, 2 frames"):
        read_image(tmp_path / "a.png")


@pytest.mark.parametrize("suffix", ["png", "jpg", "bmp", "tif"])
def test_what_is_no_file_is_refused(tmp_path, suffix):
    path = tmp_path / f"a.{suffix}"
    os.mkfifo(path)
    with pytest.raises(DataError, match=f"a.{suffix} is no regular file but a .*pipe"):
        read_image(path)
    path.unlink()
    path.symlink_to("/dev/zero")
    with pytest.raises(DataError, match=f"a.{suffix} is no regular file"):
        read_image(path)
    path.unlink()
    path.symlink_to(".git/annex/objects/gone")
    with pytest.raises(DataError, match=f"a.{suffix} is a link to .git/annex/objects"):
        read_image(path)
    path.unlink()
    path.mkdir()
    with pytest.raises(DataError, match=f"a.{suffix} is no regular file but a folder"):
        read_image(path)


def test_a_decoder_that_returns_another_size_is_not_trusted(tmp_path, monkeypatch):
    array = RNG.integers(0, 65536, (*SIZE, 3))
    path = raster_files.png(tmp_path / "a.png", array, 16, RGB)
    monkeypatch.setattr(
        raster.imagecodecs, "png_decode", lambda data: array[1:].astype(np.uint16)
    )
    with pytest.raises(DataError, match=r"header says \(9, 13\) pixels, its data hold"):
        read_image(path)


def test_a_file_larger_than_any_picture_is_not_read(tmp_path):
    path, file = tmp_path / "a.png", io.BytesIO()
    Image.fromarray(SMOOTH).save(file, "PNG")
    path.write_bytes(file.getvalue())
    os.truncate(path, 80 * 2**20)  # of holes
    with pytest.raises(DataError, match="has 83886080 bytes, more than"):
        read_image(path, max_pixels=1000)
