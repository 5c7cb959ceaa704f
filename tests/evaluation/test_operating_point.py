"""The operating point: truly the best, frozen, and refused on its own images."""

import json
import logging

import numpy as np
import pytest
from support import scored

from jaxseg.errors import ConfigError
from jaxseg.evaluation import baselines, count, metric_table, operating_point
from jaxseg.evaluation import tally as tallies
from jaxseg.metrics import histograms, overlap
from jaxseg.postprocess import decision

SOURCE = {"source_split": "validation", "split_hash": "v1"}


@pytest.fixture(scope="module")
def tally():
    split, predictions = scored.make(12, seed=1)
    return count.count_split(predictions, split, to_native=scored.keep)


@pytest.mark.parametrize("objective", decision.OBJECTIVES)
def test_choice_is_the_best_of_all(tally, objective):
    areas = (0.0, 0.08, 0.2)
    point = operating_point.choose(
        tally, **SOURCE, objective=objective, min_areas=areas
    )
    metric = objective.replace("f1_", "dice_")
    found = {}
    for area in areas:
        for threshold in histograms.GRID[::4].tolist() + [point["threshold"]]:
            at = tallies.at(tally, threshold=threshold, min_area=area)
            there = overlap.value(metric, metric_table.of_class(at, 1))
            found[threshold, area] = -1.0 if there is None else there
    value = found[point["threshold"], point["min_area"]]
    assert value == pytest.approx(point["value"], abs=1e-14)
    assert max(found.values()) <= value + 1e-14
    assert point["objective"] == objective and point["source_split"] == "validation"
    assert found[0.5, 0.0] < value  # there was something to choose


def test_a_minimum_area_helps_when_small_detections_are_false():
    split, predictions = scored.make(8, ignore=False, sizes=((16, 16),))
    for index, probability in predictions:
        foreground = (split[index]["mask"] == 1).astype(np.float32)
        foreground[0, 0] = index % 4 == 0  # one wrong pixel in every empty image
        probability[...] = np.stack([1 - foreground, foreground], axis=-1)
    tally = count.count_split(predictions, split, to_native=scored.keep)
    point = operating_point.choose(
        tally, **SOURCE, objective="dice_kaggle", min_areas=(0.0, 0.01)
    )
    assert point == {
        "threshold": 0.5,  # all thresholds are equal here: the nearest to 0.5
        "min_area": 0.01,
        "top_threshold": 0.5,
        "gate": None,
        "rule": "threshold",
        "objective": "dice_kaggle",
        "value": 1.0,
        **SOURCE,
    }
    pooled = operating_point.choose(tally, **SOURCE, min_areas=(0.0, 0.01))
    assert pooled["min_area"] == 0.01


def test_ties_go_to_the_smallest_area(tally):
    areas = (1e-6, 0.0, 1e-7)
    assert operating_point.choose(tally, **SOURCE, min_areas=areas)["min_area"] == 0


def test_without_foreground_the_point_stays_at_one_half(caplog):
    split, predictions = scored.make(1)
    tally = count.count_split(predictions, split, to_native=scored.keep)
    with caplog.at_level(logging.WARNING):
        point = operating_point.choose(tally, **SOURCE)
    assert (point["threshold"], point["min_area"], point["value"]) == (0.5, 0.0, None)
    assert baselines.choose(tally, **SOURCE)["value"] is None


@pytest.mark.parametrize(
    "kwargs, message",
    [
        ({"objective": "dice"}, "'dice': choose one of .*dice_pooled"),
        ({"min_areas": (0, 600)}, "shares of the image from 0 to 1"),
        ({"min_areas": ()}, "shares of the image"),
        ({"rule": "triple"}, "rule 'triple': choose one of .*'triplet'"),
    ],
)
def test_wrong_settings_are_named(tally, kwargs, message):
    with pytest.raises(ConfigError, match=message):
        operating_point.choose(tally, **SOURCE, **kwargs)


def test_the_images_it_was_chosen_on_are_refused_under_another_name(tally):
    point = operating_point.choose(tally, **SOURCE)
    base = baselines.choose(tally, **SOURCE)
    same = {"split": "test", "split_hash": "v1"}
    with pytest.raises(ConfigError, match="'test' has the same images .*optimistic"):
        operating_point.apply(tally, point, **same)
    with pytest.raises(ConfigError, match="'test' has the same images"):
        baselines.rows(tally, base, **same)

    other = operating_point.apply(tally, point, split="test", split_hash="t1")
    assert other.point == point | {"optimistic": False}
    itself = {"split": "validation", "split_hash": "v1"}
    assert operating_point.apply(tally, point, **itself).point["optimistic"]
    detail = baselines.rows(tally, base, **itself)[-1]["detail"]
    assert "chosen on validation" in detail and "optimistic" in detail
    away = baselines.rows(tally, base, split="test", split_hash="t1")
    assert "optimistic" not in away[-1]["detail"]


def test_applying_counts_at_the_point(tally):
    point = operating_point.choose(tally, **SOURCE, min_areas=(0.05,))
    applied = operating_point.apply(tally, point, split="test", split_hash="t1")
    at = tallies.at(tally, threshold=point["threshold"], min_area=0.05)
    np.testing.assert_array_equal(applied.tally.hits, at.hits)
    np.testing.assert_array_equal(applied.tally.predicted, at.predicted)


def test_baselines(tally):
    point = baselines.choose(tally, **SOURCE)
    rows = baselines.rows(tally, point, split="test", split_hash="t1")
    found = {row["name"]: row["metrics"] for row in rows}
    names = ["all_empty", "all_foreground", "majority_class", "best_global_threshold"]
    assert list(found) == names
    assert found["majority_class"] == found["all_empty"]  # most of it is background
    assert all(set(row) == {"name", "detail", "metrics"} for row in rows)
    assert found["all_empty"]["dice_kaggle"] == 3 / 12  # the share of empty images
    assert found["all_empty"]["dice_pooled"] == 0
    assert found["all_empty"]["precision_pooled"] is None
    assert found["all_foreground"]["recall_pooled"] == 1
    share = tally.truth[:, 1].sum() / tally.pixels.sum()
    assert found["all_foreground"]["precision_pooled"] == share
    assert found["best_global_threshold"]["dice_pooled"] == point["value"]
    assert point["value"] > 2 * share / (1 + share)  # better than all-foreground


def test_more_than_two_classes_take_the_most_probable():
    split, predictions = scored.make(6, k=3)
    tally = count.count_split(predictions, split, to_native=scored.keep)
    where = {"split": "test", "split_hash": "t1"}
    assert operating_point.apply(tally, None, **where).point is None
    assert baselines.choose(tally, **SOURCE) is None
    row = baselines.rows(tally, None, **where)[0]
    assert row["name"] == "all_empty" and row["metrics"]["dice_pooled"] == 0
    with pytest.raises(ConfigError, match="needs 2 classes, not 3"):
        operating_point.choose(tally, **SOURCE)
    with pytest.raises(ConfigError, match="refused for more"):
        operating_point.apply(tally, {"threshold": 0.5}, **where)


def test_a_point_of_before_still_applies(tally):
    """Without top_threshold, gate and rule it is the rule "threshold"."""
    point = operating_point.choose(tally, **SOURCE, min_areas=(0.05,))
    new = ("top_threshold", "gate", "rule")
    before = {key: value for key, value in point.items() if key not in new}
    where = {"split": "test", "split_hash": "t1"}
    old, now = (operating_point.apply(tally, p, **where) for p in (before, point))
    np.testing.assert_array_equal(old.tally.predicted, now.tally.predicted)
    np.testing.assert_array_equal(old.tally.hits, now.tally.hits)
    assert old.point == before | {"optimistic": False}


@pytest.mark.parametrize("rule", decision.RULES)
def test_a_stored_point_comes_back_bit_for_bit(tally, rule):
    areas = {"min_areas": (0.05,), "objective": "dice_kaggle"}
    point = operating_point.choose(tally, **SOURCE, rule=rule, **areas)
    assert json.loads(json.dumps(point, allow_nan=False)) == point
    with pytest.raises(ConfigError, match="'test' has the same images .*optimistic"):
        operating_point.apply(tally, point, split="test", split_hash="v1")
    itself = {"split": "validation", "split_hash": "v1"}
    found = metric_table.summary(operating_point.apply(tally, point, **itself).tally)
    assert found["dice_kaggle"] == pytest.approx(point["value"], abs=1e-14)
