"""Pictures are turned upright by EXIF and XMP; a tag on one of a pair is refused."""

import pathlib
import struct

import cv2
import numpy as np
import pytest
from PIL import Image, PngImagePlugin
from support import tiff_files

from jaxseg.data.files import images, orientation
from jaxseg.errors import DataError

RNG = np.random.default_rng(0)
SMOOTH = cv2.GaussianBlur(RNG.integers(0, 256, (24, 40), np.uint8), (0, 0), 3)
FORMS = {
    "attribute": '<rdf:Description tiff:Orientation="{}"/>',
    "single quotes": "<rdf:Description tiff:Orientation = '{}'/>",
    "element": "<tiff:Orientation>{}</tiff:Orientation>",
}


def tagged(path, array, exif=None, xmp=None):
    """A JPEG, PNG or TIFF with an orientation in EXIF or its tag, in XMP, or both."""
    if path.suffix == ".tif":
        more = {} if exif is None else {"t274": exif}
        more |= {} if xmp is None else {"t700": ("B", xmp.encode())}
        tags = tiff_files.tags(array.shape, 8, **more)
        return tiff_files.write(path, [(tags, [array.tobytes()])])
    options = {"quality": 100} if path.suffix == ".jpg" else {}
    if exif is not None:
        options["exif"] = Image.Exif()
        options["exif"][orientation.TAG] = exif
    if path.suffix == ".png" and xmp is not None:
        options["pnginfo"] = PngImagePlugin.PngInfo()
        options["pnginfo"].add_itxt("XML:com.adobe.xmp", xmp)
    Image.fromarray(array).save(path, **options)
    if path.suffix == ".jpg" and xmp is not None:
        body = b"http://ns.adobe.com/xap/1.0/\0" + xmp.encode()
        data = path.read_bytes()
        marker = b"\xff\xe1" + struct.pack(">H", len(body) + 2)
        path.write_bytes(data[:2] + marker + body + data[2:])
    return path


@pytest.mark.parametrize("suffix", [".jpg", ".png", ".tif"])
@pytest.mark.parametrize("form", FORMS)
def test_xmp_is_seen_like_exif(tmp_path, form, suffix):
    path = tmp_path / f"a{suffix}"
    for turned in range(1, 9):
        upright = orientation.upright(SMOOTH, turned)
        for exif in (None, turned):
            tagged(path, SMOOTH, exif, FORMS[form].format(turned))
            picture = images.read_picture(path)
            assert picture.orientation == turned
            assert picture.pixels.shape[:2] == upright.shape
            assert np.abs(picture.pixels[..., 0].astype(int) - upright).max() < 4
    tagged(path, SMOOTH, 6, FORMS[form].format(3))
    with pytest.raises(
        DataError, match=f"a{suffix}.*orientation is 6, but its XMP .*3"
    ):
        images.read_image(path)


@pytest.mark.parametrize("suffix", [".jpg", ".png", ".tif"])
def test_tags_that_are_no_orientation(tmp_path, suffix):
    path = tagged(tmp_path / f"a{suffix}", SMOOTH, 0)  # not known, says the camera
    assert images.read_picture(path).orientation == 1
    tagged(path, SMOOTH, 9)
    with pytest.raises(DataError, match="orientation is 9, and allowed are 1 to 8"):
        images.read_image(path)


UNDECIDED = "it cannot be told whether the mask was drawn on the upright or on the stor"
SQUARE, WIDE = (24, 24), (24, 40)
PAIRS = [  # size of the mask, tag of the image, tag of the mask, what is wrong
    *[(WIDE, tag, tag, "") for tag in (1, 3, 6)],
    *[(SQUARE, tag, tag, "") for tag in (2, 8)],
    *[(WIDE, tag, 1, "") for tag in (5, 6, 7, 8)],  # its size says it is upright
    *[(WIDE, 1, tag, "") for tag in (5, 8)],
    *[(WIDE, tag, 1, UNDECIDED) for tag in (2, 3, 4)],
    *[(SQUARE, tag, 1, UNDECIDED) for tag in range(2, 9)],
    *[(SQUARE, 1, tag, UNDECIDED) for tag in (3, 6)],
    *[(WIDE, 6, tag, UNDECIDED) for tag in (3, 8)],
]


@pytest.mark.parametrize("size, first, second, words", PAIRS)
def test_only_one_of_a_pair_is_tagged(size, first, second, words):
    paths = pathlib.Path("a.jpg"), pathlib.Path("a.png")
    image = images.Picture(np.zeros((*size, 1), np.uint8), "uint8", first)
    mask = images.Labels(np.zeros(size, np.uint8), {}, second)
    problem = images.different(paths[0], image, paths[1], mask)
    if not words:
        assert problem == ""
    else:
        assert words in problem and "EXIF" in problem
        assert f"a.jpg has the orientation {first}" in problem


def test_a_mask_of_the_stored_pixels_has_another_size():
    paths = pathlib.Path("a.jpg"), pathlib.Path("a.png")
    image = images.Picture(np.zeros((24, 40, 1), np.uint8), "uint8", 6)
    mask = images.Labels(np.zeros((40, 24), np.uint8), {}, 1)
    problem = images.different(paths[0], image, paths[1], mask)
    assert problem.endswith(
        "a.png is 40 x 24; one of them is turned (by its EXIF tag?)."
    )
