"""Compiles the programs of a new run in a thread, beside what is done before they run.

What `jit` has compiled for the shapes of its arguments is what a later call runs, so
nothing is handed over but the news that it is done.
"""

import contextlib
from collections.abc import Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from typing import Any, NamedTuple

import jax
import numpy as np

from jaxseg.data import pipeline
from jaxseg.devices import sharding
from jaxseg.experiment import build, targets
from jaxseg.train import phases
from jaxseg.train_step import state


class Programs(NamedTuple):
    """What is being compiled; each `result()` waits, and raises what compiling did."""

    step: Future[None]
    scoring: Future[None]


@contextlib.contextmanager
def programs(experiment: build.Experiment) -> Iterator[Programs | None]:
    """The programs of the experiment, one after another in a thread of their own.

    Where an error ends the run meanwhile, it is told before the thread has ended.
    None where they are compiled when they are first called: on a GPU, as compiling
    there measures kernels on the device, which whatever runs beside it would disturb;
    and with a view of one's own, whose shapes are not known before it is called.
    """
    own_view = not isinstance(experiment.parts.view, pipeline.View)
    if jax.default_backend() != "cpu" or own_view:
        yield None
        return
    pool = ThreadPoolExecutor(1, "compile")
    try:
        yield Programs(pool.submit(_step, experiment), pool.submit(_score, experiment))
    finally:
        pool.shutdown(wait=False, cancel_futures=True)


def _step(experiment: build.Experiment) -> None:
    with phases.phase(phases.COMPILING):
        batch = train_shapes(experiment)
        experiment.train_step.lower(experiment.abstract, batch).compile()


def _score(experiment: build.Experiment) -> None:
    """Compiles what scores validation while training."""
    predict = experiment.predict_with_loss or experiment.scorer.predict
    variables = state.evaluated(experiment.abstract)
    with phases.phase(phases.SCORING):
        predict.lower(variables, validation_shapes(experiment)).compile()


def train_shapes(experiment: build.Experiment) -> dict[str, jax.ShapeDtypeStruct]:
    """The arrays of a batch of training: their shapes, types and shardings."""
    record = _record(experiment, "train", with_loss=True)
    return _batched(experiment, record, experiment.plan.batch_size)


def validation_shapes(experiment: build.Experiment) -> dict[str, jax.ShapeDtypeStruct]:
    """The arrays of a batch that scores validation while training."""
    with_loss = experiment.predict_with_loss is not None
    record = _record(experiment, "validation", with_loss=with_loss)
    if experiment.scorer.view.fit == "crop":
        names = record if with_loss else ("image", "index")
        record = {name: record[name] for name in names} | {"tile": np.int32(0)}
    rows = experiment.scorer.per_device_batch * jax.device_count()
    return _batched(experiment, record, rows)


def _record(
    experiment: build.Experiment, split: str, *, with_loss: bool
) -> dict[str, Any]:
    """An example of the split that shows nothing, as padding does."""
    settings, view = experiment.settings, experiment.parts.view
    needed = with_loss and targets.needs_instances(settings.target, settings.losses)
    return pipeline.Evaluated(experiment.splits[split], view, needed).padding()


def _batched(
    experiment: build.Experiment, record: dict[str, Any], rows: int
) -> dict[str, jax.ShapeDtypeStruct]:
    place = sharding.batch_sharding(experiment.mesh)
    return {
        name: jax.ShapeDtypeStruct(
            (rows, *np.shape(value)), np.asarray(value).dtype, sharding=place
        )
        for name, value in record.items()
    }
