"""What happens around the steps of an epoch: scores, notes, the run's record."""

import pathlib
from typing import Any

import jax
import numpy as np
from absl import logging
from ml_collections import ConfigDict

from jaxseg import pictures
from jaxseg.data import resize
from jaxseg.errors import ConfigError
from jaxseg.evaluation import result, score_split
from jaxseg.evaluation.tally import Tally
from jaxseg.experiment import build, finetune
from jaxseg.metrics import histograms
from jaxseg.postprocess import decision
from jaxseg.run_directory import files
from jaxseg.train import progress, tensorboard

_SHOWN = 6  # validation images in TensorBoard, the same ones all along


def log_plan(config: ConfigDict, made: build.Setup) -> None:
    """Says how long training is, and what learns how fast."""
    plan = made.plan
    length = progress.describe(
        steps_per_epoch=plan.steps_per_epoch,
        total_steps=plan.total_steps,
        images_seen=plan.total_steps * plan.batch_size,
    )
    parameters = finetune.overview(config, made.abstract)
    logging.info("%s\nparameters\n%s", length, parameters)


def open_writer(config, workdir: pathlib.Path, made: build.Setup, start: int) -> Any:
    """The writer of a run that goes on from step `start`; of process 0 alone it writes.

    At the start it notes the settings, and parameters.txt.
    """
    main = jax.process_index() == 0
    writer = tensorboard.create_writer(
        workdir, just_logging=not main, resumed_step=start
    )
    if main and start == 0:
        writer.write_hparams(files.flat(config.to_dict()))
        table = tensorboard.parameter_table(made.abstract.params)
        (workdir / "parameters.txt").write_text(table)  # hundreds of lines
    return writer


def validate(
    config: ConfigDict, made: build.Setup, variables: Any, writer: Any, done: int
) -> dict[str, float | None]:
    """Metrics of validation at threshold 0.5; pictures and a curve for TensorBoard."""
    split = made.splits["validation"]
    shown = _shown(split)
    keep = dict.fromkeys(shown)
    counted = score_split.tally(made.scorer, variables, split, keep=keep)
    metrics = result.summary(counted)
    if config.eval.metric not in metrics:
        raise ConfigError(
            f"config.eval.metric is {config.eval.metric!r}; choose one of "
            f"{sorted(metrics)}."
        )
    if jax.process_index() == 0:
        panels = [
            _picture(split[i], p, made.scorer.view.fit)
            for i, p in keep.items()
            if p is not None
        ]
        for k, picture in enumerate(panels):
            writer.write_images(done, {f"validation/{k}": picture[None]})
        if len(split.classes) == 2:
            _write_curve(writer, done, counted)
    return metrics


def _write_curve(writer: Any, done: int, counted: Tally) -> None:
    cells = counted.scores.sum(axis=0, dtype=np.int64)
    at = [histograms.nearest(t)[0] for t in np.linspace(0, 1, 101)]
    fp, tp = histograms.above(cells)[:, at]
    negative, positive = cells.sum(axis=1)
    writer.write_pr_curve(
        done, "validation/pixels", tp=tp, fp=fp, tn=negative - fp, fn=positive - tp
    )


def _shown(split) -> list[int]:
    """Four images with foreground and two without, where there are so many."""
    positive = np.flatnonzero(split.positive)[:4]
    negative = np.flatnonzero(~split.positive)[: _SHOWN - len(positive)]
    return [int(i) for i in (*positive, *negative)]


def _picture(example, probability, fit: str) -> np.ndarray:
    native = resize.unfit(probability, example["mask"].shape, fit)
    found = decision.decide(native, example["mask"], None)
    image = pictures.grey_or_rgb(example["image"])
    image = image if image.ndim == 3 else image[..., None]
    return pictures.small(pictures.triptych(image, example["mask"], found))


def notes(
    config: ConfigDict,
    meta: dict,
    metrics: dict | None,
    number: int,
    done: int,
) -> dict:
    """What a checkpoint keeps beside the state: the best so far, when to stop."""
    best, since = meta.get("best"), meta.get("since_best", 0)
    if metrics is not None:
        value = metrics[f"validation/{config.eval.metric}"]
        since += config.eval.every_epochs
        if value is not None and (best is None or value > best["value"]):
            best = {"step": done, "epoch": number + 1, "value": value}
            best["metric"] = f"validation/{config.eval.metric}"
            since = 0
    patience = config.eval.patience
    stopped = bool(patience) and since >= patience
    return {"best": best, "since_best": since, "stopped": stopped, "meter": None}
