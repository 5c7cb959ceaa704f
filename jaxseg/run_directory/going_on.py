"""Holds what may change while a run goes on, and notes that it did.

FREE changes speed and words, never a result; CHANGEABLE changes what is trained from
here on, or how it is scored. Everything else makes another run. A change stands in
run.json with the step from which it holds (`changes`), and what a finished run had
scored until then moves to before_<step>/: nothing old looks current, nothing is lost.
"""

import os
import pathlib
import shlex
import shutil
from collections.abc import Mapping, Sequence
from typing import Any

from absl import logging

from jaxseg import atomic, errors
from jaxseg.run_directory import files, seal
from jaxseg.run_directory.files import Change

FREE = ("recipe_chosen", "data.dir", "data.workers", "data.timeout_s", "log_every")
FREE += ("mesh", "doctor", "auto", "parent", "note", "eval.loss", "checkpoint")
FREE += ("eval.pictures_every", "parent_step", "data.cache_gib")
LENGTH = ("epochs", "steps", "steps_per_epoch")
RATE = ("optim.learning_rate", "optim.schedule", "optim.final_scale", "optim.power")
RATE += ("optim.warmup_epochs", "optim.warmup_steps", "optim.plateau")
SCORING = ("eval.per_device_batch", "eval.every_epochs", "eval.bootstrap")
SCORING += ("eval.surface", "eval.tolerance", "eval.shortcut", "eval.shortcut_classes")
SCORING += ("eval.localise", "operating_point")
_OF_STEPS = (*RATE, "eval.patience")  # what only a step that is still to come can use
CHANGEABLE = (*LENGTH, *_OF_STEPS, *SCORING)
_SCORED = ("eval", "figures", "report.md", "report.html", files.OPERATING_POINT)


def covers(prefixes: Sequence[str], key: str) -> bool:
    """Whether `key` is one of the keys, or lies in one of the blocks, of `prefixes`."""
    return any(key == p or key.startswith(f"{p}.") for p in prefixes)


def prepare(
    workdir: pathlib.Path, config: Mapping[str, Any], changes: Sequence[Change]
) -> None:
    """Notes the changes in run.json, and sets aside what was scored before them.

    `config` is the one that the run goes on with; it is to be written after this, so
    that a kill in between repeats it. Raises ConfigError for a change that cannot be.
    """
    if not (workdir / files.RUN).exists():
        return
    record, step = seal.read(workdir), _newest(workdir)
    now = changed(workdir, config, changes, record)
    if now is record:
        return
    finished = record["status"] == "finished"
    repeated = len(now["changes"]) < len(record.get("changes") or []) + len(
        own_changes(changes)
    )
    if finished or (repeated and (workdir / "eval").exists()):
        _set_aside(workdir, step)
    seal.write(workdir, now)
    logging.info("%s goes on from step %d with another config", workdir, step)


def changed(
    workdir: pathlib.Path,
    config: Mapping[str, Any],
    changes: Sequence[Change],
    record: dict[str, Any],
) -> dict[str, Any]:
    """The record of a run as it goes on with the changes; `record` where none counts.

    Nothing is written. Raises ConfigError for a change that cannot be.
    """
    own, step = own_changes(changes), _newest(workdir)
    if not own or step is None:
        return record
    _check(workdir, config, own, record, step)
    new = [{"step": step, **change._asdict()} for change in own]
    before = [c for c in record.get("changes") or [] if c not in new]
    now = {k: v for k, v in record.items() if k not in ("digests", "early_stop")}
    return now | {"status": "running", "finished": None, "changes": [*before, *new]}


def own_changes(changes: Sequence[Change]) -> list[Change]:
    """Those that change what is trained from here on, or how it is scored."""
    return [change for change in changes if covers(CHANGEABLE, change.key)]


def _newest(workdir: pathlib.Path) -> int | None:
    steps = (workdir / "checkpoints").glob("[0-9]*")
    return max((int(p.name) for p in steps if p.name.isdigit()), default=None)


def _check(
    workdir: pathlib.Path,
    config: Mapping[str, Any],
    changes: Sequence[Change],
    record: Mapping[str, Any],
    step: int,
) -> None:
    """ConfigError for changes that would go back, or that the state cannot follow."""
    whole = workdir.absolute().parent
    if all((whole / name).is_file() for name in (files.RUN, files.TWO_STAGE)):
        raise errors.ConfigError(
            f"{workdir} is a stage of {whole}, whose scores are of both stages as they "
            f"are. {child(workdir)}"
        )
    keys = {change.key: change for change in changes}
    per_epoch = record["steps_per_epoch"]
    schedule = keys.get("optim.schedule")
    if schedule and '"plateau"' in (schedule.before, schedule.after):
        raise errors.ConfigError(
            f"{workdir} was started with config.optim.schedule={schedule.before}: the "
            "state of plateau is another one, so a run cannot go on to it or from it. "
            f"{child(workdir)}"
        )
    total = config["steps"] or per_epoch * config["epochs"]
    if any(key in LENGTH for key in keys):
        _check_length(workdir, config, per_epoch, step, total)
    late = [key for key in keys if covers(_OF_STEPS, key)]
    if late and total <= step:
        longer = "steps" if config["steps"] else "epochs"
        raise errors.ConfigError(
            f"{workdir} has done all of its {step} steps, so no step is left for "
            f"another config.{late[0]}: give --config.{longer}=MORE together with it, "
            "or begin a run of its own with what this one learned by "
            f"--config.parent={shlex.quote(str(workdir))} --workdir=ANOTHER."
        )


def _check_length(
    workdir: pathlib.Path,
    config: Mapping[str, Any],
    per_epoch: int,
    step: int,
    total: int,
) -> None:
    """ConfigError for a length that would go back, or change the steps of an epoch."""
    if config["steps"] and config["steps_per_epoch"] != per_epoch:
        raise errors.ConfigError(
            f"{workdir} has {per_epoch} steps in an epoch: where config.steps changes, "
            f"give --config.steps_per_epoch={per_epoch} too, so that they stay."
        )
    if config["steps_per_epoch"] not in (0, per_epoch):
        raise errors.ConfigError(
            f"config.steps_per_epoch is {config['steps_per_epoch']}, but {workdir} was "
            f"started with {per_epoch} steps in an epoch; they stay. {child(workdir)}"
        )
    if total < step:
        raise errors.ConfigError(
            f"{workdir} has done {step} steps ({step / per_epoch:.4g} epochs), and "
            f"would end after {total} ({total / per_epoch:.4g} epochs): a run does not "
            f"go back. Give more. {child(workdir)}"
        )


def child(workdir: str | os.PathLike) -> str:
    """The sentence that names the way out to another config."""
    return (
        "A run of its own under another config begins with what this one learned by "
        f"--config.parent={shlex.quote(str(workdir))} --workdir=ANOTHER."
    )


def _set_aside(workdir: pathlib.Path, step: int) -> None:
    """Moves everything that was scored into before_<step>/, with run.json as it was."""
    folder, number = workdir / f"before_{step}", 1
    while (folder / "eval").exists() and (workdir / "eval").exists():
        number += 1
        folder = workdir / f"before_{step}_{number}"
    folder.mkdir(exist_ok=True)
    for name in (files.RUN, files.CONFIG):
        if not (folder / name).exists():
            atomic.replace(folder / name, (workdir / name).read_bytes())
    for name in _SCORED:
        if (workdir / name).exists():
            shutil.move(workdir / name, folder / pathlib.Path(name).name)
    logging.info("the scores until step %d are kept in %s", step, folder)


def notes(
    record: Mapping[str, Any], metadata: dict[str, Any], start: int, patience: int
) -> dict[str, Any]:
    """The notes of the checkpoint at `start` as a run goes on from them.

    A longer training, or another rate, counts its patience anew; another patience is
    held against the epochs that went by.
    """
    keys = [c["key"] for c in record.get("changes") or [] if c["step"] == start]
    if not metadata or not any(covers(CHANGEABLE, key) for key in keys):
        return metadata
    since = metadata.get("since_best", 0)
    if any(covers((*LENGTH, *RATE), key) for key in keys):
        since = 0
    stopped = bool(patience) and since >= patience
    return metadata | {"since_best": since, "stopped": stopped}


def changed_rate(record: Mapping[str, Any], start: int) -> bool:
    """Whether the learning rate from step `start` on is not what it was to be."""
    changes = [c for c in record.get("changes") or [] if c["step"] == start]
    return any(covers((*LENGTH, *RATE), change["key"]) for change in changes)
