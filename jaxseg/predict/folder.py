"""Predicts a folder of images into another: the order of things."""

import pathlib
from typing import Any, NamedTuple

import jax
from absl import logging

import jaxseg
from jaxseg import atomic, lookup
from jaxseg.data.files import images, paths
from jaxseg.errors import ConfigError
from jaxseg.predict import (
    ensemble,
    first_stage,
    huge,
    in_memory,
    inputs,
    objects,
    outputs,
    seam,
    tables,
)
from jaxseg.predict.job import FORMATS, Job


class Request(NamedTuple):
    """What the command was asked for."""

    runs: tuple[pathlib.Path, ...]
    source: pathlib.Path
    output: pathlib.Path
    augmentation: str = ""  # one of ensemble.AUGMENTATIONS
    tile: str | tuple[int, int] = "auto"
    exact: bool = False  # tiles are joined, not blended
    mc_dropout: int = 0  # passes with dropout; 0: without
    blacken: bool = False  # masks are emptied where the decision on the image says no
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
    fresh: list[inputs.Input]  # that were finished now
    at_seams: seam.Seam | None = None  # of one of those


def predict(request: Request) -> Outcome:
    """Predicts what is not finished yet, and writes the tables of all images.

    Raises ConfigError and DataError, before anything is predicted, for settings, runs,
    inputs and an output folder that cannot be used, and NotWritten where there is no
    room. An image that cannot be used is a row of errors.csv.
    """
    if jax.process_count() > 1:
        raise ConfigError("predict writes one folder: start it in one process.")
    for name in request.formats:
        lookup.check(FORMATS, name)
        lookup.find(FORMATS, name).check()
    found = inputs.find(request.source)
    outputs.check_place(request.output, request.source)
    options = {"augmentation": request.augmentation, "tile": request.tile}
    options |= {"exact": request.exact, "passes": request.mc_dropout}
    first, runs = None, request.runs
    if len(runs) == 1 and first_stage.is_joined(runs[0]):
        first, second = first_stage.load(runs[0], **options)
        runs = (second,)
    model = ensemble.load(runs, **options)
    if first is not None:
        first_stage.check_alike(first, model)
    if not model.pixels and request.probabilities:
        raise ConfigError(
            f"{request.runs[0]} learned classes of whole images and no pixels, so it "
            "has no probabilities of them to write; those of the classes are in "
            f"{outputs.PREDICTIONS}: omit --probabilities."
        )
    if request.blacken and model.image_threshold is None:
        raise ConfigError(
            f"{request.runs[0]} has no decision on whole images with a threshold from "
            "validation, so it cannot say which masks to empty: omit --blacken, or "
            "train with config.decision.name and the loss image_cross_entropy."
        )
    with outputs.opened(
        request.output,
        source=request.source,
        marker=_marker(request, model, first),
        overwrite=request.overwrite,
    ) as journal:
        job = Job(
            model=model,
            journal=journal,
            wanted=_wanted(request, model),
            formats=request.formats,
            overlays=request.overlays,
            probabilities=request.probabilities,
            rule=objects.rule_of(model.runs[0]),
            first=first,
            blacken=request.blacken,
        )
        outcome = _predict(found, job)
        _write_tables(request, found, job, outcome)
    return outcome._replace(at_seams=seam.measured(outcome.fresh, job))


def _marker(
    request: Request, model: ensemble.Ensemble, first: first_stage.First | None
) -> dict[str, Any]:
    """What the files of the output folder depend on, as JSON."""
    members = [str(run.workdir.resolve()) for run in model.runs]
    passes = {"mc_dropout": request.mc_dropout} if request.mc_dropout else {}
    passes |= {"blacken": True} if request.blacken else {}
    if first is not None:
        passes |= {"first_stage": first.model.digests, "calls_from": first.threshold}
    return passes | {
        "made_by": f"jaxseg {jaxseg.__version__}",
        "runs": members,
        "run_sha256": model.digests,
        "operating_point": model.operating_point,
        "tta": request.augmentation,
        "tile": request.tile if request.tile == "auto" else [*request.tile],
        "exact": request.exact,
        "format": [*request.formats],
        "overlays": request.overlays,
        "probabilities": request.probabilities,
        "page": request.page,
        "pixel_size": request.pixel_size,
        "max_pixels": request.max_pixels,
    }


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


def _predict(found: list[inputs.Input], job: Job) -> Outcome:
    """Predicts the images that are not finished, those in memory first."""
    problems = {item.id: item.problem for item in found if item.problem}
    unfinished = [
        number
        for number, item in enumerate(found)
        if not item.problem and not outputs.still_finished(job.journal, item)
    ]
    large = [
        n for n in unfinished if huge.is_huge(found[n].path, job.wanted.max_pixels)
    ]
    usual = [n for n in unfinished if n not in set(large)]
    if job.blacken:
        problems |= {found[n].id: _rows_first(found[n], job) for n in large}
        large = []
    for number in usual:
        job.journal.check_free(in_memory.names(job, found[number].id))
    for number in large:
        job.journal.check_free(huge.names(job, found[number].id))
    skipped = len(found) - len(unfinished) - len(problems)
    if skipped:
        logging.info("%d of %d images are finished already.", skipped, len(found))
    done = 0
    for results in (
        in_memory.predict(found, usual, job),
        huge.predict(found, large, job),
    ):
        for item, problem in results:
            done += 1
            if problem:
                problems[item.id] = problem
                logging.warning("%s", problem)
            if done % 100 == 0:
                logging.info("%d of %d images", done, len(unfinished))
    finished = job.journal.finished
    rows = {i.id: finished[i.id]["row"] for i in found if i.id not in problems}
    fresh = [found[n] for n in unfinished if found[n].id not in problems]
    return Outcome(rows, problems, skipped, fresh)


def _rows_first(item: inputs.Input, job: Job) -> str:
    """Why the mask of an image that is written by rows cannot be emptied."""
    return (
        f"{item.path} has more than {job.wanted.max_pixels:,} pixels: its mask would "
        "be written by rows before the decision on the whole image is there. Predict "
        "it without --blacken, or with a larger --max_pixels."
    )


def _write_tables(
    request: Request, found: list[inputs.Input], job: Job, outcome: Outcome
) -> None:
    source, output = request.source, request.output
    above = source.parent if found[0].path == source else source
    files = {item.id: paths.shown(item.path.relative_to(above)) for item in found}
    table = tables.predictions(outcome.rows, files)
    atomic.replace(output / outputs.PREDICTIONS, table)
    errors = output / outputs.ERRORS
    if outcome.problems:
        atomic.replace(errors, tables.errors(outcome.problems, files))
    else:
        errors.unlink(missing_ok=True)
    if job.rule is not None:
        lines = {name: job.journal.finished[name] for name in outcome.rows}
        atomic.replace(output / objects.COUNTS, tables.counts(lines))
        atomic.replace(output / objects.OBJECTS, tables.objects(lines))
