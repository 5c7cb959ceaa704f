"""Predicts images that are larger than memory, by rows of tiles.

Tiles are predicted row by row and summed in a band as high as one of them; what no
further tile touches is decided and written. Every pixel gets the sums, in the order, of
an image in memory, so the masks are equal bit for bit; memory does not grow with the
height of the image. TIFF files and Zarr arrays can be read so; the mask is a TIFF in
tiles.
"""

import contextlib
import math
import pathlib
from collections.abc import Iterator, Sequence
from typing import Any, NamedTuple

import numpy as np
import tifffile
from jaxtyping import Float, UInt

from jaxseg.data import crops, intensity, pipeline
from jaxseg.data.files import images
from jaxseg.devices import prefetch, sharding
from jaxseg.errors import DataError
from jaxseg.inference import image, tiles
from jaxseg.postprocess import decision
from jaxseg.predict import (
    answer,
    huge_files,
    huge_objects,
    inputs,
    objects,
    regions,
    tables,
    zarr_rows,
)
from jaxseg.predict.ensemble import Ensemble, Group
from jaxseg.predict.formats import tif
from jaxseg.predict.job import Job, Result

Rows = regions.Rows | zarr_rows.Rows  # an image, some rows of it at a time
_ROWS = 512  # of the image, that are counted at once


def is_huge(path: pathlib.Path, max_pixels: int) -> bool:
    """Whether a TIFF has a page, or a Zarr array a plane, of more than `max_pixels`."""
    if zarr_rows.is_zarr(path):
        try:
            return math.prod(zarr_rows.size(path)) > max_pixels
        except DataError:  # who reads it says so
            return False
    if path.suffix.lower() not in (".tif", ".tiff"):
        return False
    try:
        with tifffile.TiffFile(path, _multifile=False) as file:
            page = file.pages.first
            return page.imagelength * page.imagewidth > max_pixels
    except Exception:  # damaged tags can raise anything; who reads it says so
        return False


def opened(path: pathlib.Path, wanted: inputs.Wanted) -> Rows:
    """The image, to be read by rows; DataError where it cannot be."""
    kind = zarr_rows.Rows if zarr_rows.is_zarr(path) else regions.Rows
    return kind(path, wanted.page)


def names(job: Job, name: str) -> list[str]:
    """The files of the image with this id, in the output folder."""
    mask = f"{tif.FOLDER}/{name}{tif.SUFFIX}"
    out = [mask, *[f"probabilities/{name}.tif"] * job.probabilities]
    return out + [f"{objects.FOLDER}/{name}.tif"] * (job.rule is not None)


def predict(
    found: Sequence[inputs.Input], numbers: Sequence[int], job: Job
) -> Iterator[Result]:
    """Predicts these inputs, and yields what became of each.

    An image that cannot be read by rows, or is none of those the run was trained on,
    and a run whose images are not predicted at native scale, are a sentence.
    """
    for item in (found[number] for number in numbers):
        try:
            _predict(item, job)
            yield item, ""
        except DataError as error:
            yield item, str(error)


def _predict(item: inputs.Input, job: Job) -> None:
    """Predicts one image, and writes its mask and its line in the journal."""
    digest = inputs.sha256(item.path)
    with opened(item.path, job.wanted) as rows:
        _check(item.path, rows, job)
        size = inputs.side_of_pixel(item.path, job.wanted)
        files = names(job, item.id)
        job.journal.begin(item.id, files)
        with contextlib.ExitStack() as stack:
            outputs = _outputs(stack, job, item, rows, size)
            sums = _sums(rows, job.model, outputs)
            outputs.mask.finish(sums.shown, tif.tagged(1, size))
            line: dict[str, Any] = {"id": item.id, "input_sha256": digest}
            line["row"] = tables.row(
                sums.of,
                size=rows.size,
                classes=job.model.classes,
                pixel_size=size,
                decide=job.model.image_threshold,
                image_classes=job.model.image_classes,
            )
            if outputs.planes is not None:
                outputs.planes.finish()
            if outputs.finder is not None:
                line |= _objects(outputs, job, size)
    job.journal.finish(line, files)


class _Outputs(NamedTuple):
    """What is written of an image."""

    mask: huge_files.Mask
    planes: huge_files.Planes | None  # where probabilities are asked for
    labels: huge_files.LabelMap | None
    finder: huge_objects.Finder | None


def _outputs(
    stack: contextlib.ExitStack,
    job: Job,
    item: inputs.Input,
    rows: Rows,
    pixel_size: float | None,
) -> _Outputs:
    """Opens the files of an image, which `stack` closes."""
    mask, *others = (job.journal.folder / name for name in names(job, item.id))
    written = stack.enter_context(huge_files.Mask(mask, rows.size))
    planes = labels = finder = None
    if job.probabilities:
        shape = (len(job.model.classes), *rows.size)
        planes = stack.enter_context(huge_files.Planes(others[0], shape))
    if job.rule is not None:
        labels = stack.enter_context(huge_files.LabelMap(others[-1], rows.size))
        of_rows = huge_objects.labelled(
            item.path, rows.read, job.model.classes, pixel_size, job.wanted.channels
        )
        finder = huge_objects.Finder(job.rule, rows.size, of_rows, labels)
    return _Outputs(written, planes, labels, finder)


def _objects(outputs: _Outputs, job: Job, pixel_size: float | None) -> dict[str, Any]:
    """Writes the label map; what the journal says of the objects."""
    rows = outputs.finder.finish()
    counts = objects.counted(
        outputs.labels.read(),
        rows,
        job.model.classes,
        margin=job.rule.margin,
        pixel_size=pixel_size,
    )
    outputs.labels.finish(tif.tagged(1, pixel_size, wide=outputs.labels.wide))
    return {"objects": rows, "counts": counts}


def _check(path: pathlib.Path, rows: Rows, job: Job) -> None:
    model, why = job.model, ""
    if job.first is not None:
        why = "the run has two stages, of which the first sees whole images"
    elif not model.pixels:
        why = "the run learned classes of whole images and no pixels"
    elif len(model.groups) > 1:
        why = "the runs of this ensemble see images in different ways"
    elif model.groups[0].view.fit != "crop":
        why = "the run sees whole images, not tiles at native scale"
    elif model.groups[0].view.pixel_size:
        why = "the run brings images to one pixel size (config.data.pixel_size) first"
    elif model.groups[0].exact is not None:
        why = "tiles are blended there, not joined exactly"
    elif "settings" in (model.operating_point or {}):
        why = f"the rule {model.operating_point['rule']} needs the whole image"
    elif job.rule is not None and job.rule.largest:
        why = "config.objects.largest compares all objects of an image"
    if why:
        raise DataError(
            f"{path} has more pixels than --max_pixels, so it is predicted by rows of "
            f"tiles, but {why}: cut it into smaller images, or raise --max_pixels "
            "where it fits into memory."
        )
    nothing = np.zeros((1, 1, rows.channels), rows.dtype)
    inputs.fitting(images.Picture(nothing, str(rows.dtype), 1), job.wanted, path)


class _Sums(NamedTuple):
    of: answer.Sums
    shown: bool  # else the rule leaves the whole image empty


def _sums(rows: Rows, model: Ensemble, outputs: _Outputs) -> _Sums:
    """Predicts and writes all rows; what the table says of them."""
    point = model.operating_point or {}
    settings = decision.settings(point)
    threshold = settings.get("threshold")
    top = settings.get("top_threshold")
    top = threshold if top is None else top
    k, above = len(model.classes), 0
    total = answer.Sums([0] * k, 0.0, 0.0)
    wanted, whole = model.groups[0].maps, _WholeImage(model.groups[0].exclusive)
    for channels in maps_of(rows, model):
        answer.check(channels)
        whole.add(channels[..., wanted:])
        maps, decided = channels[..., :wanted], image.decided(channels[..., wanted:])
        probability = maps[..., :k]
        if threshold is None:  # offsets, or the most probable class
            classes = decision.decide(probability, model.operating_point)
        else:
            classes = decision.apply(probability, threshold=threshold)
            above += np.count_nonzero(probability[..., -1] > np.float32(top))
        sure = answer.of_chosen(probability, classes)
        part = answer.sums(classes, probability, sure, decided)
        total = answer.Sums(
            [a + b for a, b in zip(total.pixels, part.pixels, strict=True)],
            total.confidence + part.confidence,
            max(total.score, part.score),
            max(filter(None, (total.image_score, decided)), default=decided),
            whole.classes(),
        )
        outputs.mask.add(classes)
        if outputs.planes is not None:
            outputs.planes.add(probability)
        if outputs.finder is not None:
            outputs.finder.add(maps, classes, sure)
    shown = True
    if threshold is not None:
        pixels, gate = sum(total.pixels), settings.get("gate")
        shown = above >= settings.get("min_area", 0.0) * pixels
        shown &= gate is None or total.score > gate
    if not shown:
        nothing = [sum(total.pixels), *[0] * (k - 1)]
        total = total._replace(pixels=nothing, confidence=0.0)
    return _Sums(total, bool(shown))


class _WholeImage:
    """What rows say of classes of the whole image, as `forward.image_score` has it."""

    def __init__(self, exclusive: bool):
        self._exclusive, self._pixels = exclusive, 0
        self._sum = self._most = np.zeros(0)

    def add(self, channels: Float[np.ndarray, "rows w n"]) -> None:
        """Adds what some rows say."""
        if not self._pixels:
            self._sum = np.zeros(channels.shape[-1])
            self._most = np.zeros(channels.shape[-1], np.float32)
        self._pixels += channels.shape[0] * channels.shape[1]
        self._sum = self._sum + channels.sum(axis=(0, 1), dtype=np.float64)
        self._most = np.maximum(self._most, channels.max(axis=(0, 1)))

    def classes(self) -> tuple[float, ...] | None:
        """The probabilities so far; None where fewer than two numbers are said."""
        if len(self._sum) < 2:
            return None
        mean = (self._sum / self._pixels).astype(np.float32)
        return tuple((mean if self._exclusive else self._most).tolist())


def maps_of(rows: Rows, model: Ensemble) -> Iterator[Float[np.ndarray, "rows w n"]]:
    """The probabilities of the image, and the maps behind them, some rows at a time.

    Behind these stands what a decision head says of the whole image, as `forward` has
    it: the highest of any rows is its score.
    """
    (group,) = model.groups
    grid = tiles.grid(rows.size, group.view.size, group.view.overlap)
    timeout = max(run.config.data.timeout_s for run in model.runs)
    channels = model.runs[0].record["dataset"]["channels"]
    stream = prefetch.ahead(
        _steps(rows, grid, group, model.mesh.size, channels),
        model.mesh,
        timeout=timeout,
        name=lambda k: f"step {k} of the tiles",
    )
    band, before = _Band(grid), None
    for batch, _ in stream:
        started = group.predict(batch)
        if before is not None:
            yield from band.add(before)
        before = started
    if before is not None:
        yield from band.add(before)


def _steps(
    rows: Rows, grid: tiles.Grid, group: Group, devices: int, channels: int
) -> Iterator[dict[str, np.ndarray]]:
    step: list[np.ndarray] = []
    for tile in _tiles(rows, grid, group.view, channels):
        step.append(tile)
        if len(step) == devices * group.block:
            yield {"image": np.stack(step)}
            step = []
    if step:
        more = [np.zeros_like(step[0])] * (devices * group.block - len(step))
        yield {"image": np.stack(step + more)}


def _tiles(
    rows: Rows, grid: tiles.Grid, view: pipeline.View, channels: int
) -> Iterator[UInt[np.ndarray, "tile_height tile_width c"]]:
    """The tiles in order, in levels of the whole image."""
    height, window = rows.size[0], {"low": view.low, "high": view.high}
    counts = None
    if view.intensity in ("percentile", "zscore"):
        counts = intensity.no_counts(rows.channels, rows.dtype)
        for top in range(0, height, _ROWS):
            counts += intensity.histogram(rows.read(top, min(top + _ROWS, height)))
    tables_ = intensity.level_tables(
        counts, dtype=rows.dtype, mode=view.intensity, bits=view.bits, **window
    )
    for top in grid.tops:
        first, last = max(top, 0), min(top + grid.tile[0], height)
        band = intensity.by_tables(rows.read(first, last), tables_)
        if band.shape[-1] < channels:  # grey for a run of colours
            band = np.repeat(band, channels, axis=-1)
        for left in grid.lefts:
            yield crops.cut(band, (top - first, left), grid.tile, fill=0)


class _Band:
    """Sums tiles as `tiles.Canvas` does, of as many rows as a tile has."""

    def __init__(self, grid: tiles.Grid):
        self._grid, self._added = grid, 0
        self._sum = np.zeros((grid.tile[0], grid.size[1], 0), np.float32)

    def add(self, answer_: Any) -> Iterator[Float[np.ndarray, "rows w n"]]:
        """Adds the answers of a step, and yields rows that are whole now."""
        for block in sharding.local_rows(answer_):
            for probability in block:
                if not self._added:  # how many maps there are
                    shape = (*self._sum.shape[:2], probability.shape[-1])
                    self._sum = np.zeros(shape, np.float32)
                if self._added < self._grid.count:
                    yield from self._add(probability)

    def _add(self, probability: np.ndarray) -> Iterator[np.ndarray]:
        g, k = self._grid, self._added
        self._added += 1
        row, column = divmod(k, len(g.lefts))
        where, part = tiles.placed(g, k, probability)
        shift = max(g.tops[row], 0)
        rows = slice(where[0].start - shift, where[0].stop - shift)
        self._sum[rows, where[1]] += part
        if column < len(g.lefts) - 1:
            return
        last = row == len(g.tops) - 1
        whole = (g.size[0] if last else g.tops[row + 1]) - shift
        yield np.minimum(self._sum[:whole], 1)
        left = self._sum[whole:].copy()
        self._sum[: len(left)], self._sum[len(left) :] = left, 0
