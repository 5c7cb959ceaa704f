"""What can be wrong with heads of whole images and their losses, before JAX starts."""

import numpy as np
from ml_collections import ConfigDict

from jaxseg import lookup, schedule
from jaxseg.errors import ConfigError

HEADS = ("segdec", "pooled")  # as models/_heads.py has them; a test compares
LOSS = "image_cross_entropy"  # the term here that learns whether there is foreground
# and those that learn the classes of whole images, from a logit for each
OF_CLASSES = ("image_class_cross_entropy", "image_class_binary_cross_entropy")
COARSE, DISTANCE = "coarse_cross_entropy", "distance_cross_entropy"
TARGETS = ("classes", "border")  # whose channels are classes, the background first


def check(config: ConfigDict) -> None:
    """Raises ConfigError for a wrong name, and for blocks that do not fit together."""
    _name(config)
    _weights(config)
    _both(config)
    _classes(config)
    _coarse(config)
    _window(config)
    reads = config.decision.name not in ("", "pooled")  # which reads the deepest map
    if reads and config.target.name not in TARGETS:
        raise ConfigError(
            f"config.decision.name is {config.decision.name!r}, whose head reads the "
            f"logits of classes, but config.target.name is {config.target.name!r}: use "
            f"{TARGETS[0]!r}, or config.decision.name='pooled'."
        )


def _name(config: ConfigDict) -> None:
    name, fields = config.decision.name, config.decision.fields
    if "." in name:
        lookup.check(lookup.HEADS, name)
    elif name not in ("", *HEADS):
        raise ConfigError(
            f"config.decision.name is {name!r}: {lookup.hint(name, HEADS)}"
        )
    if fields and "." not in name:
        raise ConfigError(
            "config.decision.fields is for a module of your own, but "
            f"config.decision.name is {name!r}: set config.decision.{name or HEADS[0]} "
            "instead."
        )


def _weights(config: ConfigDict) -> None:
    """ConfigError for a term whose weight is below 0 at some time of training."""
    for name, block in config.loss.items():
        # a term of one's own may mean something else
        if "module" not in block and min(schedule.values(block.weight)) < 0:
            raise ConfigError(
                f"config.loss.{name}.weight is {block.weight}, which is "
                "below 0 at some time, so that mistakes are rewarded; use 0 or more."
            )


def _both(config: ConfigDict) -> None:
    """ConfigError for a head that nothing teaches, and for a lesson without a head.

    A term or model of the user's own may be either: experiment/decision.py looks at
    what they are once JAX runs.
    """
    name = config.decision.name
    teachers = [term for term in (LOSS, *OF_CLASSES) if _weight(config, term)]
    if name and not teachers and not _own_terms(config):
        raise ConfigError(
            f"config.decision.name is {name!r}, but no loss teaches that head: set "
            f"config.loss.{LOSS}.weight, for example to 1.0, or config.decision.name "
            f"to ''; classes of whole images are taught by {' or '.join(OF_CLASSES)}."
        )
    if not name and teachers and "." not in config.model.name:
        term = teachers[0]
        heads = "'segdec' or 'pooled'" if term == LOSS else "'pooled'"
        raise ConfigError(
            f"config.loss.{term}.weight is {config.loss[term].weight}, but the model "
            f"decides nothing about whole images: set config.decision.name to {heads}, "
            "or that weight to 0."
        )


def _classes(config: ConfigDict) -> None:
    """ConfigError for a head and a loss of which only one is of classes of images."""
    name, of_classes = (
        config.decision.name,
        [term for term in OF_CLASSES if _weight(config, term)],
    )
    if len(of_classes) == 2:
        raise ConfigError(
            f"config.loss.{OF_CLASSES[0]} is of classes of which one is right, "
            f"config.loss.{OF_CLASSES[1]} of classes that may be shown together: give "
            "a weight to one of them."
        )
    if name == "segdec" and of_classes:
        raise ConfigError(
            f"config.loss.{of_classes[0]} learns classes of whole images, but "
            "config.decision.name='segdec' says one number, whether there is "
            "foreground: use 'pooled' with config.decision.pooled.outputs=0."
        )
    if name != "pooled":
        return
    outputs, own = config.decision.pooled.outputs, _own_terms(config)
    if of_classes and outputs == 1:
        raise ConfigError(
            f"config.loss.{of_classes[0]} needs a logit for each class of whole "
            "images, but config.decision.pooled.outputs is 1, whether there is "
            "foreground: set it to 0, one for each class."
        )
    if outputs != 1 and not of_classes and not own:
        raise ConfigError(
            f"config.decision.pooled.outputs is {outputs}, for classes of whole images,"
            f" but no loss teaches these: give config.loss.{OF_CLASSES[0]} or "
            f"config.loss.{OF_CLASSES[1]} a weight, or set outputs to 1."
        )
    if outputs != 1 and _weight(config, LOSS):
        raise ConfigError(
            f"config.loss.{LOSS} learns from one logit, whether there is foreground, "
            f"but config.decision.pooled.outputs is {outputs}, for classes of whole "
            f"images: set that weight to 0, or outputs to 1 and those of "
            f"{' and '.join(OF_CLASSES)} to 0."
        )


def _own_terms(config: ConfigDict) -> bool:
    """Whether a term is a module of the user's own, or has another name than it."""
    return any("module" in block for block in config.loss.values())


def _coarse(config: ConfigDict) -> None:
    """ConfigError for a loss of coarse logits that the model has not."""
    model = config.model.name
    if not _weight(config, COARSE) or "." in model:
        return
    if model == "segdecnet" and not config.model.segdecnet.decoder:
        return
    with_decoder = " with its decoder" if model == "segdecnet" else ""
    raise ConfigError(
        f"config.loss.{COARSE}.weight is {config.loss[COARSE].weight}, but "
        f"config.model.name={model}{with_decoder} has no logits at 1/8 of the size: "
        f"use config.loss.{DISTANCE}, or segdecnet without its decoder."
    )


def _window(config: ConfigDict) -> None:
    """ConfigError for windows of an even number of pixels, which have no middle."""
    places = [("decision.segdec", "kernel"), ("model.segdecnet", "kernel")]
    places += [("model.segdecnet", "top_kernel")]
    places += [(f"loss.{name}", "dilate") for name in (COARSE, DISTANCE)]
    for place, key in places:
        block = config
        for part in place.split("."):
            block = block.get(part) if block is not None else None
        value = block.get(key, 1) if block is not None else 1
        if value % 2 == 0:
            raise ConfigError(
                f"config.{place}.{key} is {value}; give an odd number of pixels."
            )


def _weight(config: ConfigDict, name: str) -> bool:
    """Whether the term has a weight other than 0 at some time of training."""
    block = config.loss.get(name)
    return block is not None and bool(np.any(schedule.values(block.weight)))
