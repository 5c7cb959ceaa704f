"""A JPEG that was cut short, or lost a part, is refused; any whole one passes."""

import functools
import io
import itertools
import random
import struct

import imagecodecs
import numpy as np
import pytest
from PIL import Image
from pydicom.encaps import encapsulate
from support import dicom_files, tiff_files

from jaxseg.data.files import dicom, jpegs
from jaxseg.data.files.images import read_image, read_mask
from jaxseg.errors import DataError

RNG = np.random.default_rng(0)
END = b"\xff\xd9"
CONTENTS = {
    "noise": RNG.integers(0, 256, (101, 73, 3), np.uint8),
    "black": np.zeros((101, 73, 3), np.uint8),
    "grey": np.full((101, 73, 3), 128, np.uint8),  # one code alone, where optimised
    "mask": np.kron(RNG.integers(0, 2, (10, 8, 1)), np.ones((10, 9, 3))) * 255,
    "one pixel": np.full((1, 1, 3), 77, np.uint8),
    "a pixel of a block": RNG.integers(0, 256, (41, 49, 3), np.uint8),
}
KINDS = {
    "sequential": {},
    "progressive": {"progressive": True},
    "restarts": {"restart_marker_blocks": 2},
    "progressive, restarts": {"progressive": True, "restart_marker_blocks": 3},
}


@functools.cache
def jpeg(mode="L", content="noise", **options):
    data = io.BytesIO()
    image = Image.fromarray(CONTENTS[content].astype(np.uint8)).convert(mode)
    image.save(data, "JPEG", **options)
    return data.getvalue()


def scan(data):
    """Where the compressed data of the first scan begin."""
    return data.index(b"\xff\xda") + 20


@pytest.mark.parametrize("content", CONTENTS)
@pytest.mark.parametrize("kind", KINDS)
def test_a_whole_jpeg_of_any_kind_passes(kind, content):
    modes, sizes = ("L", "RGB", "CMYK"), (0, 2)  # of the chroma
    options = itertools.product(modes, (5, 75, 100), (False, True), sizes)
    for mode, quality, optimize, size in options:
        more = {} if mode == "L" else {"subsampling": size}
        more |= {"quality": quality, "optimize": optimize}
        data = jpeg(mode, content, **KINDS[kind], **more)
        for behind in (b"", bytes(700), b"junk" * 9, data):
            jpegs.check(data + behind)
        jpegs.check(data[: -len(END)], ended=False)


def test_what_a_camera_puts_into_a_jpeg_passes(tmp_path):
    image, path = Image.fromarray(CONTENTS["noise"]), tmp_path / "a.jpg"
    options = {"save_all": True, "append_images": [image]}
    image.save(path, "MPO", **options)
    read_image(path)
    # a small picture of its own, cut short, among the facts about the large one
    exif = b"Exif\0\0" + jpeg()[:900] + END
    data = jpeg("RGB")
    segment = b"\xff\xe1" + struct.pack(">H", len(exif) + 2) + exif
    jpegs.check(data[:2] + segment + b"\xff\xff" + data[3:])
    # bytes that fill a line of the cache
    jpegs.check(data[:-2] + bytes(40) + END)
    for encode, bits in ((imagecodecs.jpegls_encode, 8), (imagecodecs.ljpeg_encode, 8)):
        jpegs.check(encode(CONTENTS["noise"][..., 0] >> (8 - bits)))
    cells = (CONTENTS["noise"][..., 0].astype(np.uint16) * 15)[:96, :72].copy()
    jpegs.check(imagecodecs.jpeg8_encode(cells, bitspersample=12))


def test_blocks_of_which_one_pixel_shows_pass():
    for seed in range(40):  # of some of them no byte of the end changes that pixel
        sharp = np.random.default_rng(seed).integers(0, 2, (48, 56)) * 255
        data = io.BytesIO()
        Image.fromarray(sharp.astype(np.uint8)).save(data, "JPEG", quality=100)
        data = data.getvalue()
        at = data.index(b"\xff\xc0") + 5
        jpegs.check(data[:at] + struct.pack(">2H", 41, 49) + data[at + 4 :])


@pytest.mark.parametrize("mode", ["L", "RGB"])
@pytest.mark.parametrize("kind", KINDS)
def test_a_jpeg_that_was_cut_short_is_refused(kind, mode):
    data, drawn = jpeg(mode, quality=85, **KINDS[kind]), random.Random(0)
    for at in [drawn.randrange(scan(data), len(data) - 4) for _ in range(30)]:
        for cut in (data[:at] + END, data[:at] + bytes(len(data) - at)):
            with pytest.raises(DataError, match="damaged"):
                jpegs.check(cut)


def test_a_jpeg_with_a_hole_is_refused():
    data, drawn = jpeg("L", quality=85), random.Random(0)
    for at in [drawn.randrange(scan(data), len(data) - 600) for _ in range(30)]:
        hole = data[:at] + bytes(512) + data[at + 512 :]
        with pytest.raises(DataError, match="damaged"):
            jpegs.check(hole)


def test_bytes_that_belong_to_no_block_are_refused():
    data = jpeg("L")
    with pytest.raises(DataError, match="last 64 bytes .* belong to no block"):
        jpegs.check(data[:-2] + bytes(100) + END)


def test_scans_and_restarts_that_are_missing_are_refused():
    data = jpeg("RGB", progressive=True)
    for at in range(scan(data), len(data)):
        if data.startswith(b"\xff\xda", at):
            at = data.rindex(b"\xff\xc4", 0, at)  # the codes of that scan
            with pytest.raises(DataError, match="its last scans are missing"):
                jpegs.check(data[:at] + END)
    data = jpeg("L", restart_marker_blocks=2)
    one, two = (data.index(b"\xff" + bytes([0xD0 + k])) for k in (3, 4))
    with pytest.raises(DataError, match="restart markers are not all there"):
        jpegs.check(data[:one] + data[two:])


@pytest.mark.parametrize("kind", KINDS)
def test_a_size_without_the_bytes_for_it_is_refused_undecoded(
    tmp_path, monkeypatch, kind
):
    data = jpeg("L", "black", **KINDS[kind])
    at = next(
        data.index(start) for start in (b"\xff\xc0", b"\xff\xc2") if start in data
    )
    path = tmp_path / "a.jpg"
    path.write_bytes(data[: at + 5] + struct.pack(">2H", 7900, 7900) + data[at + 9 :])

    def never(*args, **options):
        raise AssertionError("it was decoded")

    monkeypatch.setattr(jpegs.imagecodecs, "jpeg8_decode", never)
    with pytest.raises(DataError, match=r"a.jpg: .*7900 x 7900 pixels need at least"):
        read_image(path)


def test_every_reader_refuses_a_jpeg_that_was_cut_short(tmp_path):
    data, path = jpeg("L", "mask", quality=95), tmp_path / "a.jpg"
    path.write_bytes(data)
    read_mask(path, threshold=True)
    cut = data[: (scan(data) + len(data)) // 2] + END
    path.write_bytes(cut)
    for read in (read_image, functools.partial(read_mask, threshold=True)):
        with pytest.raises(DataError, match="a.jpg: it is damaged: .* before its last"):
            read(path)

    grey = CONTENTS["mask"][..., 0].astype(np.uint8)
    for content, damaged in ((data, False), (data[:-2], False), (cut, True)):
        tags = tiff_files.tags(grey.shape, 8, t259=7)
        tiff = tiff_files.write(tmp_path / "a.tif", [(tags, [content])])
        frame = content + bytes(len(content) % 2)
        packed = {"syntax": dicom_files.JPEG, "PixelData": encapsulate([frame])}
        film = dicom_files.write(tmp_path / "a.dcm", grey, **packed)
        if damaged:
            for read, name in ((read_image, tiff), (dicom.read, film)):
                with pytest.raises(DataError, match="it is damaged: .* its last block"):
                    read(name)
        else:
            read_image(tiff)
            if content.endswith(END):
                dicom.read(film)
