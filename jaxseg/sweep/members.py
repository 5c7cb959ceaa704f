"""Makes the configs of the members of a sweep, and the command that trains each."""

import copy
import inspect
import os
import pathlib
import re
import shlex
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from ml_collections import ConfigDict

from jaxseg.config import base, limits, recipe_file
from jaxseg.errors import ConfigError
from jaxseg.run_directory import older_configs
from jaxseg.run_directory.two_stage_schemas import STAGES

REPORT = "report"  # beside the members: no member may have this name
_SEEDS = 3
_NAME = re.compile(r"\w[\w.+=-]*")
_OWN = re.compile(r"--?(workdir|seeds|together|parallel|(?:no)?commands)(=|$)")

Changes = Mapping[str, Any]  # {"optim.learning_rate": 1e-3}


def changes(
    config: ConfigDict, path: str | os.PathLike, *, seeds: int = 0
) -> dict[str, Changes]:
    """{member: what it changes} of the recipe in `path`.

    Its `get_sweep(seeds=...)` says so; a recipe without one is repeated with other
    seeds. `seeds` 0 leaves their number to the recipe. Raises ConfigError for a number
    below 0 or of more than can be trained, for names that are no name of a directory,
    and for what get_sweep raises.
    """
    if not 0 <= seeds <= limits.MOST_SEEDS:
        most = f"{limits.MOST_SEEDS:,}"
        raise ConfigError(f"--seeds is {seeds}; it must be from 1 to {most}.")
    recipe = recipe_file.module(path)
    if not hasattr(recipe, "get_sweep"):
        return repeats(config, seeds or _SEEDS)
    options = {"seeds": seeds} if seeds else {}
    if not options.keys() <= inspect.signature(recipe.get_sweep).parameters.keys():
        raise ConfigError(f"get_sweep() in {path} takes no seeds: leave --seeds out.")
    changed = recipe_file.call(recipe.get_sweep, path, **options)
    mappings = isinstance(changed, Mapping) and changed.values()
    if not mappings or not all(isinstance(values, Mapping) for values in mappings):
        raise ConfigError(
            f"get_sweep() in {path} must return {{member: {{key of config: value}}}} "
            f"with one member or more; it returned {changed!r:.80}."
        )
    for name in changed:
        if not isinstance(name, str) or not _NAME.fullmatch(name) or name == REPORT:
            raise ConfigError(
                f"get_sweep() in {path} names a member {name!r}; use letters, digits "
                f"and any of . _ + = - after the first, and not {REPORT!r}."
            )
    return {
        name: {key: _plain(value) for key, value in values.items()}
        for name, values in changed.items()
    }


def stages(config: ConfigDict, path: str | os.PathLike) -> dict[str, Changes]:
    """{stage: what it changes} of config.two_stage: get_stages() of the recipe.

    Raises ConfigError for a recipe without one, and for other stages than STAGES.
    """
    recipe = recipe_file.module(path)
    if not hasattr(recipe, "get_stages"):
        raise ConfigError(
            f"config.two_stage.on is True, but {path} has no get_stages(): it returns "
            f"what {' and '.join(STAGES)} change, as get_sweep() does for members."
        )
    changed = recipe_file.call(recipe.get_stages, path)
    if not isinstance(changed, Mapping) or {*changed} != {*STAGES}:
        raise ConfigError(
            f"get_stages() in {path} must return {{stage: {{key of config: value}}}} "
            f"of {' and '.join(STAGES)}; it returned {changed!r:.80}."
        )
    return {s: {**changed[s], "two_stage.on": False} for s in STAGES}


def _plain(value: Any) -> Any:
    """Numbers of numpy as Python's own, which a config takes and a command line too."""
    return value.tolist() if hasattr(value, "tolist") else value


def repeats(config: ConfigDict, seeds: int) -> dict[str, Changes]:
    """The config with `seeds` seeds, counted from its own."""
    return {f"seed{s}": {"seed": s} for s in range(config.seed, config.seed + seeds)}


def folds(config: ConfigDict) -> dict[str, Changes]:
    """The config with each fold in turn as the one that is tested."""
    return {f"fold{k}": {"fold": k} for k in range(config.folds)}


def members(
    config: ConfigDict, changed: Mapping[str, Changes]
) -> dict[str, ConfigDict]:
    """The config of each member, with all defaults.

    Raises ConfigError for a key that the recipe has not, or a value that it cannot be.
    """
    out = {}
    for name, values in changed.items():
        own = copy.deepcopy(config)  # with its references, as for the command line
        for key, value in values.items():
            block, last = _place(own, key, f"member {name!r}")
            try:
                _change(block, last, value, key)
            except (TypeError, ValueError, KeyError) as error:
                raise ConfigError(f"member {name!r}, config.{key}: {error}") from error
        out[name] = older_configs.complete(own)
        out[name].num_seeds = 1
    return out


def _change(block: ConfigDict, last: str, value: Any, key: str) -> None:
    """Sets a key, or those in a block of keys; blocks of base.OPEN take new ones."""
    if not _is_block(block, last, value):
        block[last] = value
    elif key in base.OPEN:
        with block[last].unlocked():
            block[last].update(value)
    else:
        for inside, each in value.items():
            if inside not in block[last]:
                raise KeyError(f"there is no key {inside!r} in it")
            _change(block[last], inside, each, f"{key}.{inside}")


def _is_block(block: ConfigDict, last: str, value: Any) -> bool:
    """Whether a key is a block of keys, of which `value` sets some."""
    return isinstance(block[last], ConfigDict) and isinstance(value, Mapping)


def _place(config: ConfigDict, key: str, who: str) -> tuple[ConfigDict, str]:
    """The block that holds a key, and the last part of the key."""
    *path, last = key.split(".")
    block = config
    for part in path:
        block = block.get(part) if isinstance(block, ConfigDict) else None
    if not isinstance(block, ConfigDict) or last not in block:
        message = base.no_key(key, base.keys(config))
        raise ConfigError(f"{who} sets config.{key}: {message}")
    return block, last


def commands(
    argv: Sequence[str],
    config: ConfigDict,
    changed: Mapping[str, Changes],
    workdir: pathlib.Path,
) -> dict[str, list[str]]:
    """The command that trains each member by itself, for a cluster's array of jobs.

    `argv` is that of the sweep: its own options go, those of the config stay where the
    member does not set them. Raises ConfigError for a value that no flag can give.
    """
    out = {}
    for name, values in changed.items():
        if "num_seeds" in config:  # recipes of before have none, and so no flag for it
            values = {**values, "num_seeds": 1}
        single = dict(_single(config, values, f"member {name!r}"))
        more = [_flag(config, *item, f"member {name!r}") for item in single.items()]
        kept = _kept(argv[1:], config, values)
        out[name] = ["python", "-m", "jaxseg.main", *kept, *filter(None, more)]
        out[name].append(f"--workdir={workdir / name}")
    return out


def _single(config: ConfigDict, values: Changes, who: str) -> Iterator[tuple[str, Any]]:
    """(key, value) of every key: a flag cannot set a block as a whole."""
    for key, value in values.items():
        if key not in base.OPEN and _is_block(*_place(config, key, who), value):
            inside = {f"{key}.{k}": v for k, v in value.items()}
            yield from _single(config, inside, who)
        else:
            yield key, value


def _kept(words: Sequence[str], config: ConfigDict, values: Changes) -> list[str]:
    """The words without options of the sweep, and without those that `values` replaces.

    A later flag does not always win: those of tuples add up.
    """
    kept, words = [], list(words)
    while words:
        word = words.pop(0)
        flag, equals, _ = word.partition("=")
        key = re.sub(r"^--?(no)?config\.", "", flag)
        if own := _OWN.match(word):
            alone = own[1].endswith("commands")
        elif key != flag and any(f"{key}.".startswith(f"{k}.") for k in values):
            alone = _kind(config, key) in (bool, object)  # such a flag takes no word
        else:
            kept.append(word)
            continue
        if not equals and not alone:
            words.pop(0)
    return kept


def _kind(config: ConfigDict, key: str) -> type:
    block, last = _place(config, key, "the command line")
    return block.get_type(last)


def _flag(config: ConfigDict, key: str, value: Any, who: str) -> str | None:
    block, last = _place(config, key, who)
    kind = block.get_type(last)
    if value is None and block[last] is None:
        return None
    if (value is None and kind is not object) or kind is list:
        raise ConfigError(
            f"{who} sets config.{key} to {value!r}, which no flag can: train it here, "
            "without --commands and --parallel."
        )
    plain = isinstance(value, str) and kind is not object
    return f"--config.{key}={value if plain else repr(value)}"


def text(command: Sequence[str]) -> str:
    """A command as one line for a shell."""
    return shlex.join(command)
