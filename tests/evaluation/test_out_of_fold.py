"""Counts of folds are pooled exactly, and each image counts once."""

import csv
import dataclasses
import io

import numpy as np
import pytest

from jaxseg.errors import DataError
from jaxseg.evaluation import class_table, metric_table, out_of_fold, result, tally

N = 12


@dataclasses.dataclass
class Images:
    """What pooling asks of a split."""

    classes: list[str]
    pixels: np.ndarray
    name: str = "out_of_fold"
    hash: str = "0123"
    directory: str = "data"

    @property
    def ids(self):
        return [f"i{k:02d}" for k in range(N)]

    @property
    def groups(self):
        return [f"g{k // 2}" for k in range(N)]

    @property
    def card(self):
        return {"extra": {"fold_of": {name: k % 3 for k, name in enumerate(self.ids)}}}

    def __len__(self):
        return N


def scored(k, seed=0):
    """(a tally of N images and k classes, the split, {fold: rows of its file})."""
    rng = np.random.default_rng(seed)
    confusion = rng.integers(0, 400, (N, k, k))
    confusion[0, 1:], confusion[1, :, 1:], confusion[2, 1:, 1:] = 0, 0, 0
    whole = dataclasses.replace(
        tally.empty(k),
        index=np.arange(N),
        ignored=np.zeros(N, np.int64),
        confusion=confusion,
        max_probability=rng.random(N).astype(np.float32),
    )
    split = Images(["background", "cell", "rare"][:k], whole.truth)
    rows = metric_table.per_image(whole, split.ids, split.groups)
    more = class_table.per_image(whole, split.classes) if k > 2 else {}
    for title, values in more.items():
        for row, value in zip(rows, values, strict=True):
            row[title] = value
    text = io.StringIO(result.csv_of(rows).decode())
    read = list(csv.DictReader(text))
    return whole, split, {fold: read[fold::3] for fold in range(3)}


@pytest.mark.parametrize("k", [2, 3])
@pytest.mark.parametrize("seed", [0, 1])
def test_pooled_scores_are_those_of_one_tally(k, seed):
    whole, split, tables = scored(k, seed)
    rows = out_of_fold.joined(tables, split)
    assert [row["fold"] for row in rows] == [str(i % 3) for i in range(N)]
    counted = out_of_fold.counts(rows, split)
    for name in ("truth", "predicted", "hits", "pixels", "positive"):
        assert np.array_equal(getattr(counted, name), getattr(whole, name)), name
    pooled = out_of_fold.assemble(counted, split, seed=3, resamples=50)
    assert pooled["metrics"] == metric_table.rows(
        whole, split.classes, split.groups, seed=3, resamples=50
    )
    assert pooled["class_table"] == class_table.rows(whole, split.classes)
    assert pooled["groups"] == N // 2 and pooled["images"] == N
    empty, full = pooled["baselines"]
    assert empty["metrics"]["dice_pooled"] == 0
    if k == 2:
        p = whole.truth[:, 1].sum() / whole.pixels.sum()
        assert full["metrics"]["dice_pooled"] == pytest.approx(2 * p / (1 + p))


def test_every_image_counts_once():
    _, split, tables = scored(2)
    for change, message in (
        ({1: tables[1][:-1]}, "1 of 12 images were scored in no fold, such as 'i10'"),
        ({1: [*tables[1], tables[0][0]]}, "'i00' was scored in fold 0 and in fold 1"),
        ({0: tables[1], 1: tables[0]}, "'i01' was scored in fold 0, but is of fold 1"),
        ({2: [tables[2][0] | {"id": "z"}]}, "'z' was scored in fold 2, but is of fold"),
    ):
        with pytest.raises(DataError, match=message):
            out_of_fold.joined(tables | change, split)


@pytest.mark.parametrize("k", [2, 3])
def test_other_masks_are_refused(k):
    _, split, tables = scored(k)
    rows = out_of_fold.joined(tables, split)
    other = dataclasses.replace(split, pixels=split.pixels.copy())
    other.pixels[5, 1] += 1
    other.pixels[5, 0] -= 1
    with pytest.raises(DataError, match="1 images, such as 'i05', were scored on othe"):
        out_of_fold.counts(rows, other)
    rows[3].pop("tp")
    with pytest.raises(DataError, match="no whole numbers in its column 'tp'"):
        out_of_fold.counts(rows, split)
