"""Head, losses, metric and data must be of the same classes of whole images."""

import types

import numpy as np
import pytest
from support import image_class_data, tiny_classifier

from jaxseg.config import base
from jaxseg.errors import ConfigError
from jaxseg.experiment import build, decision, from_config, image_classes
from jaxseg.losses import image_class_cross_entropy

SOFTMAX, EACH = "image_class_cross_entropy", "image_class_binary_cross_entropy"
CARD = {"image_classes": {"names": ["a", "b", "c"], "exclusive": True}}
TOGETHER = {"image_classes": {"names": ["a", "b", "c"], "exclusive": False}}
OF_CLASSES = {"loss.dice.weight": 0.0, f"loss.{SOFTMAX}.weight": 1.0}
OF_CLASSES |= {"decision.name": "pooled", "decision.pooled.outputs": 0}
OF_CLASSES |= {"model.name": "resnet_classifier"}
JOINT = OF_CLASSES | {"loss.dice.weight": 1.0, "model.name": "unet"}
OF_EACH = OF_CLASSES | {f"loss.{SOFTMAX}.weight": 0.0, f"loss.{EACH}.weight": 1.0}
F1 = {"eval.metric": "class_f1_macro"}


def config(**changes):
    out = base.base()
    out.update_from_flattened_dict({"loss.dice.weight": 1.0} | changes)
    return out


def test_a_head_has_as_many_outputs_as_the_data_has_classes():
    model = tiny_classifier.Model()
    for outputs, want in ((0, 3), (1, 1), (2, 2)):
        block = config(**OF_CLASSES | {"decision.pooled.outputs": outputs})
        made = decision.around(block, model, CARD["image_classes"])
        assert made.decision.outputs == want
    one = {"names": ["a"], "exclusive": False}
    for classes, words in ((None, "has none"), (one, "has one, 'a'")):
        with pytest.raises(ConfigError, match=f"{words}; two or more are needed"):
            decision.around(config(**OF_CLASSES), model, classes)


@pytest.mark.parametrize(
    "changes, card, outputs",
    [
        ({}, {}, 0),
        ({}, CARD, 1),
        (OF_CLASSES | F1, CARD, 3),
        (OF_CLASSES | {"eval.metric": "class_accuracy"}, CARD, 3),
        (OF_EACH | F1, TOGETHER, 3),
        (JOINT, CARD, 3),  # chosen by a metric of pixels
        (JOINT | F1, CARD, 3),
        (OF_CLASSES | F1 | {"model.name": "my_lab.encoder"}, CARD, 3),
        (
            OF_CLASSES
            | F1
            | {"model.name": "unet", "transfer.freeze": ("decoder/*", "head/*")},
            CARD,
            3,
        ),
    ],
)
def test_what_is_of_the_same_classes_passes(changes, card, outputs):
    image_classes.check(config(**changes), card, outputs)


@pytest.mark.parametrize(
    "changes, card, outputs, words",
    [
        (OF_CLASSES, {}, 3, "which the data does not have"),
        (OF_CLASSES, CARD, 0, "the model says 0 numbers of an image"),
        (OF_CLASSES, CARD, 1, "the model says 1 numbers of an image"),
        (OF_CLASSES, CARD, 2, "says 2 numbers of an image, but the data has 3"),
        ({}, {}, 2, "says 2 numbers of an image, but the data has 0 classes"),
        ({}, CARD, 3, "no loss asks for image_classes"),
        (OF_CLASSES, TOGETHER, 3, f"are not exclusive: use config.loss.{EACH}"),
        (OF_EACH, CARD, 3, f"are exclusive: use config.loss.{SOFTMAX}"),
        (
            F1,
            CARD,
            1,
            "'class_f1_macro', which is of classes of whole images, and this",
        ),
        (OF_CLASSES, CARD, 3, "metric is 'dice_pooled', but no loss of this run learn"),
        (
            OF_EACH | {"eval.metric": "class_accuracy"},
            TOGETHER,
            3,
            "'class_accuracy', which is of classes of which one is right",
        ),
        (
            JOINT | {"model.name": "resnet_classifier"},
            CARD,
            3,
            r"loss.dice learns from logits of pixels, which .*pixel_head=True",
        ),
        (OF_CLASSES | F1 | {"model.name": "unet"}, CARD, 3, "has a decoder, but no"),
        (
            OF_CLASSES | F1 | {"model.resnet_classifier.pixel_head": True},
            CARD,
            3,
            "pixel_head is True, but no loss",
        ),
    ],
)
def test_what_is_not_is_one_sentence(changes, card, outputs, words):
    with pytest.raises(ConfigError, match=words) as told:
        image_classes.check(config(**changes), card, outputs)
    assert "\n" not in str(told.value)


def test_class_weights_by_name_are_counted_on_training_images():
    pixels = np.array([[90, 10], [90, 10], [100, 0], [100, 0]])
    shown = np.array([[1, 0], [1, 0], [1, 0], [0, 1], [-1, -1]], np.int8)
    weights = {f"loss.{SOFTMAX}.class_weights": "inverse"}
    terms = from_config.losses(config(**OF_CLASSES | weights), pixels, shown)
    fn, weight = terms[SOFTMAX]
    assert (fn.func, weight) == (image_class_cross_entropy.loss, 1.0)
    assert fn.keywords["class_weights"] == pytest.approx((4 / 6, 4 / 2))
    taken = types.SimpleNamespace(settings=types.SimpleNamespace(losses=terms))
    assert build._class_weights(taken) == {SOFTMAX: pytest.approx([4 / 6, 4 / 2])}
    with pytest.raises(ConfigError, match="'median', which counts the pixels"):
        weights = {f"loss.{SOFTMAX}.class_weights": "median"}
        from_config.losses(config(**OF_CLASSES | weights), pixels, shown)
    with pytest.raises(ConfigError, match="which the data does not have"):
        weights = {f"loss.{SOFTMAX}.class_weights": "sqrt"}
        from_config.losses(config(**OF_CLASSES | weights), pixels)


def test_images_are_not_blended_where_their_classes_are_learned():
    for mix in ("cutmix", "mixup"):
        block = config(**OF_CLASSES | {f"mix.{mix}": 0.5})
        terms = from_config.losses(block, np.ones((1, 2), int))
        with pytest.raises(
            ConfigError, match="learns from image_classes .* would blend"
        ):
            from_config.mix(block, terms)


def test_what_counts_as_learning_pixels():
    for changes, want in (
        ({}, True),
        (OF_CLASSES, False),
        (OF_CLASSES | {"loss.dice.weight": 1.0}, True),
        (OF_CLASSES | {"loss.entropy.weight": 0.1}, True),
        # of whether there is foreground: its head may be made of the logits
        ({"loss.dice.weight": 0.0, "loss.image_cross_entropy.weight": 1.0}, True),
    ):
        assert image_classes.trains_pixels(config(**changes)) == want


def test_images_of_known_class_are_needed_and_masks_are_not(tmp_path, monkeypatch):
    monkeypatch.setenv("JAXSEG_CACHE", str(tmp_path / "cache"))
    options = {"masks": False}
    block = image_class_data.config(tmp_path, options, **image_class_data.CLASSIFY)
    experiment = build.load(block, batch_size=8)
    assert not experiment.scorer.pixels and experiment.scorer.image_classes == 3
    assert build.training_images(experiment) is None
    joint = image_class_data.config(tmp_path, options)
    with pytest.raises(ConfigError, match="has no labelled pixel"):
        build.load(joint, batch_size=8)
    block.data.options = {"classes": False}
    with pytest.raises(
        ConfigError, match="outputs is 0, .* of which the data has none"
    ):
        build.load(block, batch_size=8)
