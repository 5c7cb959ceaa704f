"""Scoring a split end to end: native size, completeness, files, and same bits."""

import csv
import json
import threading

import cv2
import numpy as np
import pytest
from support import scored

from jaxseg.errors import ConfigError, DataError, NotFinite
from jaxseg.evaluation import (
    baselines,
    count,
    examples,
    metric_table,
    operating_point,
    result,
)
from jaxseg.evaluation import tally as tallies
from jaxseg.metrics import overlap


def _applied(split, predictions):
    tally = count.count_split(predictions, split, to_native=scored.keep)
    source = {"source_split": "validation", "split_hash": "v1"}
    where = {"split": "test", "split_hash": split.hash}
    point = base = None
    if len(split.classes) == 2:
        point = operating_point.choose(tally, **source)
        base = baselines.choose(tally, **source)
    rows = baselines.rows(tally, base, **where)
    return operating_point.apply(tally, point, **where), rows


def test_probabilities_are_counted_at_native_size():
    split, predictions = scored.make(6)
    sizes = []

    def to_native(probability, size):
        sizes.append(tuple(size))
        return cv2.resize(probability, size[::-1], interpolation=cv2.INTER_LINEAR)

    small = [(i, cv2.resize(p, (8, 8))) for i, p in predictions]
    tally = count.count_split(small, split, to_native=to_native)
    assert sorted(sizes) == sorted(e["mask"].shape for e in split.examples)
    for row, (index, probability) in enumerate(small):
        mask = split[index]["mask"]
        grown = cv2.resize(probability, mask.shape[::-1])[..., 1]
        guess = (grown > 0.5) & (mask != 255)
        assert tally.predicted[row, 1] == guess.sum()
        assert tally.hits[row, 1] == (guess & (mask == 1)).sum()


@pytest.mark.parametrize("k", [2, 3])
def test_any_order_threads_and_processes_give_the_same_bits(k):
    split, predictions = scored.make(9, k=k)
    one = count.count_split(predictions, split, to_native=scored.keep, threads=1)
    shares = [predictions[5:][::-1], [], predictions[:5]]
    parts = [
        count.count_split(s, split, to_native=scored.keep, threads=3) for s in shares
    ]
    arrays = [tallies.to_arrays(t) for t in parts]
    joined = {key: np.concatenate([a[key] for a in arrays]) for key in arrays[0]}
    many = tallies.from_arrays(joined, num_classes=k)
    for key, value in tallies.to_arrays(one).items():
        np.testing.assert_array_equal(value, tallies.to_arrays(many)[key], key)
    assert result.summary(one) == result.summary(many)


def test_memory_is_bounded():
    """The iterator is never more than a few images ahead of the counting."""
    split, predictions = scored.make(40)
    lock, seen, ahead = threading.Lock(), {"out": 0, "in": 0}, []

    def stream():
        for item in predictions:
            seen["out"] += 1
            ahead.append(seen["out"] - seen["in"])
            yield item

    def to_native(probability, size):
        with lock:
            seen["in"] += 1
        return probability

    count.count_split(stream(), split, to_native=to_native, threads=2)
    assert seen["in"] == 40 and max(ahead) <= 5


def test_what_is_wrong_is_named():
    split, predictions = scored.make(6)
    keep = {"to_native": scored.keep}
    with pytest.raises(DataError, match="more than once: 'scan03'"):
        count.count_split([*predictions, predictions[3]], split, **keep)
    with pytest.raises(ConfigError, match="predicts 3 classes, .* num_classes to 2"):
        count.count_split(scored.make(1, k=3)[1], split, **keep)
    predictions[4][1][:] = np.nan
    with pytest.raises(NotFinite, match="'scan04' range from nan"):
        count.count_split(predictions, split, **keep)
    applied, rows = _applied(*scored.make(6))
    other = scored.make(8)[0]
    with pytest.raises(DataError, match="not scored: 'scan06', 'scan07'"):
        result.report(applied, rows, other, name="test", step=1)


def test_summary_names_every_metric():
    split, predictions = scored.make(8)
    tally = count.count_split(predictions, split, to_native=scored.keep)
    found = result.summary(tally)
    assert tuple(found) == overlap.METRICS
    higher = result.summary(tally, threshold=0.75)
    assert higher["recall_pooled"] < found["recall_pooled"]
    empty = count.count_split(predictions[:1], split, to_native=scored.keep)
    assert result.summary(empty)["dice_pooled"] is None


@pytest.mark.parametrize("k", [2, 4])
def test_report_has_the_documented_keys(k, tmp_path):
    split, predictions = scored.make(12, k=k)
    applied, rows = _applied(split, predictions)
    found = result.report(applied, rows, split, name="test", step=7, resamples=50)
    result.write_report(tmp_path, found)
    assert json.loads((tmp_path / "test.json").read_text()) == found
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
    applied, _ = _applied(split, predictions)
    for _ in range(2):  # the second replaces the first
        result.write_tables(tmp_path, applied, split, name="test")
    assert sorted(p.name for p in tmp_path.iterdir()) == [
        "test_per_image.csv",
        "test_pr.csv",
    ]
    with open(tmp_path / "test_per_image.csv", newline="") as file:
        rows = list(csv.DictReader(file))
    keys = "id group positive truth_pixels predicted_pixels tp fp fn tn dice iou"
    assert list(rows[0]) == [*keys.split(), "kaggle_dice", "max_probability"]
    known = metric_table.per_image(applied.tally, split.ids, split.groups)
    for row, expected in zip(rows, known, strict=True):
        assert row["id"] == expected["id"]
        for key in ("dice", "iou", "kaggle_dice", "max_probability"):
            assert (float(row[key]) if row[key] else None) == expected[key]
    with open(tmp_path / "test_pr.csv", newline="") as file:
        rows = list(csv.DictReader(file))
    assert list(rows[0]) == ["threshold", "precision", "recall", "fpr"]
    assert len(rows) <= 500
    at = [r for r in rows if float(r["threshold"]) == 0.5][0]
    assert float(at["recall"]) == result.summary(applied.tally)["recall_pooled"]


def test_examples_are_written(tmp_path):
    split, predictions = scored.make(20)
    applied, _ = _applied(split, predictions)
    write = {"name": "test", "to_native": scored.keep}
    found = result.write_examples(tmp_path, applied, split, predictions, **write)
    assert json.loads((tmp_path / "test_examples.json").read_text()) == found
    assert len(found) >= 7
    chosen = examples.choose(applied.tally, split.ids)
    assert [e["id"] for e in found] == [e["id"] for e in chosen]
    for e in found:
        mask = split[e["index"]]["mask"]
        for kind in ("image", "mask", "probability", "prediction"):
            path = tmp_path / "test_examples" / e[kind]
            picture = cv2.imread(str(path), cv2.IMREAD_UNCHANGED)
            assert picture.shape == mask.shape
        assert (picture[mask != 255] == 1).sum() == e["predicted_pixels"]
    with pytest.raises(DataError, match=f"examples .*{found[0]['id']}"):
        result.write_examples(tmp_path, applied, split, [], **write)
