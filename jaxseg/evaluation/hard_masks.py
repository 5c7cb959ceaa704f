"""Scores masks that came from elsewhere, with the metrics and pictures of a run.

A mask has no probabilities: what needs an order of pixels or images (curves,
calibration, FROC) is left out, and no operating point is applied.
"""

import pathlib
from collections.abc import Iterator
from typing import Any

import numpy as np

from jaxseg.evaluation import (
    agreement,
    baselines,
    count,
    examples,
    result,
    surfaces,
)
from jaxseg.evaluation.tally import Decided, at
from jaxseg.run_directory import files, schemas

_HALF = {"threshold": 0.5, "min_area": 0.0}  # of two classes: 0 and 1 stay


def score(
    folder: pathlib.Path,
    split: Any,
    masks: Any,
    *,
    seed: int,
    resamples: int,
    tolerance: float,
) -> dict[str, Any]:
    """Writes `<split>.json`, its tables and its pictures into `folder`; the result.

    `masks[i]` is a mask of class ids, u8 [h, w], at the size of image i.
    """
    tally = count.count_split(_predictions(split, masks), split, to_native=_as_it_is)
    two = tally.num_classes == 2
    decided = Decided(tally, None)
    if two:
        decided = Decided(at(tally, threshold=0.5), _HALF)
    draws: dict[str, int] = {"seed": seed, "resamples": resamples}
    rows = baselines.constants(tally, split)
    scores = result.assemble(decided, rows, split, step=0, argmax=tally, **draws)
    scores |= {"operating_point": None, "curves": {}, "calibration": None}
    measured = surfaces.measure(
        _predictions(split, masks),
        split,
        point=decided.point,
        tolerance=tolerance,
        to_native=_as_it_is,
    )
    of_surfaces = surfaces.assemble(measured, split, tolerance=tolerance, **draws)
    scores["surface"] = of_surfaces["surface"]
    confusion = decided.tally.confusion.sum(axis=0)
    scores["agreement"] = agreement.assemble(split, masks, confusion)
    files.write(folder / f"{split.name}.json", scores, schemas.Result)
    columns = surfaces.columns(measured)
    result.write_tables(folder, decided, split, columns=columns)
    (folder / f"{split.name}_pr.csv").unlink(missing_ok=True)  # of thresholds
    only = {row["index"] for row in examples.choose(decided.tally, split.ids)}
    shown = _predictions(split, masks, only)
    result.write_examples(folder, decided, split, shown, to_native=_as_it_is)
    return scores


def _predictions(
    split: Any, masks: Any, only: set[int] | None = None
) -> Iterator[tuple[int, np.ndarray]]:
    """(index, f32 [h, w, k]): 1 for the class of a pixel, 0 for all others."""
    each = np.eye(len(split.classes), dtype=np.float32)
    for i in range(len(split)) if only is None else sorted(only):
        yield i, each[masks[i]]


def _as_it_is(array: np.ndarray, size: tuple[int, int]) -> np.ndarray:
    """The array: masks have the size of their images."""
    return array
