"""Says which classes of whole images a run learns, and whether it learns pixels.

A head of one output says whether an image shows foreground; a head of more belongs to
the classes of whole images that the data card names.
"""

import inspect
import sys
from collections.abc import Mapping
from typing import Any

import numpy as np
from jaxtyping import Integer
from ml_collections import ConfigDict

from jaxseg import lookup
from jaxseg.errors import ConfigError
from jaxseg.metrics import image_classification
from jaxseg.train_step import step

Classes = Mapping[str, Any]  # "image_classes" of the data card


def count(classes: Classes | None) -> int:
    """How many classes of whole images the data has; ConfigError for fewer than two."""
    names = classes["names"] if classes else []
    if len(names) < 2:
        has = f"one, {names[0]!r}" if names else "none"
        raise ConfigError(
            "config.decision.pooled.outputs is 0, one logit for each class of whole "
            f"images, of which the data has {has}; two or more are needed: use data "
            "that has them, or set outputs to 1, whether an image shows foreground."
        )
    return len(names)


def is_exclusive(card: Mapping[str, Any]) -> bool:
    """Whether every image is of exactly one class: what the card says of them."""
    return bool((card.get("image_classes") or {}).get("exclusive"))


def trains_pixels(config: ConfigDict) -> bool:
    """Whether a term of the loss learns from pixels: `step.trains_pixels`."""
    return step.trains_pixels(_terms(config).values())


def _terms(config: ConfigDict) -> dict[str, step.Loss]:
    """{name: term} of those whose weight is not 0."""
    return {
        name: lookup.find(lookup.TERMS, lookup.term(name, block)).loss
        for name, block in config.loss.to_dict().items()
        if block["weight"] != 0
    }


def counted(
    name: str,
    fn: step.Loss,
    weights: str,
    pixels: Integer[np.ndarray, "n k"],
    shown: Integer[np.ndarray, "n m"] | None,
) -> Integer[np.ndarray, "n _"]:
    """What class weights by name are counted on: `pixels`, or images that show a class.

    Raises ConfigError for a name that is of pixels alone, and for data without classes
    of whole images.
    """
    if "image_classes" not in step.asks_for(fn):
        return pixels
    if weights == "median":  # all images are of one size: every class would weigh 1
        raise ConfigError(
            f"config.loss.{name}.class_weights is 'median', which counts the pixels of "
            "a class where it is shown: use 'inverse', 'sqrt' or 'effective'."
        )
    if shown is None:
        raise _no_classes(name)
    return (shown == 1).astype(np.int64)


def _no_classes(name: str) -> ConfigError:
    return ConfigError(
        f"config.loss.{name} learns classes of whole images, which the data does not "
        "have: use data with them, or set its weight to 0."
    )


def check(config: ConfigDict, card: Mapping[str, Any], outputs: int) -> None:
    """Raises ConfigError where head, losses, metric and data are not of one thing.

    `outputs` is how many numbers the model says of a whole image, 0 without a head.
    """
    classes = card.get("image_classes")
    terms = {
        name: fn
        for name, fn in _terms(config).items()
        if "image_classes" in step.asks_for(fn)
    }
    _check_terms(terms, classes, outputs)
    if outputs > 1:
        _check_head(terms, classes, outputs)
    _check_model(config)
    _check_metric(config, classes, outputs)


def _check_terms(
    terms: Mapping[str, step.Loss], classes: Classes | None, outputs: int
) -> None:
    for name, fn in terms.items():
        if not classes:
            raise _no_classes(name)
        if outputs < 2:
            raise ConfigError(
                f"config.loss.{name} needs a logit for each of the "
                f"{len(classes['names'])} classes of whole images, but the model says "
                f"{outputs} numbers of an image: set config.decision.name='pooled' and "
                "config.decision.pooled.outputs=0."
            )
        wants = getattr(sys.modules[inspect.unwrap(fn).__module__], "EXCLUSIVE", None)
        if wants is not None and wants != classes["exclusive"]:
            one, other = "image_class_cross_entropy", "image_class_binary_cross_entropy"
            fits = one if classes["exclusive"] else other
            kind = "exclusive" if classes["exclusive"] else "not exclusive"
            raise ConfigError(
                f"config.loss.{name} does not fit the classes of whole images of this "
                f"data, which are {kind}: use config.loss.{fits}."
            )


def _check_head(
    terms: Mapping[str, step.Loss], classes: Classes | None, outputs: int
) -> None:
    names = list(classes["names"]) if classes else []
    if outputs != len(names):
        raise ConfigError(
            f"the head of config.decision says {outputs} numbers of an image, but the "
            f"data has {len(names)} classes of whole images"
            f"{': ' + ', '.join(names) if names else ''}; give it one output, whether "
            "there is foreground, or one for each class (pooled.outputs=0)."
        )
    if not terms:
        raise ConfigError(
            f"the head of config.decision has an output for each of the {outputs} "
            "classes of whole images, but no loss asks for image_classes, so they "
            "would never be learned: set config.loss.image_class_cross_entropy.weight "
            "or config.loss.image_class_binary_cross_entropy.weight."
        )


def _check_model(config: ConfigDict) -> None:
    """ConfigError where a model and the terms of the loss do not both learn pixels."""
    name, pixels = config.model.name, trains_pixels(config)
    if name != "resnet_classifier":
        if not pixels and "." not in name and not config.transfer.freeze:
            raise ConfigError(
                f"config.model.name={name} has a decoder, but no loss of this run "
                "learns pixels, so it would never learn: use resnet_classifier, or "
                "name what shall stay as it is in config.transfer.freeze."
            )
        return
    if config.model[name].pixel_head:
        if not pixels:
            raise ConfigError(
                f"config.model.{name}.pixel_head is True, but no loss of this run "
                "learns pixels: set it to False."
            )
        return
    for term, fn in _terms(config).items():
        if "logits" in step.asks_for(fn):
            raise ConfigError(
                f"config.loss.{term} learns from logits of pixels, which "
                f"config.model.name={name} has not: set its weight to 0, choose a "
                "model with a decoder, such as resnet_unet, or set "
                f"config.model.{name}.pixel_head=True."
            )


def _check_metric(config: ConfigDict, classes: Classes | None, outputs: int) -> None:
    metric = config.eval.metric
    of_classes = metric in image_classification.HISTORY
    if of_classes and outputs < 2:
        raise ConfigError(
            f"config.eval.metric is {metric!r}, which is of classes of whole images, "
            "and this run learns none: choose a metric of pixels, such as dice_pooled, "
            "or give the model a head for them (config.decision)."
        )
    if metric in image_classification.OF_EXCLUSIVE and not classes["exclusive"]:
        raise ConfigError(
            f"config.eval.metric is {metric!r}, which is of classes of which one is "
            "right, and several of this data may be: choose class_f1_macro, "
            "class_roc_auc_mean or class_average_precision_mean."
        )
    if not of_classes and not trains_pixels(config):
        raise ConfigError(
            f"config.eval.metric is {metric!r}, but no loss of this run learns pixels: "
            "choose a metric of classes of whole images, one of "
            f"{', '.join(image_classification.HISTORY)}."
        )
