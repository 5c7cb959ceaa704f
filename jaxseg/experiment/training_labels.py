"""Draws which training pixels are labelled, as the block config.supervision says.

Validation and test always have their full masks.
"""

import functools
from collections.abc import Callable, Mapping
from typing import Any

import numpy as np
from jaxtyping import Integer
from ml_collections import ConfigDict

from jaxseg.data import pipeline, prepared, sparse_labels
from jaxseg.errors import ConfigError
from jaxseg.train_step import step

OF_IMAGES = ("image_level", "mixed")  # some images have a label and no pixel
Drawn = Callable[[], sparse_labels.Labels | None]


def drawn(config: ConfigDict, split: prepared.Split, view: pipeline.View) -> Drawn:
    """A call that draws the labels of training, once; it gives None for full masks.

    Drawing reads every mask, which scoring a run has no need for. Raises ConfigError
    at once for settings that are no choice.
    """
    block = config.supervision.to_dict()
    fields = block.pop("fields")
    chosen = sparse_labels.options(block | fields, seed=config.seed)
    if unused := fields.keys() - chosen.keys():
        raise ConfigError(
            f"config.supervision.fields holds {', '.join(sorted(unused))}, which "
            f"{block['name']} does not take."
        )
    if not sparse_labels.is_partial(block["name"]):
        return _nothing
    return functools.cache(functools.partial(sparse_labels.draw, split, view, chosen))


def _nothing() -> None:
    return None


def is_sparse(config: ConfigDict) -> bool:
    """Whether training sees masks in which most pixels are unlabelled."""
    return sparse_labels.is_sparse(config.supervision.name)


def is_partial(config: ConfigDict) -> bool:
    """Whether training lacks the labels of some pixels, or of whole masks."""
    return sparse_labels.is_partial(config.supervision.name)


def check_taught(
    config: ConfigDict,
    split: prepared.Split,
    labels: Drawn,
    terms: Mapping[str, tuple[Callable, Any]],
) -> None:
    """ConfigError where masks lack a class, and no term learns it from anything else.

    `terms` are {name: (loss, weight)}. Single labelled pixels are not looked at: to
    draw them every mask would have to be read.
    """
    if is_sparse(config):
        return
    asked = {name: step.asks_for(fn) for name, (fn, _) in terms.items()}
    if any("label" in names for names in asked.values()):
        return
    drawn = labels()
    kept = split.pixels if drawn is None else drawn.counts
    shown = split.present.any(axis=0) & ~(kept > 0).any(axis=0)
    lost = [name for name, missing in zip(split.classes, shown, strict=True) if missing]
    if lost:
        raise ConfigError(
            f"the masks of training show no {' and no '.join(lost)}, which "
            f"{', '.join(asked)} cannot learn from anything else: give more masks "
            "(config.supervision.masks), or a weight to a term that learns from labels "
            "of images, such as config.loss.image_label.weight=1.0."
        )


def names_class_weights(config: ConfigDict) -> bool:
    """Whether a term has class weights that are counted on the training pixels."""
    asked = [b.get("class_weights") for b in config.loss.to_dict().values()]
    return any(isinstance(name, str) and name != "none" for name in asked)


def class_pixels(
    config: ConfigDict, split: prepared.Split, labels: Drawn
) -> Integer[np.ndarray, "n k"]:
    """The labelled training pixels of each class in each image.

    A supervision hides what the split counted on the full masks; they are drawn where
    class weights depend on them.
    """
    if not (is_partial(config) and names_class_weights(config)):
        return split.pixels
    return sparse_labels.class_pixels(labels(), len(split.classes))
