"""Looks for the runs to compare, names them, and groups those of another seed."""

import json
import os
import pathlib
import re
from collections.abc import Sequence
from typing import Any, TypedDict

from jaxseg.errors import ConfigError, DataError
from jaxseg.report import derived_numbers
from jaxseg.report.read import Run, Split, of_masks, read
from jaxseg.report.text import dotted
from jaxseg.run_directory import files, schemas

REPEATS = ("seed", "num_seeds")  # what may differ between members of a group
# what changes when, where and how fast a run works, and not what is learned
IDLE = ("recipe_chosen", "auto", "log_every", "checkpoint", "doctor", "mesh")
IDLE += ("data.dir", "data.workers", "data.timeout_s", "eval.every_epochs")
IDLE += ("parent", "note", "eval.shortcut", "eval.shortcut_classes", "eval.localise")
IDLE += ("eval.loss", "eval.pictures_every", "parent_step", "data.cache_gib")
_DEPTH = 3  # how far below a given directory runs are looked for


class Unit(TypedDict):
    """What is ranked: one run, or several that differ in their seed alone."""

    name: str
    runs: list[Run]  # in order of seed
    names: list[str]  # of each run
    images: tuple[str, str | None]  # the split it is judged on, and its hash


def find(roots: Sequence[str | os.PathLike]) -> tuple[list[pathlib.Path], list[str]]:
    """Finished runs at or below some directories, and why others are left out.

    Raises ConfigError for a run that is named twice and for fewer than two runs,
    DataError for a directory without any.
    """
    paths: list[pathlib.Path] = []
    for root in map(pathlib.Path, roots):
        below = _below(root, _DEPTH)
        if not below:
            raise DataError(f"{root} holds no run (no run.json in it): give workdirs.")
        paths += below
    resolved: dict[pathlib.Path, pathlib.Path] = {}
    for path in paths:
        other = resolved.setdefault(path.resolve(), path)
        if other is not path:
            raise ConfigError(
                f"{path} is given twice (also as {other}): once is enough."
            )
    left_out, kept = [], []
    for path, name in zip(paths, labels(paths), strict=True):
        status = _status(path)
        if status == "finished":
            kept.append(path)
        else:
            left_out.append(f"`{name}` is left out: it is not finished ({status}).")
    if len(kept) < 2:
        raise ConfigError(
            f"a comparison wants two finished runs or more, got {len(kept)}. "
            + " ".join(left_out)
        )
    return kept, left_out


def _below(root: pathlib.Path, depth: int) -> list[pathlib.Path]:
    if (root / "run.json").is_file():
        return [root]
    if depth == 0 or not root.is_dir():
        return []
    folders = sorted(path for path in root.iterdir() if path.is_dir())
    return [run for path in folders for run in _below(path, depth - 1)]


def _status(path: pathlib.Path) -> str:
    """Whether the run has ended; DataError for a run.json that does not say."""
    return files.read(path / files.RUN, schemas.Status)["status"]


def labels(paths: Sequence[str | os.PathLike]) -> list[str]:
    """The shortest ends of the paths that tell them apart."""
    parts = [pathlib.Path(os.path.abspath(path)).parts for path in paths]
    tails: list[str] = []
    for depth in range(1, max(map(len, parts)) + 1):
        tails = [str(pathlib.PurePosixPath(*part[-depth:])) for part in parts]
        if len(set(tails)) == len(tails):
            break
    return tails


def units(paths: Sequence[pathlib.Path]) -> list[Unit]:
    """The runs as units, in the order of the paths."""
    runs = [read(path) for path in paths]
    names = dict(zip(map(id, runs), labels(paths), strict=True))
    grouped: list[Unit] = []
    for repeats in group(runs):
        own = [names[id(run)] for run in repeats]
        name = own[0] if len(own) == 1 else _common(own)
        images = _images(repeats[0])
        grouped.append(Unit(name=name, runs=repeats, names=own, images=images))
    taken = [unit["name"] for unit in grouped]
    for unit in grouped:
        if taken.count(unit["name"]) > 1:
            unit["name"] = f"{unit['names'][0]} and {len(unit['names']) - 1} more"
    return grouped


def group(runs: Sequence[Run]) -> list[list[Run]]:
    """Runs that differ only in `config.seed`, together and in order of their seeds.

    The seeds of a group are distinct, so its members are independent repeats: a second
    run of the same seed begins a group of its own. Runs judged on different images are
    never of one group.
    """
    groups: dict[tuple, list[Run]] = {}
    for run in runs:
        config = settings(run, without=(*IDLE, *REPEATS))
        kind, repeat = (json.dumps(config, sort_keys=True), _images(run)), 0
        while seed(run) in map(seed, groups.get((*kind, repeat), [])):
            repeat += 1
        groups.setdefault((*kind, repeat), []).append(run)
    return [
        sorted(repeats, key=lambda run: str(seed(run)).zfill(20))
        for repeats in groups.values()
    ]


def settings(run: Run, *, without: Sequence[str] = IDLE) -> dict[str, Any]:
    """The dotted config of a run; `without` are keys and blocks that are left out."""
    return {
        key: value
        for key, value in dotted(run["config"]).items()
        if not any(key == name or key.startswith(f"{name}.") for name in without)
    }


def _images(run: Run) -> tuple[str, str | None]:
    """The split that a run is judged on, and its hash."""
    split = derived_numbers.main_split(run)
    return split["name"], split["result"].get("split_hash")


def seed(run: Run) -> Any:
    """`config.seed`, which is what members of a group differ in."""
    return run["config"].get("seed")


def _common(names: list[str]) -> str:
    """What the names of a group begin with, without the seed."""
    common = os.path.commonprefix(names)
    if any(name[len(common) : len(common) + 1].isdigit() for name in names):
        common = common.rstrip("0123456789")
    common = re.sub(r"([-_/. ]s|[-_/. ]?seed)?[-_/. ]*$", "", common, flags=re.I)
    return common or f"{names[0]} and {len(names) - 1} more"


def members(units: Sequence[Unit]) -> list[Unit]:
    """Every run as a unit of its own, in order."""
    return [
        Unit(name=name, names=[name], runs=[run], images=unit["images"])
        for unit in units
        for name, run in zip(unit["names"], unit["runs"], strict=True)
    ]


def split_of(unit: Unit) -> Split:
    """The split that a unit is judged on, of its first run."""
    return unit["runs"][0]["splits"][unit["images"][0]]


def title(unit: Unit) -> str:
    """The name of a unit, with how many seeds it stands for."""
    seeds = f", {len(unit['runs'])} seeds" if several(unit) else ""
    return f"{unit['name']}{seeds}"


def images_of(unit: Unit) -> str:
    """The split of a unit and the beginning of its hash."""
    name, digest = unit["images"]
    return f"{name} `{digest[:12]}`" if digest else f"{name}, no hash recorded"


def judged_on(rankings: Sequence[Sequence[Unit]]) -> str:
    """The split of the first units, and those of others, which tables mark."""
    splits = dict.fromkeys(unit["images"][0] for each in rankings for unit in each)
    first, *others = splits
    return f"{first} (marked runs: {', '.join(others)})" if others else first


def trained(units: Sequence[Unit]) -> list[Unit]:
    """The units without masks that no run made."""
    return [unit for unit in units if not of_masks(unit["runs"][0])]


def several(unit: Unit) -> bool:
    """Is the unit a group of seeds?"""
    return len(unit["runs"]) > 1


def comparable(first: Unit, second: Unit) -> bool:
    """Were both judged on the same images, as far as their hashes say?"""
    return first["images"] == second["images"] and first["images"][1] is not None
