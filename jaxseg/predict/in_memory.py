"""Predicts images that fit into memory: read, packed into blocks, decided, written.

The next images are read in worker processes, where a file that breaks its decoder ends
nothing else; the devices work meanwhile, and threads decide, encode and write.
"""

import functools
from collections.abc import Generator, Iterator, Sequence
from typing import Any, NamedTuple

import numpy as np

from jaxseg import lookup, pictures
from jaxseg.data.preparation import workers
from jaxseg.errors import DataError
from jaxseg.evaluation import count
from jaxseg.inference import image
from jaxseg.predict import answer, huge, inputs, masks, objects, packs, tables
from jaxseg.predict.ensemble import Ensemble
from jaxseg.predict.first_stage import SEGMENTED
from jaxseg.predict.job import FORMATS, Job, Result

_WRITERS = 2  # threads
Said = dict[str, np.ndarray]  # probabilities of classes, by the first stage, by id


class _Work(NamedTuple):
    """One image that was read."""

    item: inputs.Input
    stored: inputs.Stored
    unfinished: bool  # else it only lies beside one that is


def names(job: Job, name: str) -> list[str]:
    """The files of the image with this id, in the output folder.

    There are none of a run that learned no pixels.
    """
    if not job.model.pixels:
        return []
    modules = [lookup.find(FORMATS, each) for each in job.formats]
    out = [f"{module.FOLDER}/{name}{module.SUFFIX}" for module in modules]
    out += [f"overlays/{name}.png"] * job.overlays
    out += [f"probabilities/{name}.tif"] * job.probabilities
    return out + [f"{objects.FOLDER}/{name}.tif"] * (job.rule is not None)


def predict(
    found: Sequence[inputs.Input], unfinished: Sequence[int], job: Job
) -> Iterator[Result]:
    """Predicts the unfinished ones of the inputs, and yields what became of each.

    Of a joined run those are segmented that its first stage calls for. They are packed
    as if there were no others, so what a mask is does not depend on what was finished.
    """
    said: Said = {}
    if job.first is None:
        yield from _segmented(found, unfinished, job, said)
        return
    stopped = yield from _classified(found, unfinished, job, said)
    rows = job.journal.finished
    passing = [
        n
        for n, item in enumerate(found)
        if (item.id in said and item.id not in stopped)
        or (item.id in rows and rows[item.id]["row"].get(SEGMENTED) == 1)
    ]
    left = [k for k, n in enumerate(passing) if found[n].id in said]
    yield from _segmented([found[n] for n in passing], left, job, said)


def _classified(
    found: Sequence[inputs.Input], unfinished: Sequence[int], job: Job, said: Said
) -> Generator[Result, None, set[str]]:
    """Fills `said` by the first stage, and writes the images that do not pass.

    Returns the ids of these.
    """
    failed: list[Result] = []
    stopped: set[str] = set()
    model = job.first.model
    for work, maps in _stream(found, unfinished, job, model, failed):
        size = work.stored.pixels.shape[:2]
        of = answer.of_groups(maps, model.groups, model.operating_point, size)
        said[work.item.id] = of.image_classes
        if not job.first.passes(of.image_classes):
            stopped.add(work.item.id)
            wanted, k = job.model.groups[0].maps, len(job.model.classes)
            yield _write(work, answer.background(size, wanted, k), job, said)
    yield from failed
    return stopped


def _segmented(
    found: Sequence[inputs.Input], unfinished: Sequence[int], job: Job, said: Said
) -> Iterator[Result]:
    failed: list[Result] = []
    ours = _stream(found, unfinished, job, job.model, failed)
    finish = functools.partial(_finish, job=job, said=said)
    yield from count.in_threads(finish, ours, _WRITERS)
    yield from failed


def _stream(
    found: Sequence[inputs.Input],
    unfinished: Sequence[int],
    job: Job,
    model: Ensemble,
    failed: list[Result],
) -> Iterator[tuple[_Work, list[np.ndarray]]]:
    """The unfinished images, and what each group of the model says of them."""
    blocks = [group.block for group in model.groups]
    numbers = [
        n
        for n in packs.needed(unfinished, blocks, len(found))
        if not found[n].problem
        and not huge.is_huge(found[n].path, job.wanted.max_pixels)
    ]
    stream = packs.probabilities(
        _shown(found, numbers, set(unfinished), job, model, failed),
        model.groups,
        model.mesh,
        timeout=max(run.config.data.timeout_s for run in model.runs),
    )
    return (pair for pair in stream if pair[0].unfinished)


def _shown(
    found: Sequence[inputs.Input],
    numbers: Sequence[int],
    unfinished: set[int],
    job: Job,
    model: Ensemble,
    failed: list[Result],
) -> Iterator[packs.Shown]:
    """The images as each group sees them; what cannot be used goes to `failed`."""
    read = workers.in_order(
        functools.partial(inputs.read, wanted=job.wanted),
        [found[n] for n in numbers],
        name=lambda item: str(item.path),
        sizes=[workers.file_size(found[n].path) for n in numbers],
        broken=inputs.unreadable,
        limits=workers.for_pixels(job.wanted.max_pixels),
    )
    for number, row in zip(numbers, read, strict=True):
        work = _Work(found[number], inputs.Stored(*row), number in unfinished)
        problem, seen = work.stored.problem, []
        if not problem:
            try:
                seen = _seen(work.stored, model)
            except DataError as error:
                problem = f"{work.item.path}: {error}"
        if problem and work.unfinished:
            failed.append((work.item, problem))
        yield packs.Shown(number, work, seen)


def _seen(stored: inputs.Stored, model: Ensemble) -> list[np.ndarray]:
    return [image.seen(stored.pixels, g.view, stored.pixel_size) for g in model.groups]


def _finish(pair: tuple[_Work, list[np.ndarray]], *, job: Job, said: Said) -> Result:
    """Decides, encodes and writes one image."""
    work, probabilities = pair
    size, model = work.stored.pixels.shape[:2], job.model
    of = answer.of_groups(probabilities, model.groups, model.operating_point, size)
    if job.blacken and of.image_score < model.image_threshold:
        of = answer.emptied(of)
    return _write(work, of, job, said)


def _write(work: _Work, found: answer.Answer, job: Job, said: Said) -> Result:
    """Encodes and writes the answer for one image."""
    item, stored, model = work.item, work.stored, job.model
    size = stored.pixels.shape[:2]
    line: dict[str, Any] = {"id": item.id, "input_sha256": stored.sha256}
    if not model.pixels:
        line["row"] = tables.row_of_whole_image(
            found.image_classes.tolist(),
            model.image_classes,
            size=size,
            pixel_size=stored.pixel_size,
        )
        job.journal.write(line, {})
        return item, ""
    labelled = masks.Labelled(
        classes=found.classes,
        confidence=found.confidence,
        pixels=stored.pixels,
        names=model.classes,
        source=item.path,
        orientation=stored.orientation,
        pixel_size=stored.pixel_size,
        origin=f"{stored.sha256} {' '.join(model.digests)}",
        objects=job.rule and job.rule.find(found.maps, found.scale),
    )
    line["row"] = tables.row(
        answer.sums(
            found.classes,
            found.probability,
            found.confidence,
            found.image_score,
            found.image_classes,
        ),
        size=size,
        classes=model.classes,
        pixel_size=stored.pixel_size,
        decide=model.image_threshold,
        image_classes=model.image_classes,
    )
    if job.first is not None:
        line["row"] |= tables.of_classes(said[item.id], job.first.model.image_classes)
        line["row"][SEGMENTED] = int(job.first.passes(said[item.id]))
    encoded: list[bytes] = []
    try:
        for name in job.formats:
            encoded.append(lookup.find(FORMATS, name).encode(labelled))
    except DataError as error:
        return item, str(error)
    if job.overlays:
        picture = pictures.classes_on(labelled.pixels, found.classes)
        encoded.append(pictures.png(picture))
    if job.probabilities:
        encoded.append(masks.probability_tiff(labelled, found.probability))
    if job.rule is not None:
        labels = labelled.objects
        rows = objects.rows(labels, labelled)
        line |= {"objects": rows}
        line["counts"] = objects.counted(
            labels,
            rows,
            model.classes,
            margin=job.rule.margin,
            pixel_size=stored.pixel_size,
        )
        encoded.append(objects.label_tiff(labelled, labels))
    contents = dict(zip(names(job, item.id), encoded, strict=True))
    job.journal.write(line, contents)
    return item, ""
