"""The result of a split and its files: documented, complete, read back bit for bit."""

import csv
import json

import cv2
import numpy as np
import pytest
from support import scored

from jaxseg.errors import DataError
from jaxseg.evaluation import (
    baselines,
    count,
    examples,
    metric_table,
    operating_point,
    result,
)
from jaxseg.metrics import overlap


def _decided(split, predictions):
    tally = count.count_split(predictions, split, to_native=scored.keep)
    point = base = None
    if len(split.classes) == 2:
        point = operating_point.choose(tally, scored.VALIDATION)
        base = baselines.choose(tally, scored.VALIDATION)
    rows = baselines.rows(tally, base, split)
    return operating_point.apply(tally, point, split), rows


def test_summary_names_every_metric():
    split, predictions = scored.make(8)
    tally = count.count_split(predictions, split, to_native=scored.keep)
    found = result.summary(tally)
    assert tuple(found) == overlap.METRICS
    higher = result.summary(tally, threshold=0.75)
    assert higher["recall_pooled"] < found["recall_pooled"]
    empty = count.count_split(predictions[:1], split, to_native=scored.keep)
    assert result.summary(empty)["dice_pooled"] is None


def test_an_image_that_is_missing_is_named():
    decided, rows = _decided(*scored.make(6))
    other = scored.make(8)[0]
    with pytest.raises(DataError, match="not scored: 'scan06', 'scan07'"):
        result.assemble(decided, rows, other, step=1)


def test_the_confusion_matrix_of_several_classes_is_a_loop_over_pixels():
    split, predictions = scored.make(9, k=4)
    matrix = np.zeros((4, 4), int)
    for index, probability in predictions:
        mask, answer = split[index]["mask"], probability.argmax(axis=-1)
        for truth, predicted in zip(mask.flat, answer.flat, strict=True):
            if truth != 255:
                matrix[truth, predicted] += 1
    scores = result.assemble(*_decided(split, predictions), split, step=1, resamples=2)
    assert scores["confusion"] == matrix.tolist()
    rows = {(row["name"], row["class"]): row["value"] for row in scores["metrics"]}
    for c, title in enumerate(split.classes):
        assert rows["recall_pooled", title] == matrix[c, c] / matrix[c].sum()
        assert rows["precision_pooled", title] == matrix[c, c] / matrix[:, c].sum()
    two = scored.make(6)
    assert "confusion" not in result.assemble(*_decided(*two), two[0], step=1)


@pytest.mark.parametrize("k", [2, 4])
def test_a_result_has_the_documented_keys(k):
    split, predictions = scored.make(12, k=k)
    found = result.assemble(*_decided(split, predictions), split, step=7, resamples=50)
    assert json.loads(json.dumps(found, allow_nan=False)) == found
    masks = np.concatenate([e["mask"].ravel() for e in split.examples])
    assert found["images"] == 12 and found["positive_images"] == 9
    assert found["pixels"] == (masks != 255).sum()
    assert found["ignored_pixels"] == (masks == 255).sum()
    assert found["positive_pixels"] == ((masks > 0) & (masks < 255)).sum()
    assert (found["split"], found["step"], found["split_hash"]) == ("test", 7, "f00d")
    row = found["metrics"][0]
    keys = "name class value low high support_images support_pixels policy"
    assert set(row) == set(keys.split())
    per_class = {"classes"} if k > 2 else set()
    assert set(found["baselines"][0]) == {"name", "detail", "metrics"} | per_class
    image = found["curves"]["image"]
    keys = "score average_precision roc_auc prevalence support_images"
    assert set(image) == set(keys.split()) and image["prevalence"] == 9 / 12
    if k == 2:
        keys = "threshold min_area top_threshold gate rule objective value"
        keys += " source_split split_hash optimistic"
        assert set(found["operating_point"]) == set(keys.split())
        pixel = found["curves"]["pixel"]
        assert pixel["support_pixels"] == found["pixels"]
        keys = "average_precision average_precision_error_bound pr_auc_trapezoid"
        keys += " roc_auc best_f1 best_f1_threshold prevalence support_pixels"
        assert set(keys.split()) <= set(pixel)
    else:
        assert found["operating_point"] is None and found["curves"]["pixel"] is None


def test_tables_read_back_bit_for_bit(tmp_path):
    split, predictions = scored.make(8)
    decided, _ = _decided(split, predictions)
    for _ in range(2):  # the second replaces the first
        result.write_tables(tmp_path, decided, split)
    assert sorted(p.name for p in tmp_path.iterdir()) == [
        "test_per_image.csv",
        "test_pr.csv",
    ]
    with open(tmp_path / "test_per_image.csv", newline="") as file:
        rows = list(csv.DictReader(file))
    keys = "id group positive truth_pixels predicted_pixels tp fp fn tn dice iou"
    assert list(rows[0]) == [*keys.split(), "kaggle_dice", "max_probability"]
    table = metric_table.per_image(decided.tally, split.ids, split.groups)
    for row, expected in zip(rows, table, strict=True):
        assert row["id"] == expected["id"]
        for key in ("dice", "iou", "kaggle_dice", "max_probability"):
            assert (float(row[key]) if row[key] else None) == expected[key]
    with open(tmp_path / "test_pr.csv", newline="") as file:
        rows = list(csv.DictReader(file))
    assert list(rows[0]) == ["threshold", "precision", "recall", "fpr"]
    assert len(rows) <= 500
    at = [r for r in rows if float(r["threshold"]) == 0.5][0]
    assert float(at["recall"]) == result.summary(decided.tally)["recall_pooled"]


def test_examples_are_written(tmp_path):
    split, predictions = scored.make(20)
    decided, _ = _decided(split, predictions)
    found = result.write_examples(
        tmp_path, decided, split, predictions, to_native=scored.keep
    )
    assert json.loads((tmp_path / "test_examples.json").read_text()) == found
    assert len(found) >= 7
    chosen = examples.choose(decided.tally, split.ids)
    assert [e["id"] for e in found] == [e["id"] for e in chosen]
    for e in found:
        mask = split[e["index"]]["mask"]
        for kind in ("image", "mask", "probability", "prediction"):
            path = tmp_path / "test_examples" / e[kind]
            picture = cv2.imread(str(path), cv2.IMREAD_UNCHANGED)
            assert picture.shape == mask.shape
        assert (picture[mask != 255] == 1).sum() == e["predicted_pixels"]
    with pytest.raises(DataError, match=f"examples .*{found[0]['id']}"):
        result.write_examples(tmp_path, decided, split, [], to_native=scored.keep)
