"""Scoring a split with a model: every image once, counted over all processes."""

import collections
import pathlib
from typing import Any

import jax
import numpy as np
from absl import logging

from jaxseg.data import prepared
from jaxseg.devices import sharding
from jaxseg.errors import ConfigError
from jaxseg.evaluation import (
    baselines,
    count,
    examples,
    operating_point,
    result,
    surfaces,
    temperature,
)
from jaxseg.evaluation.tally import Applied, Tally, from_arrays, merge, to_arrays
from jaxseg.inference import whole_split


def tally(
    scorer: whole_split.Scorer,
    variables: Any,
    split: prepared.Split,
    *,
    keep: dict[int, Any] | None = None,
) -> Tally:
    """The counts of the whole split, the same on every process.

    The values of `keep` become the probabilities of the indices that are its keys.
    """

    def watched():
        for index, probability in whole_split.predictions(scorer, variables, split):
            if keep is not None and index in keep:
                keep[index] = probability
            yield index, probability

    mine = count.count_split(watched(), split, to_native=scorer.to_native())
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
    rule: str = "threshold",
) -> dict[str, Any]:
    """Operating point, threshold of the baseline and temperature, from validation."""
    source = {"source_split": split.name, "split_hash": split.hash}
    point = None
    if len(split.classes) == 2:
        point = operating_point.choose(
            validation, objective=objective, min_areas=min_areas, rule=rule, **source
        )
    baseline = baselines.choose(validation, **source)
    fitted = temperature.fit(validation, **source)
    return {
        "step": step,
        "operating_point": point,
        "baseline": baseline,
        "temperature": fitted,
    }


def judge(
    counted: Tally,
    split: prepared.Split,
    point: dict[str, Any],
    *,
    step: int,
    seed: int,
    resamples: int,
) -> tuple[dict[str, Any], Applied]:
    """What eval/<split>.json holds of the counts alone, at the frozen point."""
    if point["step"] != step:
        raise ConfigError(
            f"the operating point belongs to step {point['step']}, not {step}; finish "
            "the run (start its command again) before scoring it."
        )
    where = {"split": split.name, "split_hash": split.hash}
    applied = operating_point.apply(counted, point["operating_point"], **where)
    rows = baselines.rows(counted, point["baseline"], classes=split.classes, **where)
    found = result.report(
        applied,
        rows,
        split,
        name=split.name,
        step=step,
        seed=seed,
        resamples=resamples,
        scaling=point.get("temperature"),  # runs of before have none
    )
    return found, applied


def look_again(
    scorer: whole_split.Scorer,
    variables: Any,
    split: prepared.Split,
    applied: Applied,
    *,
    tolerance: float | None,
) -> tuple[list[tuple[int, np.ndarray]], surfaces.Measured | None]:
    """(predictions of the images to show, what `surfaces` measures on all images).

    One pass over the split, and every process gets the results of all. Without a
    tolerance nothing is measured, and only batches with an image to show are computed.
    """
    chosen = {e["index"] for e in examples.choose(applied.tally, split.ids)}
    shown = {}
    only = chosen if tolerance is None else None

    def watched():
        for index, probability in whole_split.predictions(
            scorer, variables, split, only
        ):
            if index in chosen:
                shown[index] = probability
            yield index, probability

    measured, options = None, {"point": applied.point, "tolerance": tolerance}
    if tolerance is None:
        collections.deque(watched(), maxlen=0)
    else:
        options["to_native"] = scorer.to_native()
        mine = surfaces.measure(watched(), split, **options)
        measured = surfaces.join(sharding.gather(mine))
    index = np.array(list(shown), np.int32)
    size = (*scorer.view.size, len(split.classes))
    rows = np.array(list(shown.values()), np.float32).reshape(-1, *size)
    everyone = sharding.gather({"index": index, "rows": rows})
    pairs = [p for d in everyone for p in zip(d["index"], d["rows"], strict=True)]
    return pairs, measured


def score_split(
    workdir: pathlib.Path,
    scorer: whole_split.Scorer,
    variables: Any,
    split: prepared.Split,
    point: dict[str, Any],
    *,
    step: int,
    seed: int,
    resamples: int,
    tolerance: float | None,
    counted: Tally | None = None,
) -> dict[str, Any]:
    """What eval/<split>.json holds: the split scored at a frozen point, with pictures.

    `counted` is its tally where that is known already; `tolerance`, in pixels, is that
    of `boundaries`, None = do not measure surfaces. Process 0 writes the files.
    """
    counted = tally(scorer, variables, split) if counted is None else counted
    options = {"seed": seed, "resamples": resamples}
    found, applied = judge(counted, split, point, step=step, **options)
    shown, measured = look_again(scorer, variables, split, applied, tolerance=tolerance)
    columns = {}
    if measured is not None:
        found |= surfaces.report(measured, split, tolerance=tolerance, **options)
        columns = surfaces.columns(measured)
    if jax.process_index() == 0:
        files = (workdir / "eval", applied, split)
        result.write_report(files[0], found)
        result.write_tables(*files, name=split.name, columns=columns)
        native = scorer.to_native()
        result.write_examples(*files, shown, name=split.name, to_native=native)
    logging.info("scored %d images of %s", found["images"], split.name)
    return found
