"""Goes on from a run directory alone: its config, or the command that began its runs.

`--workdir=runs/x` without --config means what lies there: config.json of a run, or
command.json of several (num_seeds, two stages, a sweep); of a bucket, config.json is
read there. What else the command line
says comes on top.
"""

import os
import pathlib
import re
import shlex
from collections.abc import Sequence
from typing import Any

from ml_collections import ConfigDict

from jaxseg import atomic
from jaxseg.config import base, recipe_file
from jaxseg.errors import ConfigError, DataError
from jaxseg.run_directory import bucket, files, mirror, older_configs, schemas

COMMAND = "command.json"  # in the directory of several runs


def words(argv: Sequence[str], config: str | None, workdir: str | None) -> list[str]:
    """The command line `argv` with what the workdir says where --config is not there.

    `config` and `workdir` are the values of these flags. Raises ConfigError where the
    runs in the workdir were begun by another command.
    """
    if config is not None or not workdir:
        return [*argv]
    place = pathlib.Path(workdir)
    if bucket.is_url(workdir):
        bucket.check(workdir)
        place = mirror.stored_config(workdir) or place
    if (place / COMMAND).is_file():
        stored = files.read_json(place / COMMAND)
        if stored["door"] != door(argv):
            raise ConfigError(
                f"{place} holds runs that python -m {stored['door']} began: go on with "
                f"python -m {stored['door']} --workdir={place}."
            )
        return [argv[0], *stored["words"], *argv[1:]]
    if (place / files.CONFIG).is_file():
        return [argv[0], f"--config={place / files.CONFIG}", *argv[1:]]
    return [*argv]


def check_named(config: object, workdir: str | None) -> None:
    """ConfigError where no recipe is named (`config` is None), and no run is there."""
    if config is None and workdir:
        raise ConfigError(
            f"there is no run in {workdir} to go on with: name a recipe to begin one, "
            f"for example --config=pneumothorax --workdir={shlex.quote(workdir)}."
        )


def note(argv: Sequence[str], config: str, workdir: pathlib.Path) -> None:
    """Writes command.json: with it `words` can go on with all runs in the workdir.

    `config` is the value of --config; a path is kept whole, so that the command works
    from anywhere.
    """
    name, colon, variant = config.partition(":")
    if name not in recipe_file.names():
        name = str(pathlib.Path(name).absolute())
    kept, rest = [f"--config={name}{colon}{variant}"], list(argv[1:])
    while rest:
        word = rest.pop(0)
        if match := re.fullmatch(r"--?(config|workdir)(=.*)?", word):
            if match[2] is None and rest:
                rest.pop(0)
        else:
            kept.append(word)
    atomic.check_folder(workdir)
    files.write_json(workdir / COMMAND, {"door": door(argv), "words": kept})


def door(argv: Sequence[str]) -> str:
    """The module that was started: jaxseg.main, jaxseg.sweep."""
    path = pathlib.Path(argv[0])
    name = path.parent.name if path.stem == "__main__" else path.stem
    return f"jaxseg.{name}"


def load(path: str | os.PathLike) -> ConfigDict:
    """The config of a run from its config.json, with the kinds of base.py.

    Keys that came later mean what the code did before them. Raises ConfigError for a
    file that is no config of a run.
    """
    try:
        read = files.read(path, schemas.ConfigBlocks)
        before = older_configs.complete(ConfigDict(_tuples(read)))
        out = base.base()
        with out.unlocked():
            _take(out, before)
    except (DataError, TypeError, ValueError) as error:
        raise ConfigError(f"{path} is no config of a run: {error}") from error
    return out


def _take(out: ConfigDict, values: ConfigDict) -> None:
    for key, value in values.items():
        if isinstance(value, ConfigDict) and isinstance(out.get(key), ConfigDict):
            _take(out[key], value)
        else:
            out[key] = value


def _tuples(value: Any) -> Any:
    """JSON with its lists as tuples, which configs have."""
    if isinstance(value, dict):
        return {key: _tuples(inner) for key, inner in value.items()}
    return tuple(map(_tuples, value)) if isinstance(value, list) else value
