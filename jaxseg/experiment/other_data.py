"""Scores a finished run on data of elsewhere, at its frozen operating point.

Nothing is chosen there. The scores are a file of their own beside those of the run, and
what the run was trained on is looked at only to tell which images both have.
"""

import contextlib
import os
import pathlib
import re
from typing import Any

import jax
import numpy as np
from jax.experimental import multihost_utils

from jaxseg.data import content, other_split, prepared
from jaxseg.data.preparation import obtain
from jaxseg.devices import sharding
from jaxseg.errors import ConfigError, DataError
from jaxseg.evaluation import score_split
from jaxseg.experiment import (
    check_splits,
    evidence,
    finished_run,
    from_config,
    image_classes,
    processes,
    score_again,
)
from jaxseg.inference import forward, whole_split
from jaxseg.labels import Example
from jaxseg.run_directory import files, schemas, seal

SPLITS = ("train", "validation", "test")
TAKEN = (*SPLITS, "all", files.COST.stem)  # names that mean something else
_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]*")


def check_name(name: str) -> None:
    """Raises ConfigError for a name that no file of scores may have."""
    if name in TAKEN or name.endswith("_examples") or not _NAME.fullmatch(name):
        raise ConfigError(
            f"--name={name}: other data needs a name of its own, of letters, digits, "
            f"'-', '_' and '.', such as hospital_b; not {', '.join(TAKEN)}, and none "
            "that ends in _examples."
        )


def score(
    workdir: str | os.PathLike,
    directory: str | os.PathLike,
    *,
    name: str,
    split: str = "all",
    verify: str = "sample",
) -> score_again.Again:
    """Scores the run on the data in `directory`, into eval/<name>.json.

    `directory` is prepared, or a raw folder, which is prepared in the cache. Its splits
    are joined unless `split` names one; its classes are matched by name. What lies
    under that name is never replaced by other scores: `score_again.keep`. `verify` is
    that of `content.check`.

    Raises ConfigError for a name that is taken and a run that is not finished,
    DataError where classes, channels or numbers are not the run's, and where images are
    those it was trained or chosen on.
    """
    check_name(name)
    workdir = pathlib.Path(workdir)
    seal.read(workdir)
    with contextlib.ExitStack() as stack:
        writable = jax.process_index() == 0 and stack.enter_context(
            score_again.held(workdir)
        )
        run = finished_run.load(workdir)
        scorer, asked = _scorer(run)
        images = other_split.open_split(
            _prepared(run, directory),
            name=name,
            classes=run.classes,
            image_classes=_image_classes(run, scorer),
            only=() if split == "all" else (split,),
            verify=verify,
            source=directory,
        )
        _check_form(run, images)
        shared, detail = _shared(run, images)
        fresh = stack.enter_context(
            score_again.temporary(workdir if writable else None)
        )
        scoring = score_split.Scoring(
            workdir=fresh,
            scorer=scorer,
            variables=jax.device_put(run.variables, sharding.replicated(scorer.mesh)),
            step=run.step,
            finding=run.finding,
            evidence=asked,
            **from_config.scoring_options(run.config),
        )
        result = score_split.score_split(scoring, images, run.operating_point)
        if jax.process_index():
            return score_again.Again(result, "yes", None, [])
        result = _described(fresh, result, images, shared, detail)
        again = score_again.keep(
            workdir, name, result, fresh / score_again.EVAL, writable=writable
        )
    again.notes[:0] = _notes(images, run)
    return again


def _scorer(run: finished_run.FinishedRun) -> tuple[whole_split.Scorer, Any]:
    """(how images are predicted, what is asked of answers on whole images)."""
    config, card, parts = run.config, run.record["dataset"], run.parts
    mesh = sharding.make_mesh(data=0, fsdp=1)
    outputs = forward.image_logits(parts.model, run.variables, parts.image_shape)
    pixels = image_classes.trains_pixels(config)
    predict = forward.make_predict(
        mesh,
        model=parts.model,
        normalise=parts.normalise,
        mirror=from_config.mirrored_axes(config),
        target=parts.target,
        exclusive=image_classes.is_exclusive(card),
        pixels=pixels or parts.view.fit == "crop",
    )
    scorer = whole_split.Scorer(
        predict=predict,
        mesh=mesh,
        view=parts.view,
        per_device_batch=config.eval.per_device_batch,
        workers=config.data.workers,
        timeout=config.data.timeout_s,
        classes=len(run.classes),
        maps=len(run.classes) + len(parts.target.names),
        image_classes=outputs if outputs > 1 else 0,
        exclusive=image_classes.is_exclusive(card),
        pixels=pixels,
    )
    return scorer, evidence.asked(config, card, parts, mesh, outputs=outputs)


def _image_classes(
    run: finished_run.FinishedRun, scorer: whole_split.Scorer
) -> list[str]:
    """The names of the classes of whole images that the run answers; [] of none."""
    if not scorer.image_classes:
        return []
    return list(run.record["dataset"]["image_classes"]["names"])


def _prepared(
    run: finished_run.FinishedRun, directory: str | os.PathLike
) -> pathlib.Path:
    """The prepared data in `directory`, made by the first process where it is raw."""
    if jax.process_index() == 0:
        path = _prepared_here(run, directory)
    if jax.process_count() > 1:
        multihost_utils.sync_global_devices("other data prepared")
        path = _prepared_here(run, directory)
    return path


def _prepared_here(
    run: finished_run.FinishedRun, directory: str | os.PathLike
) -> pathlib.Path:
    data = run.config.data
    return obtain.any_data(
        directory,
        name=data.name,
        options=data.options.to_dict(),
        cache=processes.cache_dir(),
        progress=jax.process_index() == 0,
    )


def _check_form(run: finished_run.FinishedRun, images: other_split.OtherSplit) -> None:
    """DataError for images of another form, or without what scoring needs."""
    card, there = run.record["dataset"], images.card
    for key, words in (("channels", "channels"), ("dtype", "type of numbers")):
        if card[key] != there[key]:
            raise DataError(
                f"{images.directory} has images with {words} {there[key]}, and the run "
                f"was trained on {card[key]}: convert them, then prepare them again."
            )
    check_splits.labels(images, pixels=image_classes.trains_pixels(run.config))
    check_splits.pixel_sizes([images], run.parts.view)
    check_splits.rays(run.parts.target, [images], run.parts.view)


def _shared(
    run: finished_run.FinishedRun, images: other_split.OtherSplit
) -> tuple[list[str], str]:
    """(ids of images that the test set of the run has too, how that is known).

    DataError where an image is one that the run was trained on, or that chose its best
    step and its operating point.
    """
    own = _own_splits(run)
    if not own:
        return [], (
            "the run's own data is not there any more, so which images both have "
            "cannot be told"
        )
    theirs = set(images.digests or ())
    for name in ("train", "validation"):
        again = theirs & set(own[name].digests or ())
        if again:
            at = images.digests.index(min(again))
            raise DataError(
                f"{images.directory}: {len(again)} of {len(images)} images, such as "
                f"{images.ids[at]!r}, are {name} images of the run, on which a score "
                f"says nothing of other data: leave them out, or score the run's own "
                f"split with --split={name} and without --name."
            )
    places = {one: i for i, one in enumerate(own["test"].ids)}
    shared = [
        one
        for i, one in enumerate(images.ids)
        if one in places and _same(images[i], own["test"][places[one]])
    ]
    return shared, "by their id, and by their pixels or their mask"


def _own_splits(run: finished_run.FinishedRun) -> dict[str, prepared.Split]:
    """The splits the run was made with; {} where they are not there, or are others."""
    directory = pathlib.Path(run.record.get("data_directory") or os.devnull)
    try:
        splits = from_config.splits(run.config, directory)
    except (ConfigError, DataError):  # folds cannot be dealt in other data
        return {}
    changed = content.changed(run.record["dataset"], splits["train"].card)
    return {} if changed else splits


def _same(first: Example, second: Example) -> bool:
    """Whether two records of one id are of one image: equal pixels, or an equal mask.

    Masks without foreground are alike everywhere, and tell nothing.
    """
    if np.array_equal(first["image"], second["image"]):
        return True
    mask = first["mask"]
    shown = ((mask > 0) & (mask < 255)).any()
    return bool(shown) and np.array_equal(mask, second["mask"])


def _described(
    fresh: pathlib.Path,
    result: dict[str, Any],
    images: other_split.OtherSplit,
    shared: list[str],
    detail: str,
) -> dict[str, Any]:
    """The result with what it is of, written in place of the one without."""
    card = {k: v for k, v in images.card.items() if k not in ("source", "extra")}
    note = images.card["extra"].get("note")
    result = result | {
        "other_data": {
            "card": card | ({"note": note} if note else {}),
            "splits": [part.name for part in images.parts],
            "reordered": other_split.reordered(images),
            "shared": shared,
            "detail": detail,
        }
    }
    path = fresh / score_again.EVAL / f"{images.name}.json"
    files.write(path, result, schemas.Result)
    return result


def _notes(images: other_split.OtherSplit, run: finished_run.FinishedRun) -> list[str]:
    """What a reader should know of the data, in sentences."""
    parts = ", ".join(f"{part.name} {len(part)}" for part in images.parts)
    notes = [f"{len(images)} images of {images.directory} ({parts}) were scored"]
    if order := other_split.reordered(images):
        notes.append(
            f"its classes are {order}, those of the run {run.classes}: they were "
            "matched by name"
        )
    return notes
