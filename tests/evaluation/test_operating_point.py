"""The operating point: truly the best, frozen, and refused on its own images."""

import json
import logging

import numpy as np
import pytest
from support import scored

from jaxseg.errors import ConfigError
from jaxseg.evaluation import baselines, count, metric_table, operating_point
from jaxseg.evaluation import tally as tallies
from jaxseg.metrics import overlap
from jaxseg.postprocess import decision

SAME = scored.Split([], hash="v1")  # the images chosen on, under another name
AREAS = np.array([0.0, 0.08, 0.2])


@pytest.fixture(scope="module")
def tally():
    split, predictions = scored.make(12, seed=1)
    return count.count_split(predictions, split, to_native=scored.keep)


@pytest.mark.parametrize("objective", decision.OBJECTIVES)
def test_choice_is_the_best_of_all(tally, objective):
    areas = (0.0, 0.08, 0.2)
    point = operating_point.choose(
        tally, scored.VALIDATION, objective=objective, min_areas=areas
    )
    found = {}
    for area in areas:
        for threshold in decision.THRESHOLDS[::4].tolist() + [point["threshold"]]:
            at = tallies.at(tally, threshold=threshold, min_area=area)
            there = overlap.value(objective, metric_table.of_class(at, 1))
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
        tally, scored.VALIDATION, objective="dice_kaggle", min_areas=(0.0, 0.01)
    )
    assert point == {
        "threshold": 0.5,  # all thresholds are equal here: the nearest to 0.5
        "min_area": 0.01,
        "top_threshold": 0.5,
        "gate": None,
        "rule": "threshold",
        "objective": "dice_kaggle",
        "value": 1.0,
        "source_split": "validation",
        "split_hash": "v1",
    }
    pooled = operating_point.choose(tally, scored.VALIDATION, min_areas=(0.0, 0.01))
    assert pooled["min_area"] == 0.01


def test_ties_go_to_the_smallest_area(tally):
    areas = (1e-6, 0.0, 1e-7)
    point = operating_point.choose(tally, scored.VALIDATION, min_areas=areas)
    assert point["min_area"] == 0


def test_without_foreground_the_point_stays_at_one_half(caplog):
    split, predictions = scored.make(1)
    tally = count.count_split(predictions, split, to_native=scored.keep)
    with caplog.at_level(logging.WARNING):
        point = operating_point.choose(tally, scored.VALIDATION)
    assert (point["threshold"], point["min_area"], point["value"]) == (0.5, 0.0, None)
    assert baselines.choose(tally, scored.VALIDATION)["value"] is None


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
        operating_point.choose(tally, scored.VALIDATION, **kwargs)


def test_the_images_it_was_chosen_on_are_refused_under_another_name(tally):
    point = operating_point.choose(tally, scored.VALIDATION)
    base = baselines.choose(tally, scored.VALIDATION)
    with pytest.raises(ConfigError, match="'test' has the same images .*optimistic"):
        operating_point.apply(tally, point, SAME)
    with pytest.raises(ConfigError, match="'test' has the same images"):
        baselines.rows(tally, base, SAME)

    other = operating_point.apply(tally, point, scored.TEST)
    assert other.point == point | {"optimistic": False}
    assert operating_point.apply(tally, point, scored.VALIDATION).point["optimistic"]
    detail = baselines.rows(tally, base, scored.VALIDATION)[-1]["detail"]
    assert "chosen on validation" in detail and "optimistic" in detail
    away = baselines.rows(tally, base, scored.TEST)
    assert "optimistic" not in away[-1]["detail"]


def test_applying_counts_at_the_point(tally):
    point = operating_point.choose(tally, scored.VALIDATION, min_areas=(0.05,))
    decided = operating_point.apply(tally, point, scored.TEST)
    at = tallies.at(tally, threshold=point["threshold"], min_area=0.05)
    np.testing.assert_array_equal(decided.tally.hits, at.hits)
    np.testing.assert_array_equal(decided.tally.predicted, at.predicted)


def test_baselines(tally):
    point = baselines.choose(tally, scored.VALIDATION)
    rows = baselines.rows(tally, point, scored.TEST)
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
    assert operating_point.apply(tally, None, scored.TEST).point is None
    assert baselines.choose(tally, scored.VALIDATION) is None
    row = baselines.rows(tally, None, split)[0]
    assert row["name"] == "all_empty" and row["metrics"]["dice_pooled"] == 0
    with pytest.raises(ConfigError, match="needs 2 classes, not 3"):
        operating_point.choose(tally, scored.VALIDATION)
    with pytest.raises(ConfigError, match="refused for more"):
        operating_point.apply(tally, {"threshold": 0.5}, scored.TEST)


def test_a_point_of_before_still_applies(tally):
    """Without top_threshold, gate and rule it is the rule "threshold"."""
    point = operating_point.choose(tally, scored.VALIDATION, min_areas=(0.05,))
    new = ("top_threshold", "gate", "rule")
    before = {key: value for key, value in point.items() if key not in new}
    old, now = (operating_point.apply(tally, p, scored.TEST) for p in (before, point))
    np.testing.assert_array_equal(old.tally.predicted, now.tally.predicted)
    np.testing.assert_array_equal(old.tally.hits, now.tally.hits)
    assert old.point == before | {"optimistic": False}


@pytest.mark.parametrize("rule", decision.RULES)
def test_a_stored_point_comes_back_bit_for_bit(tally, rule):
    areas = {"min_areas": (0.05,), "objective": "dice_kaggle"}
    point = operating_point.choose(tally, scored.VALIDATION, rule=rule, **areas)
    assert json.loads(json.dumps(point, allow_nan=False)) == point
    with pytest.raises(ConfigError, match="'test' has the same images .*optimistic"):
        operating_point.apply(tally, point, SAME)
    itself = operating_point.apply(tally, point, scored.VALIDATION)
    found = metric_table.summary(itself.tally)
    assert found["dice_kaggle"] == pytest.approx(point["value"], abs=1e-14)


@pytest.mark.parametrize("metric", decision.OBJECTIVES)
def test_every_searched_value_is_that_of_the_point(tally, metric):
    rng = np.random.default_rng(0)
    by = {"triplet": operating_point.by_triplet, "gate": operating_point.by_gate}
    key = {"triplet": "top_threshold", "gate": "gate"}
    for rule, function in by.items():
        value = function(tally, metric, AREAS)
        plain = operating_point.by_threshold(tally, metric, AREAS)
        assert plain.shape == (1, len(AREAS), len(decision.THRESHOLDS))
        assert value.shape == (1 + len(decision.COARSE), *plain.shape[1:])
        np.testing.assert_allclose(value[:1], plain, atol=1e-9)
        drawn = [rng.integers(0, n, 60) for n in value.shape]
        drawn[2][:9] = 4 * (drawn[0][:9] - 1)  # a top that is the threshold
        for layer, area, place in zip(*drawn, strict=True):
            point = {
                "threshold": float(decision.THRESHOLDS[place]),
                "min_area": AREAS[area],
            }
            if layer:
                point[key[rule]] = float(decision.COARSE[layer - 1])
            if rule == "triplet" and layer and point[key[rule]] < point["threshold"]:
                assert np.isnan(value[layer, area, place])
                continue
            at = tallies.at(tally, **decision.settings(point))
            expected = overlap.value(metric, metric_table.of_class(at, 1))
            found = value[layer, area, place]
            assert np.isnan(found) if expected is None else abs(found - expected) < 1e-9


@pytest.mark.parametrize("rule", ["triplet", "gate"])
@pytest.mark.parametrize("objective", ["dice_kaggle", "dice_pooled"])
def test_a_richer_rule_is_never_worse(tally, rule, objective):
    choice = {"objective": objective, "min_areas": (0.0, 0.08)}
    plain = operating_point.choose(tally, scored.VALIDATION, **choice)
    rich = operating_point.choose(tally, scored.VALIDATION, rule=rule, **choice)
    assert rich["value"] >= plain["value"] - 1e-9
    assert rich["rule"] == rule and list(rich) == list(plain)
    at = tallies.at(tally, **decision.settings(rich))
    assert overlap.value(objective, metric_table.of_class(at, 1)) == rich["value"]


def _scene(positives, negatives):
    """10 x 10 images as [value, pixels] lists; the first entry is the object."""
    split, predictions = scored.make(
        len(positives + negatives), ignore=False, sizes=((10, 10),)
    )
    for i, values in enumerate(positives + negatives):
        p = np.concatenate([np.full(n, v, np.float32) for v, n in values])
        p = np.pad(p, (0, 100 - len(p)))
        predictions[i][1][...] = np.stack([1 - p, p], axis=-1).reshape(10, 10, 2)
        mask = (p > 0) if i < len(positives) else p < 0
        split[i]["mask"][:] = mask.reshape(10, 10)
    return count.count_split(predictions, split, to_native=scored.keep)


CHOICE = {"objective": "dice_kaggle", "min_areas": (0.0, 0.05)}


def test_a_triplet_keeps_the_rim_and_drops_images_without_a_core():
    """A sure core with a doubtful rim; elsewhere doubt alone, or a sure speck."""
    positives = [[(0.9, 8), (0.4, 30)]] * 2
    tally = _scene(positives, [[(0.4, 38)], [(0.9, 2), (0.4, 36)]])
    plain = operating_point.choose(tally, scored.VALIDATION, **CHOICE)
    point = operating_point.choose(tally, scored.VALIDATION, rule="triplet", **CHOICE)
    assert plain["value"] < 1 and point["value"] == 1.0
    assert point["min_area"] == 0.05 and point["gate"] is None
    assert point["threshold"] < 0.4 <= point["top_threshold"] < 0.9


def test_a_gate_empties_images_without_a_sure_pixel():
    positives = [[(0.9, 1), (0.4, 37)]] * 2
    tally = _scene(positives, [[(0.4, 38)], [(0.625, 2), (0.4, 36)]])
    plain = operating_point.choose(tally, scored.VALIDATION, **CHOICE)
    point = operating_point.choose(tally, scored.VALIDATION, rule="gate", **CHOICE)
    assert plain["value"] < 1 and point["value"] == 1.0
    assert 0.625 in decision.COARSE and point["gate"] == 0.625  # not above it: empty
    assert point["threshold"] < 0.4
    assert point["top_threshold"] == point["threshold"] and point["min_area"] == 0


@pytest.mark.parametrize("rule", decision.RULES)
def test_without_need_the_simplest_rule_is_stored(rule):
    tally = _scene([[(1.0, 20)]], [[(0.0, 1)]])
    point = operating_point.choose(tally, scored.VALIDATION, rule=rule, **CHOICE)
    assert (point["threshold"], point["min_area"], point["gate"]) == (0.5, 0.0, None)
    assert point["top_threshold"] == 0.5 and point["value"] == 1.0


def test_more_images_than_one_chunk(tally, monkeypatch):
    searches = (operating_point.by_triplet, operating_point.by_gate)
    whole = [search(tally, "iou_kaggle", AREAS) for search in searches]
    monkeypatch.setattr(operating_point, "_IMAGES", 5)
    parts = [search(tally, "iou_kaggle", AREAS) for search in searches]
    np.testing.assert_array_equal(whole, parts)


def test_points_that_mean_nothing_are_refused(tally):
    with pytest.raises(ConfigError, match="top threshold 0.25 is below .* 0.5"):
        tallies.at(tally, threshold=0.5, top_threshold=0.25)
    with pytest.raises(ConfigError, match="nearest that is: 0.80078125"):
        tallies.at(tally, threshold=0.5, top_threshold=0.8)
