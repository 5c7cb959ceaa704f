"""Joins two finished runs: one classifies an image, the other segments it if need be.

The joined run lies around both, as a run directory of its own: `two_stage.json` names
the stages and the threshold that validation chose, `eval/` holds the scores end to end.
The segmenting run keeps its operating point.
"""

import functools
import pathlib
import shutil
from typing import Any, NamedTuple

import jax
import numpy as np
from absl import logging
from jaxtyping import Bool, Float
from ml_collections import ConfigDict

from jaxseg.data import prepared
from jaxseg.devices import sharding
from jaxseg.errors import ConfigError, DataError
from jaxseg.evaluation import operating_point, score_split, two_stage
from jaxseg.experiment import build, finished_run, from_config
from jaxseg.inference import whole_split
from jaxseg.run_directory import files, schemas, seal, two_stage_schemas
from jaxseg.run_directory.two_stage_schemas import CLASSIFY, SEGMENT, STAGES

_NAMED = ("image_class", "pixel_class")
_CLASSIFIED = ("image_classes",)  # what the result of the first stage says of images


class Classes(NamedTuple):
    """What the first stage asks for, and what the second is judged by."""

    image: int  # of the classes of whole images
    pixel: int  # of the classes of pixels


class Stages(NamedTuple):
    """Two finished runs with their data."""

    first: finished_run.RunWithData
    second: finished_run.RunWithData
    classes: Classes


def classes(config: ConfigDict, segmenting: prepared.Split) -> Classes:
    """The numbers of the classes that config.two_stage names.

    Raises ConfigError, with the names there are, for one that the data has not.
    """
    block, out = config.two_stage, []
    for key, names in (
        ("image_class", segmenting.image_class_names),
        ("pixel_class", list(segmenting.classes)[1:]),
    ):
        if block[key] not in names:
            raise ConfigError(
                f"config.two_stage.{key} is {block[key]!r}, but the data set has "
                f"{', '.join(names) or 'no classes of whole images'}: choose one."
            )
        out.append(names.index(block[key]))
    return Classes(out[0], out[1] + 1)  # the background is no choice


def join(config: ConfigDict, workdir: pathlib.Path) -> dict[str, Any]:
    """Scores the finished runs below `workdir` as one; returns its record, run.json.

    The threshold is chosen on validation, frozen in two_stage.json, and test is scored
    with it once. Raises ConfigError for classes that are none, and DataError where the
    first stage learned from images that the second is scored on.
    """
    first, second = (
        finished_run.with_data(workdir / stage, "validation") for stage in STAGES
    )
    splits = second.experiment.splits
    check_apart(first.experiment.splits["train"], splits)
    stages = Stages(first, second, classes(config, splits["validation"]))
    probability = _probability(stages, splits["validation"])
    frozen = two_stage.choose(
        probability,
        *_counts(stages, splits["validation"]),
        objective=config.two_stage.objective,
    )
    frozen |= operating_point.source(splits["validation"])
    frozen |= {key: config.two_stage[key] for key in _NAMED}
    logging.info(
        "segmented are images with a probability of %s of %.4g or more, which "
        "validation chose",
        frozen["image_class"],
        frozen["threshold"],
    )
    if jax.process_index() == 0:
        files.write(workdir / files.TWO_STAGE, frozen, two_stage_schemas.TwoStage)
    _score(stages, splits["validation"], probability, frozen, workdir)
    probability = _probability(stages, splits["test"])
    _score(stages, splits["test"], probability, frozen, workdir)
    return _record(config, workdir)


def check_apart(training: prepared.Split, scored: dict[str, prepared.Split]) -> None:
    """DataError where an image that the first stage learned from is to be scored."""
    learned = {*training.ids, *training.groups}
    for name in ("validation", "test"):
        pairs = zip(scored[name].ids, scored[name].groups, strict=True)
        both = [one for one, group in pairs if one in learned or group in learned]
        if both:
            raise DataError(
                f"{len(both)} images of {name}, {both[0]!r} among them, are in the "
                "training split of the first stage: prepare the data of both stages "
                "with the same splits."
            )


def _probability(stages: Stages, split: prepared.Split) -> Float[np.ndarray, "n"]:
    """The probability of the image class, of every image of the split."""
    run, own = stages.first, np.zeros(len(split))
    scorer = run.experiment.scorer
    for index, row in whole_split.channels(scorer, run.variables, split):
        own[index] = whole_split.image_score(scorer, row)[stages.classes.image]
    # each process has its share, and zeros elsewhere
    return np.sum([part["own"] for part in sharding.gather({"own": own})], axis=0)


def _counts(stages: Stages, split: prepared.Split) -> list[dict[str, np.ndarray]]:
    """The counts of the pixel class: with every image segmented, and with none."""
    out = []
    for each in (True, False):
        scoring = _scoring(stages, np.full(len(split), each), pathlib.Path())
        decided = score_split.decided(scoring, split, stages.second.operating_point)
        out.append(two_stage.counts_of(decided.tally, stages.classes.pixel))
    return out


def _scoring(
    stages: Stages, passes: Bool[np.ndarray, "n"], workdir: pathlib.Path
) -> score_split.Scoring:
    """How the second stage is scored where only these images pass to it."""
    run = stages.second
    gate = two_stage.Gate(passes, len(run.experiment.card["classes"]))
    gated = run.experiment.scorer._replace(
        gate=functools.partial(two_stage.apply, gate)
    )
    return score_split.Scoring(
        workdir=workdir,
        scorer=gated,
        variables=run.variables,
        step=run.step,
        training=build.training_images(run.experiment),
        finding=run.experiment.finding,
        **from_config.scoring_options(run.config),
    )


def _score(
    stages: Stages,
    split: prepared.Split,
    probability: Float[np.ndarray, "n"],
    frozen: dict[str, Any],
    workdir: pathlib.Path,
) -> None:
    """Writes eval/ of a split end to end, with the block "two_stage"."""
    operating_point.is_optimistic(frozen, split, "first stage was set")
    options = from_config.scoring_options(stages.second.config)
    block = two_stage.assemble(
        probability,
        split.image_classes[:, stages.classes.image],
        *_counts(stages, split),
        split.groups,
        frozen,
        compute={CLASSIFY: _flops(stages.first), SEGMENT: _flops(stages.second)},
        seed=options["seed"],
        resamples=options["resamples"],
    )
    scoring = _scoring(stages, probability >= frozen["threshold"], workdir)
    result = score_split.score_split(scoring, split, stages.second.operating_point)
    if jax.process_index() == 0:
        path = pathlib.Path("eval") / f"{split.name}.json"
        classified = files.read_json(workdir / CLASSIFY / path)
        result |= {key: classified[key] for key in _CLASSIFIED if key in classified}
        files.write(workdir / path, result | {"two_stage": block}, schemas.Result)


def _flops(run: finished_run.RunWithData) -> float:
    """What the network of a run computes for one image, as its program is lowered."""
    view, card = run.experiment.scorer.view, run.experiment.card
    shape = (1, *view.size, card["channels"])
    image = jax.ShapeDtypeStruct(shape, np.float32)
    apply = functools.partial(run.experiment.parts.model.apply, train=False)
    return float(jax.jit(apply).lower(run.variables, image).cost_analysis()["flops"])


def _record(config: ConfigDict, workdir: pathlib.Path) -> dict[str, Any]:
    """Writes what else a run directory has; its record, that of the second stage."""
    record = {**seal.read(workdir / SEGMENT), "digests": {}}
    record |= {"name": config.name, "recipe": config.recipe}
    if jax.process_index():
        return record
    shutil.copyfile(workdir / SEGMENT / files.HISTORY, workdir / files.HISTORY)
    files.write_json(workdir / files.CONFIG, config.to_dict())
    return seal.close(workdir, record)
