"""Training from a config to a finished run directory; the same call resumes."""

import contextlib
import os
import pathlib
import time
from typing import Any

import jax
from absl import logging
from ml_collections import ConfigDict

from jaxseg.devices import prefetch
from jaxseg.doctor import audit
from jaxseg.errors import Preempted
from jaxseg.evaluation import score_split
from jaxseg.experiment import build, finetune, finished_run, from_config
from jaxseg.run_directory import checkpoint, files
from jaxseg.train import epoch_sums, open_run, progress, run_record, stop, validation
from jaxseg.train_step import parameter_groups, state
from jaxseg.weights import into_model

open_run.FREE += ("mesh", "doctor")


def train_and_evaluate(config: ConfigDict, workdir: str | os.PathLike) -> dict:
    """Trains, or goes on training, then scores; what run.json holds in the end.

    Raises ConfigError or DataError for what a user can mend, Preempted after saving on
    SIGTERM or the first SIGINT, NotFinite after too many steps that were not.
    """
    workdir = pathlib.Path(workdir).absolute()
    with contextlib.ExitStack() as stack:
        known = open_run.claim(stack, workdir, config)
        if known.get("status") == "finished":
            return known
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
        asked = stack.enter_context(stop.Stop())
        _fit(config, workdir, made, manager, asked)
        return finish(config, workdir, made, manager, asked, info)


def _fit(config, workdir, made, manager, asked: stop.Stop) -> None:
    """Trains from where the newest checkpoint stands to the end."""
    now, meta, start = _start(config, workdir, made, manager)
    if start >= made.plan.total_steps or meta.get("stopped"):
        return
    plan = made.plan
    sums = epoch_sums.Meter(meta.get("meter"))
    main = jax.process_index() == 0
    writer = validation.open_writer(config, workdir, made, start)
    bar = progress.Progress(plan.total_steps, plan.batch_size, enabled=main)
    validation.log_plan(config, made)
    batches = stream(config, made, start)
    try:
        for done in range(start + 1, plan.total_steps + 1):
            began = time.monotonic()
            batch, host = next(batches)
            waited = time.monotonic() - began
            now, numbers = made.train_step(now, batch)
            sums.add(numbers, host["index"], waited)
            if done == parameter_groups.WATCH and not int(now.bad_total):
                finetune.check_gradients(config, now)
            sums.check(config.optim.bad_steps, made.splits["train"].ids)
            bar.update(done, loss=sums.loss, data_wait=sums.wait_share())
            if done % config.log_every == 0:
                if main:
                    writer.write_scalars(done, sums.latest(made.rate(done - 1)))
                checkpoint.check_errors(manager)
            ended = done % plan.steps_per_epoch == 0
            if ended:
                meta = end_epoch(
                    config, workdir, made, manager, writer, now, sums, meta, done
                )
            if meta.get("stopped"):
                break
            stopping = asked.by(manager, done)
            every = config.checkpoint.every_steps
            if not ended and (stopping or (every and done % every == 0)):
                meta = {**meta, "meter": sums.flush()}
                checkpoint.save(manager, now, step=done, meta=meta)
            if stopping and done < plan.total_steps:
                raise Preempted(
                    f"stopped after saving step {done} of {plan.total_steps} in "
                    f"{workdir}; start the same command again to go on."
                )
    finally:
        bar.close()
        batches.close()
        writer.close()


def _start(config, workdir, made, manager) -> tuple[Any, dict, int]:
    """(state, what was noted beside it, its step): the newest checkpoint, or new."""
    if checkpoint.latest_step(manager) is None:
        if jax.process_index() == 0:
            files.History(workdir).truncate(0)
        return new_state(config, made), {}, 0
    now, meta, start = checkpoint.restore(manager, made.abstract)
    if jax.process_index() == 0:
        files.History(workdir).truncate(start)
    logging.info("resumed at step %d of %d", start, made.plan.total_steps)
    return now, meta, start


def new_state(config, made):
    """A state at step 0, with the weights of `config.pretrained` where it names any."""
    now = state.create(config.seed, made.abstract, **made.init)
    if not config.pretrained.path:
        return now
    now, report = into_model.into_state(
        now,
        finished_run.read_weights(config.pretrained.path),
        model_name=config.model.name,
        source=config.pretrained.path,
        allow_missing=tuple(config.pretrained.allow_missing),
    )
    logging.info("%s", report.describe())
    return now


def stream(config, made, start: int):
    """Batches from step `start` on, on the devices and on the host."""
    train = made.splits["train"]
    steps, workers = made.plan.total_steps, config.data.workers
    batches = build.train_batches(made, steps=steps, start=start, workers=workers)

    def name(k: int) -> str:
        first = (start + k) * made.plan.batch_size
        number, position = divmod(first, made.plan.epoch_size)
        order = made.plan.order(epoch=number)
        ids = [train.ids[i] for i in order[position : position + made.plan.batch_size]]
        return f"the batch of step {start + k} ({', '.join(ids[:8])}, ...)"

    return prefetch.ahead(batches, made.mesh, timeout=config.data.timeout_s, name=name)


def end_epoch(
    config, workdir, made, manager, writer, now, sums, meta: dict, done: int
) -> dict:
    """Scores validation, writes the row of the epoch, saves; the new notes."""
    number = done // made.plan.steps_per_epoch - 1
    row = sums.row(number, done, made.plan, made.rate)
    metrics = None
    last = done == made.plan.total_steps
    if (number + 1) % config.eval.every_epochs == 0 or last:
        found = validation.validate(config, made, state.evaluated(now), writer, done)
        metrics = {f"validation/{k}": v for k, v in found.items()}
        row |= metrics
    meta = validation.notes(config, meta, metrics, number, done)
    if jax.process_index() == 0:
        files.History(workdir).append(row)
        writer.write_scalars(done, {k: v for k, v in row.items() if v is not None})
    checkpoint.save(manager, now, step=done, metrics=metrics, meta=meta)
    return meta


def finish(config, workdir, made, manager, asked, info: dict) -> dict:
    """Scores the best step: the operating point on validation, then test once."""
    asked.now()  # nothing is lost by stopping here: the scores are made again
    best = checkpoint.best_step(manager)
    restored, meta, best = checkpoint.restore(manager, made.abstract, step=best)
    variables = build.variables(made, restored)
    options = {
        "step": best,
        "seed": config.seed,
        "resamples": config.eval.bootstrap,
        "tolerance": config.eval.tolerance if config.eval.surface else None,
    }
    validation_split = made.splits["validation"]
    counted = score_split.tally(made.scorer, variables, validation_split)
    point = score_split.choose_point(
        counted,
        validation_split,
        step=best,
        objective=config.operating_point.objective,
        min_areas=tuple(config.operating_point.min_areas),
        rule=config.operating_point.rule,
    )
    if jax.process_index() == 0:
        files.write_json(workdir / files.OPERATING_POINT, point)
    scored = (workdir, made.scorer, variables)
    score_split.score_split(
        *scored, validation_split, point, counted=counted, **options
    )
    score_split.score_split(*scored, made.splits["test"], point, **options)
    return run_record.end(workdir, config, made, info, meta)
