"""Scoring a split with a model: every image once, counted over all processes."""

import functools
import pathlib
from collections.abc import Callable, Iterator
from typing import Any, NamedTuple

import jax
import numpy as np
from absl import logging
from jax.sharding import Mesh

from jaxseg import feed, operating_point, score, sharding
from jaxseg.data import geometry, pipeline, prepared
from jaxseg.errors import ConfigError
from jaxseg.metrics import examples
from jaxseg.metrics.tally import Applied, Tally, from_arrays, merge, to_arrays

POINT = pathlib.Path("checkpoints") / "operating_point.json"


class Scorer(NamedTuple):
    """What scoring needs besides the parameters and the split."""

    predict: Callable  # (variables, batch) -> probability f32 [b, h, w, k]
    mesh: Mesh
    view: pipeline.View
    per_device_batch: int
    workers: int
    timeout: float

    def to_native(self) -> Callable:
        """(probability, native size) -> probability at that size."""
        return functools.partial(geometry.unfit, mode=self.view.fit)


def predictions(
    scorer: Scorer,
    variables: Any,
    split: prepared.Split,
    only: set[int] | None = None,
) -> Iterator[tuple[int, np.ndarray]]:
    """(index, probability f32 [H, W, k]) of this process's images, without padding.

    Every device gets the same number of images at a time whatever the number of
    devices, and the same ones side by side: so the results are equal bit for bit.
    `only` names the indices wanted; batches without one of them are not computed.
    """
    batch_size = scorer.per_device_batch * jax.device_count()
    batches = pipeline.eval_batches(
        split,
        scorer.view,
        batch_size=batch_size,
        process=jax.process_index(),
        processes=jax.process_count(),
        workers=scorer.workers,
    )
    stream = feed.ahead(
        batches,
        scorer.mesh,
        timeout=scorer.timeout,
        name=lambda k: f"batch {k} of {split.name}",
    )
    waiting = None
    for number, (batch, _) in enumerate(stream):
        first = number * batch_size
        skip = only is not None and not any(
            i in only for i in range(first, first + batch_size)
        )
        result = None if skip else scorer.predict(variables, batch)
        if waiting is not None:  # the device works on this batch meanwhile
            yield from _rows(*waiting, only)
        waiting = None if skip else (batch["index"], result)
    if waiting is not None:
        yield from _rows(*waiting, only)


def _rows(index, probability, only) -> Iterator[tuple[int, np.ndarray]]:
    parts = zip(
        sharding.local_rows(index), sharding.local_rows(probability), strict=True
    )
    for indices, rows in parts:
        for i, row in zip(indices, rows, strict=True):
            if i >= 0 and (only is None or int(i) in only):
                yield int(i), row


def tally(
    scorer: Scorer,
    variables: Any,
    split: prepared.Split,
    *,
    keep: dict[int, Any] | None = None,
) -> Tally:
    """The counts of the whole split, the same on every process.

    The values of `keep` become the probabilities of the indices that are its keys.
    """

    def watched():
        for index, probability in predictions(scorer, variables, split):
            if keep is not None and index in keep:
                keep[index] = probability
            yield index, probability

    mine = score.score(watched(), split, to_native=scorer.to_native())
    k = len(split.classes)
    parts = sharding.gather(to_arrays(mine))
    return merge([from_arrays(part, num_classes=k) for part in parts], ids=split.ids)


def choose_point(
    validation: Tally,
    split: prepared.Split,
    *,
    step: int,
    objective: str,
    min_areas: tuple[float, ...],
) -> dict[str, Any]:
    """The operating point and the threshold of the baseline, both from validation."""
    source = {"source_split": split.name, "split_hash": split.hash}
    point = None
    if len(split.classes) == 2:
        point = operating_point.choose(
            validation, objective=objective, min_areas=min_areas, **source
        )
    baseline = operating_point.choose_baseline(validation, **source)
    return {"step": step, "operating_point": point, "baseline": baseline}


def write_eval(
    workdir: pathlib.Path,
    counted: Tally,
    split: prepared.Split,
    point: dict[str, Any],
    *,
    step: int,
    seed: int,
    resamples: int,
) -> tuple[dict[str, Any], Applied]:
    """What eval/<split>.json holds, written by process 0, at the frozen point."""
    if point["step"] != step:
        raise ConfigError(
            f"the operating point belongs to step {point['step']}, not {step}; finish "
            "the run (start its command again) before scoring it."
        )
    where = {"split": split.name, "split_hash": split.hash}
    applied = operating_point.apply(counted, point["operating_point"], **where)
    rows = operating_point.baselines(counted, point["baseline"], **where)
    found = score.report(
        applied, rows, split, name=split.name, step=step, seed=seed, resamples=resamples
    )
    if jax.process_index() == 0:
        score.write_report(workdir / "eval", found)
        score.write_tables(workdir / "eval", applied, split, name=split.name)
    return found, applied


def write_pictures(
    workdir: pathlib.Path,
    scorer: Scorer,
    variables: Any,
    split: prepared.Split,
    applied: Applied,
) -> None:
    """Best, median and worst images of the split as PNG files, by process 0."""
    chosen = {e["index"] for e in examples.choose(applied.tally, split.ids)}
    mine = list(predictions(scorer, variables, split, chosen))
    index = np.array([i for i, _ in mine], np.int32)
    size = (*scorer.view.size, len(split.classes))
    rows = np.array([p for _, p in mine], np.float32).reshape(-1, *size)
    everyone = sharding.gather({"index": index, "rows": rows})
    if jax.process_index() == 0:
        pairs = [p for d in everyone for p in zip(d["index"], d["rows"], strict=True)]
        score.write_examples(
            workdir / "eval",
            applied,
            split,
            pairs,
            name=split.name,
            to_native=scorer.to_native(),
        )


def score_split(
    workdir: pathlib.Path,
    scorer: Scorer,
    variables: Any,
    split: prepared.Split,
    point: dict[str, Any],
    *,
    step: int,
    seed: int,
    resamples: int,
    counted: Tally | None = None,
) -> dict[str, Any]:
    """What eval/<split>.json holds: the split scored at a frozen point, with pictures.

    `counted` is its tally where that is known already.
    """
    counted = tally(scorer, variables, split) if counted is None else counted
    found, applied = write_eval(
        workdir, counted, split, point, step=step, seed=seed, resamples=resamples
    )
    write_pictures(workdir, scorer, variables, split, applied)
    logging.info("scored %d images of %s", found["images"], split.name)
    return found
