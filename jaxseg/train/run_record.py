"""Writes the record of a run, run.json, when it begins and when it has ended."""

import datetime
import hashlib
import pathlib
import sys
from typing import Any

import jax
import numpy as np
from ml_collections import ConfigDict

from jaxseg.data import sparse_labels
from jaxseg.errors import ConfigError
from jaxseg.experiment import build, chosen, sources
from jaxseg.run_directory import (
    course_schemas,
    environment,
    files,
    history,
    schemas,
    seal,
)
from jaxseg.train import epoch_line, label_pictures


def begin(
    workdir: pathlib.Path,
    config: ConfigDict,
    experiment: build.Experiment,
    before: dict[str, Any],
) -> dict[str, Any]:
    """The record at the start: what is fixed from now on, and how often it was begun.

    `before` is the record so far, {} for a new run. Labels that were drawn for the run
    are stored beside it, with pictures.
    """
    about = with_sources(environment.environment(), sources_of(config, before))
    record = {
        "name": config.name,
        "recipe": config.recipe,
        "created": before.get("created", _now()),
        "finished": None,
        "status": "running",
        "resumed": before.get("resumed", -1) + 1,
        "note": config.note,
        "parent": parent(workdir, config, before),
        "changes": before.get("changes") or [],
        "epochs": experiment.plan.epochs,
        **about,
        **build.describe(experiment),
    }
    if jax.process_index() == 0:
        if (labels := experiment.labels()) is not None:
            sparse_labels.store(workdir / sparse_labels.FILE, labels)
            train, view = experiment.splits["train"], experiment.parts.view
            label_pictures.write(workdir, train, view, labels)
        seal.write(workdir, record)
    return record


def sources_of(
    config: ConfigDict, before: dict[str, Any]
) -> dict[str, schemas.SourceFile]:
    """{name: what tells its content} of the recipe and of modules that no revision has.

    Those are the user's own, and files of this package that are not committed. A run
    that goes on with its stored config keeps the recipe it was begun with: `before` is
    the record so far.
    """
    out = {
        name: row
        for name, row in before.get("sources", {}).items()
        if row["kind"] == sources.RECIPE
    }
    recipe = sources.recipe(sys.argv)
    if recipe is not None:
        out = {recipe.name: _source(recipe)}
    checkout = _in_checkout()
    for part in sources.parts(config):
        if part.own or checkout:
            row = _source(part)
            if part.own or is_uncommitted(row):
                out[part.name] = row
    return out


def _source(part: sources.Part) -> schemas.SourceFile:
    return {"kind": part.kind, **environment.source(part.file)}


def with_sources(
    about: dict[str, Any], used: dict[str, schemas.SourceFile]
) -> dict[str, Any]:
    """The environment with the files that were used, one of which may make it dirty."""
    git = about["git"]
    if git is not None and any(map(is_uncommitted, used.values())):
        git = git | {"dirty": True}
    return about | {"git": git, "sources": used}


def is_uncommitted(row: schemas.SourceFile) -> bool:
    """Whether no revision has the file as it was used."""
    return not row["tracked"] or row["changed"]


def _in_checkout() -> bool:
    """Whether this package is used from a checkout, and not installed."""
    return environment.git_state(pathlib.Path(environment.__file__)) is not None


def parent(
    workdir: pathlib.Path, config: ConfigDict, before: dict[str, Any]
) -> course_schemas.Parent | None:
    """What tells the run of config.parent from others; None where none is named.

    `before` is the record so far: a parent that was moved since stays as it was.
    Raises ConfigError for a directory that holds no run, and for the run itself.
    """
    if not config.parent:
        return None
    path = pathlib.Path(config.parent)
    if path.resolve() == workdir.resolve():
        raise ConfigError(
            f"config.parent is {config.parent}, which is this very run: name the run "
            "before it, or ''."
        )
    if not all((path / name).is_file() for name in (files.RUN, files.CONFIG)):
        if before.get("parent"):
            return before["parent"]
        raise ConfigError(
            f"config.parent is {config.parent}, which holds no run (no {files.RUN} and "
            f"{files.CONFIG} in it): name the directory of the run before, or ''."
        )
    created, link = seal.read(path)["created"], before.get("parent") or {}
    kept = {k: link[k] for k in ("step", "left") if k in link}
    return (kept if link.get("created") == created else {}) | {
        "name": path.resolve().name,
        "created": created,
        "config_sha256": hashlib.sha256((path / files.CONFIG).read_bytes()).hexdigest(),
    }


def end(
    workdir: pathlib.Path,
    config: ConfigDict,
    experiment: build.Experiment,
    record: dict[str, Any],
    best: dict[str, Any],
) -> dict[str, Any]:
    """The record at the end; `best` is the best epoch, as the checkpoint keeps it."""
    rows = history.History(workdir).rows() if jax.process_index() == 0 else []
    realised = [float(row["share_realised"]) for row in rows]
    shares, plan = experiment.plan.shares, experiment.plan
    ended = int(rows[-1]["step"]) if rows else plan.total_steps
    record = record | {
        "finished": _now(),
        "status": "finished",
        "best": best,
        "early_stop": epoch_line.early_stop(
            config, best, step=ended, total=plan.total_steps
        ),
        "images_seen": int(rows[-1]["images_seen"]) if rows else 0,
        "seconds": sum(float(row["seconds"]) for row in rows),
        "skipped_steps": sum(int(row["skipped_steps"]) for row in rows),
        "sampler": {
            "name": config.sampler.name,
            "share_first": shares[0],
            "share_last": shares[-1],
            "share_realised": float(np.mean(realised)) if realised else None,
            "class_parts": _class_parts(config, experiment),
            **_image_parts(config, experiment),
        },
    }
    return seal.close(workdir, record) if jax.process_index() == 0 else record


def _class_parts(config: ConfigDict, experiment: build.Experiment) -> list[list[float]]:
    """The parts of the first and the last epoch that were drawn for each class.

    A part is that of the images without foreground, then of each class; a sampler that
    does not draw by class gives [].
    """
    train = experiment.splits["train"]
    sampler, options = chosen.sampler(config, train)
    if not hasattr(sampler, "parts"):
        return []
    options["epochs"] = experiment.plan.epochs
    present = train.present
    return [
        sampler.parts(present, epoch=epoch, **options).tolist()
        for epoch in (0, experiment.plan.epochs - 1)
    ]


def _image_parts(
    config: ConfigDict, experiment: build.Experiment
) -> dict[str, list[float]]:
    """The parts that were drawn of images of no known class, then of each of them.

    {} for a sampler that does not draw by the class of images.
    """
    sampler, options = chosen.sampler(config, experiment.splits["train"])
    if not hasattr(sampler, "image_parts"):
        return {}
    return {"image_class_parts": sampler.image_parts(**options).tolist()}


def _now() -> str:
    return datetime.datetime.now().astimezone().isoformat(timespec="seconds")
