"""Stored intensities as 8 bits: real photographs, 12 bits, 16 bits with an offset."""

import importlib.metadata

import cv2
import numpy as np
import pytest

from jaxseg.data import intensity
from jaxseg.errors import ConfigError, DataError

STRETCHED = ("percentile", "zscore")


def photograph(name):
    """A photograph that scikit-image brings, [h, w, 3] or [h, w, 1]."""
    files = importlib.metadata.files("scikit-image")
    path = next(f.locate() for f in files if str(f) == f"skimage/data/{name}")
    image = cv2.imread(str(path), cv2.IMREAD_UNCHANGED)
    return image[..., None] if image.ndim == 2 else np.ascontiguousarray(image)


@pytest.fixture(scope="module")
def grey():
    return photograph("camera.png")[::2, ::2]


def card(dtype, channels, span=None):
    extra = {} if span is None else {"intensity": {"span": span}}
    return {"dtype": dtype, "channels": channels, "extra": extra}


@pytest.mark.parametrize("name", ["astronaut.png", "camera.png"])
def test_photographs_stay_as_they_are(name):
    image = photograph(name)
    found = intensity.summary(intensity.histogram(image))
    facts = card("uint8", image.shape[-1], found["span"])
    mode = intensity.resolve("auto", facts)
    assert mode == ("imagenet" if image.shape[-1] == 3 else "none")
    np.testing.assert_array_equal(intensity.to_levels(image, mode=mode, bits=8), image)


def scaled(grey, bits, offset):
    """The same scene as a sensor of that many bits would store it, with its noise."""
    rng = np.random.default_rng(0)
    wide = grey / 255 * (2**bits - 1) + offset + rng.normal(0, 2, grey.shape)
    return np.clip(wide, 0, 65535).astype(np.uint16)


@pytest.mark.parametrize("bits, offset", [(12, 0), (12, 1000), (10, 30000), (16, 0)])
@pytest.mark.parametrize("mode", [*STRETCHED, "auto"])
def test_sixteen_bits_use_the_dynamic_range(grey, bits, offset, mode):
    image = scaled(grey, bits, offset)
    mode = intensity.resolve(mode, card("uint16", 1))
    out = intensity.to_levels(image, mode=mode, bits=8)
    assert out.dtype == np.uint8 and out.shape == image.shape
    assert len(np.unique(out)) > 100
    assert np.corrcoef(out.ravel(), grey.ravel())[0, 1] > 0.99
    assert 0.5 < out.std() / grey.std() < 2.0


@pytest.mark.parametrize("mode", STRETCHED)
def test_hot_and_dead_pixels_do_not_crush_the_rest(grey, mode):
    image = scaled(grey, 10, 500)
    clean = intensity.to_levels(image, mode=mode, bits=8)
    rng = np.random.default_rng(1)
    rows, columns = rng.integers(0, 256, (2, 40))
    image[rows[:20], columns[:20]] = 65535
    image[rows[20:], columns[20:]] = 0
    hot = intensity.to_levels(image, mode=mode, bits=8)
    kept = np.ones(image.shape, bool)
    kept[rows, columns] = False
    assert np.abs(hot[kept].astype(int) - clean[kept]).max() <= 3
    assert len(np.unique(hot)) > 100
    assert hot[rows[0], columns[0]] == 255 and hot[rows[-1], columns[-1]] == hot.min()


@pytest.mark.parametrize("mode", STRETCHED)
def test_channels_are_stretched_alone(grey, mode):
    image = np.concatenate([scaled(grey, 8, 100), scaled(grey, 14, 0)], axis=-1)
    both = intensity.to_levels(image, mode=mode, bits=8)
    for k in range(2):
        alone = intensity.to_levels(image[..., k : k + 1], mode=mode, bits=8)
        np.testing.assert_array_equal(both[..., k : k + 1], alone)
        assert len(np.unique(alone)) > 100


def test_percentiles_by_hand():
    image = np.arange(1000, 2000, dtype=np.uint16).reshape(20, 50, 1)
    out = intensity.to_levels(image, mode="percentile", low=10, high=90, bits=8)[
        ..., 0
    ].ravel()
    assert (out[:100] == 0).all() and (out[899:] == 255).all()  # 1099 and 1899
    assert out[499] == round(400 / 800 * 255)
    out = intensity.to_levels(image, mode="percentile", low=0, high=100, bits=8)
    assert out[0, 0] == 0 and out[-1, -1] == 255
    assert out[0, 4] == 1  # 4 of 999: the offset is no part of the window


def test_zscore_and_its_statistics_give_standard_deviations():
    rng = np.random.default_rng(0)
    image = rng.normal(5000, 300, (200, 200, 1)).astype(np.uint16)
    window = {"low": -3.0, "high": 5.0}
    mean, std = intensity.statistics("zscore", 1, **window)
    byte = intensity.to_levels(image, mode="zscore", **window, bits=8)
    z = (byte / 255 - mean[0]) / std[0]
    assert abs(z.mean()) < 0.02 and abs(z.std() - 1) < 0.02


def test_range_is_the_same_for_every_image():
    image = np.array([[[0], [100], [150], [200], [65535]]], np.uint16)
    out = intensity.to_levels(image, mode="range", low=100, high=200, bits=8)
    assert out[0, :, 0].tolist() == [0, 0, 128, 255, 255]


@pytest.mark.parametrize("dtype", [np.uint8, np.uint16])
@pytest.mark.parametrize("mode", STRETCHED)
@pytest.mark.parametrize("value", [0, 77, "max"])
def test_constant_images_become_black(dtype, mode, value):
    value = np.iinfo(dtype).max if value == "max" else value
    image = np.full((5, 4, 2), value, dtype)
    assert (intensity.to_levels(image, mode=mode, bits=8) == 0).all()


def test_a_few_bright_pixels_on_nothing_are_kept():
    image = np.zeros((100, 100, 1), np.uint16)
    image[3, 4:8] = 900  # 0.04 %: both percentiles fall on the background
    assert intensity.to_levels(image, mode="percentile", bits=8)[3, 4:8].min() == 255


def test_auto_stretches_bytes_that_use_few_levels(grey):
    dim = grey // 8 + 40
    found = intensity.summary(intensity.histogram(dim))
    assert found["min"][0] >= 40 and found["max"][0] <= 71
    assert intensity.resolve("auto", card("uint8", 1, found["span"])) == "percentile"


@pytest.mark.parametrize("mode", intensity.MODES)
@pytest.mark.parametrize("channels", [1, 3])
def test_statistics_have_one_number_a_channel(mode, channels):
    window = {"low": 0, "high": 9} if mode == "range" else {}
    mean, std = intensity.statistics(mode, channels, **window)
    assert len(mean) == len(std) == channels
    assert all(0 < m < 1 for m in mean) and all(0 < s < 1 for s in std)


def test_errors():
    wide = np.zeros((2, 2, 1), np.uint16)
    for mode in ("none", "imagenet"):
        with pytest.raises(ConfigError, match="8-bit.*uint16.*percentile"):
            intensity.to_levels(wide, mode=mode, bits=8)
        with pytest.raises(ConfigError, match="uint16"):
            intensity.resolve(mode, card("uint16", 1))
    for bad in ("minmax", "auto"):
        with pytest.raises(ConfigError, match="unknown"):
            intensity.to_levels(wide, mode=bad, bits=8)
    with pytest.raises(ConfigError, match="minmax"):
        intensity.resolve("minmax", card("uint8", 1))
    with pytest.raises(ConfigError, match="low=None"):
        intensity.to_levels(wide, mode="range", bits=8)
    for mode, low, high in [("percentile", 5, 101), ("zscore", 0.5, 99.5)]:
        with pytest.raises(ConfigError, match=f"low={low} and high={high}"):
            intensity.to_levels(wide, mode=mode, low=low, high=high, bits=8)
    with pytest.raises(ConfigError, match="1 or 3 channels, not 4"):
        intensity.statistics("imagenet", 4)


def test_floats_become_sixteen_bits_between_two_percentiles():
    image = np.linspace(-3, 7, 1001, dtype=np.float32).reshape(7, 143, 1)
    out = intensity.from_float(image, low=10, high=90)
    assert out.dtype == np.uint16
    shares = np.clip((image + 2) / 8, 0, 1)  # the percentiles are -2 and 6
    assert np.abs(out - shares * 65535).max() < 2
    mirrored = 65535 - intensity.from_float(image * -1e30, low=10, high=90)
    assert np.abs(out.astype(int) - mirrored).max() < 2


def test_floats_of_few_values_and_of_other_types():
    image = np.full((40, 50, 2), 3.5, np.float16)
    assert not intensity.from_float(image).any()
    image[3, 4, 1] = 4  # 1 of 2000 pixels, above the 99.9th percentile
    expected = np.zeros(image.shape)
    expected[3, 4, 1] = 65535
    np.testing.assert_array_equal(intensity.from_float(image), expected)
    for dtype in (np.float64, np.uint16, np.int32):
        with pytest.raises(DataError, match=f"holds {np.dtype(dtype)} numbers; save"):
            intensity.from_float(image.astype(dtype))
    image[0, :3, 0] = np.nan, np.inf, -np.inf
    with pytest.raises(DataError, match="1 NaN and 2 infinite numbers among its 4000"):
        intensity.from_float(image)
