"""Reads the fields of the part that a block of the config names."""

import inspect
import types
from typing import Any

from ml_collections import ConfigDict

from jaxseg import lookup
from jaxseg.data import prepared


def fields(block: ConfigDict) -> dict[str, Any]:
    """The fields of the model, or sampler, that its block names.

    They are a block of that name, or `fields` for a module of the user's own. Lists, as
    a stored config has them, are tuples again: a model must have a hash.
    """
    key = "fields" if "." in block.name else block.name
    values = block[key].to_dict() if key in block else {}
    return {k: _tuples(v) for k, v in values.items()}


def _tuples(value: Any) -> Any:
    return tuple(map(_tuples, value)) if isinstance(value, (list, tuple)) else value


def sampler(
    config: ConfigDict, split: prepared.Split
) -> tuple[types.ModuleType, dict[str, Any]]:
    """(the sampler that the config names, its options).

    Where it asks for `image_classes` by argument name, these are those of the split.
    """
    module, options = lookup.find("data/samplers", config.sampler.name), {}
    if "image_classes" in inspect.signature(module.order).parameters:
        options["image_classes"] = split.image_classes
    return module, options | fields(config.sampler)
