"""Configurations as a diff: which settings differ, and which of them tell most."""

from collections.abc import Mapping, Sequence
from typing import Any

from jaxseg.report.comparison.group_runs import REPEATS
from jaxseg.report.read import Run, pick

_BOOKKEEPING = ("name", "recipe", "recipe_chosen")
_FIRST = ("model", "pretrained", "loss", "optim", "epochs", "batch_size", "data")


def flat(value: Any, prefix: str = "") -> dict[str, Any]:
    """{"a": {"b": 1}} as {"a.b": 1}."""
    if not isinstance(value, Mapping) or not value:
        return {prefix: value}
    dotted = f"{prefix}." if prefix else ""
    return {
        k: v for key in value for k, v in flat(value[key], f"{dotted}{key}").items()
    }


def differing(tables: Sequence[Mapping[str, Any]]) -> list[str]:
    """Keys that not all tables hold with one value; those in every table first."""
    keys = dict.fromkeys(key for table in tables for key in table)
    odd = [k for k in keys if any(_of(t, k) != _of(tables[0], k) for t in tables)]
    return sorted(odd, key=lambda k: not all(k in table for table in tables))


def telling(tables: Sequence[Mapping[str, Any]]) -> list[list[str]]:
    """The keys in which each table differs from others, the rarest values first."""
    odd = [k for k in differing(tables) if k.split(".")[0] not in _BOOKKEEPING]

    def order(table: Mapping[str, Any], key: str) -> tuple[int, int, int]:
        shared = sum(_of(other, key) == _of(table, key) for other in tables)
        top = key.split(".")[0]
        return shared, (*_FIRST, top).index(top), odd.index(key)

    return [
        sorted((k for k in odd if k in table), key=lambda k, t=table: order(t, k))
        for table in tables
    ]


def _of(table: Mapping[str, Any], key: str) -> str:
    return repr(table[key]) if key in table else ""


def config(run: Run) -> dict[str, Any]:
    """The dotted config of a run without what makes it a repeat."""
    return flat({k: v for k, v in run["config"].items() if k not in REPEATS})


def surroundings(run: Run) -> dict[str, Any]:
    """What a run was made with besides its config: code, versions, devices, data."""
    info = run["info"]
    keys = ("recipe", "git", "versions", "devices", "intensity", "params")
    found = {key: info[key] for key in keys if key in info}
    hashes = pick(info, "dataset", "split_hash")
    return flat(found | ({"data": hashes} if hashes else {}))
