"""Adds clicks where a trained model is wrong: train, click, train again.

The annotator is the full mask. As simulated users of interactive segmentation do (Xu et
al., Deep Interactive Object Selection, 2016, https://arxiv.org/abs/1603.04042), it
clicks into the middle of the largest region that is wrong, then of the next; the model
is asked once a round, not after every click.
"""

import pathlib
from typing import Any, NamedTuple

import cv2
import numpy as np
from jaxtyping import UInt8

from jaxseg.data import sparse_labels
from jaxseg.data.supervision import clicks
from jaxseg.errors import ConfigError, DataError
from jaxseg.experiment import finished_run, training_labels
from jaxseg.inference import whole_split
from jaxseg.postprocess import decision
from jaxseg.types import IGNORE

NAME = "error_driven"  # of the options of such labels
Mask = UInt8[np.ndarray, "h w"]


class Round(NamedTuple):
    """The labels after a round, and its counts by class."""

    labels: sparse_labels.Labels  # those of before and the new ones
    classes: list[str]
    before: list[int]  # labelled pixels
    asked: list[int]  # clicks that could have been spent
    spent: list[int]
    wrong: list[int]  # images with such an error
    full: bool  # the run was trained with full masks: nothing to begin with


def click(
    workdir: pathlib.Path, *, positive: int, negative: int, data_dir: str = ""
) -> Round:
    """The labels of a finished run, and clicks where its best weights are wrong.

    A pure function of run and arguments. In every training image up to `positive`
    clicks on missed pixels of each foreground class and `negative` on background that
    was taken for foreground, at the size of the view; the network's answer is the most
    probable class, by the frozen offsets where the run has some. Raises ConfigError for
    numbers below 0 and a run that is not finished, DataError for other data than it
    had; ConfigError for a run that learned no pixels.
    """
    if min(positive, negative) < 0 or positive + negative == 0:
        raise ConfigError(
            f"--positive={positive} --negative={negative}: give numbers from 0, one of "
            "them above."
        )
    run = finished_run.with_data(workdir, "train", data_dir=data_dir)
    if not run.experiment.scorer.pixels:
        raise ConfigError(
            f"{workdir} learned classes of whole images and no pixels, so no click can "
            "say where it is wrong: use a run that segments."
        )
    split, seed = run.experiment.splits["train"], run.config.seed
    before = _labels_of(workdir, run, split)
    budget = [negative] + [positive] * (len(split.classes) - 1)
    masks: list[Any] = [None] * len(split)
    spent, wrong = np.zeros((2, len(split), len(budget)), int)
    scorer, point = run.experiment.scorer, run.operating_point["operating_point"]
    offsets = point if point and "offsets" in point else None
    for index, probability in whole_split.predictions(scorer, run.variables, split):
        truth = run.experiment.parts.view(split, index)["mask"]
        rng = sparse_labels.generator(seed, 0, split.ids[index])
        answer = decision.decide(probability, offsets)
        labelled = before.mask(index)
        new = corrections(truth, answer, labelled, budget=budget, rng=rng)
        spent[index] = np.bincount(new[new != IGNORE], minlength=len(budget))
        missed = truth[(truth != answer) & (truth != IGNORE)]
        wrong[index] = np.bincount(missed, minlength=len(budget)) > 0
        masks[index] = np.where(new != IGNORE, new, labelled)
    options = {"name": NAME, "positive": positive, "negative": negative}
    options |= {"seed": seed, "step": run.step, "before": before.options}
    counts = np.bincount(before.label, minlength=len(budget))
    return Round(
        labels=sparse_labels.from_masks(masks, split.ids, options, size=before.size),
        classes=split.classes,
        before=counts.tolist(),
        asked=[n * len(split) for n in budget],
        spent=spent.sum(0).tolist(),
        wrong=wrong.sum(0).tolist(),
        full=not before.options,
    )


def _labels_of(workdir, run: finished_run.RunWithData, split) -> sparse_labels.Labels:
    """What the run was trained with; none, without options, for full masks."""
    view = run.experiment.parts.view
    size, sizes = sparse_labels.one_size(view), None
    if size is None:
        sizes = view.sizes(split).astype(np.int32)
    if not training_labels.is_sparse(run.config):
        nothing = np.zeros(0, np.int32)
        at, kind = nothing.astype(np.int16), nothing.astype(np.uint8)
        return sparse_labels.Labels(split.ids, size, nothing, at, at, kind, {}, sizes)
    path = workdir / sparse_labels.FILE
    labels = sparse_labels.read(path)
    same = labels.size == size and np.array_equal(labels.sizes, sizes)
    if list(labels.ids) != list(split.ids) or not same:
        raise DataError(
            f"{path} does not hold labels of the training images in {split.directory} "
            "at the size the network sees; the run directory is mixed up."
        )
    return labels


def corrections(truth: Mask, answer, labelled: Mask, *, budget, rng) -> Mask:
    """IGNORE but for the new clicks, each with its true class.

    `answer` [h, w] holds classes, `labelled` the labels so far, where no click goes;
    `budget` is the clicks for each class. A missed pixel of a class above 0 is one that
    was taken for any other class.
    """
    out = np.full_like(truth, IGNORE)
    for c, most in enumerate(budget):
        wrong = (truth == c) & (answer != c)
        for region in _regions(wrong):
            if np.count_nonzero(out == c) == most:
                break
            free = np.where(region & (labelled == IGNORE), c, IGNORE).astype(np.uint8)
            one = clicks.label(free, rng=rng, positive=1, negative=1, strategy="centre")
            out[one != IGNORE] = c
    return out


def _regions(wrong):
    """The connected components as masks, the largest first, then in reading order."""
    count, label, stats, _ = cv2.connectedComponentsWithStats(
        wrong.astype(np.uint8), connectivity=8
    )
    area = stats[1:, cv2.CC_STAT_AREA]
    for k in np.argsort(-area, kind="stable"):
        yield label == k + 1


def describe(round: Round) -> str:
    """The table a user sees: distinct labelled pixels before and after, by class."""
    after = np.bincount(round.labels.label, minlength=len(round.classes)).tolist()
    rows = [("class", "before", "clicks asked", "spent", "after", "images wrong")]
    columns = (round.before, round.asked, round.spent, after, round.wrong)
    for name, *numbers in zip(round.classes, *columns, strict=True):
        rows.append((name, *(f"{n:,}" for n in numbers)))
    totals = [f"{sum(column):,}" for column in columns[:4]]
    rows.append(("all", *totals, ""))
    widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
    lines = [
        "  ".join([row[0].ljust(widths[0]), *map(str.rjust, row[1:], widths[1:])])
        for row in rows
    ]
    pixels = round.labels.area
    lines.append(
        f"labelled pixels are distinct: {sum(after):,} of {pixels:,} "
        f"({sum(after) / pixels:.3%}) of {len(round.labels.ids)} images"
    )
    if round.full:
        lines.append("the run had full masks: these labels begin with none")
    if not sum(round.spent):
        lines.append("nothing is wrong: no click was spent")
    return "\n".join(line.rstrip() for line in lines)
