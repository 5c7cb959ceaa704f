"""Finds the settings in which runs differ, and which of them tell most."""

from collections.abc import Mapping, Sequence
from typing import Any

from jaxseg.report.comparison.group_runs import IDLE, REPEATS, settings
from jaxseg.report.read import Run, pick
from jaxseg.report.text import dotted

_BOOKKEEPING = ("name", "recipe", "recipe_chosen")
_FIRST = ("model", "pretrained", "loss", "optim", "epochs", "batch_size", "data")


def differing(configs: Sequence[Mapping[str, Any]]) -> list[str]:
    """Keys that not all configs hold with one value; those in every config first."""
    keys = dict.fromkeys(key for config in configs for key in config)
    odd = [k for k in keys if len({_value(config, k) for config in configs}) > 1]
    return sorted(odd, key=lambda k: not all(k in config for config in configs))


def telling(configs: Sequence[Mapping[str, Any]]) -> list[list[str]]:
    """The keys in which each config differs from others, the rarest values first."""
    odd = [k for k in differing(configs) if k.split(".")[0] not in _BOOKKEEPING]

    def order(config: Mapping[str, Any], key: str) -> tuple[int, int, int]:
        shared = sum(_value(other, key) == _value(config, key) for other in configs)
        top = key.split(".")[0]
        return shared, (*_FIRST, top).index(top), odd.index(key)

    return [
        sorted((k for k in odd if k in config), key=lambda k, c=config: order(c, k))
        for config in configs
    ]


def _value(config: Mapping[str, Any], key: str) -> str:
    return repr(config[key]) if key in config else ""


def without_seed(run: Run) -> dict[str, Any]:
    """The dotted config of a run without what makes it a repeat."""
    return settings(run, without=(*IDLE, *REPEATS))


def surroundings(run: Run) -> dict[str, Any]:
    """What a run was made with besides its config: code, versions, devices, data."""
    info = run["info"]
    keys = ("recipe", "git", "versions", "devices", "intensity", "params")
    facts = {key: info[key] for key in keys if key in info}
    if info.get("sources"):
        used = info["sources"].items()
        facts["sources"] = {name: row["sha256"] for name, row in used}
    for name, key in (("data", "split_hash"), ("pixels", "content")):
        if hashes := pick(info, "dataset", key):
            facts[name] = hashes
    return dotted(facts)
