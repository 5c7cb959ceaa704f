"""Builds an experiment from a config: data, model and compiled steps."""

import dataclasses
import functools
import pathlib
from collections.abc import Callable, Iterator
from typing import Any, NamedTuple

import jax
from absl import logging
from jax.sharding import Mesh
from ml_collections import ConfigDict

from jaxseg.data import (
    content,
    crops,
    fitted_cache,
    pipeline,
    prepared,
    sparse_labels,
)
from jaxseg.devices import sharding
from jaxseg.errors import ConfigError, DataError
from jaxseg.evaluation import nearest_image
from jaxseg.evaluation.evidence.score import Asked
from jaxseg.evaluation.objects.finding import Finding
from jaxseg.experiment import (
    abstract_state,
    check_splits,
    evidence,
    from_config,
    image_classes,
    processes,
    targets,
    training_labels,
    training_plan,
)
from jaxseg.inference import forward, whole_split
from jaxseg.metrics import classification
from jaxseg.postprocess import decision
from jaxseg.train_step import state, step, validation_loss
from jaxseg.types import Batch, TrainState


class Experiment(NamedTuple):
    """Everything a config becomes: what training and scoring share."""

    directory: pathlib.Path  # of the prepared data
    card: dict[str, Any]
    splits: dict[str, prepared.Split]
    mesh: Mesh
    parts: from_config.Parts
    plan: training_plan.Plan
    rate: Callable  # step -> learning rate
    init: dict[str, Any]  # arguments of `state.init`
    abstract: TrainState  # shapes with shardings
    settings: step.Settings
    train_step: Callable  # compiled: (state, batch) -> (state, numbers)
    scorer: whole_split.Scorer
    labels: training_labels.Drawn  # of training, drawn when they are first asked for
    windows: Callable[[], crops.Windows | None]  # of training, with fit "crop"
    finding: Finding | None = None  # how objects are looked for
    # the same as scorer.predict, and the terms of the loss f32 [b, t] beside; None
    # where the config wants no loss of validation
    predict_with_loss: Callable | None = None
    evidence: Asked | None = None  # of the answers on whole images


def load(config: ConfigDict, *, batch_size: int, verify: str = "sample") -> Experiment:
    """Opens the data and builds model, optimizer and steps; nothing is trained.

    `verify` is how much of the data is compared with its digests: `content.check`.
    """
    mesh = sharding.make_mesh(data=config.mesh.data, fsdp=config.mesh.fsdp)
    directory = from_config.dataset(config)
    splits = from_config.splits(config, directory)
    card = splits["train"].card
    content.check(splits.values(), which=verify)
    pixels_trained = image_classes.trains_pixels(config)
    for name in ("validation", "test"):
        check_splits.labels(splits[name], pixels=pixels_trained)
    _check_rule(config.operating_point.rule, len(card["classes"]))
    parts = from_config.parts(config, card)
    check_splits.pixel_sizes(splits.values(), parts.view)
    check_splits.rays(parts.target, splits.values(), parts.view)
    plan = training_plan.make(config, splits["train"], batch_size)
    tx, rate = from_config.optimizer(config, plan)
    init = {
        "model": parts.model,
        "tx": tx,
        "image_shape": parts.image_shape,
        "ema": config.optim.ema > 0,
    }
    abstract = abstract_state.of(config, mesh, init)
    labels = training_labels.drawn(config, splits["train"], parts.view)
    pixels = training_labels.class_pixels(config, splits["train"], labels)
    outputs = _image_outputs(parts, abstract)
    image_classes.check(config, card, outputs)
    shown = splits["train"].image_classes
    settings = from_config.step_settings(config, pixels, parts, tx, plan, shown)
    if pixels_trained:
        training_labels.check_taught(config, splits["train"], labels, settings.losses)
    from_config.check_outputs(
        settings, abstract, parts.image_shape, parts.target.channels
    )
    _check_metric(config.eval.metric, outputs)
    compiled = functools.partial(
        forward.make_predict,
        mesh,
        model=parts.model,
        normalise=parts.normalise,
        mirror=from_config.mirrored_axes(config),
        target=parts.target,
        exclusive=image_classes.is_exclusive(card),
        pixels=pixels_trained or parts.view.fit == "crop",
    )
    loss = functools.partial(validation_loss.of_images, settings=settings)
    return Experiment(
        directory=directory,
        card=card,
        splits=splits,
        mesh=mesh,
        parts=parts,
        plan=plan,
        rate=rate,
        init=init,
        abstract=abstract,
        settings=settings,
        train_step=step.compile_step(settings, abstract),
        scorer=whole_split.Scorer(
            predict=compiled(),
            mesh=mesh,
            view=_cached(config, parts.view),
            per_device_batch=config.eval.per_device_batch,
            workers=config.data.workers,
            timeout=config.data.timeout_s,
            classes=len(card["classes"]),
            maps=len(card["classes"]) + len(parts.target.names),
            image_classes=outputs if outputs > 1 else 0,
            exclusive=image_classes.is_exclusive(card),
            pixels=pixels_trained,
        ),
        predict_with_loss=compiled(also=loss) if config.eval.loss else None,
        labels=labels,
        windows=_windows(config, splits["train"], parts.view, labels),
        finding=from_config.finding(config, card, parts.target),
        evidence=evidence.asked(config, card, parts, mesh, outputs=outputs),
    )


def _windows(config: ConfigDict, *of: Any) -> Callable[[], crops.Windows | None]:
    return functools.cache(functools.partial(from_config.windows, config, *of))


def _cached(config: ConfigDict, view: pipeline.View) -> pipeline.View:
    """The view, which keeps what it decodes where `config.data.cache_gib` allows it."""
    cache = fitted_cache.cache(processes.cache_dir(), config.data.cache_gib)
    return dataclasses.replace(view, cache=cache)


def _check_rule(rule: str, classes: int) -> None:
    """ConfigError for a rule that these classes cannot have, or a warning of it."""
    used = decision.rule_for(rule, classes)
    if classes > 2 and rule in decision.RULES:
        logging.warning(
            "config.operating_point.rule=%s is for two classes: with %d the rule is "
            "%s; set it to offsets or argmax.",
            rule,
            classes,
            used,
        )


def _image_outputs(parts: from_config.Parts, abstract: TrainState) -> int:
    """How many numbers the model says of a whole image; 0 without a head."""
    variables = {"params": abstract.params, **abstract.model_state}
    return forward.image_logits(parts.model, variables, parts.image_shape)


def _check_metric(metric: str, outputs: int) -> None:
    """ConfigError for a metric of a decision that no head of the model makes."""
    if metric in classification.HISTORY and outputs != 1:
        raise ConfigError(
            f"config.eval.metric is {metric!r}, which is of a decision head, and the "
            "model has none: give it one (config.decision), or choose a metric of "
            "pixels, such as dice_pooled."
        )


def sibling(experiment: Experiment, config: ConfigDict) -> Experiment:
    """The same for a config that differs in labels and learning rate alone.

    Its `train_step` is that of `experiment`: see `sweep.vmap_step`.
    """
    _, rate = from_config.optimizer(config, experiment.plan)
    split, view = experiment.splits["train"], experiment.parts.view
    labels = training_labels.drawn(config, split, view)
    if experiment.scorer.pixels:
        training_labels.check_taught(config, split, labels, experiment.settings.losses)
    windows = _windows(config, split, view, labels)
    return experiment._replace(rate=rate, labels=labels, windows=windows)


def train_batches(
    experiment: Experiment, *, steps: int, start: int = 0, workers: int = 0
) -> Iterator[Batch]:
    """This process's part of the batches start to steps - 1 of the run."""
    settings, view = experiment.settings, experiment.parts.view
    if isinstance(view, pipeline.View):  # a view of one's own is any function
        view = dataclasses.replace(view, cache=experiment.scorer.view.cache)
    needed = targets.needs_instances(settings.target, settings.losses)
    return pipeline.train_batches(
        experiment.splits["train"],
        view,
        experiment.plan.order,
        epoch_size=experiment.plan.epoch_size,
        batch_size=experiment.plan.batch_size,
        steps=steps,
        start=start,
        process=jax.process_index(),
        processes=jax.process_count(),
        workers=workers,
        labels=experiment.labels(),
        windows=experiment.windows(),
        instances=needed,
    )


def describe(experiment: Experiment) -> dict:
    """The facts about the run that `run.json` keeps."""
    device = jax.devices()[0]
    labels = experiment.labels()
    budget = labels and sparse_labels.describe(labels, experiment.card["classes"])
    return {
        "supervision": budget,
        "batch_size": experiment.plan.batch_size,
        "steps_per_epoch": experiment.plan.steps_per_epoch,
        "total_steps": experiment.plan.total_steps,
        "params": state.count(experiment.abstract.params),
        "intensity": experiment.parts.intensity,
        "fit": experiment.parts.view.fit,
        "class_weights": _class_weights(experiment),
        "dataset": experiment.card,
        "data_directory": str(experiment.directory),
        "devices": {
            "kind": device.device_kind,
            "count": jax.device_count(),
            "processes": jax.process_count(),
        },
    }


def _class_weights(experiment: Experiment) -> dict[str, list[float]]:
    """{term of the loss: the weight of each class}, of the terms that take any."""
    terms = experiment.settings.losses.items()
    taken = {
        name: getattr(fn, "keywords", {}).get("class_weights")
        for name, (fn, _) in terms
    }
    return {
        name: [float(weight) for weight in weights]
        for name, weights in taken.items()
        if weights is not None
    }


def check_same_data(experiment: Experiment, record: dict[str, Any]) -> None:
    """DataError when a run goes on with other data than it was begun with."""
    changed = content.changed(record.get("dataset", {}), experiment.card)
    if changed:
        raise DataError(
            f"the images, masks or splits of {', '.join(changed)} in "
            f"{experiment.directory} are not those the run was begun with; choose "
            "another workdir."
        )


def training_images(experiment: Experiment) -> nearest_image.Training | None:
    """The training images as the baseline that copies the nearest one needs them.

    None where no pixel is learned, so that none is scored.
    """
    if not experiment.scorer.pixels:
        return None
    return nearest_image.read(
        experiment.splits["train"],
        process=jax.process_index(),
        processes=jax.process_count(),
    )


def variables(experiment: Experiment, restored: Any) -> dict:
    """The variables to score with, whole on every device."""
    whole = sharding.replicated(experiment.mesh)
    return jax.jit(functools.partial(state.evaluated), out_shardings=whole)(restored)
