"""Names the files that a config uses: the recipe, and the parts that it names.

A revision of the package says nothing of a module of the user's own, nor of a file that
was never committed; their content is recorded instead.
"""

import importlib.util
import pathlib
import sys
from collections.abc import Iterator
from typing import NamedTuple

from ml_collections import ConfigDict

import jaxseg
from jaxseg import lookup
from jaxseg.config import command_line, recipe_file
from jaxseg.errors import ConfigError

RECIPE = "recipe"
_PACKAGE = pathlib.Path(jaxseg.__file__).parent


class Part(NamedTuple):
    """A file that a config uses."""

    name: str  # my_lab.my_model, jaxseg.losses.dice, or the recipe as it was typed
    kind: str  # recipe, or the folder of its kind: models, losses ...
    file: pathlib.Path
    own: bool  # not of this package


def recipe(argv: list[str]) -> Part | None:
    """The recipe that a command line names; None without one or of a stored config."""
    typed = command_line.config_value(argv)
    if typed is None:
        return None
    try:
        path = recipe_file.find(typed)
    except ConfigError:  # what is on this command line is no flag of ours
        return None
    if path.suffix != ".py":
        return None
    return Part(typed.partition(":")[0], RECIPE, path, own=True)


def parts(config: ConfigDict) -> list[Part]:
    """Every module that the config names, and what it imported beside itself.

    Of a package in site-packages the named module alone counts: its version stands for
    the rest.
    """
    listed = {}
    for kind, name in _named(config):
        own = "." in name and not name.startswith("jaxseg.")
        if "." not in name:
            path = _PACKAGE / kind / f"{name}.py"
            name = f"jaxseg.{kind.replace('/', '.')}.{name}"
        else:
            path = pathlib.Path(importlib.util.find_spec(name).origin)
        listed[name] = Part(name, kind, path, own=own)
        if not own:
            continue
        if "site-packages" in path.parts or "dist-packages" in path.parts:
            continue
        for other, file in _beside(name):
            listed.setdefault(other, Part(other, kind, file, own=True))
    return [part for part in listed.values() if part.file.is_file()]


def _named(config: ConfigDict) -> Iterator[tuple[str, str]]:
    """(folder of its kind, name) of every part that the config uses."""
    yield "models", config.model.name
    yield "data/datasets", config.data.name
    yield "data/samplers", config.sampler.name
    yield "data/supervision", config.supervision.name
    yield "targets", config.target.name
    for name, block in config.loss.to_dict().items():
        if block["weight"] != 0:
            module = lookup.term(name, block)
            yield lookup.check(lookup.TERMS, module), module
    for kind, name in (
        (lookup.HEADS, config.decision.name),
        ("postprocess", config.operating_point.rule),
        ("postprocess/objects", config.objects.rule),
    ):
        if "." in name or name in lookup.names(kind):
            yield kind, name


def _beside(name: str) -> Iterator[tuple[str, pathlib.Path]]:
    """(module, file) of what is loaded from the package that a module is in."""
    top = f"{name.partition('.')[0]}."
    for other, module in sorted(sys.modules.items()):
        file = getattr(module, "__file__", None)
        if other.startswith(top) and file:
            yield other, pathlib.Path(file)
