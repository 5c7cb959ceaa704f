"""Phantom cracks look as promised, and their tree is that of the crack collection."""

import cv2
import numpy as np
import pytest
from PIL import Image
from scipy import ndimage

from jaxseg.data.phantoms import cracks, cracks_tree
from jaxseg.errors import ConfigError, DataError

SEED = 3


@pytest.fixture(scope="module")
def sample():
    return [cracks.draw(i, size=128, seed=SEED, positive=True) for i in range(40)]


@pytest.fixture(scope="module")
def walls():
    return [cracks.draw(i, size=128, seed=SEED, positive=False) for i in range(40)]


def test_a_wall_is_a_function_of_its_number_and_seed(sample):
    image, mask = cracks.draw(5, size=(128, 128), seed=SEED, positive=True)
    assert image.shape == (128, 128, 3) and image.dtype == mask.dtype == np.uint8
    for again, first in zip((image, mask), sample[5], strict=True):
        np.testing.assert_array_equal(again, first)
    other = cracks.draw(5, size=128, seed=4, positive=True)[0]
    assert (other != image).mean() > 0.5 and (sample[6][0] != image).mean() > 0.5
    assert not cracks.draw(5, size=128, seed=SEED, positive=False)[1].any()


def test_cracks_take_a_thousandth_to_a_twentieth_of_the_pixels(sample):
    for size in (64, 96):
        more = [cracks.draw(i, size=size, seed=0, positive=True)[1] for i in range(25)]
        shares = np.array([mask.mean() for mask in more])
        assert shares.min() >= 0.0009 and shares.max() <= 0.05
    shares = np.array([mask.mean() for _, mask in sample])
    assert cracks.LEAST <= shares.min() < 0.002 and 0.03 < shares.max() <= cracks.MOST
    assert np.median(shares) == pytest.approx(0.007, abs=0.003)  # even in the logarithm


def test_cracks_branch_and_are_of_varying_width(sample):
    ends, widths = [], []
    for _, mask in sample:
        label, count = ndimage.label(mask, np.ones((3, 3)))
        depth = cv2.distanceTransform(mask, cv2.DIST_L2, 5)
        widths.append([2 * depth[label == k].max() for k in range(1, count + 1)])
        filled = cv2.filter2D(mask, -1, np.ones((3, 3)), borderType=cv2.BORDER_CONSTANT)
        ends.append(((filled == 2) & (mask > 0)).sum() / max(count, 1))
    largest = np.array([max(one) for one in widths])
    assert largest.min() < 3 and largest.max() > 6
    assert np.mean(ends) > 0.8  # a line has an end or two at the border of 3 x 3 pixels


def test_no_threshold_finds_the_cracks_and_walls_have_as_dark_places(sample, walls):
    grey = np.stack([image.mean(-1) for image, _ in sample])
    mask = np.stack([mask for _, mask in sample]) > 0
    best = 0.0
    for cut in range(10, 200, 3):
        dark = grey < cut
        best = max(best, 2 * (dark & mask).sum() / (dark.sum() + mask.sum()))
    assert 0.1 < best < 0.5
    darkest = [np.percentile(image.mean(-1), 0.3) for image, _ in sample]
    clean = [np.percentile(image.mean(-1), 0.3) for image, _ in walls]
    wrong = np.mean(np.subtract.outer(darkest, clean) > 0)
    assert 0.25 < wrong < 0.6  # darkness alone hardly tells which wall has a crack


def test_cracks_are_dark_beside_their_wall_with_varying_contrast(sample):
    contrast = []
    for image, mask in sample:
        grey = image.mean(-1)
        near = cv2.dilate(mask, np.ones((9, 9))) > cv2.dilate(mask, np.ones((5, 5)))
        contrast.append(1 - grey[mask > 0].mean() / grey[near].mean())
    contrast = np.array(contrast)
    assert np.mean(contrast > 0.05) > 0.9  # the others lie in a shadow or at a joint
    assert contrast.max() > 0.5 and np.std(contrast) > 0.1


def test_too_small_walls_are_refused():
    with pytest.raises(ConfigError, match="64x47 pixels cannot be drawn: .* 48"):
        cracks.draw(0, size=(64, 47), seed=0, positive=True)


@pytest.mark.parametrize("positive, count", [(0.5, 20), (0.25, 10), (0.875, 35)])
def test_the_tree_has_the_share_of_positives_in_both_splits(tmp_path, positive, count):
    cracks_tree.write(tmp_path / "a", images=40, size=48, seed=1, positive=positive)
    names = {}
    for path in sorted((tmp_path / "a").glob("*/masks/*.png")):
        mask = np.asarray(Image.open(path))
        assert set(np.unique(mask)) <= {0, 255}
        image = np.asarray(Image.open(path.parents[1] / "images" / path.name))
        index, split = int(path.stem[-5:]), path.parts[-3]
        wanted = cracks.draw(index, size=48, seed=1, positive=bool(mask.any()))
        np.testing.assert_array_equal(image, wanted[0])
        np.testing.assert_array_equal(mask > 0, wanted[1] > 0)
        names.setdefault(split, []).append(bool(mask.any()))
    assert {*names} == {"train", "test"} and sum(map(len, names.values())) == 40
    assert sum(map(sum, names.values())) == count
    assert sum(names["test"]) == count // 4


def test_a_tree_is_written_whole_or_not_at_all(tmp_path):
    (tmp_path / "taken").mkdir()
    with pytest.raises(DataError, match="taken exists already"):
        cracks_tree.write(tmp_path / "taken", images=16, size=48)
    for wrong in ({"images": 15}, {"seed": -1}, {"positive": 1.0}, {"positive": 0.0}):
        with pytest.raises(ConfigError, match="at least 16 images, a seed of 0"):
            cracks_tree.write(tmp_path / "b", **{"images": 16, "size": 48} | wrong)
    assert not (tmp_path / "b").exists()
