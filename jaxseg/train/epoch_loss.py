"""Means the loss of validation, whose terms are computed in the pass that scores it."""

import math
from collections.abc import Mapping, Sequence
from typing import Any

import jax
import numpy as np

from jaxseg import schedule
from jaxseg.devices import sharding
from jaxseg.experiment import build, targets
from jaxseg.inference import whole_split
from jaxseg.train_step import validation_loss

Rows = list[tuple[jax.Array, jax.Array]]  # of each batch: terms f32 [b, t], weight [b]


def listening(experiment: build.Experiment) -> tuple[whole_split.Scorer, Rows]:
    """(a scorer of the same probabilities, the rows of terms that it comes by).

    The rows are filled while the scorer predicts.
    """
    rows: Rows = []
    settings, predict = experiment.settings, experiment.predict_with_loss

    def heard(variables: Any, batch: Mapping[str, jax.Array]) -> jax.Array:
        probability, terms = predict(variables, batch)
        rows.append((terms, batch["weight"]))
        return probability

    needed = targets.needs_instances(settings.target, settings.losses)
    scorer = experiment.scorer._replace(predict=heard, labels=True, instances=needed)
    return scorer, rows


def mean(
    rows: Rows,
    experiment: build.Experiment,
    weights: Mapping[str, schedule.Schedule],
    *,
    done: int,
) -> float | None:
    """The loss over all images, each term weighed as in step `done`; or None.

    Every process calls it. Sums are exact, so that no order of images changes a bit.
    None stands for a loss that is not finite.
    """
    names = validation_loss.names(experiment.settings)
    own = {
        "terms": _joined([terms for terms, _ in rows], (0, len(names))),
        "weight": _joined([weight for _, weight in rows], (0,)),
    }
    parts = sharding.gather(own)
    terms, weight = (
        np.concatenate([part[k] for part in parts]).astype(np.float64) for k in own
    )
    total = math.fsum(weight)
    plan = experiment.plan
    when = {
        "progress": (done - 1) / max(1, plan.total_steps - 1),
        "epoch": (done - 1) // plan.steps_per_epoch,
        "epochs": plan.epochs,
    }
    terms = terms[weight > 0]
    if not total or not np.isfinite(terms).all():
        return None
    by = {name: float(schedule.at(weights[name], **when)) for name in names}
    means = [math.fsum(column) / total for column in terms.T]
    return math.fsum(by[name] * m for name, m in zip(names, means, strict=True))


def _joined(arrays: Sequence[jax.Array], empty: tuple[int, ...]) -> np.ndarray:
    rows = [row for array in arrays for row in sharding.local_rows(array)]
    return np.concatenate(rows) if rows else np.zeros(empty, np.float32)
