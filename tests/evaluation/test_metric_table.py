"""The table of a report: one row a metric, support beside it, absent classes n/a."""

import numpy as np
import pytest
from support import scored

from jaxseg.evaluation import count, metric_table
from jaxseg.metrics import bootstrap, overlap


def _rows(k, n=8, **kwargs):
    split, predictions = scored.make(n, k=k)
    tally = count.count_split(predictions, split, to_native=scored.keep)
    return split, tally, metric_table.rows(tally, split.classes, split.groups, **kwargs)


def test_two_classes():
    split, tally, rows = _rows(2)
    found = {(r["class"], r["name"]): r for r in rows}
    assert set(found) == {("object", n) for n in overlap.METRICS} | {
        ("background", n) for n in overlap.POOLED
    }
    for name, value in metric_table.summary(tally).items():
        row = found["object", name]
        assert row["value"] == value and row["policy"] == overlap.policy(name)
        assert 0 <= row["low"] <= value <= row["high"] <= 1
        assert row["low"] < row["high"]
    assert found["object", "dice_positives"]["support_images"] == 6
    assert found["object", "dice_kaggle"]["support_images"] == 8
    inside = tally.truth[:, 1].sum()
    assert found["object", "iou_pooled"]["support_pixels"] == inside
    assert found["background", "recall_pooled"]["value"] == pytest.approx(
        found["object", "specificity_pooled"]["value"]
    )


def test_several_classes_and_one_that_is_absent():
    split, tally, rows = _rows(4, n=3)  # classes 2 and 3 only: index 1 and 2
    found = {(r["class"], r["name"]): r for r in rows}
    assert rows[0]["class"] == "mean"
    assert found["object", "dice_pooled"]["value"] is None
    assert found["object", "dice_pooled"]["support_images"] == 0
    assert found["object", "dice_pooled"]["low"] is None
    present = [found[c, "dice_pooled"]["value"] for c in ("other", "third")]
    mean = found["mean", "dice_pooled"]
    assert mean["value"] == pytest.approx(np.mean(present), abs=1e-15)
    assert mean["policy"].startswith("mean over the 2 of 3 foreground classes present")
    assert mean["support_images"] == 2
    assert mean["low"] <= mean["value"] <= mean["high"]
    assert metric_table.summary(tally)["dice_pooled"] == mean["value"]


def test_one_group_has_no_interval():
    split, tally, _ = _rows(2)
    rows = metric_table.rows(tally, split.classes, ["all"] * len(split))
    assert all(r["low"] is None and r["high"] is None for r in rows)
    assert rows[0]["value"] is not None


def test_intervals_are_those_of_the_bootstrap():
    split, tally, rows = _rows(2, seed=5, resamples=300)
    each = metric_table.of_class(tally, 1)
    terms = overlap.terms("dice_pooled", **each)[None]
    draw = {"seed": 5, "resamples": 300}
    drawn = bootstrap.resample(["dice_pooled"], terms, split.groups, **draw)[0]
    assert (rows[0]["low"], rows[0]["high"]) == bootstrap.interval(drawn)


def test_per_image_rows():
    split, tally, _ = _rows(2)
    rows = metric_table.per_image(tally, split.ids, split.groups)
    assert [r["id"] for r in rows] == split.ids
    for row, example in zip(rows, split.examples, strict=True):
        assert row["truth_pixels"] == (example["mask"] == 1).sum()
        assert row["tp"] + row["fn"] == row["truth_pixels"]
        assert row["tp"] + row["fp"] == row["predicted_pixels"]
        total = row["tp"] + row["fp"] + row["fn"] + row["tn"]
        assert total == (example["mask"] != 255).sum()
        assert row["positive"] == int(row["truth_pixels"] > 0)
        if total != row["tn"]:
            assert row["iou"] == pytest.approx(row["dice"] / (2 - row["dice"]))
            assert row["kaggle_dice"] == row["dice"]
    mean = np.mean([r["kaggle_dice"] for r in rows])
    assert metric_table.summary(tally)["dice_kaggle"] == pytest.approx(mean)
