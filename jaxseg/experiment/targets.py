"""Makes the target of an experiment: what the channels of its network mean."""

import functools
import inspect
from collections.abc import Callable, Iterable, Mapping
from typing import Any

import jax
import jax.numpy as jnp
from ml_collections import ConfigDict

from jaxseg import lookup
from jaxseg.errors import ConfigError
from jaxseg.experiment import chosen
from jaxseg.train_step import step
from jaxseg.types import Target

_ALWAYS = ("logits", "mask", "label", "image", "image_logits", "teacher", "instances")
_ALWAYS += ("coarse_logits", "image_classes")


def of(config: ConfigDict, num_classes: int) -> Target:
    """The target that config.target names, for data of so many classes.

    Raises ConfigError for one that there is not, and for settings it does not take.
    """
    name = config.target.name
    block, fields = "fields" if "." in name else name, chosen.fields(config.target)
    module = lookup.find("targets", name)

    def part(function: str) -> Callable:
        return functools.partial(
            getattr(module, function), num_classes=num_classes, **fields
        )

    try:
        channels = module.channels(num_classes, **fields)
    except TypeError as error:
        raise ConfigError(f"config.target.{block}: {name}: {error}.") from error
    needs = "instances" in inspect.signature(module.truth).parameters
    mirror = part("mirror") if hasattr(module, "mirror") else _mirrored
    length = getattr(module, "ray_length", None)
    return Target(
        name=name,
        channels=channels,
        instances=needs and name != "classes",
        split=part("split"),
        truth=part("truth"),
        maps=part("maps"),
        mirror=mirror,
        names=tuple(module.MAPS(fields)),
        ray_length=length(**fields) if length else 0.0,
    )


def _mirrored(maps: jax.Array, axis: int) -> jax.Array:
    return jnp.flip(maps, axis)


def beside_classes(target: Target | None) -> Target | None:
    """The target of a step; None where the logits are those of the classes."""
    return None if target is None or target.name == "classes" else target


def needs_instances(
    target: Target | None, losses: Mapping[str, tuple[step.Loss, Any]]
) -> bool:
    """Whether a batch must have object ids: the target or a loss asks for them."""
    asked = any("instances" in step.asks_for(fn) for fn, _ in losses.values())
    return asked or (target is not None and target.instances)


def check_losses(
    target: Target | None, losses: Mapping[str, tuple[step.Loss, Any]]
) -> None:
    """ConfigError for a loss of what is not predicted, and for what no loss learns."""
    if target is None:
        return
    pixels = jax.ShapeDtypeStruct((1, 4, 4), jnp.int32)
    logits = jax.ShapeDtypeStruct((1, 4, 4, target.channels), jnp.float32)
    predicted = {*jax.eval_shape(target.split, logits)}
    there = {*_ALWAYS, *predicted, *jax.eval_shape(target.truth, pixels, pixels)}
    learnt: set[str] = set()
    for name, (fn, _) in losses.items():
        asked = {*step.asks_for(fn)}
        learnt |= asked
        if lacking := sorted(asked - there):
            raise ConfigError(
                f"config.loss.{name} asks for {_and(lacking)}, which the target "
                f"{target.name!r} has not: choose another config.target.name, or set "
                f"config.loss.{name}.weight=0."
            )
    if left := sorted(predicted - learnt - {"logits"}):
        raise ConfigError(
            f"config.target.name is {target.name!r}, but no loss learns its "
            f"{_and(left)}: give one that does a weight in config.loss, "
            f"{_and(_learning(left))}."
        )


_LOSSES = {
    "distance": "distance",
    "object_logits": "object_probability",
    "rays": "star_rays",
    "region_logits": "region_cross_entropy",
}


def _learning(names: Iterable[str]) -> list[str]:
    """Keys of losses that learn these outputs."""
    return [f"config.loss.{_LOSSES.get(name, name)}.weight" for name in names]


def _and(words: Iterable[str]) -> str:
    return " and ".join(words)
