"""Finds the file of a recipe, by its path or as a packaged one by name, and runs it.

`pneumothorax` is `configs/pneumothorax.py` of the repository, from anywhere; a wheel
holds the files of `configs/` as `jaxseg/recipes/`.
"""

import difflib
import importlib.util
import os
import pathlib
import traceback
import types
from collections.abc import Callable
from typing import Any

from ml_collections import ConfigDict

from jaxseg import lookup
from jaxseg.errors import ConfigError

_PACKAGE = pathlib.Path(__file__).parents[1]


def folder() -> pathlib.Path:
    """The folder of the packaged recipes."""
    repository = _PACKAGE.parent
    inside = (repository / "pyproject.toml").is_file()
    return repository / "configs" if inside else _PACKAGE / "recipes"


def names() -> list[str]:
    """Sorted names of the packaged recipes."""
    return sorted(p.stem for p in folder().glob("*.py") if p.stem[0] != "_")


def find(text: str) -> pathlib.Path:
    """The file that --config=`text` names, with or without its ":variant".

    Raises ConfigError, with the nearest right one, when there is none.
    """
    name = text.split(":")[0]
    if name in names():
        return folder() / f"{name}.py"
    path = pathlib.Path(name)
    if os.path.isfile(path):  # false, too, for a name that is too long for a file
        return path
    if path.suffix != ".py":
        raise ConfigError(
            f"there is no recipe {name!r} (a path ends in .py): "
            f"{lookup.hint(name, names())}"
        )
    beside = os.path.isdir(path.parent)
    there = [str(p) for p in path.parent.glob("*.py")] if beside else []
    near = difflib.get_close_matches(str(path), there, n=1)
    if near:
        hint = f" Did you mean {near[0]}?"
    elif path.stem in names():
        hint = f" Did you mean the packaged recipe, --config={path.stem}?"
    else:
        hint = f" Packaged recipes: {', '.join(names())}."
    raise ConfigError(f"there is no config file {path}.{hint}")


def load(text: str) -> ConfigDict:
    """What `get_config` of the recipe in --config=`text` returns.

    Raises ConfigError for a file that is not there, is no recipe, or fails.
    """
    path, (_, _, variant) = find(text), text.partition(":")
    get_config = getattr(module(path), "get_config", None)
    if get_config is None:
        raise ConfigError(f"{path} is no recipe: it has no get_config().")
    config = call(get_config, path, *([variant] if variant else []))
    if not isinstance(config, ConfigDict):
        raise ConfigError(f"get_config() in {path} returned no ConfigDict: {config!r}.")
    return config


def module(path: str | os.PathLike) -> types.ModuleType:
    """The file at `path` as a module; ConfigError when it cannot be run."""
    if pathlib.Path(path).suffix == ".json":
        raise ConfigError(
            f"{path} is the config of a run, which has no stages and no sweep: give "
            "the recipe that has them, --config=configs/NAME.py."
        )
    spec = importlib.util.spec_from_file_location("recipe", path)
    recipe = importlib.util.module_from_spec(spec)
    try:
        call(spec.loader.exec_module, path, recipe)
    except SyntaxError as error:
        raise ConfigError(f"{path} is not valid Python: {error}.") from error
    return recipe


def call(function: Callable, path: str | os.PathLike, *args: Any, **kwargs: Any) -> Any:
    """What a function of the recipe in `path` returns.

    Raises ConfigError with the line of the recipe for whatever it raises.
    """
    try:
        return function(*args, **kwargs)
    except (ConfigError, SyntaxError):
        raise
    except Exception as error:
        frames = traceback.extract_tb(error.__traceback__)
        lines = [f.lineno for f in frames if f.filename == str(path)]
        where = f"line {lines[-1]}" if lines else function.__name__
        text = " ".join(str(error).split())
        raise ConfigError(f"{path}, {where}: {type(error).__name__}: {text}") from error
