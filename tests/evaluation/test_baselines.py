"""Baselines: what a constant answer reaches, class by class."""

import numpy as np
import pytest
from support import scored

from jaxseg.evaluation import baselines, count, metric_table
from jaxseg.metrics import overlap


def _rows(k, *, swap=(), classes=None):
    """Baselines of a small split; `swap` gives a pixel count to every class."""
    split, predictions = scored.make(6, k=k, ignore=False, sizes=((10, 10),))
    for example in split.examples:
        if swap:
            example["mask"][:] = np.repeat(range(k), swap).reshape(10, 10)
    tally = count.count_split(predictions, split, to_native=scored.keep)
    split.classes = classes or split.classes
    point = baselines.choose(tally, scored.VALIDATION)
    rows = baselines.rows(tally, point, split)
    return split, tally, {row["name"]: row for row in rows}


def test_several_classes():
    names = ("background", "liver", "spleen")
    _, tally, rows = _rows(3, swap=(50, 20, 30), classes=names)
    assert list(rows) == ["all_empty", "majority_class", "all_one_class"]
    one = rows["all_one_class"]
    assert "'spleen', the most frequent foreground class" in one["detail"]
    assert "(30.00% of their pixels)" in one["detail"]
    assert list(one["classes"]) == list(names)
    assert set(one["classes"]["spleen"]) == set(overlap.METRICS)
    assert set(one["classes"]["background"]) == set(overlap.POOLED)
    assert one["classes"]["spleen"]["iou_pooled"] == 0.3
    assert one["classes"]["spleen"]["recall_pooled"] == 1
    assert one["classes"]["spleen"]["balanced_accuracy_pooled"] == 0.5
    assert one["classes"]["spleen"]["matthews_pooled"] is None
    assert one["classes"]["liver"]["iou_pooled"] == 0
    assert one["classes"]["liver"]["precision_pooled"] is None
    assert one["metrics"]["iou_pooled"] == 0.15
    assert one["metrics"]["precision_pooled"] == 0.3  # liver has none: 0/0
    empty, majority = rows["all_empty"], rows["majority_class"]
    assert "'background', the most frequent class" in majority["detail"]
    assert majority["metrics"] == empty["metrics"]
    assert empty["classes"]["background"]["iou_pooled"] == 0.5
    assert set(empty["metrics"]) == set(overlap.METRICS)


def test_the_majority_may_be_foreground():
    _, tally, rows = _rows(3, swap=(20, 65, 15))
    assert "'object', the most frequent class" in rows["majority_class"]["detail"]
    assert rows["majority_class"]["metrics"] == rows["all_one_class"]["metrics"]
    assert rows["majority_class"]["metrics"] != rows["all_empty"]["metrics"]
    _, tally, rows = _rows(2, swap=(40, 60))
    assert rows["majority_class"]["metrics"] == rows["all_foreground"]["metrics"]
    assert "classes" not in rows["majority_class"]


def test_per_class_values_make_the_mean():
    """An absent class is n/a by itself and is not in the mean."""
    split, tally, rows = _rows(4)
    tally.confusion[:, 0] += tally.confusion[:, 2]
    tally.confusion[:, 2] = 0
    rows = baselines.rows(tally, None, split)
    for row in rows:
        for name, value in row["metrics"].items():
            found = [row["classes"][c][name] for c in ("object", "third")]
            assert value == overlap.mean_of_present(found), name
        assert row["classes"]["other"]["dice_pooled"] is None
        assert row["classes"]["other"]["recall_pooled"] is None


@pytest.mark.parametrize("k", [2, 4])
def test_all_empty_is_scored_as_a_model_would_be(k):
    split, tally, rows = _rows(k)
    blank = [
        (i, np.eye(k, dtype=np.float32)[np.zeros((10, 10), int)])
        for i in range(len(split))
    ]
    model = count.count_split(blank, split, to_native=scored.keep)
    assert rows["all_empty"]["metrics"] == metric_table.summary(model)
