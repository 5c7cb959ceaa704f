"""Training several runs as one program: each ends as a run directory of its own."""

import contextlib
import pathlib
import time
from collections.abc import Iterator, Sequence
from typing import Any, NamedTuple

import jax
import numpy as np
from absl import logging
from ml_collections import ConfigDict

from jaxseg.doctor import audit
from jaxseg.errors import ConfigError, Preempted
from jaxseg.experiment import build, finetune, from_config
from jaxseg.run_directory import checkpoint, files
from jaxseg.sweep import vmap_step
from jaxseg.train import (
    epoch_sums,
    loop,
    open_run,
    progress,
    run_record,
    stop,
    validation,
)
from jaxseg.train_step import parameter_groups


class Member(NamedTuple):
    """One of the runs."""

    config: ConfigDict
    workdir: pathlib.Path
    made: build.Setup
    manager: checkpoint.Manager
    sums: epoch_sums.Meter
    info: dict  # of run.json


def train_and_evaluate(runs: Sequence[tuple[ConfigDict, pathlib.Path]]) -> None:
    """Trains the (config, workdir) pairs in one vmapped step, then scores each.

    What a run holds in the end equals that of `train.train_and_evaluate` but for the
    rounding of a program compiled otherwise. Runs that are finished are left alone, and
    the others go on from the newest epoch that all of them have. Raises what that
    function does, and ConfigError for configs that cannot train together.
    """
    vmap_step.hyper([config for config, _ in runs])
    if jax.process_count() > 1:
        raise ConfigError("runs train together in one process; start one.")
    with contextlib.ExitStack() as stack:
        with _said_once():
            group = _open_all(stack, runs)
        if not group:
            return
        asked = stack.enter_context(stop.Stop())
        _fit(group, asked)
        for m in group:
            loop.finish(m.config, m.workdir, m.made, m.manager, asked, m.info)


@contextlib.contextmanager
def _said_once() -> Iterator[None]:
    """Logs a line once only: what is said of one member is true of most."""
    said = set()

    def new(record) -> bool:
        text = record.getMessage()
        return text not in said and not said.add(text)

    logger = logging.get_absl_logger()
    logger.addFilter(new)
    try:
        yield
    finally:
        logger.removeFilter(new)


def _open_all(stack: contextlib.ExitStack, runs) -> list[Member]:
    """The runs that are not finished, locked, and with one setup under all of them."""
    group: list[Member] = []
    for config, workdir in runs:
        workdir = pathlib.Path(workdir).absolute()
        known = open_run.claim(stack, workdir, config)
        if known.get("status") == "finished":
            continue
        if group:
            made = build.sibling(group[0].made, config)
        else:
            size = from_config.batch_size(config, known.get("batch_size", 0))
            made = build.load(config, batch_size=size)
        build.check_same_data(made, known)
        audit.fast(config, made)
        info = run_record.begin(workdir, config, made, known)
        manager = checkpoint.open_manager(
            workdir / "checkpoints",
            metric=f"validation/{config.eval.metric}",
            keep=config.checkpoint.keep,
        )
        stack.callback(checkpoint.close, manager)
        group.append(Member(config, workdir, made, manager, epoch_sums.Meter(), info))
    return group


def _fit(group: list[Member], asked: stop.Stop) -> None:
    """Trains all members to the end."""
    config, made = group[0].config, group[0].made
    plan = made.plan
    now, metas, start = _start(group)
    step = vmap_step.make_step(config, made)
    hyper = vmap_step.hyper([m.config for m in group])
    logs = [validation.open_writer(m.config, m.workdir, m.made, start) for m in group]
    validation.log_plan(config, made)
    bar = progress.Progress(plan.total_steps, plan.batch_size * len(group))
    stream = loop.stream(config, made, start)
    pending = None
    try:
        for done in range(start + 1, plan.total_steps + 1):
            began = time.monotonic()
            batch, host = next(stream)
            waited = time.monotonic() - began
            now, numbers = step(now, batch, _masks(group, host), hyper)
            _count(group, pending)  # of the step before: the device works meanwhile
            pending = (numbers, host["index"], waited)
            bar.update(done, loss=group[0].sums.loss)
            if done == parameter_groups.WATCH:
                first = vmap_step.take(now, 0)
                if not int(first.bad_total):
                    finetune.check_gradients(config, first)
            if done % plan.steps_per_epoch == 0:
                _count(group, pending)
                pending = None
                metas = _end_epoch(group, logs, now, metas, done)
                if asked.by(group[0].manager, done) and done < plan.total_steps:
                    raise Preempted(
                        f"stopped after saving step {done} of {plan.total_steps} of "
                        f"{len(group)} runs; start the same command again to go on."
                    )
    finally:
        bar.close()
        stream.close()
        for log in logs:
            log.close()


def _masks(group: list[Member], host: dict) -> np.ndarray:
    """u8 [m, b, h, w]: what each member knows of the images of a batch."""
    known = [m.made.labels() for m in group]
    if known[0] is None:  # then all of them know everything
        return np.stack([host["mask"]] * len(group))
    index = host["index"].tolist()
    return np.stack([[labels.mask(i) for i in index] for labels in known])


def _count(group: list[Member], pending: tuple | None) -> None:
    """Adds a step to the meters; the numbers of all members are fetched at once."""
    if pending is None:
        return
    numbers, index, waited = pending
    fetched = jax.device_get(numbers)
    for i, m in enumerate(group):
        m.sums.add({k: v[i] for k, v in fetched.items()}, index, waited)
        m.sums.check(m.config.optim.bad_steps, m.made.splits["train"].ids)


def _start(group: list[Member]) -> tuple[Any, list[dict], int]:
    """(states, notes, step): the newest step that all members have, or new ones.

    Raises ConfigError where that would throw away more than an epoch of a member, or
    where that step is within an epoch.
    """
    steps = [checkpoint.latest_step(m.manager) for m in group]
    start = 0 if None in steps else min(steps)
    epoch_steps = group[0].made.plan.steps_per_epoch
    have = [{0, *m.manager.orbax.all_steps()} for m in group]
    ahead = max(s or 0 for s in steps) - start
    if start % epoch_steps or ahead > epoch_steps or not all(start in h for h in have):
        raise ConfigError(
            f"their newest checkpoints are of the steps {[s or 0 for s in steps]}: "
            "from there each goes on alone."
        )
    for member, latest in zip(group, steps, strict=True):
        if latest is not None and latest > start:  # to be saved again
            steps = [s for s in member.manager.orbax.all_steps() if s > start]
            for later in steps:
                member.manager.orbax.delete(later)
        files.History(member.workdir).truncate(start)
    if start == 0:
        logging.info("training %d runs together", len(group))
        return _new(group), [{} for _ in group], 0
    found = [
        checkpoint.restore(m.manager, m.made.abstract, step=start)[:2] for m in group
    ]
    logging.info("resumed %d runs at step %d", len(group), start)
    states = vmap_step.stack([state for state, _ in found])
    return states, [meta for _, meta in found], start


def _new(group: list[Member]) -> Any:
    if group[0].config.pretrained.path:
        return vmap_step.stack([loop.new_state(m.config, m.made) for m in group])
    return vmap_step.create([m.config.seed for m in group], group[0].made.init)


def _end_epoch(group, logs, now: Any, metas: list[dict], done: int) -> list[dict]:
    rows = enumerate(zip(group, logs, metas, strict=True))
    return [
        loop.end_epoch(
            m.config,
            m.workdir,
            m.made,
            m.manager,
            log,
            vmap_step.take(now, i),
            m.sums,
            meta,
            done,
        )
        for i, (m, log, meta) in rows
    ]
