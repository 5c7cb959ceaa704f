"""Fit and its inverse: no shift, no mixed labels, any size and channel count."""

import numpy as np
import pytest

from jaxseg.data import resize
from jaxseg.errors import ConfigError
from jaxseg.types import IGNORE


def disc(size, centre, radius):
    rows, columns = np.mgrid[: size[0], : size[1]]
    return (rows - centre[0]) ** 2 + (columns - centre[1]) ** 2 <= radius**2


def centroid(weight):
    rows, columns = np.mgrid[: weight.shape[0], : weight.shape[1]]
    return np.array([(rows * weight).sum(), (columns * weight).sum()]) / weight.sum()


@pytest.mark.parametrize("mode", resize.MODES)
@pytest.mark.parametrize("native", [(90, 140), (141, 67), (64, 64), (33, 200)])
@pytest.mark.parametrize("size", [(64, 64), (97, 55), (160, 256)])
def test_round_trip_keeps_the_centre(mode, native, size):
    painted = disc(native, (native[0] * 0.4, native[1] * 0.6), 11)
    image = (painted[..., None] * 200).astype(np.uint8)
    fitted, mask = resize.fit(image, painted.astype(np.uint8), size, mode)
    assert fitted.shape == (*size, 1) and mask.shape == size
    for weight in (fitted[..., 0], mask == 1):
        back = resize.unfit(weight[..., None].astype(np.float32), native, mode)
        assert back.shape == (*native, 1)
        shift = np.abs(centroid(back[..., 0]) - centroid(painted))
        assert shift.max() < 0.5, shift


def test_image_and_mask_agree():
    painted = disc((120, 75), (50, 30), 20)
    image = (painted[..., None] * 255).astype(np.uint8)
    fitted, mask = resize.fit(image, painted.astype(np.uint8), (57, 91), "stretch")
    assert np.abs(centroid(fitted[..., 0]) - centroid(mask)).max() < 0.3


def test_area_along_a_shrinking_axis_beside_a_growing_one():
    image = np.zeros((8, 2, 1), np.uint8)
    image[::4] = 200  # every fourth row: the average over four rows is 50
    fitted, _ = resize.fit(image, np.zeros((8, 2), np.uint8), (2, 6), "stretch")
    np.testing.assert_array_equal(fitted, np.full((2, 6, 1), 50))


def test_linear_weights_by_hand():
    # new centres at 0.25, 0.75, 1.25, 1.75 old pixels; the old centres are 0.5 and 1.5
    probability = np.array([[[0.0], [1.0]]], np.float32)
    back = resize.unfit(probability, (1, 4), "stretch")[0, :, 0]
    np.testing.assert_allclose(back, [0.0, 0.25, 0.75, 1.0], atol=1e-6)


def test_nearest_by_hand():
    mask = np.array([[0, 1, 2, 3, 4]], np.uint8)
    image = np.zeros((1, 5, 1), np.uint8)
    assert resize.fit(image, mask, (1, 1))[1].tolist() == [[2]]
    assert resize.fit(image, mask, (1, 3))[1].tolist() == [[0, 2, 4]]
    assert resize.fit(image, mask, (1, 10))[1].tolist() == [np.repeat(mask, 2).tolist()]


@pytest.mark.parametrize("dtype", [np.uint8, np.uint16])
@pytest.mark.parametrize("channels", [1, 2, 3, 4, 5, 9])
@pytest.mark.parametrize("size", [(5, 7), (30, 8), (40, 50)])
def test_every_channel_is_resized_alone(dtype, channels, size):
    rng = np.random.default_rng(channels)
    image = rng.integers(0, np.iinfo(dtype).max, (20, 31, channels), dtype=dtype)
    mask = rng.integers(0, 3, (20, 31), dtype=np.uint8)
    fitted, small = resize.fit(image, mask, size, "pad")
    assert fitted.shape == (*size, channels) and fitted.dtype == dtype
    for k in range(channels):
        alone, _ = resize.fit(image[..., k : k + 1], mask, size, "pad")
        # OpenCV rounds 16 bits differently for one and for several channels
        assert np.abs(fitted[..., k].astype(int) - alone[..., 0]).max() <= 1
    assert set(np.unique(small)) <= {0, 1, 2, IGNORE}


@pytest.mark.parametrize("native", [(10, 40), (40, 10), (1, 50), (50, 1), (1, 1)])
def test_pad_keeps_the_aspect_ratio(native):
    image = np.full((*native, 2), 9, np.uint8)
    mask = np.ones(native, np.uint8)
    fitted, padded = resize.fit(image, mask, (32, 24), "pad")
    top, left, height, width = resize.box(native, (32, 24), "pad")
    assert (height == 32 or width == 24) and top == (32 - height) // 2
    scale = min(32 / native[0], 24 / native[1])
    assert abs(height - max(native[0] * scale, 1)) <= 0.5
    assert abs(width - max(native[1] * scale, 1)) <= 0.5
    inside = np.zeros((32, 24), bool)
    inside[top : top + height, left : left + width] = True
    assert (padded[inside] == 1).all() and (padded[~inside] == IGNORE).all()
    assert (fitted[inside] == 9).all() and (fitted[~inside] == 0).all()
    back = resize.unfit(inside[..., None].astype(np.float32), native, "pad")
    assert back.shape == (*native, 1) and back.min() > 0.999  # no padding comes back


def test_probabilities_still_sum_to_one():
    logits = np.random.default_rng(0).normal(size=(16, 12, 7))
    probability = np.exp(logits) / np.exp(logits).sum(-1, keepdims=True)
    back = resize.unfit(probability.astype(np.float32), (37, 5), "stretch")
    assert back.dtype == np.float32 and back.shape == (37, 5, 7)
    np.testing.assert_allclose(back.sum(-1), 1, atol=1e-5)


def test_same_size_changes_nothing():
    image = np.random.default_rng(0).integers(0, 255, (9, 7, 3), dtype=np.uint8)
    mask = image[..., 0] % 3
    for mode in resize.MODES:
        fitted, same = resize.fit(image, mask, (9, 7), mode)
        np.testing.assert_array_equal(fitted, image)
        np.testing.assert_array_equal(same, mask)


def test_errors():
    image, mask = np.zeros((4, 4, 1), np.uint8), np.zeros((4, 4), np.uint8)
    with pytest.raises(ConfigError, match="'crop'.*stretch"):
        resize.fit(image, mask, (2, 2), "crop")
    with pytest.raises(ConfigError, match="at least 1"):
        resize.fit(image, mask, (0, 2), "stretch")
    with pytest.raises(ValueError, match="mask is"):
        resize.fit(image, mask[:2], (2, 2), "stretch")
