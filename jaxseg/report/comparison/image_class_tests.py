"""Resamples scores of classes of whole images from the answers in the tables of images.

All runs are measured on the same resamples of the groups of images, each class against
the rest; their answers are compared by McNemar's exact test.
"""

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
from jaxtyping import Bool, Float, Int

from jaxseg.metrics import (
    bootstrap,
    classification,
    image_classification,
    paired_test,
)
from jaxseg.report import image_class_numbers
from jaxseg.report.comparison.group_runs import Unit, members, split_of
from jaxseg.report.read import Split

RANKED = ("roc_auc", "average_precision")
_OF_ANY = (*(f"{name}_mean" for name in RANKED), "f1_macro")
_OF_EXCLUSIVE = ("accuracy", "balanced_accuracy")


class Answers(NamedTuple):
    """The answers of a run, its images sorted by id."""

    ids: list[str]
    groups: list[str]
    classes: list[str]
    exclusive: bool
    said: Float[np.ndarray, "n m"]
    truth: Int[np.ndarray, "n m"]  # 1, 0, -1 unknown
    yes: Float[np.ndarray, "n m"]  # the answer: 1, 0, NaN without a threshold
    known: Bool[np.ndarray, "n"]  # of exclusive classes: whether the class is known

    @property
    def right(self) -> Bool[np.ndarray, "k"]:
        """Whether the most probable class of each known image is the true one."""
        rows = self.known
        return self.said[rows].argmax(axis=1) == self.truth[rows].argmax(axis=1)


def of_split(split: Split) -> Answers | None:
    """The answers that stand in the table of images; None where there are none."""
    record = image_class_numbers.of_split(split)
    if record is None or not split["images"]:
        return None
    rows = sorted(split["images"], key=lambda row: row["id"])
    columns = [f"class_{name}" for name in record["names"]]
    if not all(column in rows[0] for column in columns):
        return None
    said = np.array([[row[c] for c in columns] for row in rows], float)
    truth = np.array([[row[f"{c}_truth"] for c in columns] for row in rows], float)
    truth = np.where(np.isnan(truth), -1, truth).astype(int)
    yes = np.array([[row[f"{c}_decided"] for c in columns] for row in rows], float)
    known = (truth == 1).any(axis=1) & record["exclusive"]
    return Answers(
        [row["id"] for row in rows],
        [row.get("group") or row["id"] for row in rows],
        record["names"],
        record["exclusive"],
        said,
        truth,
        yes,
        known,
    )


def same(first: Answers, other: Answers) -> bool:
    """Whether both answer the same question of the same images."""
    return (first.ids, first.groups, first.classes, first.truth.tolist()) == (
        other.ids,
        other.groups,
        other.classes,
        other.truth.tolist(),
    )


def testable(ranking: Sequence[Unit]) -> list[Unit]:
    """The units whose runs all answer what the first that answers anything does."""
    kept, first = [], None
    for unit in ranking:
        each = [of_split(split_of(run)) for run in members([unit])]
        if None in each:
            continue
        first = first or each[0]
        if all(same(first, answers) for answers in each):
            kept.append(unit)
    return kept


def names(splits: Sequence[Split]) -> list[str]:
    """What `resample` measures, as config.eval.metric names it."""
    exclusive = image_class_numbers.of_split(splits[0])["exclusive"]
    listed = [*_OF_ANY, *(_OF_EXCLUSIVE if exclusive else ())]
    return [f"{image_class_numbers.PREFIX}{name}" for name in listed]


def resample(splits: Sequence[Split], *, resamples: int) -> paired_test.Drawn:
    """As `paired_test.resample`, of `names`, of splits that `testable` has kept."""
    runs = [of_split(split) for split in splits]
    areas = by_class(runs, resamples=resamples)
    value, samples = [], []
    for run, drawn in zip(runs, areas, strict=True):
        once = np.ones((1, len(run.ids)), np.int64)
        mine = [_mean(drawn[name].value) for name in RANKED]
        again = [_mean(drawn[name].samples) for name in RANKED]
        parts = [_answers(run, times) for times in _times(run, resamples)]
        value.append([*mine, *(float(row[0]) for row in _answers(run, once))])
        samples.append([*again, *map(np.concatenate, zip(*parts, strict=True))])
    groups = len(set(runs[0].groups))
    return paired_test.Drawn(
        value=np.array(value, float), samples=np.array(samples), groups=groups
    )


class Areas(NamedTuple):
    """One area of each class, and again on resamples; NaN where undefined."""

    value: Float[np.ndarray, "m"]
    samples: Float[np.ndarray, "m r"]


def by_class(runs: Sequence[Answers], *, resamples: int) -> list[dict[str, Areas]]:
    """RANKED of every class of each run, all on the same resamples."""
    out = []
    for run in runs:
        value = {name: np.full(len(run.classes), np.nan) for name in RANKED}
        samples = {
            name: np.full((len(run.classes), resamples), np.nan) for name in RANKED
        }
        for k in range(len(run.classes)):
            there = run.truth[:, k] >= 0
            positive = run.truth[there, k] > 0
            if not positive.any() or positive.all():
                continue
            score = run.said[there, k]
            ranked = classification.ranking(score, positive.astype(int))
            at = 0
            for times in _times(run, resamples):
                again = classification.resampled(score, positive, times[:, there])
                for name in RANKED:
                    samples[name][k, at : at + len(times)] = again[name]
                at += len(times)
            for name in RANKED:
                value[name][k] = ranked[name]
        out.append({name: Areas(value[name], samples[name]) for name in RANKED})
    return out


def _times(run: Answers, resamples: int):
    """How often each resample takes each image, in parts."""
    titles, code = np.unique(np.array(run.groups, str), return_inverse=True)
    for taken in bootstrap.draws(len(titles), seed=0, resamples=resamples):
        yield taken[:, code]


def _answers(run: Answers, times: Int[np.ndarray, "r n"]) -> list[np.ndarray]:
    """[r] of the names behind the areas: F1 and, of exclusive classes, accuracies."""
    if not run.exclusive:
        there = run.truth >= 0
        shown, yes = (run.truth == 1) & there, (run.yes == 1) & there
        hits, marked, all_of = (
            times @ part.astype(np.int64) for part in (shown & yes, yes, shown)
        )
        f1 = 2 * hits / np.maximum(marked + all_of, 1)
        counts = np.where((all_of > 0) & ~np.isnan(run.yes).any(axis=0), f1, np.nan)
        return [_mean(counts.T)]
    m = len(run.classes)
    true, said = (part[run.known].argmax(axis=1) for part in (run.truth, run.said))
    cells = np.eye(m * m, dtype=np.int64)[true * m + said]
    counts = (times[:, run.known] @ cells).reshape(-1, m, m)
    return [
        image_classification.f1_macro(**image_classification.one_against_rest(counts)),
        image_classification.accuracy(counts),
        image_classification.balanced_accuracy(counts),
    ]


def _mean(values: np.ndarray) -> np.ndarray:
    """The mean over classes that are defined; NaN where none is."""
    there = ~np.isnan(values)
    total, number = np.where(there, values, 0.0).sum(axis=0), there.sum(axis=0)
    return np.where(number > 0, total / np.maximum(number, 1), np.nan)


def mcnemar(first: Answers, other: Answers) -> tuple[int, int, float] | None:
    """(wrong in the first alone, in the other alone, exact p); None unless exclusive.

    McNemar, 1947, https://doi.org/10.1007/BF02295996.
    """
    if not first.exclusive or not len(first.right):
        return None
    alone = (
        int(np.count_nonzero(~first.right & other.right)),
        int(np.count_nonzero(first.right & ~other.right)),
    )
    return *alone, classification.mcnemar(*alone)
