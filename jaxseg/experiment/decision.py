"""Gives a model the head of whole images that config.decision names."""

from collections.abc import Mapping
from typing import Any

import jax
import numpy as np
from ml_collections import ConfigDict

from jaxseg import lookup, schedule
from jaxseg.errors import ConfigError
from jaxseg.experiment import chosen
from jaxseg.models import _decided, _heads
from jaxseg.train_step import parameter_groups, step


def around(config: ConfigDict, model: Any) -> Any:
    """`model` with its head, or as it is where the config names none.

    Raises ConfigError for a head that there is not, and for fields it does not take.
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
    try:
        return _decided.Decided(model, head(**chosen.fields(config.decision)))
    except TypeError as error:
        key = "fields" if "." in name else name
        raise ConfigError(f"config.decision.{key}: {name}: {error}.") from error


def inner(model: Any) -> Any:
    """The model without its head."""
    return model.model if isinstance(model, _decided.Decided) else model


def check(config: ConfigDict, losses: Mapping[str, tuple[step.Loss, Any]]) -> None:
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


def _teachers(losses: Mapping[str, tuple[step.Loss, Any]]) -> dict[str, Any]:
    """{name: weight} of the terms that read the logits of whole images."""
    return {
        name: weight
        for name, (fn, weight) in losses.items()
        if "image_logits" in step.asks_for(fn)
    }
