"""Scores validation after an epoch: metrics, pictures, the best, when to stop."""

from collections.abc import Sequence
from typing import Any, NamedTuple

import jax
import numpy as np
from absl import logging
from ml_collections import ConfigDict

from jaxseg import atomic, pictures
from jaxseg.errors import ConfigError
from jaxseg.evaluation import class_table, image_level, result, score_split, tally
from jaxseg.evaluation.image_classes import score as image_classes
from jaxseg.experiment import finetune, from_config, length
from jaxseg.metrics import histograms
from jaxseg.postprocess import decision
from jaxseg.run_directory import summary
from jaxseg.train import (
    epoch_loss,
    hyperparameters,
    never_predicted,
    progress,
    tags,
    tensorboard,
)
from jaxseg.train.open_run import Run
from jaxseg.train_step import plateau

_SHOWN = 6  # validation images in TensorBoard, the same ones all along


def log_plan(run: Run) -> None:
    """Logs how long training is, and what learns how fast."""
    plan = run.experiment.plan
    lasts = progress.describe(
        steps_per_epoch=plan.steps_per_epoch,
        total_steps=plan.total_steps,
        warmup_steps=length.warmup_steps(run.config, plan.steps_per_epoch),
        images_seen=plan.total_steps * plan.batch_size,
    )
    parameters = finetune.overview(run.config, run.experiment.abstract)
    logging.info("%s\nparameters\n%s", lasts, parameters)
    logging.info(
        "validation scores of an epoch are at threshold 0.5 or of the most probable "
        "class, those at the end at the operating point that validation chooses"
    )


def open_writer(run: Run, start: int) -> Any:
    """The TensorBoard writer of a run that goes on from step `start`.

    Only process 0 writes. The settings are written anew each time, for a run that goes
    on may have others; a new run also begins with parameters.txt.
    """
    main = jax.process_index() == 0
    writer = tensorboard.create_writer(
        run.workdir, just_logging=not main, resumed_step=start
    )
    if main:
        tensorboard.write_settings(run.workdir, hyperparameters.chosen(run.config))
    if main and start == 0:
        table = tensorboard.parameter_table(run.experiment.abstract.params)
        # hundreds of lines
        atomic.replace(run.workdir / "parameters.txt", table.encode())
    return writer


def write_test(run: Run, scores: dict[str, Any]) -> None:
    """Writes the main scores of test to TensorBoard, whose HPARAMS ranks runs by them.

    They are at the operating point, and stand at the last step there could be.
    """
    last = run.experiment.plan.total_steps
    values = summary.main_scores(scores)
    writer = tensorboard.create_writer(
        run.workdir, just_logging=False, resumed_step=last
    )
    writer.write_scalars(last, tags.of_test(values))
    writer.close()


class Validated(NamedTuple):
    """What validation scored after an epoch."""

    metrics: dict[str, float | None]  # at threshold 0.5 or by argmax
    loss: float | None  # of the terms of training; None where it was not asked for
    by_class: dict[str, float | None]  # `class_table.history`; {} for two classes
    silent: list[str]  # classes never predicted, as `never_predicted.warn` says


def validate(
    run: Run, variables: dict[str, Any], done: int, said: Sequence[str] = ()
) -> Validated:
    """Scores validation; pictures and a curve of pixels go to TensorBoard.

    `said` are the classes that the validation before this one named as never predicted.
    """
    split, scorer = run.experiment.splits["validation"], run.experiment.scorer
    plan = run.experiment.plan
    number = -(-done // plan.steps_per_epoch)
    drawn = number % run.config.eval.pictures_every == 0 or number == 1
    drawn |= done == plan.total_steps
    probabilities = dict.fromkeys(_shown(split) if drawn else [])
    rows: epoch_loss.Rows = []
    if run.experiment.predict_with_loss is not None:
        scorer, rows = epoch_loss.listening(run.experiment)
    # those of every class cost time and memory: only where their curves are drawn
    counted = score_split.tally_split(
        scorer, variables, split, keep=probabilities, class_histograms=drawn
    )
    loss = None
    if rows:
        weights = {name: term.weight for name, term in run.config.loss.items()}
        loss = epoch_loss.mean(rows, run.experiment, weights, done=done)
    metrics = image_classes.history(counted, split)
    if scorer.pixels:
        metrics |= result.summary(counted) | image_level.history(counted)
    metric = run.config.eval.metric
    if metric not in metrics:
        raise ConfigError(
            f"config.eval.metric is {metric!r}; choose one of {sorted(metrics)}."
        )
    if not scorer.pixels:
        return Validated(metrics, loss, {}, [])
    if jax.process_index() == 0:
        for index, probability in probabilities.items():
            if probability is None:
                continue
            parts = split[index], probability, scorer.to_native(), split.classes
            tag = f"validation/{split.ids[index]}"
            run.writer.write_images(done, {tag: _picture(*parts)[None]})
        if len(split.classes) == 2:
            _write_curve(run.writer, done, counted)
        elif counted.has_class_histograms:
            _write_class_curves(run.writer, done, counted, split.classes)
    if len(split.classes) == 2:
        return Validated(metrics, loss, {}, [])
    silent = never_predicted.warn(
        counted,
        split.classes,
        progress=done / run.experiment.plan.total_steps,
        said=said,
        log=jax.process_index() == 0,
    )
    by_class = class_table.history(counted, split.classes)
    return Validated(metrics, loss, by_class, silent)


def _write_curve(writer: Any, done: int, counted: tally.Tally) -> None:
    cells = counted.scores.sum(axis=0, dtype=np.int64)
    at = [tally.nearest(t) for t in np.linspace(0, 1, 101)]
    fp, tp = tally.above(cells)[:, at]
    negative, positive = cells.sum(axis=1)
    writer.write_pr_curve(
        done, "validation/pixels", tp=tp, fp=fp, tn=negative - fp, fn=positive - tp
    )


def _write_class_curves(
    writer: Any, done: int, counted: tally.Tally, classes: Sequence[str]
) -> None:
    """A curve of each foreground class against the rest, as `_write_curve` does."""
    at = histograms.bins(np.linspace(0, 1, 101, dtype=np.float32))
    for name, pooled in list(zip(classes, counted.pooled, strict=True))[1:]:
        above = pooled[:, ::-1].cumsum(axis=1)[:, ::-1]
        (fp, tp), (negative, positive) = above[:, at], above[:, 0]
        counts = {"tp": tp, "fp": fp, "tn": negative - fp, "fn": positive - tp}
        writer.write_pr_curve(done, f"validation/pixels/{name}", **counts)


def _shown(split) -> list[int]:
    """Four images with foreground and two without, where there are so many."""
    positive = np.flatnonzero(split.positive)[:4]
    negative = np.flatnonzero(~split.positive)[: _SHOWN - len(positive)]
    return [int(i) for i in (*positive, *negative)]


def _picture(example, probability, to_native, classes) -> np.ndarray:
    native = to_native(probability, example["mask"].shape)
    prediction = decision.apply(native)
    image = pictures.grey_or_rgb(example["image"])
    image = image if image.ndim == 3 else image[..., None]
    return pictures.logged(image, example["mask"], prediction, classes)


def _plateau(
    config: ConfigDict,
    before: dict[str, Any] | None,
    metrics: dict[str, float | None] | None,
) -> dict[str, Any]:
    """The notes of `plateau.update` after an epoch; they say when the rate falls."""
    before = before or plateau.START
    if metrics is None:
        return dict(before)
    settings = config.optim.plateau.to_dict()
    smallest = settings.pop("min_rate") / config.optim.learning_rate
    after = plateau.update(
        before,
        metrics[f"validation/{config.eval.metric}"],
        epochs=config.eval.every_epochs,
        min_scale=smallest,
        **settings,
    )
    if after["scale"] != before["scale"]:
        logging.info(
            "validation/%s was not more than %g (config.optim.plateau.threshold) above "
            "%s for %s, which is a plateau: the learning rate is now %.4g",
            config.eval.metric,
            settings["threshold"],
            "anything" if after["best"] is None else f"{after['best']:.4f}",
            "1 epoch" if (n := settings["patience"]) == 1 else f"{n} epochs",
            config.optim.learning_rate * after["scale"],
        )
    return after


def metadata(
    config: ConfigDict,
    before: dict[str, Any],
    metrics: dict[str, float | None] | None,
    number: int,
    done: int,
    silent: Sequence[str] = (),
) -> dict[str, Any]:
    """What a checkpoint keeps beside the state: the best so far, and when to stop.

    `before` is that of the epoch before; `metrics` is None in an epoch, counted from 0
    as `number`, whose validation was not scored. `silent` are the classes that are
    never predicted, and were named.
    """
    best, since = before.get("best"), before.get("since_best", 0)
    if metrics is not None:
        value = metrics[f"validation/{config.eval.metric}"]
        since += config.eval.every_epochs
        if value is not None and (best is None or value > best["value"]):
            best = {"step": done, "epoch": number + 1, "value": value}
            best["metric"] = f"validation/{config.eval.metric}"
            since = 0
    patience = config.eval.patience
    stopped = bool(patience) and since >= patience
    out = {"best": best, "since_best": since, "stopped": stopped, "meter": None}
    if from_config.has_plateau(config):
        out["plateau"] = _plateau(config, before.get("plateau"), metrics)
    if silent:
        out["silent"] = [*silent]
    return out
