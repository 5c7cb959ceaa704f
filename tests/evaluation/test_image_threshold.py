"""The baseline on intensity: exact histograms, and the best rule there is."""

import numpy as np
import pytest

from jaxseg.evaluation import image_threshold


def _image(dtype, scale=1, offset=0, seed=0):
    rng = np.random.default_rng(seed)
    mask = (rng.random((30, 40)) < 0.2).astype(np.uint8)
    image = rng.integers(0, 120, (30, 40, 2)) + 90 * mask[..., None]
    return (image * scale + offset).astype(dtype), mask


def test_histogram_of_8_bits_is_exact_and_ignores_unlabelled_pixels():
    image, mask = _image(np.uint8)
    mask[:5] = 255
    found = image_threshold.histogram(image, mask)
    for row, c in zip(found, (0, 1), strict=True):
        expected = np.bincount(image[mask == c][:, 0], minlength=256)
        np.testing.assert_array_equal(row, expected)


@pytest.mark.parametrize("scale, offset", [(1, 0), (17, 0), (3, 40_000), (1, 1000)])
def test_16_bits_do_not_depend_on_offset_and_gain(scale, offset):
    image, mask = _image(np.uint16, scale, offset)
    found = image_threshold.histogram(image, mask)
    assert found.sum() == mask.size and found[1].sum() == mask.sum()
    np.testing.assert_array_equal(
        found, image_threshold.histogram(_image(np.uint16)[0], mask)
    )
    assert found[:, [0, 255]].sum(axis=0).all()


@pytest.mark.parametrize("dark", [False, True])
def test_best_is_the_best_of_all_thresholds_and_polarities(dark):
    image, mask = _image(np.uint8)
    image = 255 - image if dark else image
    levels = image_threshold.histogram(image, mask)[None]
    threshold, polarity, value = image_threshold.best(levels)
    assert polarity == ("dark" if dark else "bright")
    for way in ("bright", "dark"):
        for t in range(257):
            guess = image[..., 0] >= t if way == "bright" else image[..., 0] < t
            wrong, right = image_threshold.predicted(
                levels[0], threshold=t, polarity=way
            )
            assert (wrong, right) == (guess[mask == 0].sum(), guess[mask == 1].sum())
            dice = 2 * right / (wrong + right + mask.sum())
            assert dice <= value
            if (t, way) == (threshold, polarity):
                assert dice == value


def test_nothing_to_find():
    image, mask = _image(np.uint8)
    levels = image_threshold.histogram(image, mask * 0)[None]
    assert image_threshold.best(levels) == (128, "bright", None)
    flat = image_threshold.histogram(np.full((3, 3, 1), 700, np.uint16), mask[:3, :3])
    assert flat.sum() == 9
