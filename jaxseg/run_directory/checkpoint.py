"""Saves and restores checkpoints; one that is damaged is never used.

Orbax writes a step into a temporary directory and renames it, so a step is there or
not. But it keeps no digests: one flipped bit in the array data restores wrong numbers
without a word, and other dtypes are cast silently. So, in the background and just
before the rename, process 0 writes `manifest.json` into the step: the SHA-256 of every
file, every array's shape and dtype, the metrics and `meta`. A step without it is bad.
"""

import dataclasses
import errno
import functools
import logging as standard_logging
import math
import os
import pathlib
import shutil
import sys
from typing import Any

import jax
import numpy as np
import orbax.checkpoint as ocp
from absl import logging
from jax.experimental import multihost_utils

from jaxseg import atomic, errors
from jaxseg.errors import NotWritten
from jaxseg.run_directory import manifest

_BESIDES = 2**18  # bytes of a step that are no arrays, at most
_FROZEN = "operating_point"  # its key in a manifest
# Orbax writes these two around the rename, after the manifest; restoring with a
# given structure reads neither.
_LATER = ("_CHECKPOINT_METADATA", "commit_success.txt")


@dataclasses.dataclass
class Manager:
    """The open checkpoints of one run. Made by `open_manager`, given to the rest."""

    orbax: ocp.CheckpointManager
    directory: pathlib.Path
    metric: str
    mode: str
    read_only: bool
    values: dict[int, float | None]  # step -> metric, the measure of "best"
    pending: dict[str, Any]  # the manifest of the step being written
    needed: list[int]  # bytes of the arrays of that step


@dataclasses.dataclass
class _KeepBest:
    """The retention rule that keeps the step with the best value."""

    values: dict[int, float | None]
    mode: str

    def should_preserve(self, checkpoints, *, context) -> list[bool]:
        best = _best(self.values, [info.step for info in checkpoints], self.mode)
        return [info.step == best for info in checkpoints]


def open_manager(
    directory: str | os.PathLike,
    *,
    metric: str = "validation/dice_pooled",
    mode: str = "max",
    keep: int = 2,
    read_only: bool = False,
) -> Manager:
    """The checkpoints in `directory`: the newest `keep` steps and the best one.

    With `read_only` nothing is written, moved or deleted, so a run may be looked at
    while it trains. Raises ConfigError for `keep` below 2 (a damaged newest step
    would leave nothing to fall back to) and DataError where there is nothing to read.
    """
    directory = pathlib.Path(directory).absolute()
    if keep < 2 or mode not in ("max", "min"):
        raise errors.ConfigError(
            f"keep={keep}, mode={mode!r}: keep 2 or more; mode is 'max' or 'min'."
        )
    if read_only and not directory.is_dir():
        raise errors.DataError(f"{directory} does not exist: no checkpoints to read.")
    logging.get_absl_logger().addFilter(_quiet)
    standard_logging.getLogger("asyncio").addFilter(_told_elsewhere)
    if sys.excepthook is not _excepthook:
        _excepthook.__wrapped__ = sys.excepthook
        sys.excepthook = _excepthook
    values, pending = {}, {}
    rules = [ocp.checkpoint_managers.LatestN(keep), _KeepBest(values, mode)]
    options = ocp.CheckpointManagerOptions(
        create=not read_only,
        read_only=read_only,
        cleanup_tmp_directories=not read_only,
        save_root_metadata=False,
        lightweight_initialize=True,
        preservation_policy=ocp.checkpoint_managers.AnyPreservationPolicy(rules),
        async_options=ocp.options.AsyncOptions(
            post_finalization_callback=functools.partial(_seal, directory, pending)
        ),
    )
    orbax = ocp.CheckpointManager(directory, options=options)
    for step in orbax.all_steps():
        stored, _ = manifest.read(directory / str(step))
        values[step] = stored.get("metrics", {}).get(metric)
    return Manager(orbax, directory, metric, mode, read_only, values, pending, [])


def save(
    manager: Manager,
    state: Any,
    *,
    step: int,
    metrics: dict[str, Any] | None = None,
    meta: dict[str, Any] | None = None,
) -> None:
    """Saves `state` as `step` in the background; every process calls it.

    `metrics` (None between evaluations) decides which step is best; `meta` is small,
    finite and JSON. Raises NotWritten when this or the save before could not be
    written, ConfigError when `metrics` lacks the metric, RuntimeError for a step not
    newer.
    """
    _wait(manager)
    latest = latest_step(manager)
    if latest is not None and step <= latest:
        raise RuntimeError(f"cannot save step {step}: step {latest} is there already.")
    if metrics is not None and manager.metric not in metrics:
        raise errors.ConfigError(
            f"the best checkpoint is chosen by {manager.metric!r}, but the metrics "
            f"are {sorted(metrics)}; choose one of these."
        )
    record = manifest.plain(
        {"step": step, "metrics": _defined(metrics), "meta": meta or {}}
        | {"tree": _tree(state)}
    )
    manager.pending.clear()
    manager.pending.update(record)
    manager.needed[:] = [sum(leaf.nbytes for leaf in jax.tree.leaves(state))]
    manager.values[step] = record["metrics"].get(manager.metric)
    _check_room(manager, step)
    arguments = ocp.args.Composite(state=ocp.args.StandardSave(state))
    try:
        try:
            started = manager.orbax.save(step, args=arguments, force=True)
        except Exception:  # the fault of the save before, told again
            started = manager.orbax.save(step, args=arguments, force=True)
    except Exception as error:
        raise _not_written(manager, step, error) from error
    if not started:
        raise RuntimeError(f"the checkpoint of step {step} was not written.")


def restore(
    manager: Manager, abstract: Any, *, step: int | None = None
) -> tuple[Any, dict[str, Any], int]:
    """(state, meta, step) of the newest good step, or of exactly `step`.

    `abstract` is a tree of jax.ShapeDtypeStruct with the shardings wanted. A damaged
    newest step is named in a warning, the one before is taken, and (unless
    read_only) the damaged one moves to `set_aside/`, so that its number can be
    saved again. Raises ConfigError when the tree, a shape or a dtype differs, and
    DataError when no good step is there.
    """
    chosen, stored = _newest_good(manager, abstract, step)
    wanted = ocp.args.StandardRestore(jax.tree.map(_with_sharding, abstract))
    state = manager.orbax.restore(chosen, args=ocp.args.Composite(state=wanted))
    return state["state"], stored["meta"], chosen


def check(directory: str | os.PathLike, abstract: Any) -> None:
    """Raises what `restore` of the newest good step would; nothing is moved."""
    manager = open_manager(directory, read_only=True)
    try:
        _newest_good(manager, abstract, None)
    finally:
        close(manager)


def _newest_good(
    manager: Manager, abstract: Any, step: int | None
) -> tuple[int, dict[str, Any]]:
    """(the step that `restore` takes, its manifest), of the tree of `abstract`."""
    _wait(manager)
    chosen, problem = -1, "process 0 found no good checkpoint"
    if jax.process_index() == 0:
        steps = [s for s in manager.orbax.all_steps() if step in (None, s)]
        chosen, problem = manifest.newest_good(
            manager.directory, steps, move=step is None and not manager.read_only
        )
    if jax.process_count() > 1:
        chosen = int(multihost_utils.broadcast_one_to_all(np.int32(chosen)))
    if chosen < 0:
        name = "" if step is None else f" of step {step}"
        raise errors.DataError(
            f"{manager.directory} has no good checkpoint{name}: {problem}."
        )
    if step is None and not manager.read_only:
        manager.orbax.reload()  # process 0 may have moved damaged steps
    stored, _ = manifest.read(manager.directory / str(chosen))
    source = f"checkpoint {chosen} of {manager.directory}"
    manifest.check_tree(stored["tree"], _tree(abstract), source=source)
    return chosen, stored


def freeze(manager: Manager, step: int, point: dict[str, Any]) -> None:
    """Seals what validation chose at `step` with the manifest of that checkpoint."""
    manifest.add(manager.directory / str(step), _FROZEN, point)


def frozen(manager: Manager) -> dict[int, dict[str, Any]]:
    """{step: what `freeze` sealed with it}; {} for a run of before."""
    records = {
        step: manifest.read(manager.directory / str(step))[0]
        for step in manager.orbax.all_steps()
    }
    return {k: record[_FROZEN] for k, record in records.items() if _FROZEN in record}


def latest_step(manager: Manager) -> int | None:
    """The newest step, good or not; None when nothing was saved."""
    return manager.orbax.latest_step()


def durable_step(manager: Manager) -> int | None:
    """The newest step that is whole on disk; a save under way may be a newer one."""
    steps = sorted(manager.orbax.all_steps())
    if manager.orbax.is_saving_in_progress():
        steps = steps[:-1]  # orbax lists a step as soon as it begins to save it
    return steps[-1] if steps else None


def best_step(manager: Manager) -> int | None:
    """The step with the best metric, the first of equals; None without metrics."""
    return _best(manager.values, manager.orbax.all_steps(), manager.mode)


def check_errors(manager: Manager) -> None:
    """Raises NotWritten if a save has failed in the background; never waits for one."""
    if not manager.orbax.is_saving_in_progress():
        _wait(manager)


def close(manager: Manager) -> None:
    """Waits until the last save is whole, then closes; NotWritten if it failed."""
    try:
        _wait(manager)
    finally:
        manager.orbax.close()


def _wait(manager):
    faults = []
    for _ in range(16):  # orbax may tell several faults of one save, one at a time
        try:
            manager.orbax.wait_until_finished()
            manager.orbax.check_for_errors()
            break
        except Exception as error:  # whatever its writer threads met
            faults.append(error)
    if faults:
        step = manager.pending.get("step")
        raise _not_written(manager, step, faults[0]) from faults[0]


def _check_room(manager, step) -> None:
    """NotWritten where the arrays cannot fit: orbax would begin, and leave a half."""
    disk = shutil.disk_usage(manager.directory)  # all 0 where nobody can tell
    needed = sum(manager.needed) + _BESIDES
    if jax.process_count() == 1 and disk.total and disk.free < needed:
        raise _not_written(manager, step, OSError(errno.ENOSPC, "no room for it"))


def _not_written(manager, step, error) -> NotWritten:
    free = shutil.disk_usage(manager.directory).free
    cause = str(error).splitlines()[0] if str(error) else repr(error)
    for code in atomic.REFUSING:  # orbax may tell it in words alone
        if getattr(error, "errno", None) == code or os.strerror(code) in str(error):
            told = OSError(code, os.strerror(code))
            what = f"cannot take the checkpoint of step {step}"
            return atomic.refused(manager.directory, told, what=what)
    return NotWritten(
        getattr(error, "errno", None),
        f"the checkpoint of step {step} could not be written to {manager.directory}: "
        f"it needs {sum(manager.needed) + _BESIDES:,} bytes, {free:,} bytes are free "
        "there. The ones before are untouched; make room, then start the same command "
        "again. "
        f"Cause: {cause}",
    )


def _best(values, steps, mode) -> int | None:
    sign = 1 if mode == "max" else -1
    scored = [step for step in steps if values.get(step) is not None]
    return max(scored, key=lambda step: (sign * values[step], -step), default=None)


def _seal(directory, pending):
    """Runs on process 0 when all files of a step are written, before the rename."""
    step = pending["step"]
    for folder in [directory / str(step), *directory.glob(f"{step}.orbax*tmp*")]:
        if folder.is_dir():
            manifest.seal(folder, pending, skip=_LATER)


def _with_sharding(leaf):
    if getattr(leaf, "sharding", None) is not None or jax.process_count() > 1:
        return leaf
    here = jax.sharding.SingleDeviceSharding(jax.devices()[0])
    return jax.ShapeDtypeStruct(leaf.shape, leaf.dtype, sharding=here)


def _defined(metrics) -> dict[str, float | None]:
    numbers = {name: v for name, v in (metrics or {}).items() if v is not None}
    return {name: float(v) if math.isfinite(v) else None for name, v in numbers.items()}


def _excepthook(kind, error, trace) -> None:
    """Keeps out tensorstore's writes that come back after orbax gave a save up."""
    if kind is not RuntimeError or str(error) != "Event loop is closed":
        _excepthook.__wrapped__(kind, error, trace)


def _told_elsewhere(record) -> bool:
    """Keeps out what asyncio says of a failed write of orbax, which we raise."""
    return "exception was never retrieved" not in record.getMessage()


def _quiet(record) -> bool:
    """Keeps orbax's commentary and tracebacks out of the log: we raise what fails."""
    return f"{os.sep}orbax{os.sep}" not in record.pathname


def _tree(state: Any) -> dict[str, str]:
    """{path of a leaf: "dtype[shape]"} of a tree of arrays or of their structs."""
    leaves = jax.tree_util.tree_flatten_with_path(state)[0]
    return {jax.tree_util.keystr(path): _describe(leaf) for path, leaf in leaves}


def _describe(leaf) -> str:
    if not hasattr(leaf, "dtype"):
        return type(leaf).__name__
    return f"{leaf.dtype}[{','.join(map(str, leaf.shape))}]"
