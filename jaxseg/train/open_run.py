"""Claims and opens a run directory: new, to go on with, or finished already."""

import contextlib
import functools
import pathlib
from collections.abc import Callable
from typing import Any, NamedTuple

import jax
from absl import logging
from ml_collections import ConfigDict

from jaxseg import atomic
from jaxseg.devices import sharding
from jaxseg.doctor import audit
from jaxseg.errors import ConfigError, DataError, NotWritten
from jaxseg.experiment import build, finished_run, training_plan
from jaxseg.run_directory import checkpoint, files, going_on, history, manifest, seal
from jaxseg.train import child, mirrored, phases, run_record
from jaxseg.train.epoch_sums import EpochSums
from jaxseg.train_step import state
from jaxseg.types import TrainState
from jaxseg.weights import into_model

# what may differ when a run goes on: it changes speed, not results
FREE = going_on.FREE
_ALLOWED = (*FREE, *going_on.CHANGEABLE)


class Run(NamedTuple):
    """An experiment with its directory, while it is trained."""

    config: ConfigDict
    workdir: pathlib.Path
    experiment: build.Experiment
    checkpoints: checkpoint.Manager
    sums: EpochSums
    record: dict[str, Any]  # the content of run.json
    writer: Any = None  # of TensorBoard, once it is known where the run goes on
    mirror: mirrored.Mirrored | None = None  # where a bucket holds copies of the run


def claim(
    stack: contextlib.ExitStack, workdir: pathlib.Path, config: ConfigDict
) -> dict[str, Any]:
    """The record of the run so far ({} for a new one), with the workdir ours alone.

    A run that is to go on with another config has the record it will have; what was
    trained stays as it is until `open_run` has asked all that can refuse. Process 0
    holds the lock; when it refuses, every process does.
    """
    plain = config.to_dict()

    def enter() -> bool:
        stack.enter_context(files.lock(workdir))
        for path in atomic.clean(workdir):
            logging.info("removed %s, which a killed process left", path)
        compared = files.compare_config(workdir, plain, allowed=_ALLOWED)
        if not compared.trained:
            files.check_config(workdir, plain, allowed=_ALLOWED)
        if compared.state != "resume" or not (workdir / files.RUN).exists():
            return False
        record = _record(workdir, plain)
        if is_finished(record) and compared.changes:
            kept = "; ".join(map(str, compared.changes))
            logging.info("%s is finished and keeps its config: not %s", workdir, kept)
        return True

    if not sharding.any_process(bool(_on_the_first(enter, workdir))):
        return {}
    return _record(workdir, plain)


def _record(workdir: pathlib.Path, config: dict[str, Any]) -> dict[str, Any]:
    """The record of a run as it goes on with this config; ConfigError if it cannot."""
    compared = files.compare_config(workdir, config, allowed=_ALLOWED)
    return going_on.changed(workdir, config, compared.changes, seal.read(workdir))


def _on_the_first(work: Callable[[], Any], workdir: pathlib.Path) -> Any:
    """What `work` gives on process 0, else None; its refusal is one of every process.

    Raises ConfigError where the workdir cannot be written, and what `work` raises.
    """
    refusal, out = None, None
    if jax.process_index() == 0:
        try:
            out = work()
        except NotWritten as error:
            refusal = error
        except OSError as error:
            full = error.errno in atomic.FULL
            refusal = error if full else atomic.refused(workdir, error)
        except ValueError as error:
            refusal = error
    if sharding.any_process(refusal is not None):
        raise refusal or ConfigError("process 0 refused to start and says why.")
    return out


def is_finished(record: dict[str, Any]) -> bool:
    return record.get("status") == "finished"


def mend_history(workdir: pathlib.Path, record: dict[str, Any]) -> None:
    """Writes history.csv of a finished run again where it has changed or is lost."""
    if jax.process_index():
        return
    lost = not (workdir / files.HISTORY).exists()
    if not lost and files.HISTORY not in seal.changed(workdir, record):
        return
    steps = (workdir / "checkpoints").glob("[0-9]*")
    newest = max((int(path.name) for path in steps if path.name.isdigit()), default=-1)
    stored, _ = manifest.read(workdir / "checkpoints" / str(newest))
    if "history" in stored.get("meta", {}):
        history.History(workdir).restore(newest, stored["meta"]["history"])
    elif lost:
        raise DataError(
            f"{workdir / files.HISTORY} is missing, and no checkpoint notes what it "
            "held: put it back, or train again in another workdir."
        )


def open_run(
    stack: contextlib.ExitStack,
    workdir: pathlib.Path,
    config: ConfigDict,
    record: dict[str, Any],
    *,
    sibling_of: build.Experiment | None = None,
) -> Run:
    """The run of a claimed workdir, examined by the doctor, with run.json begun.

    `record` is what `claim` gave; with `sibling_of` model, data and compiled step are
    those of another run. Raises ConfigError and DataError for what a user can mend.
    """
    experiment = _examined(workdir, config, record, sibling_of)
    _on_the_first(functools.partial(_change, workdir, config.to_dict()), workdir)
    record = run_record.begin(workdir, config, experiment, record)
    checkpoints = checkpoint.open_manager(
        workdir / "checkpoints",
        metric=f"validation/{config.eval.metric}",
        keep=config.checkpoint.keep,
    )
    stack.callback(checkpoint.close, checkpoints)
    return Run(config, workdir, experiment, checkpoints, EpochSums(), record)


def _change(workdir: pathlib.Path, config: dict[str, Any]) -> None:
    """Writes what changes of a run that goes on, and sets aside what it scored."""
    aside = functools.partial(going_on.prepare, workdir, config)
    files.check_config(workdir, config, allowed=_ALLOWED, prepare=aside)


def ask(config: ConfigDict, workdir: pathlib.Path) -> None:
    """Raises what `claim` and `open_run` would; a run that was trained stays as it is.

    Every process calls it.
    """
    with contextlib.ExitStack() as stack:
        record = claim(stack, workdir, config)
        if not is_finished(record):
            _examined(workdir, config, record, None)


def _examined(
    workdir: pathlib.Path,
    config: ConfigDict,
    record: dict[str, Any],
    sibling_of: build.Experiment | None,
) -> build.Experiment:
    """The experiment, once all was asked that can refuse it; see `open_run`."""
    run_record.parent(workdir, config, record)  # a wrong one, before data is opened
    if sibling_of is None:
        size = training_plan.batch_size(config, record.get("batch_size", 0))
        with phases.phase("reading the data and building the model"):
            experiment = build.load(config, batch_size=size)
    else:
        experiment = build.sibling(sibling_of, config)
    build.check_same_data(experiment, record)
    with phases.phase("examining data and config"):
        audit.fast(config, experiment)
    if record and record != seal.read(workdir):  # it goes on with another config
        checkpoint.check(workdir / "checkpoints", experiment.abstract)
    return experiment


def restore(run: Run) -> tuple[TrainState, dict[str, Any], int]:
    """(state, metadata of the checkpoint, its step): the newest checkpoint, or new."""
    if checkpoint.latest_step(run.checkpoints) is None:
        if jax.process_index() == 0:
            history.History(run.workdir).restore(0)
        with phases.phase(phases.BEGINNING):
            return first_state(run), {}, 0
    newest, metadata, start = checkpoint.restore(
        run.checkpoints, run.experiment.abstract
    )
    noted = metadata.pop("history", None)  # checkpoints of before noted none
    if jax.process_index() == 0:
        history.History(run.workdir).restore(start, noted)
    total = run.experiment.plan.total_steps
    logging.info("resumed at step %d of %d", start, total)
    _say_rate(run, start, metadata)
    patience = run.config.eval.patience
    metadata = going_on.notes(run.record, metadata, start, patience)
    return newest, metadata, start


def _say_rate(run: Run, start: int, metadata: dict[str, Any]) -> None:
    """Says which learning rate a run with another length or rate goes on with."""
    total, rate = run.experiment.plan.total_steps, run.experiment.rate
    if jax.process_index() or not going_on.changed_rate(run.record, start):
        return
    rows = history.History(run.workdir).rows()
    ended = float(rows[-1]["learning_rate"]) if rows else 0.0
    if start >= total:
        return
    if "plateau" in metadata:
        scale = metadata["plateau"]["scale"]
        logging.info(
            "the learning rate was %.3g at step %d; it goes on at %.3g, %.4g times "
            "that of the config, as the plateaus until then left it, and validation "
            "decides when it falls further",
            ended,
            start,
            float(rate(start)) * scale,
            scale,
        )
        return
    logging.info(
        "the learning rate was %.3g at step %d; from there the schedule %r of %d steps "
        "holds: %.3g at step %d, %.3g at step %d, %.3g at the end",
        ended,
        start,
        run.config.optim.schedule,
        total,
        float(rate(start)),
        start + 1,
        float(rate((start + total) // 2)),
        (start + total) // 2 + 1,
        float(rate(total - 1)),
    )


def first_state(run: Run) -> TrainState:
    """A state at step 0, with what fits of the parent where the run has one.

    run.json gets the step of the parent, and a start before the first checkpoint takes
    the same again.
    """
    new, config = new_state(run.config, run.experiment), run.config
    if not config.parent or config.parent_step == "none":
        return new
    begun = child.begin(new, config, step=run.record["parent"].get("step"))
    run.record["parent"] = child.link(begun, run.record["parent"])
    if jax.process_index() == 0:
        seal.write(run.workdir, run.record)
    return begun.state


def new_state(config: ConfigDict, experiment: build.Experiment) -> TrainState:
    """A state at step 0, with the weights of `config.pretrained` where it names any."""
    new = state.create(config.seed, experiment.abstract, **experiment.init)
    if not config.pretrained.path:
        return new
    new, report = into_model.into_state(
        new,
        finished_run.read_weights(config.pretrained.path),
        model_name=config.model.name,
        source=config.pretrained.path,
        allow_missing=tuple(config.pretrained.allow_missing),
    )
    logging.info("%s", report.describe())
    return new
