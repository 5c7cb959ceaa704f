"""Gives a model the head of whole images that config.decision names."""

from collections.abc import Mapping
from typing import Any

import jax
import numpy as np
from ml_collections import ConfigDict

from jaxseg import lookup, schedule
from jaxseg.errors import ConfigError
from jaxseg.experiment import chosen, image_classes
from jaxseg.models import _decided, _heads
from jaxseg.train_step import parameter_groups, step

Losses = Mapping[str, tuple[step.Loss, Any]]  # {name: (term, weight)}


def around(
    config: ConfigDict, model: Any, classes: Mapping[str, Any] | None = None
) -> Any:
    """`model` with its head, or as it is where the config names none.

    `classes` is "image_classes" of the data card, None without: a head whose outputs
    are 0 has one for each of these. Raises ConfigError for a head that there is not,
    for fields it does not take, and for no or one such class.
    """
    name = config.decision.name
    if not name:
        return model
    if "." in name:
        head = lookup.find(lookup.HEADS, name).Head
    elif name in _heads.BUILT_IN:
        head = _heads.BUILT_IN[name]
    else:
        hint = lookup.hint(name, _heads.BUILT_IN)
        raise ConfigError(f"config.decision.name is {name!r}: {hint}")
    fields = chosen.fields(config.decision)
    if "." not in name and fields.get("outputs") == 0:
        fields["outputs"] = image_classes.count(classes)
    try:
        return _decided.Decided(model, head(**fields))
    except TypeError as error:
        key = "fields" if "." in name else name
        raise ConfigError(f"config.decision.{key}: {name}: {error}.") from error


def inner(model: Any) -> Any:
    """The model without its head."""
    return model.model if isinstance(model, _decided.Decided) else model


def check(config: ConfigDict, losses: Losses) -> None:
    """Raises ConfigError for a head that none of these losses teaches."""
    name = config.decision.name
    if name and not _teachers(losses):
        raise ConfigError(
            f"config.decision.name is {name!r}, but no loss of config.loss asks for "
            "image_logits, so its head would never learn: set "
            "config.loss.image_cross_entropy.weight, or config.decision.name=''."
        )


def resting(frozen: Any, settings: step.Settings) -> Any:
    """The tree `frozen` with True for a head that cannot learn yet.

    lambda = 1 - e / E leaves the decision no weight in the first epoch: no gradient in
    the first steps is what was asked for.
    """
    last = max(1, settings.total_steps - 1)
    epochs = -(-settings.total_steps // settings.steps_per_epoch)
    weights = [
        schedule.at(
            weight, i / last, epoch=i // settings.steps_per_epoch, epochs=epochs
        )
        for i in range(min(parameter_groups.WATCH, settings.total_steps))
        for weight in _teachers(settings.losses).values()
    ]
    if not weights or np.any(weights):
        return frozen
    rests = [
        value or path.startswith(f"{_decided.MODULE}/")
        for path, value in parameter_groups.paths(frozen).items()
    ]
    return jax.tree.unflatten(jax.tree.structure(frozen), rests)


def _teachers(losses: Losses) -> dict[str, Any]:
    """{name: weight} of the terms that read the logits of whole images."""
    return {
        name: weight
        for name, (fn, weight) in losses.items()
        if "image_logits" in step.asks_for(fn)
    }
