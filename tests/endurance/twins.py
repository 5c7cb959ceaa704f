"""Trains undisturbed runs, and compares other runs with them bit for bit."""

import pathlib
import shutil
import time
from typing import NamedTuple

import jax
import numpy as np
import orbax.checkpoint as ocp
from absl import logging
from support import runs
from tensorboard.backend.event_processing import event_file_loader
from tensorboard.util import tensor_util

from endurance import doors
from jaxseg.run_directory import files

RECIPE = ("--config=clicks:smoke", "--config.epochs=6", "--config.log_every=1")
RECIPE += ("--config.eval.bootstrap=20", "--config.eval.every_epochs=1")
RECIPE += ("--config.checkpoint.every_steps=1",)
_CLOCK = ("seconds", "images_per_second", "data_wait", "hparams")  # parts of tags


class Twin(NamedTuple):
    """A finished run that was never disturbed, with the cache that holds its data."""

    workdir: pathlib.Path
    cache: pathlib.Path
    seconds: float  # of the whole run


def arguments(workdir: pathlib.Path, *, workers: int = 0, seed: int = 0) -> list[str]:
    """What `jaxseg.main` is given for a run of this recipe."""
    own = [f"--config.data.workers={workers}", f"--config.seed={seed}"]
    return [*RECIPE, *own, f"--workdir={workdir}"]


def make(place: pathlib.Path, *, seed: int = 0) -> Twin:
    """The twin below `place`, trained there when it is not finished."""
    workdir, cache = place / f"twin-{seed}", place / f"cache-{seed}"
    clock, began = place / f"seconds-{seed}", time.monotonic()
    words = arguments(workdir, seed=seed)
    end = doors.run("main", *words, cache=cache, mark=f"twin-{seed}")
    if end.code:
        raise RuntimeError(f"the twin could not be trained: {end.err}")
    if not clock.is_file():
        clock.write_text(str(time.monotonic() - began))
    return Twin(workdir, cache, float(clock.read_text()))


def fresh_cache(twin: Twin, place: pathlib.Path, *, data: bool) -> pathlib.Path:
    """A cache with the compiled programs of the twin and, with `data`, its data."""
    cache = place / "cache"
    for name in ("jit", *(["demo"] if data else [])):
        shutil.copytree(twin.cache / name, cache / name)
    return cache


def points(workdir: pathlib.Path) -> dict[tuple[str, int], list[float]]:
    """{(tag, step): values} of every number that TensorBoard was told."""
    out: dict[tuple[str, int], list[float]] = {}
    for path in sorted((workdir / "tb").rglob("events.out.tfevents*")):
        for event in event_file_loader.EventFileLoader(str(path)).Load():
            for value in event.summary.value:
                number = _number(value)
                if number is not None:
                    out.setdefault((value.tag, event.step), []).append(number)
    return out


def _number(value) -> float | None:
    if value.HasField("simple_value"):
        return value.simple_value
    if value.HasField("tensor") and not value.tensor.tensor_shape.dim:
        array = tensor_util.make_ndarray(value.tensor)
        return float(array) if array.dtype.kind == "f" else None
    return None


def differences(workdir: pathlib.Path, twin: Twin) -> list[str]:
    """What of the finished run in `workdir` is not as in its twin, in words."""
    out = [f"{name} differs" for name in unequal_results(workdir, twin.workdir)]
    out += _unequal_states(workdir, twin.workdir)
    out += [f"no point {tag} of step {s}" for tag, s in lost_points(workdir, twin)]
    out += [f"litter {name}" for name in litter(workdir, twin.workdir)]
    return out


def unequal_results(workdir: pathlib.Path, other: pathlib.Path) -> list[str]:
    """The results, by file, in which two runs differ; a file may be gone."""
    names = [] if _same(runs.history, workdir, other) else ["history.csv"]
    names += [] if _same(runs.point, workdir, other) else ["operating_point.json"]
    mine, its = runs.scores(workdir), runs.scores(other)
    every = sorted(mine.keys() | its.keys())
    return names + [f"eval/{n}" for n in every if mine.get(n) != its.get(n)]


def _same(read, a: pathlib.Path, b: pathlib.Path) -> bool:
    try:
        return read(a) == read(b)
    except (OSError, ValueError):
        return False


def _unequal_states(workdir: pathlib.Path, other: pathlib.Path) -> list[str]:
    mine, its = steps(workdir), steps(other)
    if mine != its:
        return [f"checkpoints of steps {mine}, not {its}"]
    out = []
    for step in mine:
        a, b = (_state(run / "checkpoints" / str(step)) for run in (workdir, other))
        same = len(a) == len(b) and all(map(np.array_equal, a, b))
        out += [] if same else [f"the arrays of step {step} differ"]
    return out


def _state(folder: pathlib.Path) -> list[np.ndarray]:
    before = logging.get_verbosity()
    logging.set_verbosity(logging.ERROR)  # orbax misses what only it would write
    try:
        with ocp.PyTreeCheckpointer() as reader:
            tree = reader.metadata(folder / "state").item_metadata.tree
            on_host = jax.tree.map(lambda _: ocp.RestoreArgs(np.ndarray), tree)
            state = reader.restore(folder / "state", restore_args=on_host)
    finally:
        logging.set_verbosity(before)
    return runs.leaves(state)


def steps(workdir: pathlib.Path) -> list[int]:
    """The steps that have a checkpoint."""
    names = (p.name for p in (workdir / "checkpoints").glob("*"))
    return sorted(int(name) for name in names if name.isdigit())


def lost_points(workdir: pathlib.Path, twin: Twin) -> list[tuple[str, int]]:
    """The (tag, step) that the twin's TensorBoard has with a value this one lacks."""
    mine = points(workdir)
    return [
        (tag, step)
        for (tag, step), values in points(twin.workdir).items()
        if not any(word in tag for word in _CLOCK)
        and values[-1] not in mine.get((tag, step), [])
    ]


def litter(folder: pathlib.Path, other: pathlib.Path) -> list[str]:
    """Files below `folder` whose like is not below `other`, which nothing disturbed.

    A file of TensorBoard is named by time and process, and arrays by their digest.
    """
    return sorted(_names(folder) - _names(other))


def _names(folder: pathlib.Path) -> set[str]:
    names = set()
    for path in folder.rglob("*"):
        parts = path.relative_to(folder).parts
        if path.is_dir() or parts[0] == "jit" or files.LOCK in parts:
            continue
        if path.name.startswith("events.out.tfevents") or path.parent.name == "d":
            parts = parts[:-1]
        names.add("/".join(parts))
    return names
