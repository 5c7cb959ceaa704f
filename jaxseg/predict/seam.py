"""Says how much blended tiles differ from one piece, where that is not nothing.

A network of convolutions sees a bounded part of the image, so a tile tells it all but
near its border, and there tiles are blended. Attention, or norms of the image at hand,
see all that the network is shown: every tile is then a little world of its own. One
image, or its middle, is predicted both ways, and nothing is written of it.
"""

import dataclasses
from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
from absl import logging
from jaxtyping import Float, UInt

from jaxseg.data import pipeline
from jaxseg.errors import DataError
from jaxseg.experiment import finished_run
from jaxseg.inference import image, stitch, tiles
from jaxseg.predict import huge, inputs
from jaxseg.predict.job import Job

SIDE = 1024  # pixels of the largest piece


class Seam(NamedTuple):
    """How much the probabilities of tiles and of one piece differ."""

    name: str  # of the image
    size: tuple[int, int]  # of the piece
    tile: tuple[int, int]
    largest: float
    mean: float


def measured(items: Sequence[inputs.Input], job: Job) -> Seam | None:
    """The Seam of the first of these finished images that has more than one tile.

    It is that of the first run, without what --tta, --mc_dropout and --ensemble add.
    None where no image has, where tiles are not blended, or where the network is one of
    convolutions; and where it could not be measured, as for lack of memory: then the
    log says why.
    """
    run, group = job.model.runs[0], job.model.groups[0]
    if group.view.fit != "crop" or group.exact is not None or not job.model.pixels:
        return None
    item = next((item for item in items if _several(item, group.view, job)), None)
    if item is None:
        return None
    try:
        if not stitch.sees_all(run.parts.model, channels=job.wanted.channels):
            return None
        return _compared(item, run, group.view, job)
    except Exception as error:  # a network may take tiles of one size alone
        why = " ".join(f"{type(error).__name__}: {error}".split())
        logging.warning("The seam between tiles could not be measured (%s).", why)
        return None


def line(seam: Seam) -> str:
    """What the command prints of it."""
    tile, size = ("x".join(map(str, pair)) for pair in (seam.tile, seam.size))
    return (
        f"seam: the network sees all that it is shown; tiles of {tile} and one piece "
        f"of {size} of {seam.name} differ by {seam.largest:.4f} at most, "
        f"{seam.mean:.4f} in the mean probability"
    )


def _several(item: inputs.Input, view: pipeline.View, job: Job) -> bool:
    row = job.journal.finished[item.id]["row"]
    size = view.scaled((row["height"], row["width"]), row["pixel_size_um"])
    piece = tuple(min(length, SIDE) for length in size)
    return tiles.grid(piece, view.size, view.overlap).count > 1


def _compared(
    item: inputs.Input, run: finished_run.FinishedRun, view: pipeline.View, job: Job
) -> Seam:
    pixels, pixel_size = _read(item, job)
    shown = _middle(image.seen(_middle(pixels), view, pixel_size))
    whole = dataclasses.replace(view, size=shown.shape[:2])
    difference = abs(_probability(shown, view, run) - _probability(shown, whole, run))
    return Seam(
        item.id,
        shown.shape[:2],
        view.size,
        float(difference.max()),
        float(difference.mean(dtype=np.float64)),
    )


def _read(
    item: inputs.Input, job: Job
) -> tuple[UInt[np.ndarray, "h w c"], float | None]:
    """The image, or its middle rows where it is larger than memory; its pixel size."""
    if not huge.is_huge(item.path, job.wanted.max_pixels):
        stored = inputs.Stored(*inputs.read(item, job.wanted))
        if stored.problem:
            raise DataError(stored.problem)
        return stored.pixels, stored.pixel_size
    with huge.opened(item.path, job.wanted) as rows:
        top = max(rows.size[0] - SIDE, 0) // 2
        pixels = rows.read(top, min(top + SIDE, rows.size[0]))
    if pixels.shape[-1] < job.wanted.channels:  # grey for a run of colours
        pixels = np.repeat(pixels, job.wanted.channels, axis=-1)
    return pixels, None


def _middle(pixels: UInt[np.ndarray, "h w c"]) -> UInt[np.ndarray, "y x c"]:
    starts = [max(length - SIDE, 0) // 2 for length in pixels.shape[:2]]
    return pixels[starts[0] :, starts[1] :][:SIDE, :SIDE]


def _probability(
    shown: UInt[np.ndarray, "h w c"],
    view: pipeline.View,
    run: finished_run.FinishedRun,
) -> Float[np.ndarray, "h w k"]:
    pixels, canvas = image.canvas_of(shown, view, None)
    for batch in image.blocks(pixels, canvas.plan, 1):
        canvas.add(np.asarray(run.forward(run.variables, {"image": batch}))[0])
    return canvas.probability()
