"""Predicts a split once more at its operating point: for pictures and distances."""

import collections
from typing import Any

import numpy as np

from jaxseg.data import prepared
from jaxseg.devices import sharding
from jaxseg.evaluation import examples, surfaces
from jaxseg.evaluation.tally import Decided
from jaxseg.inference import whole_split


def predict(
    scorer: whole_split.Scorer,
    variables: Any,
    split: prepared.Split,
    decided: Decided,
    *,
    tolerance: float | None,
    image_threshold: float | None = None,
) -> tuple[list[tuple[int, np.ndarray]], surfaces.Measured | None]:
    """(predictions of the images to show, what `surfaces` measures on all images).

    One pass over the split, and every process gets the results of all. Without a
    tolerance nothing is measured, and only batches with an image to show are computed.
    """
    listed = examples.choose(decided.tally, split.ids, image_threshold=image_threshold)
    chosen = {e["index"] for e in listed}
    only = chosen if tolerance is None else None
    predictions = whole_split.predictions(scorer, variables, split, only)
    shown: dict[int, np.ndarray] = {}
    predictions, measured = whole_split.keep(predictions, chosen, shown), None
    if tolerance is None:
        collections.deque(predictions, maxlen=0)
    else:
        own = surfaces.measure(
            predictions,
            split,
            point=decided.point,
            tolerance=tolerance,
            to_native=scorer.to_native(),
        )
        measured = surfaces.join(sharding.gather(own))
    return _gather(shown), measured


def _gather(shown: dict[int, np.ndarray]) -> list[tuple[int, np.ndarray]]:
    """(index, probability) of all processes; each may have a size of its own."""
    values = [np.zeros(0, np.float32), *(p.ravel() for p in shown.values())]
    own = {
        "index": np.array(list(shown), np.int32),
        "shape": np.array([p.shape for p in shown.values()], np.int32).reshape(-1, 3),
        "values": np.concatenate(values, dtype=np.float32),
    }
    pairs = []
    for part in sharding.gather(own):
        sizes = part["shape"].prod(1, dtype=np.int64)
        rows = np.split(part["values"], np.cumsum(sizes)[:-1]) if len(sizes) else []
        for index, shape, row in zip(part["index"], part["shape"], rows, strict=True):
            pairs.append((int(index), row.reshape(shape)))
    return pairs
