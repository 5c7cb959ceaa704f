"""Fills in the settings that `config.auto` leaves to the data and the machine.

`config/auto_rules.py` holds the rules. What they choose stands in the config of the run
from then on, with the reasons in `config.auto.reasons`: a run that goes on elsewhere
keeps the choices it was begun with.
"""

import copy
import os
import pathlib
from typing import Any

import jax
import numpy as np
from absl import logging
from ml_collections import ConfigDict

from jaxseg import cores
from jaxseg.config import auto_rules, base
from jaxseg.data import prepared
from jaxseg.devices import sharding
from jaxseg.errors import ConfigError
from jaxseg.experiment import from_config, training_labels
from jaxseg.run_directory import files


def resolve(config: ConfigDict, workdir: pathlib.Path | None = None) -> ConfigDict:
    """The config with everything chosen that `config.auto` asks for; else as it is.

    The settings in `config.auto.keep` stay; the command line puts those there that it
    sets. Choices of a run that began in `workdir`, or in a folder of it, are taken from
    there. Prepares the data set if it must be. Raises ConfigError and DataError as
    `from_config.dataset` does.
    """
    if not config.auto.on:
        return config
    config = copy.deepcopy(config)  # with its references, which say what a key may be
    keep = tuple(dict.fromkeys(config.auto.keep))
    unknown = [key for key in keep if key not in base.keys(config)]
    if unknown:
        raise ConfigError(
            f"config.auto.keep: {base.no_key(unknown[0], base.keys(config))}"
        )
    recipe = dict(base.items(config))
    before = _begun(workdir, config)
    if before is None:
        split = from_config.splits(config, from_config.dataset(config))["train"]
        fixed = {key: base.get(config, key) for key in keep}
        sparse = training_labels.is_sparse(config)
        choices = auto_rules.choose(facts(split, sparse=sparse), machine(), fixed)
    else:
        choices = [c for c in _choices(before) if c.key not in keep]
    for choice in choices:
        _set(config, choice.key, choice.value)
    config.auto.reasons = tuple(f"{c.key}: {c.reason}" for c in choices)
    lines = [_line(choice, recipe[choice.key]) for choice in choices]
    lines += [f"config.{key} = {base.get(config, key)}, as you set it" for key in keep]
    title = "settings chosen for this data and machine"
    if before is not None:
        title = "settings that were chosen when the run began, and are kept"
    logging.info("%s:\n%s", title, "\n".join(lines))
    return config


def facts(split: prepared.Split, *, sparse: bool = False) -> auto_rules.Facts:
    """What the rules read of the training split; `sparse` says what its labels are."""
    return auto_rules.Facts(
        sizes=split.sizes,
        pixels=split.pixels,
        present=split.pixels > 0,
        classes=tuple(split.classes),
        dtype=split.card["dtype"],
        objects=split.card["splits"][split.name].get("objects"),
        channels=split.card["channels"],
        sparse=sparse,
    )


def machine() -> auto_rules.Machine:
    """The machine of process 0, with the devices of all processes."""
    device = jax.local_devices()[0]
    kind = "cpu" if device.platform == "cpu" else "gpu"
    memory = (device.memory_stats() or {}).get("bytes_limit") if kind == "gpu" else None
    if memory is None:
        memory = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")
    numbers = {"numbers": np.array([cores.usable(), memory / 2**30], np.float64)}
    count, memory = sharding.gather(numbers)[0]["numbers"]
    return auto_rules.Machine(kind, int(count), float(memory), jax.device_count())


def _begun(workdir: pathlib.Path | None, config: ConfigDict) -> dict[str, Any] | None:
    """The config of a run that was begun with `auto` in `workdir`, if there is one.

    Below it lie the runs of a sweep, or of several seeds: those count that are of the
    same recipe and data.
    """
    if workdir is None:
        return None
    own, below = workdir / files.CONFIG, sorted(workdir.glob(f"*/{files.CONFIG}"))
    for path in [own] if own.is_file() else below:
        stored = files.read_json(path)
        if not isinstance(stored, dict) or not stored.get("auto", {}).get("reasons"):
            continue
        alike = all(stored.get(key) == config[key] for key in ("name", "recipe"))
        if path == own or (alike and stored["data"]["dir"] == config.data.dir):
            return stored
    return None


def _choices(stored: dict[str, Any]) -> list[auto_rules.Choice]:
    choices = []
    for line in stored["auto"]["reasons"]:
        key, _, reason = line.partition(": ")
        value: Any = stored
        for part in key.split("."):
            value = value[part]
        value = tuple(value) if isinstance(value, list) else value
        choices.append(auto_rules.Choice(key, value, reason))
    return choices


def _line(choice: auto_rules.Choice, default: Any) -> str:
    same = choice.value == default
    before = "as in the recipe" if same else f"the recipe has {default}"
    return f"config.{choice.key} = {choice.value} ({before}): {choice.reason}"


def _set(config: ConfigDict, key: str, value: Any) -> None:
    *blocks, last = key.split(".")
    for part in blocks:
        config = config[part]
    config[last] = value
