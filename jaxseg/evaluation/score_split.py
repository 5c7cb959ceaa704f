"""Scores a split with a model: every image once, counted over all processes."""

import collections
import dataclasses
import pathlib
from collections.abc import Iterable, Iterator, Sequence
from typing import Any, NamedTuple

import jax
import numpy as np
from absl import logging

from jaxseg import atomic
from jaxseg.data import prepared
from jaxseg.devices import sharding
from jaxseg.errors import ConfigError, NotFinite
from jaxseg.evaluation import (
    baselines,
    class_choices,
    conformal,
    count,
    image_blocks,
    image_level,
    nearest_image,
    operating_point,
    post_process,
    result,
    second_pass,
    surfaces,
    temperature,
)
from jaxseg.evaluation.evidence import score as evidence
from jaxseg.evaluation.evidence.score import Asked
from jaxseg.evaluation.image_classes import choose as class_choice
from jaxseg.evaluation.image_classes import pixel_free
from jaxseg.evaluation.image_classes import score as class_scores
from jaxseg.evaluation.objects import score as objects
from jaxseg.evaluation.objects.finding import Finding
from jaxseg.evaluation.tally import Decided, Tally, merge
from jaxseg.inference import whole_split
from jaxseg.postprocess import decision
from jaxseg.run_directory import files, schemas


class Scoring(NamedTuple):
    """Whose predictions are scored, how, and where the scores go: one run."""

    workdir: pathlib.Path
    scorer: whole_split.Scorer
    variables: Any  # of the model, those of `step`
    step: int
    seed: int  # of the bootstrap
    resamples: int
    tolerance: float | None  # pixels, of the surface metrics; None: measure none
    # training images, for the baseline that copies the nearest; None: leave it out
    training: nearest_image.Training | None = None
    finding: Finding | None = None  # how objects are looked for; None: they are not
    evidence: Asked | None = None  # of answers on whole images; None: nothing is asked


Predictions = Iterable[tuple[int, np.ndarray]]


def _decided(
    scorer: whole_split.Scorer,
    channels: Predictions,
    image_scores: dict[int, np.ndarray],
) -> Iterator[tuple[int, np.ndarray]]:
    """The probabilities of `channels`; what a decision head says goes to the scores.

    That is one number, or one for each class of whole images; raises NotFinite where
    one of them is none.
    """
    for index, row in channels:
        score = whole_split.image_score(scorer, row)
        if score is not None and len(score) in (1, scorer.image_classes):
            if not np.isfinite(score).all():
                odd = score[~np.isfinite(score)][0]
                raise NotFinite(
                    f"the decision head says {odd} of image {index}: training has "
                    "diverged; lower the learning rate."
                )
            image_scores[index] = score
        yield index, row[..., : scorer.classes]


def tally_split(
    scorer: whole_split.Scorer,
    variables: Any,
    split: prepared.Split,
    *,
    keep: dict[int, Any] | None = None,
    class_histograms: bool = True,
) -> Tally:
    """Counts the whole split; every process gets the same tally.

    `keep` gets the probabilities of those of its keys that this process predicts;
    `class_histograms` is that of `count.count_split`.
    """
    (tally,) = tally_ways(
        scorer,
        variables,
        split,
        (count.AS_PREDICTED,),
        keep=keep,
        class_histograms=class_histograms,
    )
    return tally


def tally_ways(
    scorer: whole_split.Scorer,
    variables: Any,
    split: prepared.Split,
    ways: Sequence[count.Frozen],
    *,
    keep: dict[int, Any] | None = None,
    class_histograms: bool = True,
) -> list[Tally]:
    """`tally_split` for each way to read the predictions, in one pass.

    Where the network learned nothing of pixels, none is counted.
    """
    keep = {} if keep is None else keep
    image_scores: dict[int, np.ndarray] = {}
    channels = whole_split.channels(scorer, variables, split)
    predictions = whole_split.keep(_decided(scorer, channels, image_scores), keep, keep)
    if scorer.pixels:
        own = count.count_ways(
            predictions,
            split,
            ways,
            to_native=scorer.to_native(),
            class_histograms=class_histograms,
            image_scores=image_scores,
            image_classes=scorer.image_classes,
        )
    else:
        collections.deque(predictions, maxlen=0)
        own = [count.of_whole_images(image_scores, split)] * len(ways)
    return [
        merge([Tally(**p) for p in sharding.gather(vars(tally))], ids=split.ids)
        for tally in own
    ]


def choose_point(
    validation: Tally,
    split: prepared.Split,
    *,
    step: int,
    objective: str,
    min_areas: tuple[float, ...],
    rule: str = decision.AUTO,
    scorer: whole_split.Scorer | None = None,
    variables: Any = None,
    finding: Finding | None = None,
) -> dict[str, Any]:
    """Chooses all that is frozen on validation at one step, as operating_point.json.

    With `finding` also how objects are looked for. For that, above two classes, and for
    a rule that is none of decision.RULES it runs on probabilities, so it needs scorer
    and variables to predict the split once more. Of a network that learned nothing of
    pixels only what is of classes of whole images is chosen.
    """
    whole = {}
    if class_scores.has_classes(validation):
        whole["image_classes"] = class_choice.choose(validation, split)
    if scorer is not None and not scorer.pixels:
        return {"step": step, "operating_point": None, **whole}
    rule = decision.rule_for(rule, len(split.classes))
    if len(split.classes) > 2:
        point, scaling = class_choices.choose(
            whole_split.predictions(scorer, variables, split),
            lambda way: tally_ways(
                scorer, variables, split, (way,), class_histograms=False
            )[0],
            validation,
            split,
            rule=rule,
            objective=objective,
            to_native=scorer.to_native(),
        )
    else:
        scaling = temperature.fit(validation, split)
        if rule in decision.RULES:
            point = operating_point.choose(
                validation, split, objective=objective, min_areas=min_areas, rule=rule
            )
        else:
            point = post_process.choose(
                whole_split.predictions(scorer, variables, split),
                validation,
                split,
                rule=rule,
                objective=objective,
                to_native=scorer.to_native(),
            )
    frozen = {
        "step": step,
        "operating_point": point,
        "baseline": baselines.choose(validation, split),
        "temperature": scaling,
        "conformal": conformal.choose(validation, split),
        **whole,
    }
    frozen["image"] = image_blocks.choose(validation, split, point, objective=objective)
    if finding is not None:
        frozen["objects"] = objects.choose(scorer, variables, split, finding)
    return frozen


def score_tally(
    scoring: Scoring,
    split: prepared.Split,
    frozen: dict[str, Any],
    tally: Tally,
    at_frozen: Tally | None = None,
) -> tuple[dict[str, Any], Decided]:
    """(the part of eval/<split>.json that needs counts alone, the counts it is of).

    `at_frozen` is the tally with the frozen offsets and temperature, for more than two
    classes.
    """
    _check_step(scoring, frozen)
    decided = _at_point(scoring, split, frozen["operating_point"], tally, at_frozen)
    copied = None
    if scoring.training is not None:
        share = {"process": jax.process_index(), "processes": jax.process_count()}
        copied = nearest_image.confusion(scoring.training, split, **share)
    rows = baselines.rows(tally, frozen["baseline"], split, copied=copied)
    options = _draws(scoring)
    scores = result.assemble(
        decided,
        rows,
        split,
        step=scoring.step,
        scaling=frozen.get("temperature"),  # older runs have none
        argmax=tally,
        softened=at_frozen,
        **options,
    )
    scores |= image_blocks.of_counts(decided, tally, frozen, split, **options)
    if "conformal" in frozen:  # older runs have none, and their result is as it was
        scores["conformal"] = conformal.assemble(tally, frozen["conformal"], split)
    return scores, decided


def decided(scoring: Scoring, split: prepared.Split, frozen: dict[str, Any]) -> Decided:
    """The counts of the split at what `choose_point` froze, and nothing else."""
    at_frozen = None
    if len(split.classes) > 2:
        tally, at_frozen = _both(scoring, split, frozen)
    else:
        tally = tally_split(scoring.scorer, scoring.variables, split)
    return _at_point(scoring, split, frozen["operating_point"], tally, at_frozen)


def _at_point(
    scoring: Scoring,
    split: prepared.Split,
    point: dict[str, Any] | None,
    tally: Tally,
    at_frozen: Tally | None,
) -> Decided:
    """The counts at a frozen point; `at_frozen` as in `score_tally`."""
    counted = tally
    if point and "settings" in point:
        counted = post_process.retally(
            whole_split.predictions(scoring.scorer, scoring.variables, split),
            tally,
            split,
            point,
            to_native=scoring.scorer.to_native(),
        )
    elif at_frozen is not None:
        counted = dataclasses.replace(tally, confusion=at_frozen.confusion)
    return operating_point.apply(counted, point, split)


def _draws(scoring: Scoring) -> dict[str, int]:
    """What intervals are drawn by."""
    return {"seed": scoring.seed, "resamples": scoring.resamples}


def _evidence(
    scoring: Scoring, split: prepared.Split, frozen: dict[str, Any], tally: Tally
) -> dict[str, Any]:
    """The blocks of `evidence.score`, which writes its examples too."""
    parts = scoring.workdir, scoring.scorer, scoring.variables, split, scoring.evidence
    return evidence.score(*parts, tally, frozen, **_draws(scoring))


def _check_step(scoring: Scoring, frozen: dict[str, Any]) -> None:
    if frozen["step"] != scoring.step:
        raise ConfigError(
            f"the operating point belongs to step {frozen['step']}, not {scoring.step};"
            " finish the run (start its command again) before scoring it."
        )


def _both(
    scoring: Scoring, split: prepared.Split, frozen: dict[str, Any]
) -> tuple[Tally, Tally]:
    """(tally as predicted, tally with what is frozen), for more than two classes."""
    point, scaling = frozen["operating_point"] or {}, frozen.get("temperature") or {}
    way = count.Frozen(point.get("offsets"), scaling.get("value"))
    ways = (count.AS_PREDICTED, way)
    plain, at_frozen = tally_ways(scoring.scorer, scoring.variables, split, ways)
    return plain, at_frozen


def score_split(
    scoring: Scoring,
    split: prepared.Split,
    frozen: dict[str, Any],
    *,
    tally: Tally | None = None,
) -> dict[str, Any]:
    """Scores the split with what `choose_point` froze; returns eval/<split>.json.

    `tally` is that of the split where it was counted already; above two classes it is
    counted again, beside what is frozen. Process 0 writes the result, its tables and
    its pictures.
    """
    at_frozen, options = None, _draws(scoring)
    if not scoring.scorer.pixels:
        _check_step(scoring, frozen)
        tally = tally or tally_split(scoring.scorer, scoring.variables, split)
        more = _evidence(scoring, split, frozen, tally)
        options |= {"step": scoring.step, "more": more}
        return pixel_free.score(scoring.workdir, tally, frozen, split, **options)
    if len(split.classes) > 2:
        tally, at_frozen = _both(scoring, split, frozen)
    elif tally is None:
        tally = tally_split(scoring.scorer, scoring.variables, split)
    scores, decided = score_tally(scoring, split, frozen, tally, at_frozen)
    scores |= class_scores.blocks(tally, frozen, split, **options)
    scores |= _evidence(scoring, split, frozen, tally)
    cut = None
    if image := frozen.get("image"):
        cut = image_level.threshold_of(image, image_level.DECISION)
    shown, measured = second_pass.predict(
        scoring.scorer,
        scoring.variables,
        split,
        decided,
        tolerance=scoring.tolerance,
        image_threshold=cut,
    )
    columns = image_level.columns(decided.tally, frozen.get("image"))
    columns |= class_scores.columns(tally, frozen.get("image_classes"))
    if measured is not None:
        tolerance = scoring.tolerance
        scores |= surfaces.assemble(measured, split, tolerance=tolerance, **options)
        scores |= image_blocks.of_pixels(scores, tally, measured, split, **options)
        columns |= surfaces.columns(measured)
    drawn = {}
    if scoring.finding is not None and frozen.get("objects"):
        scores["objects"], more, drawn = objects.score(
            scoring.scorer,
            scoring.variables,
            split,
            scoring.finding,
            frozen["objects"],
            **options,
        )
        columns |= more
    if jax.process_index() == 0:
        folder, to_native = scoring.workdir / "eval", scoring.scorer.to_native()
        files.write(folder / f"{split.name}.json", scores, schemas.Result)
        result.write_tables(folder, decided, split, columns=columns)
        result.write_examples(
            folder, decided, split, shown, to_native=to_native, image_threshold=cut
        )
        for name, content in drawn.items():
            atomic.replace(folder / f"{split.name}_objects" / name, content)
    logging.info("scored %d images of %s", scores["images"], split.name)
    return scores
