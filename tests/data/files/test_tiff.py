"""TIFF files of every depth, layout and compression: the numbers come back as drawn."""

import itertools

import cv2
import imagecodecs
import numpy as np
import pytest
import tifffile
from PIL import Image
from support import tiff_files

from jaxseg.data.files.images import read_image, read_mask
from jaxseg.errors import DataError

RNG = np.random.default_rng(0)
SIZE = (37, 45)
GREY = RNG.integers(0, 256, SIZE, dtype=np.uint8)
STAINS = RNG.integers(0, 65536, (*SIZE, 5), dtype=np.uint16)
SMOOTH = cv2.GaussianBlur(RNG.integers(0, 256, (*SIZE, 3), np.uint8), (0, 0), 6)
COMPRESSIONS = (None, "lzw", "zlib", "packbits", "lzma", "zstd")
ENCODERS = {
    1: bytes,
    5: imagecodecs.lzw_encode,
    8: imagecodecs.zlib_encode,
    32773: imagecodecs.packbits_encode,
}


def write_one(path, array, bits, photometric=1, compression=1, order="<", **more):
    """A strip of whole numbers [h, w] in so many bits each."""
    data = ENCODERS[compression](tiff_files.packed(array, bits, order))
    tags = tiff_files.tags(array.shape, bits, photometric, t259=compression, **more)
    return tiff_files.write(path, [(tags, [data])], order=order)


def write_samples(path, samples, photometric, extra, *, planar=False, **more):
    """Samples u8 [h, w] of one image, interleaved or in planes of their own."""
    stack, count = np.stack(samples, -1), len(samples)
    tags = tiff_files.tags(
        stack.shape[:2], 8, photometric, t277=count, t284=2 if planar else 1, **more
    )
    tags[258] = ("H", [8] * count)
    if extra is not None:
        tags[338] = ("H", extra)
    planes = [s.tobytes() for s in samples] if planar else [stack.tobytes()]
    return tiff_files.write(path, [(tags, planes)])


@pytest.mark.parametrize("compression", COMPRESSIONS)
@pytest.mark.parametrize("channels", range(1, 6))
def test_every_layout_of_every_compression(tmp_path, channels, compression):
    path = tmp_path / "a.tif"
    layouts = [
        (dtype, photometric, planar, order, layout)
        for dtype, photometric, planar, order, layout in itertools.product(
            ("u1", "u2"),
            ("minisblack", "rgb")[: 1 + (channels > 2)],
            ("contig", "separate")[: 1 + (channels > 1)],
            "<>",
            ({}, {"tile": (16, 32)}, {"rowsperstrip": 5, "predictor": True}),
        )
    ]
    for dtype, photometric, planar, order, layout in layouts[channels % 2 :: 2]:
        array = STAINS[..., :channels].astype(dtype)
        options = {"photometric": photometric, "byteorder": order, **layout}
        if compression in (None, "packbits"):
            options.pop("predictor", None)
        if channels > 1:
            colours = 3 if photometric == "rgb" else 1
            options["planarconfig"] = planar
            options["extrasamples"] = ["unspecified"] * (channels - colours)
        stored = np.moveaxis(array, -1, 0) if planar == "separate" else array
        stored = stored[..., 0] if channels == 1 else np.ascontiguousarray(stored)
        tifffile.imwrite(
            path, stored, compression=compression, metadata=None, **options
        )
        image = read_image(path)
        assert image.dtype == dtype
        np.testing.assert_array_equal(image, array, err_msg=str(options))


@pytest.mark.parametrize("order", "<>")
@pytest.mark.parametrize("bits", [1, 2, 4, 8, 9, 10, 12, 14, 15, 16])
def test_every_number_of_bits(tmp_path, bits, order):
    array, top = RNG.integers(0, 2**bits, (9, 13)), 2**bits - 1
    for compression, white_is_zero in itertools.product(ENCODERS, (False, True)):
        path = write_one(
            tmp_path / "a.tif", array, bits, int(not white_is_zero), compression, order
        )
        shown = top - array if white_is_zero else array
        image = read_image(path)
        assert image.dtype == (np.uint8 if bits <= 8 else np.uint16)
        scale = 255 // top if bits < 8 else 1
        np.testing.assert_array_equal(image[..., 0], shown * scale)
        if white_is_zero and bits > 1:
            with pytest.raises(DataError, match="counts white as zero"):
                read_mask(path)
        else:
            np.testing.assert_array_equal(read_mask(path), shown)


def test_bits_from_the_other_end_of_a_byte(tmp_path):
    array = RNG.integers(0, 16, (9, 13))
    data = bytes(imagecodecs.bitorder_encode(tiff_files.packed(array, 4)))
    tags = tiff_files.tags((9, 13), 4, t266=2)
    path = tiff_files.write(tmp_path / "a.tif", [(tags, [data])])
    np.testing.assert_array_equal(read_mask(path), array)


@pytest.mark.parametrize("scale", [1, 257], ids=["8-bit map", "16-bit map"])
@pytest.mark.parametrize("bits", [1, 2, 4, 8, 16])
def test_palettes(tmp_path, bits, scale):
    array = RNG.integers(0, 2**bits, (9, 13))
    colours = RNG.integers(0, 256, (3, 2**bits))
    colours[0, 0] = 255  # a map that never leaves 0 to 255 is one of 8 bits
    table = ("H", (colours * scale).ravel().tolist())
    path = write_one(tmp_path / "a.tif", array, bits, 3, t320=table)
    np.testing.assert_array_equal(
        read_image(path), np.moveaxis(colours[:, array], 0, 2)
    )


@pytest.mark.parametrize("dtype", ["i1", "i2", "i4", "u4", "u8", "i8"])
def test_other_whole_numbers(tmp_path, dtype):
    array = (GREY % 120).astype(dtype)
    tifffile.imwrite(tmp_path / "a.tif", array, compression="lzw")
    np.testing.assert_array_equal(read_image(tmp_path / "a.tif")[..., 0], array)
    np.testing.assert_array_equal(read_mask(tmp_path / "a.tif"), array)
    array = array.astype(dtype)
    if dtype[0] == "i":
        array[3, 4] = -1
        tifffile.imwrite(tmp_path / "a.tif", array, compression="lzw")
        with pytest.raises(DataError, match="values from -1 to 119"):
            read_image(tmp_path / "a.tif")


R, G, B = np.moveaxis(SMOOTH, -1, 0)
FULL, NOT_FULL = np.full_like(GREY, 255), np.maximum(GREY, 1)
RAMP = ("H", list(range(0, 65536, 256)) * 3)
ALPHA = {  # samples, photometric, extra samples, the image or what is wrong
    "unassociated": ([R, G, B, FULL], 2, [2], SMOOTH),
    "associated": ([R, G, B, FULL], 2, [1], SMOOTH),
    "fifth": ([R, G, B, GREY, FULL], 2, [0, 2], np.dstack([SMOOTH, GREY])),
    "fourth of five": ([R, G, B, FULL, GREY], 2, [2, 0], np.dstack([SMOOTH, GREY])),
    "infrared": ([R, G, B, GREY], 2, [0], np.dstack([SMOOTH, GREY])),
    "grey": ([GREY, FULL], 1, [2], GREY),
    "two stains": ([GREY, R], 1, None, np.dstack([GREY, R])),
    "white is zero": ([GREY, FULL], 0, [2], 255 - GREY),
    "partly transparent": ([R, G, B, NOT_FULL], 2, [2], "partly transparent"),
    "premultiplied": ([GREY, NOT_FULL], 1, [1], "partly transparent"),
    "unnamed opaque": ([R, G, B, FULL], 2, None, SMOOTH),
    "unnamed fourth": ([R, G, B, GREY], 2, None, "fourth channel of which no tag"),
    "negative stains": ([GREY, R], 0, [0], "colours are MINISWHITE, but.* 2 samples"),
    "two of RGB": ([R, G], 2, None, "colours are RGB, but it has 2 samples"),
    "CMYK": (
        [R, G, B, GREY],
        5,
        None,
        r"colours are CMYK \(SEPARATED\); save it as RGB",
    ),
    "Lab": ([R, G, B], 8, None, "colours are CIELAB"),
    "unknown": ([R, G, B], 99, None, "colours are 99"),
}


@pytest.mark.parametrize("planar", [False, True], ids=["contig", "planar"])
@pytest.mark.parametrize("name", ALPHA)
def test_transparency_and_further_samples(tmp_path, name, planar):
    samples, photometric, extra, expected = ALPHA[name]
    path = write_samples(tmp_path / "a.tif", samples, photometric, extra, planar=planar)
    if isinstance(expected, str):
        with pytest.raises(DataError, match=f"a.tif.*{expected}"):
            read_image(path)
    else:
        image = read_image(path)
        np.testing.assert_array_equal(image, expected.reshape(image.shape))


@pytest.mark.parametrize("dtype, top", [("u2", 65535), ("f4", 1)])
def test_a_fourth_channel_of_other_numbers(tmp_path, dtype, top):
    array = np.full((*SIZE, 4), top, dtype)
    array[..., :3] = RNG.random((*SIZE, 3)) * top
    bits, kind = 8 * array.dtype.itemsize, 1 if dtype == "u2" else 3
    tags = tiff_files.tags(SIZE, bits, 2, t277=4, t258=("H", [bits] * 4))
    tags[339] = ("H", [kind] * 4)
    path = tiff_files.write(tmp_path / "a.tif", [(tags, [array.tobytes()])])
    assert read_image(path).shape == (*SIZE, 3)
    array[3, 4, 3] = 0
    tiff_files.write(path, [(tags, [array.tobytes()])])
    with pytest.raises(DataError, match="fourth channel of which no tag"):
        read_image(path)


def test_the_transparency_of_a_palette_that_is_opaque(tmp_path):
    path = write_samples(tmp_path / "a.tif", [GREY, FULL], 3, [2], t320=RAMP)
    np.testing.assert_array_equal(read_image(path)[..., 0], GREY)


def ycbcr(rgb, luma):
    """Luminance and chroma u8 of colours, by ITU-R BT.601 or another standard."""
    y = rgb @ np.array(luma)
    blue, red = ((rgb[..., k] - y) / (2 - 2 * luma[k]) + 128 for k in (2, 0))
    return np.stack([y, blue, red], -1).round().clip(0, 255).astype(np.uint8)


@pytest.mark.parametrize("planar", [1, 2])
@pytest.mark.parametrize("compression", [1, 5])
def test_luminance_and_chroma_become_colours(tmp_path, compression, planar):
    array = ycbcr(SMOOTH, (0.299, 0.587, 0.114))
    parts = [array] if planar == 1 else np.moveaxis(array, -1, 0)
    parts = [ENCODERS[compression](np.ascontiguousarray(p).tobytes()) for p in parts]
    bits = ("H", [8, 8, 8])
    tags = tiff_files.tags(
        SIZE, 8, 6, t258=bits, t259=compression, t277=3, t284=planar, t530=("H", [1, 1])
    )
    path = tiff_files.write(tmp_path / "a.tif", [(tags, parts)])
    assert np.abs(read_image(path).astype(int) - SMOOTH).max() <= 2
    for subsampling in (("H", [2, 2]), None):
        changed = {**tags, 530: subsampling}
        if subsampling is None:
            del changed[530]  # 2 x 2 is what TIFF assumes
        path = tiff_files.write(tmp_path / "a.tif", [(changed, parts)])
        with pytest.raises(DataError, match="its chroma is subsampled"):
            read_image(path)


def test_luminance_of_other_standards(tmp_path):
    tags = tiff_files.tags(
        SIZE, 8, 6, t258=("H", [8, 8, 8]), t277=3, t530=("H", [1, 1])
    )
    hd = {529: ("R", [2125, 10000, 7154, 10000, 721, 10000])}
    array = ycbcr(SMOOTH, (0.2125, 0.7154, 0.0721))
    path = tiff_files.write(tmp_path / "a.tif", [(tags | hd, [array.tobytes()])])
    assert np.abs(read_image(path).astype(int) - SMOOTH).max() <= 2
    array = ycbcr(SMOOTH, (0.299, 0.587, 0.114)).astype(float)
    array[..., 0] = array[..., 0] * 219 / 255 + 16
    array[..., 1:] = (array[..., 1:] - 128) * 224 / 255 + 128
    array = array.round().astype(np.uint8)
    video = {532: ("R", [16, 1, 235, 1, 128, 1, 240, 1, 128, 1, 240, 1])}
    path = tiff_files.write(tmp_path / "a.tif", [(tags | video, [array.tobytes()])])
    assert np.abs(read_image(path).astype(int) - SMOOTH).max() <= 4


@pytest.mark.parametrize(
    "options",
    [
        {"photometric": "rgb", "subsampling": (1, 1)},
        {"photometric": "rgb", "subsampling": (2, 2)},
        {"photometric": "rgb", "outcolorspace": "rgb"},
        {"photometric": "rgb", "tile": (16, 16)},
        {"photometric": "rgb", "planarconfig": "separate"},
        {"photometric": "minisblack"},
        {"photometric": "miniswhite", "tile": (16, 32)},
    ],
)
def test_jpeg_inside(tmp_path, options):
    options = dict(options)
    level = {"level": 98}
    if "outcolorspace" in options:  # stored as red, green and blue
        level["outcolorspace"] = options.pop("outcolorspace")
    rgb = options["photometric"] == "rgb"
    expected = SMOOTH if rgb else SMOOTH[..., :1]
    stored = expected if rgb else expected[..., 0]
    if "planarconfig" in options:
        stored = np.ascontiguousarray(np.moveaxis(stored, -1, 0))
    if options["photometric"] == "miniswhite":
        stored = 255 - stored
    path = tmp_path / "a.tif"
    tifffile.imwrite(
        path,
        stored,
        compression="jpeg",
        compressionargs=level,
        metadata=None,
        **options,
    )
    image = read_image(path)
    assert image.shape == expected.shape
    assert np.abs(image.astype(int) - expected).max() <= 20
    with pytest.raises(DataError, match="JPEG, which changes label values|white"):
        read_mask(path)


def test_lossless_wavelets_are_masks_and_lossy_ones_are_not(tmp_path):
    path, options = tmp_path / "a.tif", {"compression": "jpeg2000", "metadata": None}
    for array in (GREY % 7, STAINS[..., 0]):
        tifffile.imwrite(path, array, **options)
        np.testing.assert_array_equal(read_mask(path), array)
        np.testing.assert_array_equal(read_image(path)[..., 0], array)
    lossy = {"reversible": False, "level": 30}
    tifffile.imwrite(path, GREY, compressionargs=lossy, **options)
    with pytest.raises(DataError, match="changes label values"):
        read_mask(path)
    tifffile.imwrite(path, SMOOTH, compression="webp", photometric="rgb")
    np.testing.assert_array_equal(read_image(path), SMOOTH)


@pytest.mark.parametrize("photometric", [0, 1])
@pytest.mark.parametrize("compression", ["group3", "group4", "tiff_ccitt"])
def test_fax(tmp_path, compression, photometric):
    path, tag = tmp_path / "a.tif", {262: photometric}
    Image.fromarray(GREY > 99).save(path, compression=compression, tiffinfo=tag)
    with Image.open(path) as image:
        shown = np.asarray(image)
    np.testing.assert_array_equal(read_mask(path), shown)
    np.testing.assert_array_equal(read_image(path)[..., 0], shown * 255)


@pytest.mark.parametrize("orientation", range(9))
def test_orientation_of_the_tag_and_of_xmp(tmp_path, orientation):
    turned = {6: np.rot90(GREY, -1), 8: np.rot90(GREY), 3: GREY[::-1, ::-1]}
    turned |= {2: GREY[:, ::-1], 4: GREY[::-1], 5: GREY.T, 7: GREY[::-1, ::-1].T}
    xmp = f'<x tiff:Orientation="{orientation}"/>'.encode()
    for more in ({"t274": orientation}, {"t700": ("B", xmp)}, {"t700": ("s", xmp)}):
        path = write_one(tmp_path / "a.tif", GREY, 8, **more)
        expected = turned.get(orientation, GREY)
        np.testing.assert_array_equal(read_image(path)[..., 0], expected)
        np.testing.assert_array_equal(read_mask(path), expected)


@pytest.mark.parametrize("dtype", [np.float16, np.float32])
@pytest.mark.parametrize(
    "options",
    [{}, {"compression": "lzw"}, {"compression": "zlib", "predictor": 3}]
    + [{"byteorder": ">"}, {"tile": (16, 16), "compression": "zstd", "predictor": 3}],
)
def test_floating_point(tmp_path, dtype, options):
    array = RNG.normal(size=(*SIZE, 2)).astype(dtype) * 50
    path = tmp_path / "a.tif"
    tifffile.imwrite(
        path, array, photometric="minisblack", planarconfig="contig", **options
    )
    image = read_image(path)
    assert image.dtype == np.uint16 and image.shape == array.shape
    for k in range(2):
        values = np.sort(array[..., k].astype(np.float64), axis=None)
        low, high = values[1], values[-2]  # 0.1 and 99.9 % of 1665 pixels
        shares = (array[..., k].astype(np.float64) - low) / (high - low)
        expected = np.rint(shares.clip(0, 1) * 65535)
        np.testing.assert_array_equal(image[..., k], expected)
    with pytest.raises(DataError, match="save labels as whole numbers"):
        tifffile.imwrite(path, array[..., 0])
        read_mask(path)
    array[1, :2, 0], array[4, 5, 1] = np.nan, -np.inf
    tifffile.imwrite(path, array, photometric="minisblack", planarconfig="contig")
    with pytest.raises(DataError, match="a.tif holds 2 NaN and 1 infinite numbers"):
        read_image(path)
