"""Everything a run stands on, from its config: what training and scoring share."""

import functools
import pathlib
from collections.abc import Iterator
from typing import Any, NamedTuple

import jax
from jax.sharding import Mesh
from ml_collections import ConfigDict

from jaxseg.data import pipeline, prepared, sparse_labels
from jaxseg.devices import sharding
from jaxseg.errors import DataError
from jaxseg.experiment import from_config, training_labels
from jaxseg.inference import forward, whole_split
from jaxseg.train_step import state
from jaxseg.types import Batch


class Setup(NamedTuple):
    """The parts of one run."""

    directory: pathlib.Path
    card: dict
    splits: dict[str, prepared.Split]
    mesh: Mesh
    parts: from_config.Parts
    plan: from_config.Plan
    rate: Any  # step -> learning rate
    init: dict  # arguments of state.init
    abstract: Any  # the state as shapes with shardings
    train_step: Any  # jit-compiled: (state, batch) -> (state, numbers)
    scorer: whole_split.Scorer
    labels: training_labels.Drawn  # of training, drawn when they are first asked for


def load(config: ConfigDict, *, batch_size: int) -> Setup:
    """Opens the data and builds model, optimiser and steps; nothing is trained."""
    mesh = sharding.make_mesh(data=config.mesh.data, fsdp=config.mesh.fsdp)
    directory = from_config.dataset(config)
    card = prepared.read_card(directory)
    splits = {
        name: prepared.open_split(directory, name)
        for name in ("train", "validation", "test")
    }
    from_config.check_labels(splits["validation"])
    from_config.check_labels(splits["test"])
    parts = from_config.parts(config, card)
    plan = from_config.plan(config, splits["train"], batch_size)
    tx, rate = from_config.optimiser(config, plan)
    init = {
        "model": parts.model,
        "tx": tx,
        "image_shape": parts.image_shape,
        "ema": config.optim.ema > 0,
    }
    abstract = state.abstract(mesh, **init)
    shardings = jax.tree.map(lambda s: s.sharding, abstract)
    labels = training_labels.drawn(config, splits["train"], parts.view)
    known = training_labels.known(config, card, labels)
    train = from_config.train_step(config, known, parts, tx, plan.total_steps)
    return Setup(
        directory=directory,
        card=card,
        splits=splits,
        mesh=mesh,
        parts=parts,
        plan=plan,
        rate=rate,
        init=init,
        abstract=abstract,
        train_step=jax.jit(train, donate_argnums=0, out_shardings=(shardings, None)),
        scorer=whole_split.Scorer(
            predict=forward.make_predict(
                mesh, model=parts.model, normalise=parts.normalise
            ),
            mesh=mesh,
            view=parts.view,
            per_device_batch=config.eval.per_device_batch,
            workers=config.data.workers,
            timeout=config.data.timeout_s,
        ),
        labels=labels,
    )


def sibling(made: Setup, config: ConfigDict) -> Setup:
    """The same for a config that differs in labels and learning rate alone.

    Its `train_step` is that of `made`: see `members`.
    """
    _, rate = from_config.optimiser(config, made.plan)
    labels = training_labels.drawn(config, made.splits["train"], made.parts.view)
    return made._replace(rate=rate, labels=labels)


def train_batches(
    made: Setup, *, steps: int, start: int = 0, workers: int = 0
) -> Iterator[Batch]:
    """This process's part of the batches start to steps - 1 of the run."""
    return pipeline.train_batches(
        made.splits["train"],
        made.parts.view,
        made.plan.order,
        epoch_size=made.plan.epoch_size,
        batch_size=made.plan.batch_size,
        steps=steps,
        start=start,
        process=jax.process_index(),
        processes=jax.process_count(),
        workers=workers,
        labels=made.labels(),
    )


def describe(made: Setup) -> dict:
    """The facts about the run that `run.json` keeps."""
    device = jax.devices()[0]
    labels = made.labels()
    budget = labels and sparse_labels.describe(labels, made.card["classes"])
    return {
        "supervision": budget,
        "batch_size": made.plan.batch_size,
        "steps_per_epoch": made.plan.steps_per_epoch,
        "total_steps": made.plan.total_steps,
        "params": state.count(made.abstract.params),
        "intensity": made.parts.intensity,
        "dataset": made.card,
        "data_directory": str(made.directory),
        "devices": {
            "kind": device.device_kind,
            "count": jax.device_count(),
            "processes": jax.process_count(),
        },
    }


def check_same_data(made: Setup, known: dict) -> None:
    """DataError when a run goes on with other data than it was begun with."""
    before = known.get("dataset", {}).get("split_hash", {})
    now = made.card["split_hash"]
    changed = [split for split in before if now.get(split) != before[split]]
    if changed:
        raise DataError(
            f"the images, masks or splits of {', '.join(changed)} in {made.directory} "
            "are not those the run was begun with; choose another workdir."
        )


def variables(made: Setup, restored: Any) -> dict:
    """The variables to score with, whole on every device."""
    whole = sharding.replicated(made.mesh)
    return jax.jit(functools.partial(state.evaluated), out_shardings=whole)(restored)
