"""Sampling by classes of whole images gives each its part, and is told the classes."""

import dataclasses

import numpy as np
import pytest
from ml_collections import ConfigDict

from jaxseg import errors
from jaxseg.config import base
from jaxseg.data.samplers import by_class, by_image_class, uniform
from jaxseg.experiment import chosen

# 30 of class 0, 10 of class 1, 5 of class 2, 5 of which nothing is known
CLASSES = np.repeat(
    np.array([[1, 0, 0], [0, 1, 0], [0, 0, 1], [-1, -1, -1]], np.int8),
    [30, 10, 5, 5],
    axis=0,
)
KIND = np.repeat([1, 2, 3, 0], [30, 10, 5, 5])
PRESENT = np.stack([np.ones(50, bool), np.arange(50) % 2 == 0], 1)


def _orders(epochs, size, classes=CLASSES, present=PRESENT, **options):
    options = {"share": -1.0, "seed": 3, "size": size, "epochs": epochs} | options
    options |= {"image_classes": classes}
    orders = [by_image_class.order(present, epoch=e, **options) for e in range(epochs)]
    return np.stack(orders)


@pytest.mark.parametrize(
    "share, parts",
    [
        (-1.0, (0.25, 0.25, 0.25, 0.25)),
        ((0.0, 0.5, 0.25, 0.25), (0.0, 0.5, 0.25, 0.25)),
        ((0.1, 0.2, 0.3, 0.4), (0.1, 0.2, 0.3, 0.4)),
    ],
)
def test_every_class_of_images_gets_its_share_of_every_stretch(share, parts):
    options = {"image_classes": CLASSES, "share": share}
    assert by_image_class.epoch_size(PRESENT, **options) == 50
    got = by_image_class.image_parts(CLASSES, share=share)
    np.testing.assert_allclose(got, parts)
    orders = _orders(7, 40, share=share)
    drawn = np.bincount(KIND[orders.ravel()], minlength=4)
    assert np.all(np.abs(drawn - 280 * got) <= 1)
    for order in orders:
        counts = np.bincount(KIND[order], minlength=4)
        assert np.all(np.abs(counts - 40 * got) <= 1)
        for batch in order.reshape(5, 8):
            assert np.all(np.abs(np.bincount(KIND[batch], minlength=4) - 8 * got) < 2)
    for kind in np.flatnonzero(got):  # every image of a class equally often
        uses = np.bincount(orders.ravel(), minlength=50)[KIND == kind]
        assert np.ptp(uses) <= 1


def test_images_of_several_classes_and_classes_without_images():
    several = np.zeros((20, 3), np.int8)
    several[:10, 0], several[5:8, 1] = 1, 1
    parts = by_image_class.image_parts(several, share=-1.0)
    np.testing.assert_allclose(parts, (1 / 3, 1 / 3, 1 / 3, 0))
    orders = _orders(6, 30, several, PRESENT[:20])
    shown = (several[orders.ravel()] == 1).mean(0)
    assert shown[1] >= 1 / 3 and shown[0] >= 2 / 3 and shown[2] == 0


def test_the_expected_share_of_positives_is_that_of_the_classes():
    options = {"image_classes": CLASSES, "share": (0.0, 0.2, 0.3, 0.5)}
    present = np.stack([np.ones(50, bool), np.isin(KIND, (2, 3))], 1)
    share = by_image_class.share(present, epoch=0, epochs=1, **options)
    assert share == pytest.approx(0.8)
    orders = _orders(4, 50, present=present, share=(0.0, 0.2, 0.3, 0.5))
    assert present[orders.ravel(), 1].mean() == pytest.approx(0.8, abs=0.01)


@pytest.mark.parametrize(
    "share",
    [0.5, "half", (0.5, 0.5), (0.5, 0.6, 0.0, 0.0), (-0.5, 0.5, 0.5, 0.5), ()]
    + [float("nan"), ((0.0, 0.5), (1.0, 0.5))],
)
def test_a_share_by_class_of_images_that_is_none(share):
    with pytest.raises(errors.ConfigError, match="by_image_class.share is .* 4 shares"):
        by_image_class.epoch_size(PRESENT, image_classes=CLASSES, share=share)


def test_a_share_of_nothing_but_classes_without_images():
    none = np.where(CLASSES == 1, 1, 0).astype(np.int8)[:30]  # class 0 alone
    with pytest.raises(errors.ConfigError, match="above 0 where there are images"):
        by_image_class.image_parts(none, share=(0.0, 0.0, 0.5, 0.5))


def test_sampling_by_class_of_images_needs_such_classes():
    with pytest.raises(errors.DataError, match="no classes of whole images .*by_class"):
        by_image_class.epoch_size(PRESENT, image_classes=None, share=-1.0)
    unknown = np.full((50, 2), -1, np.int8)
    with pytest.raises(errors.DataError, match="none of the 50 training images"):
        by_image_class.epoch_size(PRESENT, image_classes=unknown, share=-1.0)


@dataclasses.dataclass
class _Split:
    image_classes: np.ndarray


def test_a_sampler_that_asks_for_classes_of_images_is_told_them():
    config = ConfigDict({"sampler": base.base().sampler.to_dict()})
    for module in (uniform, by_class, by_image_class):
        config.sampler.name = module.__name__.rpartition(".")[2]
        sampler, options = chosen.sampler(config, _Split(CLASSES))
        assert sampler is module
        assert ("image_classes" in options) == (module is by_image_class)
    assert options["image_classes"] is CLASSES and options["share"] == -1.0
