"""A new image is checked against the images of training, and floats go their way."""

import numpy as np
import pytest

from jaxseg.data import intensity
from jaxseg.errors import DataError
from jaxseg.inference.image import as_stored

RNG = np.random.default_rng(0)
FLOATS = RNG.normal(size=(9, 7, 2)).astype(np.float32)


def test_floats_become_what_training_saw():
    image = as_stored(FLOATS, channels=2, dtype="uint16", floats=True)
    np.testing.assert_array_equal(image, intensity.from_float(FLOATS))
    half = FLOATS[..., 0].astype(">f2")
    image = as_stored(half, channels=1, dtype="uint16", floats=True)
    expected = intensity.from_float(half.astype(np.float16)[..., None])
    np.testing.assert_array_equal(image, expected)


@pytest.mark.parametrize(
    "image, floats, words",
    [
        (FLOATS, False, "holds float32 numbers, but the model was trained on uint16"),
        (FLOATS.astype(np.uint16), True, "uint16 .*trained on float16 or float32"),
        (FLOATS.astype(np.float64), True, "float64 .*trained on float16 or float32"),
        (FLOATS * np.float32(np.inf), True, "the image holds 0 NaN and 126 infinite"),
        (FLOATS[..., :1], True, r"shape \(9, 7, 1\); this model takes"),
    ],
)
def test_nothing_is_converted_silently(image, floats, words):
    with pytest.raises(DataError, match=words):
        as_stored(image, channels=2, dtype="uint16", floats=floats)
