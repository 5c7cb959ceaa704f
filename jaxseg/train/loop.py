"""Trains from a config to a finished run directory; the same call resumes."""

import contextlib
import functools
import os
import pathlib
import time
from collections.abc import Iterator
from typing import Any

import jax
from absl import logging
from ml_collections import ConfigDict

from jaxseg.config.profiled_steps import Steps
from jaxseg.devices import prefetch
from jaxseg.errors import Preempted
from jaxseg.evaluation import score_split
from jaxseg.experiment import build, finetune, from_config, frozen_point
from jaxseg.run_directory import checkpoint, files, history, schemas
from jaxseg.train import (
    compiled_ahead,
    epoch_line,
    mirrored,
    open_run,
    phases,
    progress,
    run_record,
    step_trace,
    stop,
    tags,
    validation,
)
from jaxseg.train.compiled_ahead import Programs
from jaxseg.train.epoch_sums import EpochSums
from jaxseg.train.open_run import Run
from jaxseg.train_step import optimizer, parameter_groups, plateau, state
from jaxseg.types import TrainState


def train_and_evaluate(
    config: ConfigDict,
    workdir: str | os.PathLike,
    *,
    profiled: Steps | None = None,
    mirror: mirrored.Mirrored | None = None,
) -> dict[str, Any]:
    """Trains, or goes on training, then scores; the content of run.json in the end.

    The time of the steps `profiled` is recorded in profile/ of the workdir; `mirror`
    sends each checkpoint to a bucket.
    Raises ConfigError or DataError for what a user can mend, Preempted after saving on
    SIGTERM or the first SIGINT, NotFinite after too many steps that were not.
    """
    workdir = pathlib.Path(workdir).absolute()
    with contextlib.ExitStack() as stack:
        record = open_run.claim(stack, workdir, config)
        if open_run.is_finished(record):
            open_run.mend_history(workdir, record)
            frozen_point.mend(workdir, record)
            if profiled and jax.process_index() == 0:
                logging.warning("the run is finished: --profile records no step of it.")
            return record
        run = open_run.open_run(stack, workdir, config, record)
        stop_request = stack.enter_context(stop.Stop())
        run = run._replace(mirror=mirror)
        _fit(run, stop_request, step_trace.StepTrace(profiled, workdir))
        return finish(run, stop_request)


def _fit(run: Run, stop_request: stop.Stop, trace: step_trace.StepTrace) -> None:
    """Trains from where the newest checkpoint stands to the end."""
    new = checkpoint.latest_step(run.checkpoints) is None
    programs = compiled_ahead.programs(run.experiment)
    with programs if new else contextlib.nullcontext() as compiling:
        _train(run, stop_request, trace, compiling)


def _first_call(programs: Programs | None) -> contextlib.AbstractContextManager:
    """A context for the first step, which compiles it unless that was done ahead."""
    if programs is None:
        return phases.phase(phases.COMPILING)
    programs.step.result()
    return contextlib.nullcontext()


def _train(
    run: Run,
    stop_request: stop.Stop,
    trace: step_trace.StepTrace,
    programs: Programs | None,
) -> None:
    """Does the work of `_fit`; `programs` are what is compiled meanwhile."""
    now, metadata, start = open_run.restore(run)
    config, experiment, plan = run.config, run.experiment, run.experiment.plan
    trace.announce(start, plan.total_steps)
    if start >= plan.total_steps or metadata.get("stopped"):
        return
    main = jax.process_index() == 0
    writer = validation.open_writer(run, start)
    run = run._replace(sums=EpochSums(metadata.get("meter")), writer=writer)
    sums = run.sums
    bar = progress.Progress(plan.total_steps, plan.batch_size, enabled=main)
    validation.log_plan(run)
    batches = stream(config, experiment, start)
    try:
        for done in range(start + 1, plan.total_steps + 1):
            trace.begin(done, now)
            began = time.monotonic()
            batch, host = next(batches)
            waited = time.monotonic() - began
            first = done == start + 1
            called = _first_call(programs) if first else contextlib.nullcontext()
            with trace.named(done), called:
                now, numbers = experiment.train_step(now, batch)
            trace.end(done, now)
            sums.add(numbers, host["index"], waited, step=done)
            _write_step(run, metadata)
            if done == parameter_groups.WATCH and not int(now.bad_total):
                finetune.check_gradients(config, now, experiment.settings)
            sums.check(config.optim.bad_steps, experiment.splits["train"].ids)
            bar.update(done, loss=sums.loss, data_wait=sums.wait_share())
            if done % config.log_every == 0:
                checkpoint.check_errors(run.checkpoints)
            ended = plan.ends_epoch(done)
            if ended and programs is not None:
                programs.scoring.result()
            if ended:
                metadata = end_epoch(run, now, metadata, done)
                now = _slowed(now, metadata)
            if metadata.get("stopped"):
                break
            stopping = stop_request.by(run.checkpoints, done)
            every = config.checkpoint.every_steps
            if not ended and (stopping or (every and done % every == 0)):
                metadata = {**metadata, "meter": sums.flush()}
                _write_step(run, metadata)
                _save(run, now, metadata, done)
            if run.mirror:
                run.mirror.offer(run.checkpoints)
            if stopping and done < plan.total_steps:
                raise Preempted(
                    f"stopped after saving step {done} of {plan.total_steps} in "
                    f"{run.workdir}; start the same command again to go on."
                )
    finally:
        trace.close()
        bar.close()
        batches.close()
        writer.close()


def _slowed(now: TrainState, metadata: dict[str, Any]) -> TrainState:
    """The state with the factor of the learning rate that validation left."""
    if "plateau" not in metadata:
        return now
    scale = metadata["plateau"]["scale"]
    return now.replace(opt_state=optimizer.with_factor(now.opt_state, scale))


def _rate(run: Run, metadata: dict[str, Any], step: int) -> float:
    """The learning rate of a step, counted from 0, since the last validation."""
    scale = metadata.get("plateau", plateau.START)["scale"]
    return float(run.experiment.rate(step)) * scale


def _write_step(run: Run, metadata: dict[str, Any]) -> None:
    """Writes the numbers of the step that was read last, where they are due."""
    step = run.sums.due(run.config.log_every)
    if step and jax.process_index() == 0:
        rate = _rate(run, metadata, step - 1)
        run.writer.write_scalars(step, run.sums.latest(rate))


def stream(config: ConfigDict, experiment: build.Experiment, start: int) -> Iterator:
    """Batches from step `start` on, on the devices and on the host."""
    train, plan = experiment.splits["train"], experiment.plan
    batches = build.train_batches(
        experiment, steps=plan.total_steps, start=start, workers=config.data.workers
    )

    def name(k: int) -> str:
        number, position = divmod((start + k) * plan.batch_size, plan.epoch_size)
        order = plan.order(epoch=number)
        ids = [train.ids[i] for i in order[position : position + plan.batch_size]]
        return f"the batch of step {start + k} ({', '.join(ids[:8])}, ...)"

    return prefetch.ahead(
        batches, experiment.mesh, timeout=config.data.timeout_s, name=name
    )


def end_epoch(
    run: Run,
    now: TrainState,
    metadata: dict[str, Any],
    done: int,
    *,
    name: str = "",
) -> dict[str, Any]:
    """Scores validation, writes the row of the epoch, saves; the new metadata.

    `name` is said of a run that trains together with others.
    """
    config, plan = run.config, run.experiment.plan
    number = (done - 1) // plan.steps_per_epoch
    classes = run.experiment.card["classes"]
    image_classes = run.experiment.splits["train"].image_class_names
    run.sums.flush()
    _write_step(run, metadata)
    rate = functools.partial(_rate, run, metadata)
    row = run.sums.row(number, done, plan, rate, classes, image_classes)
    metrics, silent = None, metadata.get("silent", [])
    last = done == plan.total_steps
    if (number + 1) % config.eval.every_epochs == 0 or last:
        scored = validation.validate(run, state.evaluated(now), done, silent)
        metrics = {f"validation/{name}": v for name, v in scored.metrics.items()}
        by_class = {f"validation/{name}": v for name, v in scored.by_class.items()}
        row |= metrics | by_class
        if run.experiment.predict_with_loss is not None:
            row["validation/loss"] = scored.loss
        silent = scored.silent
    metadata = validation.metadata(config, metadata, metrics, number, done, silent)
    if jax.process_index() == 0:
        history.History(run.workdir).append(row)
        run.writer.write_scalars(done, tags.of_epoch(row))
    _save(run, _slowed(now, metadata), metadata, done, metrics)
    _say(run, row, metadata, name)
    return metadata


def _say(run: Run, row: dict[str, Any], metadata: dict[str, Any], name: str) -> None:
    """Tells the user how the epoch went, and whether training stops here."""
    if jax.process_index():
        return
    config, plan, best = run.config, run.experiment.plan, metadata["best"]
    options = {"epochs": plan.epochs, "metric": config.eval.metric, "name": name}
    logging.info("%s", epoch_line.text(row, best, **options))
    if metadata["stopped"]:
        ends = {"step": row["step"], "total": plan.total_steps}
        if (why := epoch_line.early_stop(config, best, **ends)) is not None:
            logging.info("%s", why["words"])


def _save(
    run: Run,
    now: TrainState,
    metadata: dict[str, Any],
    done: int,
    metrics: dict[str, Any] | None = None,
) -> None:
    """Begins a checkpoint that notes history.csv, once TensorBoard has all its points.

    A kill after the checkpoint then loses none, and one before it none that is not
    written again.
    """
    run.writer.flush()
    noted = history.History(run.workdir).text() if jax.process_index() == 0 else ""
    meta = metadata | {"history": noted}
    checkpoint.save(run.checkpoints, now, step=done, metrics=metrics, meta=meta)


def finish(run: Run, stop_request: stop.Stop) -> dict[str, Any]:
    """Scores the best step: the operating point on validation, then test once."""
    if jax.process_index() == 0:
        logging.info("scoring the best step on validation, then on test")
    stop_request.now()  # nothing is lost by stopping here: the scores are made again
    config, experiment, workdir = run.config, run.experiment, run.workdir
    best, metadata, step = checkpoint.restore(
        run.checkpoints,
        experiment.abstract,
        step=checkpoint.best_step(run.checkpoints),
    )
    scoring = score_split.Scoring(
        workdir=workdir,
        scorer=experiment.scorer,
        variables=build.variables(experiment, best),
        step=step,
        training=build.training_images(experiment),
        finding=experiment.finding,
        evidence=experiment.evidence,
        **from_config.scoring_options(config),
    )
    split = experiment.splits["validation"]
    tally = score_split.tally_split(scoring.scorer, scoring.variables, split)
    frozen = score_split.choose_point(
        tally,
        split,
        step=step,
        objective=config.operating_point.objective,
        min_areas=tuple(config.operating_point.min_areas),
        rule=config.operating_point.rule,
        scorer=scoring.scorer,
        variables=scoring.variables,
        finding=experiment.finding,
    )
    if jax.process_index() == 0:
        checkpoint.freeze(run.checkpoints, step, frozen)
        path = workdir / files.OPERATING_POINT
        files.write(path, frozen, schemas.OperatingPoint)
    score_split.score_split(scoring, split, frozen, tally=tally)
    scores = score_split.score_split(scoring, experiment.splits["test"], frozen)
    if jax.process_index() == 0:
        validation.write_test(run, scores)
    return run_record.end(workdir, config, experiment, run.record, metadata["best"])
