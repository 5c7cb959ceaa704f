"""Predicts a folder of images into another: the order of things."""

import functools
import pathlib
from collections.abc import Iterator, Sequence
from typing import Any, NamedTuple

import jax
from absl import logging

import jaxseg
from jaxseg import atomic, lookup, pictures
from jaxseg.data.files import images, paths
from jaxseg.data.preparation import workers
from jaxseg.errors import ConfigError, DataError
from jaxseg.evaluation import count
from jaxseg.inference import image as one_image
from jaxseg.predict import answer, ensemble, huge, inputs, masks, outputs, packs, tables
from jaxseg.predict.outputs import Journal

_FORMATS = "predict/formats"
_WRITERS = 2  # threads that bring answers back, encode and write them


class Request(NamedTuple):
    """What the command was asked for."""

    runs: tuple[pathlib.Path, ...]
    source: pathlib.Path
    output: pathlib.Path
    augmentation: str = ""  # one of ensemble.AUGMENTATIONS
    tile: str | tuple[int, int] = "auto"
    formats: tuple[str, ...] = ("png",)
    overlays: bool = True
    probabilities: bool = False
    page: int | None = None
    pixel_size: float | None = None
    max_pixels: int = images.MAX_PIXELS
    overwrite: bool = False


class Outcome(NamedTuple):
    """What became of the images."""

    rows: dict[str, dict[str, Any]]  # of predictions.csv, by id
    problems: dict[str, str]  # why an image has no prediction, by id
    skipped: int  # images that were finished before


class _Work(NamedTuple):
    """One image that was read, and what is to be done with it."""

    item: inputs.Input
    stored: inputs.Stored
    wanted: bool  # else it only lies beside one that is


def predict(request: Request) -> Outcome:
    """Predicts what is not finished yet, and writes the tables of all images.

    Raises ConfigError and DataError, before anything is predicted, for settings, runs,
    inputs and an output folder that cannot be used, and NotWritten where there is no
    room. An image that cannot be used is a row of errors.csv.
    """
    if jax.process_count() > 1:
        raise ConfigError("predict writes one folder: start it in one process.")
    for name in request.formats:
        lookup.check(_FORMATS, name)
        lookup.find(_FORMATS, name).check()
    found = inputs.find(request.source)
    model = ensemble.load(
        request.runs, augmentation=request.augmentation, tile=request.tile
    )
    with outputs.opened(
        request.output,
        source=request.source,
        marker=_marker(request, model),
        overwrite=request.overwrite,
    ) as journal:
        outcome = _predict(request, found, model, journal)
        files = {item.id: _relative(item, request.source) for item in found}
        table = tables.predictions(outcome.rows, files)
        atomic.replace(request.output / outputs.PREDICTIONS, table)
        errors = request.output / outputs.ERRORS
        if outcome.problems:
            atomic.replace(errors, tables.errors(outcome.problems, files))
        else:
            errors.unlink(missing_ok=True)
    return outcome


def _relative(item: inputs.Input, source: pathlib.Path) -> str:
    folder = source if source.is_dir() else source.parent
    return paths.shown(item.path.relative_to(folder))


def _marker(request: Request, model: ensemble.Ensemble) -> dict[str, Any]:
    """What the files of the output folder depend on, as JSON."""
    members = [str(run.workdir.resolve()) for run in model.runs]
    return {
        "made_by": f"jaxseg {jaxseg.__version__}",
        "runs": members,
        "run_sha256": model.digests,
        "operating_point": model.operating_point,
        "tta": request.augmentation,
        "tile": request.tile if request.tile == "auto" else [*request.tile],
        "format": [*request.formats],
        "overlays": request.overlays,
        "probabilities": request.probabilities,
        "page": request.page,
        "pixel_size": request.pixel_size,
        "max_pixels": request.max_pixels,
    }


def _predict(
    request: Request,
    found: Sequence[inputs.Input],
    model: ensemble.Ensemble,
    journal: Journal,
) -> Outcome:
    wanted = _wanted(request, model)
    problems = {item.id: item.problem for item in found if item.problem}
    open_items = [
        number
        for number, item in enumerate(found)
        if not item.problem and not outputs.still_finished(journal, item)
    ]
    large = {n for n in open_items if huge.is_huge(found[n].path, request.max_pixels)}
    for number in open_items:
        journal.check_free(_names(request, found[number].id, number in large))
    skipped = len(found) - len(open_items) - len(problems)
    if skipped:
        logging.info("%d of %d images are finished already.", skipped, len(found))
    usual = [number for number in open_items if number not in large]
    results = _usual(request, found, usual, wanted, model, journal)
    results = _chained(results, request, found, sorted(large), model, journal, wanted)
    for done, (item, problem) in enumerate(results, 1):
        if problem:
            problems[item.id] = problem
            logging.warning("%s", problem)
        if done % 100 == 0:
            logging.info("%d of %d images", done, len(open_items))
    rows = {
        item.id: journal.finished[item.id]["row"]
        for item in found
        if item.id not in problems
    }
    return Outcome(rows, problems, skipped)


def _wanted(request: Request, model: ensemble.Ensemble) -> inputs.Wanted:
    card = model.runs[0].record["dataset"]
    return inputs.Wanted(
        channels=card["channels"],
        dtype=card["dtype"],
        floats="float_percentiles" in card["extra"],
        max_pixels=request.max_pixels,
        page=request.page,
        pixel_size=request.pixel_size,
    )


def _chained(
    results: Iterator[tuple[inputs.Input, str]],
    request: Request,
    found: Sequence[inputs.Input],
    large: Sequence[int],
    model: ensemble.Ensemble,
    journal: Journal,
    wanted: inputs.Wanted,
) -> Iterator[tuple[inputs.Input, str]]:
    """The results of the usual images, then those that do not fit into memory."""
    yield from results
    for number in large:
        item = found[number]
        try:
            huge.predict(item, model, journal, wanted, request.probabilities)
            yield item, ""
        except DataError as error:
            yield item, str(error)


def _usual(
    request: Request,
    found: Sequence[inputs.Input],
    unfinished: Sequence[int],
    wanted: inputs.Wanted,
    model: ensemble.Ensemble,
    journal: Journal,
) -> Iterator[tuple[inputs.Input, str]]:
    """(input, what is wrong with it or "") of images that fit into memory."""
    blocks = [group.block for group in model.groups]
    numbers = packs.needed(unfinished, blocks, len(found))
    numbers = [n for n in numbers if not found[n].problem]
    numbers = [n for n in numbers if not huge.is_huge(found[n].path, wanted.max_pixels)]
    read = workers.in_order(
        functools.partial(inputs.read, wanted=wanted),
        [found[n] for n in numbers],
        name=lambda item: str(item.path),
        sizes=[workers.file_size(found[n].path) for n in numbers],
        broken=inputs.unreadable,
        limits=workers.for_pixels(wanted.max_pixels),
    )
    failed: list[tuple[inputs.Input, str]] = []

    def shown() -> Iterator[packs.Shown]:
        for number, row in zip(numbers, read, strict=True):
            stored = inputs.Stored(*row)
            work = _Work(found[number], stored, number in chosen)
            problem, seen = stored.problem, []
            if not problem:
                try:
                    seen = [_seen(stored, group) for group in model.groups]
                except DataError as error:
                    problem = f"{work.item.path}: {error}"
            if problem and work.wanted:
                failed.append((work.item, problem))
            yield packs.Shown(number, work, seen)

    chosen = set(unfinished)
    timeout = max(run.config.data.timeout_s for run in model.runs)
    stream = packs.probabilities(shown(), model.groups, model.mesh, timeout=timeout)
    ours = (pair for pair in stream if pair[0].wanted)
    finish = functools.partial(_finish, request=request, model=model, journal=journal)
    yield from count.in_threads(finish, ours, _WRITERS)
    yield from failed


def _seen(stored: inputs.Stored, group: ensemble.Group):
    return one_image.seen(stored.pixels, group.view, stored.pixel_size)


def _finish(
    pair: tuple[_Work, list],
    *,
    request: Request,
    model: ensemble.Ensemble,
    journal: Journal,
) -> tuple[inputs.Input, str]:
    """Decides, encodes and writes one image; (input, what is wrong with it or "")."""
    work, probabilities = pair
    item, stored = work.item, work.stored
    size = stored.pixels.shape[:2]
    found = answer.of_groups(probabilities, model.groups, model.operating_point, size)
    labelled = masks.Labelled(
        classes=found.classes,
        confidence=found.confidence,
        pixels=stored.pixels,
        names=model.classes,
        source=item.path,
        orientation=stored.orientation,
        pixel_size=stored.pixel_size,
        origin=f"{stored.sha256} {' '.join(model.digests)}",
    )
    try:
        contents = _contents(request, item.id, labelled, found)
    except DataError as error:
        return item, str(error)
    row = tables.row(
        answer.sums(found),
        size=size,
        classes=model.classes,
        pixel_size=stored.pixel_size,
    )
    line = {"id": item.id, "input_sha256": stored.sha256, "row": row}
    journal.write(line, contents)
    return item, ""


def _contents(
    request: Request, name: str, labelled: masks.Labelled, found: answer.Answer
) -> dict[str, bytes]:
    """{file name in the output folder: content} of one image."""
    out = {}
    for format_name in request.formats:
        module = lookup.find(_FORMATS, format_name)
        out[f"{module.FOLDER}/{name}{module.SUFFIX}"] = module.encode(labelled)
    if request.overlays:
        picture = pictures.classes_on(labelled.pixels, found.classes)
        out[f"overlays/{name}.png"] = pictures.png(picture)
    if request.probabilities:
        out[f"probabilities/{name}.tif"] = masks.probability_tiff(
            labelled, found.probability
        )
    return out


def _names(request: Request, name: str, large: bool) -> list[str]:
    """The files of one image in the output folder."""
    if large:
        return huge.names(name, probabilities=request.probabilities)
    modules = [lookup.find(_FORMATS, each) for each in request.formats]
    out = [f"{module.FOLDER}/{name}{module.SUFFIX}" for module in modules]
    out += [f"overlays/{name}.png"] * request.overlays
    return out + [f"probabilities/{name}.tif"] * request.probabilities
