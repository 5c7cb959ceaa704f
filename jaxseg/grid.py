"""The members of a sweep: their configs, and the command that trains each alone."""

import importlib.util
import json
import pathlib
import re
import shlex
from collections.abc import Mapping, Sequence
from typing import Any

from ml_collections import ConfigDict

from jaxseg.errors import ConfigError

_SEEDS = 3
_NAME = re.compile(r"[\w.+=-]+")
_OWN = re.compile(r"--?(workdir|seeds|together|parallel|commands|nocommands)(=|$)")

Changes = Mapping[str, Any]  # {"optim.learning_rate": 1e-3}


def changes(config: ConfigDict, path: str, *, seeds: int = 0) -> dict[str, Changes]:
    """{member: what it changes} of the recipe in `path`.

    Its `get_sweep(seeds=...)` says so; a recipe without one is repeated with other
    seeds. `seeds` 0 leaves their number to the recipe. Raises ConfigError for a number
    below 0, and for names that are no name of a directory.
    """
    if seeds < 0:
        raise ConfigError(f"--seeds is {seeds}; it must be at least 1.")
    spec = importlib.util.spec_from_file_location("recipe", path)
    recipe = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(recipe)
    if hasattr(recipe, "get_sweep"):
        found = recipe.get_sweep(**({"seeds": seeds} if seeds else {}))
    else:
        found = repeats(config, seeds or _SEEDS)
    for name in found:
        if not _NAME.fullmatch(name):
            raise ConfigError(
                f"get_sweep() in {path} names a member {name!r}; use letters, digits "
                "and any of . _ + = -"
            )
    return found


def repeats(config: ConfigDict, seeds: int) -> dict[str, Changes]:
    """The config with `seeds` seeds, counted from its own."""
    return {f"seed{s}": {"seed": s} for s in range(config.seed, config.seed + seeds)}


def members(
    config: ConfigDict, changed: Mapping[str, Changes]
) -> dict[str, ConfigDict]:
    """The config of each member; ConfigError for a key that the recipe has not."""
    out = {}
    for name, values in changed.items():
        out[name] = config.copy_and_resolve_references()
        out[name].num_seeds = 1
        for key, value in values.items():
            *path, last = key.split(".")
            block = out[name]
            for part in path:
                block = block[part] if part in block else {}
            if last not in block:
                raise ConfigError(f"member {name!r} sets config.{key}: no such key.")
            block[last] = value
    return out


def commands(
    argv: Sequence[str], changed: Mapping[str, Changes], workdir: pathlib.Path
) -> dict[str, list[str]]:
    """The command that trains each member by itself, for a cluster's array of jobs.

    `argv` is that of the sweep: its own options go, those of the config stay.
    """
    kept, words = [], list(argv[1:])
    while words:
        word = words.pop(0)
        if not (own := _OWN.match(word)):
            kept.append(word)
        elif own[2] == "" and own[1] not in ("commands", "nocommands"):
            words.pop(0)
    out = {}
    for name, values in changed.items():
        more = [f"--config.{key}={_word(value)}" for key, value in values.items()]
        more += ["--config.num_seeds=1", f"--workdir={workdir / name}"]
        out[name] = ["python", "-m", "jaxseg.main", *kept, *more]
    return out


def _word(value: Any) -> str:
    return str(value) if isinstance(value, (str, tuple)) else json.dumps(value)


def text(command: Sequence[str]) -> str:
    """A command as one line for a shell."""
    return shlex.join(command)
