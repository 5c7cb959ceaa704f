"""The baselines of objects find what a microscopist would expect of them."""

import numpy as np
import pytest
import tifffile
from support import real_images

from jaxseg.data.phantoms import beads
from jaxseg.errors import ConfigError
from jaxseg.evaluation import object_baselines


def discs(*middles, radius=7.0, size=(40, 48), inside=200, outside=40):
    """An image [h, w, 1] of discs (y, x), and where they are."""
    y, x = np.mgrid[: size[0], : size[1]]
    mask = np.zeros(size, bool)
    for my, mx in middles:
        mask |= (y - my) ** 2 + (x - mx) ** 2 <= radius**2
    return np.where(mask, inside, outside)[..., None].astype(np.uint8), mask


TOUCHING = ((10, 30), (10, 43), (28, 12))


@pytest.mark.parametrize(
    "levels,polarity",
    [((200, 40), "bright"), ((40, 200), "dark"), ((40, 200), "auto"), ((9, 8), "auto")],
)
def test_touching_discs_are_two_and_numbered_by_their_first_pixel(levels, polarity):
    inside, outside = levels
    image, mask = discs(*TOUCHING, inside=inside, outside=outside)
    labels = object_baselines.otsu_watershed(image, polarity=polarity, sigma=0.0)
    assert labels.dtype == np.int32
    np.testing.assert_array_equal(labels > 0, mask)
    assert [labels[y, x] for y, x in TOUCHING] == [1, 2, 3]
    assert labels.max() == 3 and labels[10, 36] == 1 and labels[10, 37] == 2


def test_the_order_is_that_of_first_pixels_and_not_of_sizes():
    small, one = discs((8, 8), radius=3.0)
    large, other = discs((25, 30), radius=11.0)
    labels = object_baselines.otsu_watershed(np.maximum(small, large), sigma=0.5)
    assert labels[8, 8] == 1 and labels[25, 30] == 2 == labels.max()


def test_settings_do_what_they_say():
    image, _ = discs(*TOUCHING)
    far = object_baselines.otsu_watershed(image, sigma=0.0, min_distance=20)
    assert far.max() == 2  # two that touch are one
    hollow, mask = discs((20, 20), radius=12.0)
    hollow = np.where(discs((20, 20), radius=9.0)[1][..., None], 40, hollow)
    hollow = hollow.astype(np.uint8)
    filled = object_baselines.otsu_watershed(hollow, sigma=0.0, min_distance=12)
    np.testing.assert_array_equal(filled == 1, mask)
    ring = object_baselines.otsu_watershed(hollow, sigma=0.0, fill_holes=False)
    assert np.count_nonzero(ring) < 0.6 * mask.sum()
    corner, _ = discs((0, 0), radius=9.0)
    assert object_baselines.otsu_watershed(corner, sigma=0.0).max() == 1
    rest = object_baselines.otsu_watershed(image, polarity="dark", fill_holes=False)
    assert rest[0, 0] == 1 and not rest[28, 12]


def test_channels_bits_and_images_of_nothing():
    image, _ = discs(*TOUCHING)
    one = object_baselines.otsu_watershed(image)
    for other in (
        np.repeat(image, 3, -1),
        image.astype(np.uint16) * 250 + 9,
        np.concatenate([image, 0 * image], -1),
    ):
        np.testing.assert_array_equal(object_baselines.otsu_watershed(other), one)
    for level in (0, 7, 255):
        flat = np.full((12, 9, 1), level, np.uint8)
        labels = object_baselines.otsu_watershed(flat)
        assert labels.shape == (12, 9) and labels.dtype == np.int32 and not labels.any()
    whole = object_baselines.all_foreground(image)
    assert whole.dtype == np.int32 and (whole == 1).all() and whole.shape == (40, 48)


def test_nuclei_are_nearly_solved_by_it_and_beads_are_not():
    image, ids = (tifffile.imread(p)[:256, :384] for p in real_images.stardist())
    labels = object_baselines.otsu_watershed(image[..., None])
    assert 0.9 < labels.max() / np.count_nonzero(np.unique(ids)) < 1.05
    assert 0.75 < ((labels > 0) & (ids > 0)).sum() / (ids > 0).sum() <= 1
    errors = []
    for index in range(4):
        picture = beads.draw(index, size=256, seed=3)
        counts = [
            object_baselines.otsu_watershed(picture.image[..., None], polarity=p).max()
            for p in object_baselines.GRID["polarity"]
        ]
        errors.append([abs(n / picture.instances.max() - 1) for n in counts])
    assert np.mean(errors, 0).min() > 0.3  # whichever side is taken for beads


@pytest.mark.parametrize(
    "settings", [{"polarity": "light"}, {"min_distance": 0}, {"sigma": -1.0}]
)
def test_settings_that_cannot_be(settings):
    with pytest.raises(ConfigError, match="polarity is one of .*'bright', 'dark'"):
        object_baselines.otsu_watershed(np.zeros((4, 4, 1), np.uint8), **settings)
