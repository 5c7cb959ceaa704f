"""What can be wrong with heads of whole images and their losses, before JAX starts."""

import numpy as np
from ml_collections import ConfigDict

from jaxseg import lookup, schedule
from jaxseg.errors import ConfigError

HEADS = ("segdec", "pooled")  # as models/_heads.py has them; a test compares
LOSS = "image_cross_entropy"  # the term here that learns from image_logits
COARSE, DISTANCE = "coarse_cross_entropy", "distance_cross_entropy"
TARGETS = ("classes", "border")  # whose channels are classes, the background first


def check(config: ConfigDict) -> None:
    """Raises ConfigError for a wrong name, and for blocks that do not fit together."""
    _name(config)
    _weights(config)
    _both(config)
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
    for name in (LOSS, COARSE, DISTANCE):
        if name in config.loss and min(schedule.values(config.loss[name].weight)) < 0:
            raise ConfigError(
                f"config.loss.{name}.weight is {config.loss[name].weight}, which is "
                "below 0 at some time, so that mistakes are rewarded; use 0 or more."
            )


def _both(config: ConfigDict) -> None:
    """ConfigError for a head that nothing teaches, and for a lesson without a head.

    A term or model of the user's own may be either: experiment/decision.py looks at
    what they are once JAX runs.
    """
    name, weight = config.decision.name, _weight(config, LOSS)
    own = any("module" in block for block in config.loss.values())
    if name and not weight and not own:
        raise ConfigError(
            f"config.decision.name is {name!r}, but no loss teaches that head: set "
            f"config.loss.{LOSS}.weight, for example to 1.0, or config.decision.name "
            "to ''."
        )
    if not name and weight and "." not in config.model.name:
        raise ConfigError(
            f"config.loss.{LOSS}.weight is {config.loss[LOSS].weight}, but the model "
            "decides nothing about whole images: set config.decision.name to 'segdec' "
            "or 'pooled', or that weight to 0."
        )


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
