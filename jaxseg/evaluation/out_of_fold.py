"""Pools what members of folds counted on the images they never saw, into one result.

Every image is scored once, by the member that tested it, at that member's own operating
point. The counts of all images are then scored as if one model had made them: one
value, and one interval over the groups of all images, where a mean over folds would
count a fold of one positive like a fold of twenty (Forman and Scholz, 2010,
https://doi.org/10.1145/1882471.1882479).
"""

import dataclasses
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from jaxseg.errors import DataError
from jaxseg.evaluation import class_table, metric_table
from jaxseg.metrics import bootstrap

FOLD = "fold"  # the column of the joined table, and of each row
Row = dict[str, str]  # a line of <split>_per_image.csv, as text


@dataclasses.dataclass(frozen=True)
class Counts:
    """What of a tally the scores of pixels need, for n images and k classes."""

    truth: np.ndarray  # i64 [n, k], pixels of each class
    predicted: np.ndarray  # i64 [n, k]
    hits: np.ndarray  # i64 [n, k], in both
    pixels: np.ndarray  # i64 [n], labelled ones

    @property
    def num_classes(self) -> int:
        """Classes of the truth and of the prediction, background included."""
        return self.truth.shape[1]

    @property
    def positive(self) -> np.ndarray:
        """Whether the truth has any foreground (class > 0), bool [n]."""
        return self.truth[:, 1:].any(axis=1)


def joined(tables: Mapping[int, Sequence[Row]], split: Any) -> list[Row]:
    """The rows of the members in the order of the images of `split`, with their fold.

    `tables` are those of the images that each fold tested; `split` is that of
    `folds.open_pooled`. Raises DataError, with the ids, for an image that is scored
    twice, in another fold than its own, or not at all.
    """
    of_image: dict[str, Row] = {}
    fold_of = split.card["extra"]["fold_of"]
    for fold, rows in tables.items():
        for row in rows:
            name = row["id"]
            if name in of_image:
                raise DataError(
                    f"the image {name!r} was scored in fold {of_image[name][FOLD]} and "
                    f"in fold {fold}; each image must be scored once: train the folds "
                    "again in a new --workdir."
                )
            if fold_of.get(name) != fold:
                raise DataError(
                    f"the image {name!r} was scored in fold {fold}, but is of fold "
                    f"{fold_of.get(name, 'none')} of the data as it is now: train the "
                    "folds again in a new --workdir."
                )
            of_image[name] = row | {FOLD: str(fold)}
    missing = [name for name in split.ids if name not in of_image]
    if missing:
        raise DataError(
            f"{len(missing)} of {len(split)} images were scored in no fold, such as "
            f"{missing[0]!r}: train the folds again in a new --workdir."
        )
    return [of_image[name] for name in split.ids]


def counts(rows: Sequence[Row], split: Any) -> Counts:
    """The counts that stand in the rows of all images, exactly.

    For k > 2 the hits of a class follow from its Dice and its pixels, which are written
    bit for bit. Raises DataError where masks have other pixels than those of `split`.
    """
    k, pixels = len(split.classes), split.pixels.sum(axis=1)
    truth, predicted, hits = np.zeros((3, len(rows), k), np.int64)
    columns = {n: _integers(rows, n) for n in ("tp", "fp", "fn", "tn")}
    if k == 2:
        truth[:, 1], predicted[:, 1] = (
            columns["tp"] + columns[other] for other in ("fn", "fp")
        )
        hits[:, 1] = columns["tp"]
        pixels_scored = sum(columns.values())
    else:
        for c, name in enumerate(split.classes[1:], start=1):
            truth[:, c] = _integers(rows, f"truth_pixels/{name}")
            predicted[:, c] = _integers(rows, f"predicted_pixels/{name}")
            dice = np.array([float(row[f"dice/{name}"] or 0) for row in rows])
            hits[:, c] = np.rint(dice * (truth[:, c] + predicted[:, c]) / 2)
        pixels_scored = pixels  # the table does not say them
    truth[:, 0] = pixels - truth[:, 1:].sum(axis=1)
    predicted[:, 0] = pixels - predicted[:, 1:].sum(axis=1)
    hits[:, 0] = columns["tn"]
    wrong = (truth != split.pixels).any(axis=1)
    wrong |= hits[:, 1:].sum(axis=1) != columns["tp"]
    wrong |= pixels_scored != pixels
    if wrong.any():
        raise DataError(
            f"{int(wrong.sum())} images, such as {rows[wrong.argmax()]['id']!r}, were "
            f"scored on other masks than those in {split.directory}: train the folds "
            "again in a new --workdir."
        )
    return Counts(truth, predicted, hits, pixels)


def assemble(
    counted: Counts,
    split: Any,
    *,
    seed: int = 0,
    resamples: int = bootstrap.RESAMPLES,
) -> dict[str, Any]:
    """The pooled scores of all images: metrics, classes and trivial baselines.

    Intervals resample the groups of all images; they hold the members as they are, and
    say nothing of what other training images would have taught.
    """
    return {
        "split": split.name,
        "split_hash": split.hash,
        "images": len(split),
        "groups": len(set(split.groups)),
        "positive_images": int(counted.positive.sum()),
        "pixels": int(counted.pixels.sum()),
        "positive_pixels": int(counted.truth[:, 1:].sum()),
        "classes": list(split.classes),
        "metrics": metric_table.rows(
            counted, split.classes, split.groups, seed=seed, resamples=resamples
        ),
        "class_table": class_table.rows(counted, split.classes),
        "baselines": _baselines(counted, split.classes),
    }


def _baselines(counted: Counts, classes: Sequence[str]) -> list[dict[str, Any]]:
    """{name, detail, metrics} of the same class everywhere: background, foreground."""
    frequent = 1 + int(np.argmax(counted.truth[:, 1:].sum(axis=0)))
    name = "all_foreground" if len(classes) == 2 else "all_one_class"
    rows = []
    for c, title in ((0, "all_empty"), (frequent, name)):
        predicted, hits = np.zeros((2, *counted.truth.shape), np.int64)
        predicted[:, c], hits[:, c] = counted.pixels, counted.truth[:, c]
        same = dataclasses.replace(counted, predicted=predicted, hits=hits)
        detail = f"every pixel is {classes[c]!r}"
        scores = metric_table.summary(same)
        rows.append({"name": title, "detail": detail, "metrics": scores})
    return rows


def _integers(rows: Sequence[Row], name: str) -> np.ndarray:
    """i64 [n] of a column; DataError where the table has none, or no whole numbers."""
    try:
        return np.array([int(row[name]) for row in rows], np.int64)
    except (KeyError, TypeError, ValueError) as error:
        raise DataError(
            f"the table of scored images has no whole numbers in its column {name!r}: "
            "start the command of the folds again, which scores them anew."
        ) from error
