"""Trains several runs as one program; each ends as a run directory of its own."""

import contextlib
import pathlib
import time
from collections.abc import Iterator, Sequence
from typing import Any

import jax
import numpy as np
from absl import logging
from ml_collections import ConfigDict

from jaxseg.errors import ConfigError, Preempted
from jaxseg.experiment import finetune
from jaxseg.run_directory import checkpoint, history
from jaxseg.sweep import vmap_step
from jaxseg.train import loop, open_run, phases, progress, stop, validation
from jaxseg.train.open_run import Run
from jaxseg.train_step import parameter_groups
from jaxseg.types import TrainState


def train_and_evaluate(configs: Sequence[tuple[ConfigDict, pathlib.Path]]) -> None:
    """Trains the (config, workdir) pairs in one vmapped step, then scores each.

    What a run holds in the end equals that of `loop.train_and_evaluate` but for the
    rounding of a program compiled otherwise. Runs that are finished are left alone, and
    the others go on from the newest epoch that all of them have. Raises what that
    function does, and ConfigError for configs that cannot train together.
    """
    vmap_step.hyper([config for config, _ in configs])
    if jax.process_count() > 1:
        raise ConfigError("runs train together in one process; start one.")
    with contextlib.ExitStack() as stack:
        with _each_line_once():
            runs = _open_all(stack, configs)
        if not runs:
            return
        stop_request = stack.enter_context(stop.Stop())
        _fit(runs, stop_request)
        for run in runs:
            loop.finish(run, stop_request)


@contextlib.contextmanager
def _each_line_once() -> Iterator[None]:
    """Logs a line once only: what is true of one member is true of most."""
    logged: set[str] = set()

    def new(record) -> bool:
        text = record.getMessage()
        return text not in logged and not logged.add(text)

    logger = logging.get_absl_logger()
    logger.addFilter(new)
    try:
        yield
    finally:
        logger.removeFilter(new)


def _open_all(stack: contextlib.ExitStack, configs) -> list[Run]:
    """The runs that are not finished, locked, and with one experiment under them."""
    runs: list[Run] = []
    for config, workdir in configs:
        workdir = pathlib.Path(workdir).absolute()
        record = open_run.claim(stack, workdir, config)
        if open_run.is_finished(record):
            continue
        first = runs[0].experiment if runs else None
        runs.append(open_run.open_run(stack, workdir, config, record, sibling_of=first))
    return runs


def _fit(runs: list[Run], stop_request: stop.Stop) -> None:
    """Trains all members to the end."""
    config, experiment = runs[0].config, runs[0].experiment
    plan = experiment.plan
    now, metadata, start = _start(runs)
    step = vmap_step.make_step(config, experiment)
    hyper = vmap_step.hyper([run.config for run in runs])
    runs = [run._replace(writer=validation.open_writer(run, start)) for run in runs]
    validation.log_plan(runs[0])
    bar = progress.Progress(plan.total_steps, plan.batch_size * len(runs))
    stream = loop.stream(config, experiment, start)
    pending = None
    try:
        for done in range(start + 1, plan.total_steps + 1):
            began = time.monotonic()
            batch, host = next(stream)
            waited = time.monotonic() - began
            masks, first = _masks(runs, host), done == start + 1
            with phases.phase(phases.COMPILING) if first else contextlib.nullcontext():
                now, numbers = step(now, batch, masks, hyper)
            _add(runs, pending)  # of the step before: the device works meanwhile
            pending = (numbers, host["index"], waited)
            bar.update(done, loss=runs[0].sums.loss)
            if done == parameter_groups.WATCH:
                first = vmap_step.take(now, 0)
                if not int(first.bad_total):
                    finetune.check_gradients(config, first, experiment.settings)
            if plan.ends_epoch(done):
                _add(runs, pending)
                pending = None
                metadata = [
                    loop.end_epoch(
                        run,
                        vmap_step.take(now, i),
                        metadata[i],
                        done,
                        name=run.workdir.name,
                    )
                    for i, run in enumerate(runs)
                ]
                stopping = stop_request.by(runs[0].checkpoints, done)
                if stopping and done < plan.total_steps:
                    raise Preempted(
                        f"stopped after saving step {done} of {plan.total_steps} of "
                        f"{len(runs)} runs; start the same command again to go on."
                    )
    finally:
        bar.close()
        stream.close()
        for run in runs:
            run.writer.close()


def _masks(runs: list[Run], host: dict[str, np.ndarray]) -> np.ndarray:
    """u8 [m, b, h, w]: the labelled pixels of each member in the images of a batch."""
    labels = [run.experiment.labels() for run in runs]
    if labels[0] is None:  # then all of them have full masks
        return np.stack([host["mask"]] * len(runs))
    index = host["index"].tolist()
    stored = [None] * len(index)
    if labels[0].whole is not None:  # the batch has the masks of the first member
        split, view = runs[0].experiment.splits["train"], runs[0].experiment.parts.view
        for k, i in enumerate(index):
            kept = labels[0].whole[i] or not any(member.whole[i] for member in labels)
            stored[k] = host["mask"][k] if kept else view(split, i)["mask"]
    pairs = list(zip(index, stored, strict=True))
    return np.stack([[member.mask(i, full) for i, full in pairs] for member in labels])


def _add(runs: list[Run], pending: tuple | None) -> None:
    """Adds a step to the sums; the numbers of all members are fetched at once."""
    if pending is None:
        return
    numbers, index, waited = pending
    fetched = jax.device_get(numbers)
    for i, run in enumerate(runs):
        run.sums.add({k: v[i] for k, v in fetched.items()}, index, waited)
        ids = run.experiment.splits["train"].ids
        run.sums.check(run.config.optim.bad_steps, ids)


def _start(runs: list[Run]) -> tuple[TrainState, list[dict[str, Any]], int]:
    """(states, metadata, step): the newest step that all members have, or new ones.

    Raises ConfigError where that would throw away more than an epoch of a member, or
    where that step is within an epoch.
    """
    latest = [checkpoint.latest_step(run.checkpoints) for run in runs]
    start = 0 if None in latest else min(latest)
    plan = runs[0].experiment.plan
    saved = [{0, *run.checkpoints.orbax.all_steps()} for run in runs]
    ahead = max(step or 0 for step in latest) - start
    everywhere = all(start in steps for steps in saved)
    within = start and not plan.ends_epoch(start)
    if within or ahead > plan.steps_per_epoch or not everywhere:
        raise ConfigError(
            f"their newest checkpoints are of the steps {[s or 0 for s in latest]}: "
            "from there each goes on alone."
        )
    for run in runs:
        for later in [s for s in run.checkpoints.orbax.all_steps() if s > start]:
            run.checkpoints.orbax.delete(later)  # to be saved again
    if start == 0:
        for run in runs:
            history.History(run.workdir).restore(0)
        logging.info("training %d runs together", len(runs))
        return _new(runs), [{} for _ in runs], 0
    restored = [
        checkpoint.restore(run.checkpoints, run.experiment.abstract, step=start)
        for run in runs
    ]
    logging.info("resumed %d runs at step %d", len(runs), start)
    for run, (_, noted, _) in zip(runs, restored, strict=True):
        history.History(run.workdir).restore(start, noted.pop("history", None))
    states = vmap_step.stack([state for state, _, _ in restored])
    return states, [metadata for _, metadata, _ in restored], start


def _new(runs: list[Run]) -> TrainState:
    first = runs[0].config
    if first.pretrained.path or (first.parent and first.parent_step != "none"):
        new = [open_run.first_state(run) for run in runs]
        return vmap_step.stack(new)
    seeds = [run.config.seed for run in runs]
    return vmap_step.create(seeds, runs[0].experiment.init)
