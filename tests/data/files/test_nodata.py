"""What a TIFF file declares as no data takes no levels from the picture."""

import numpy as np
import pytest
import tifffile
from PIL import Image

from jaxseg.data import intensity
from jaxseg.data.datasets import image_folder
from jaxseg.data.files.images import read_image, read_picture
from jaxseg.errors import DataError
from jaxseg.predict import regions

RNG = np.random.default_rng(0)
SIZE = (40, 30)
LOWEST = float(np.finfo(np.float32).min)
VALUES = {  # the number in the pixels, and the text of the tag
    "-9999": (-9999, "-9999"),
    "with digits": (-9999, "-9999.000000"),
    "fraction": (-0.1, "-0.1"),
    "within": (0.5, "0.5"),
    "above": (1e6, "1000000"),
    "nan": (np.nan, "nan"),
    "nan of Windows": (np.nan, "-1.#IND"),
    "infinite": (-np.inf, "-inf"),
    "lowest": (LOWEST, repr(LOWEST)),
    "lowest, rounded": (LOWEST, "-3.4e+38"),
}


def write(path, array, text, **options):
    """A GeoTIFF as far as its tag GDAL_NODATA goes; [h, w] or planes [c, h, w]."""
    options = {"photometric": "minisblack", "metadata": None} | options
    if array.ndim == 3:
        options["planarconfig"] = "separate"
    tags = [(42113, "s", 0, text, True)]
    tifffile.imwrite(path, array, extratags=tags, **options)
    return path


@pytest.mark.parametrize("name", VALUES)
@pytest.mark.parametrize("dtype", [np.float32, np.float16])
def test_floats_are_stretched_over_the_picture_alone(tmp_path, dtype, name):
    value, text = VALUES[name]
    if abs(value) > float(np.finfo(dtype).max):  # such a file cannot hold it
        value = np.copysign(np.inf, value)
    planes = RNG.random((2, *SIZE)).astype(dtype)
    planes[0, :13], planes[1, :, :7] = value, value
    image = read_image(write(tmp_path / "a.tif", planes, text))
    for k, rest in enumerate((np.s_[13:], np.s_[:, 7:])):
        film = planes[k][rest]
        np.testing.assert_array_equal(
            image[..., k][rest], intensity.from_float(film[..., None])[..., 0]
        )
        hidden = np.ones(SIZE, bool)
        hidden[rest] = False
        assert not image[..., k][hidden].any()


def test_other_nan_is_refused_as_ever(tmp_path):
    array = RNG.random(SIZE, np.float32)
    array[:9], array[20, 3:5] = -9999, np.nan
    with pytest.raises(DataError, match="a.tif holds 2 NaN and 0 infinite"):
        read_image(write(tmp_path / "a.tif", array, "-9999"))
    array[20, 3:5] = np.inf
    with pytest.raises(DataError, match="a.tif holds 0 NaN and 2 infinite"):
        read_image(write(tmp_path / "a.tif", array, "nan"))


@pytest.mark.parametrize("value", [0, 65535])
@pytest.mark.parametrize("photometric", ["minisblack", "miniswhite"])
def test_sixteen_bits_become_as_dark_as_the_picture(tmp_path, photometric, value):
    array = RNG.integers(30_000, 31_000, SIZE, np.uint16)
    upside_down = photometric == "miniswhite"
    dark = array[9:].max() if upside_down else array[9:].min()
    array[:9] = value
    path = write(tmp_path / "a.tif", array, str(value), photometric=photometric)
    expected = np.where(array == value, dark, array)
    expected = 65535 - expected if upside_down else expected
    np.testing.assert_array_equal(read_image(path)[..., 0], expected)
    words = "MINISWHITE" if upside_down else "GDAL_NODATA .* known from the whole image"
    with pytest.raises(DataError, match=words):
        regions.Rows(path)


def test_negative_no_data_of_whole_numbers_leaves_the_rest(tmp_path):
    array = RNG.integers(200, 900, SIZE).astype(np.int16)
    low = array[9:].min()
    array[:9] = -9999
    image = read_image(write(tmp_path / "a.tif", array, "-9999"))
    np.testing.assert_array_equal(image[..., 0], np.where(array < 0, low, array))


@pytest.mark.parametrize("text", ["-9999", "nan", "70000", "3.5"])
def test_a_number_that_whole_numbers_cannot_hold_changes_nothing(tmp_path, text):
    array = RNG.integers(0, 65536, SIZE, np.uint16)
    path = write(tmp_path / "a.tif", array, text)
    np.testing.assert_array_equal(read_image(path)[..., 0], array)
    with regions.Rows(path) as rows:
        np.testing.assert_array_equal(rows.read(0, SIZE[0])[..., 0], array)


def test_eight_bits_stay_and_the_folder_says_so(tmp_path, caplog):
    for name in ("set/images", "set/masks"):
        (tmp_path / name).mkdir(parents=True)
    for k in range(9):
        array, mask = RNG.integers(0, 256, SIZE, np.uint8), np.zeros(SIZE, np.uint8)
        mask[5:20, 5 : 15 + k] = 1
        path = write(
            tmp_path / f"set/images/im{k}.tif", array, "255" if k < 4 else "-1"
        )
        assert read_picture(path).nodata == (k < 4)
        np.testing.assert_array_equal(read_image(path)[..., 0], array)
        Image.fromarray(mask).save(tmp_path / f"set/masks/im{k}.png")
    with caplog.at_level("WARNING"):
        image_folder.prepare(tmp_path / "set", tmp_path / "out", progress=False)
    assert "4 images of 8 bits hold the number that their tag GDAL_NODATA" in (
        caplog.text
    )


@pytest.mark.parametrize("dtype", [np.float32, np.uint16])
def test_what_leaves_no_picture_is_refused(tmp_path, dtype):
    array = np.zeros((2, *SIZE), dtype)
    array[0] = RNG.integers(5, 90, SIZE)
    for pixels, words in ((0, "100 % of its channel 1"), (3, "99.75 % of its chan")):
        array[1].flat[:pixels] = 7
        with pytest.raises(DataError, match=f"a.tif: {words}.*0, which its tag GDAL_N"):
            read_image(write(tmp_path / "a.tif", array, "0"))
    with pytest.raises(DataError, match="a.tif: its tag GDAL_NODATA is 'none', but"):
        read_image(write(tmp_path / "a.tif", array, "none"))
