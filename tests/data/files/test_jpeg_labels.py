"""A mask that was saved as JPEG is cut where it was black and white, else refused."""

import io

import cv2
import numpy as np
import pytest
from PIL import Image

from jaxseg.data.files import jpeg_labels
from jaxseg.data.files.images import read_mask
from jaxseg.errors import DataError


def shapes(seed, values=(255,), size=(120, 150)):
    """Discs, boxes and lines on black, of values in turn, none below 11 pixels."""
    rng, mask = np.random.default_rng(seed), np.zeros(size, np.uint8)
    for k in range(7):
        x, y, r = rng.integers(150), rng.integers(120), rng.integers(6, 25)
        value = values[k % len(values)]
        if k % 3 == 0:
            cv2.circle(mask, (int(x), int(y)), int(r), value, -1)
        elif k % 3 == 1:
            cv2.rectangle(mask, (int(x), int(y)), (int(x + r), int(y + 6)), value, -1)
        else:
            cv2.line(mask, (int(x), int(y)), (int(y), int(x)), value, 3)
    return mask


def jpeg(mask, quality):
    file = io.BytesIO()
    Image.fromarray(mask).save(file, "JPEG", quality=quality)
    return np.asarray(Image.open(file))


@pytest.mark.parametrize("quality", [30, 50, 75, 90, 100])
def test_black_and_white_comes_back(quality):
    for seed in range(12):
        mask = shapes(seed)
        out = jpeg_labels.black_or_white(jpeg(mask, quality))
        assert set(np.unique(out)) <= {0, 255}
        assert (out != mask).mean() < 0.01
        assert (out != mask)[cv2.dilate(mask, None) == cv2.erode(mask, None)].sum() == 0


@pytest.mark.parametrize("quality", [50, 75, 95])
@pytest.mark.parametrize(
    "values",
    [
        (128,),
        (16,),
        (60,),
        (180,),
        (128, 255),
        (40, 255),
        (85, 170, 255),
        (12, 255),
    ],
)
def test_other_values_are_refused(values, quality):
    for seed in range(4):
        with pytest.raises(DataError, match="it is a JPEG with (values up|an area of)"):
            jpeg_labels.black_or_white(jpeg(shapes(seed, values), quality))


def test_an_empty_mask_is_empty():
    assert not jpeg_labels.black_or_white(np.zeros((9, 9), np.uint8)).any()


def test_the_file_is_named(tmp_path):
    path = tmp_path / "m.jpg"
    Image.fromarray(shapes(0, (128,))).save(path)
    with pytest.raises(DataError, match="m.jpg: it is a JPEG with values up to 1.*PNG"):
        read_mask(path, threshold=True)
    Image.fromarray(shapes(0)).save(path, format="MPO", save_all=True)
    np.testing.assert_array_equal(read_mask(path, threshold=True) > 0, shapes(0) > 0)
