"""Rules of the operating point: counted exactly, searched truly, one for all uses."""

import itertools

import numpy as np
import pytest
from support import scored

from jaxseg.errors import ConfigError
from jaxseg.evaluation import count, metric_table, operating_point, search
from jaxseg.evaluation import tally as tallies
from jaxseg.metrics import histograms, overlap
from jaxseg.postprocess import decision

SOURCE = {"source_split": "validation", "split_hash": "v1"}
AREAS = np.array([0.0, 0.08, 0.2])


@pytest.fixture(scope="module")
def made():
    split, predictions = scored.make(12, seed=1)
    return (
        split,
        predictions,
        count.count_split(predictions, split, to_native=scored.keep),
    )


def _brute(probability, mask, *, threshold, top, area, gate):
    """(tp, fp) of the rule, pixel by pixel, from its words."""
    keep = mask != 255
    p = probability[..., 1].astype(np.float64)
    guess = (p > threshold) & keep
    if ((p > top) & keep).sum() < area * keep.sum():
        guess[:] = False
    if gate is not None and not (p[keep] > gate).any():
        guess[:] = False
    return (guess & (mask == 1)).sum(), (guess & (mask == 0)).sum()


@pytest.mark.parametrize("seed", range(4))
def test_counts_pictures_and_brute_force_agree(seed):
    """Odd sizes, 1 x N images, ignored pixels, saturated scores and scores on edges."""
    rng = np.random.default_rng(seed)
    sizes = ((1, 1), (1, 30), (7, 5), (9, 9))
    split, predictions = scored.make(16, seed=seed, sizes=sizes)
    for _, p in predictions:
        p[..., 1] = np.where(
            rng.random(p.shape[:2]) < 0.2, np.rint(p[..., 1]), p[..., 1]
        )
        p.flat[1] = rng.choice(search.COARSE)
        p[..., 0] = 1 - p[..., 1]
    predictions[3][1][...] = np.array([1, 0])  # no score above any threshold
    split[6]["mask"][:] = 255
    tally = count.count_split(predictions, split, to_native=scored.keep)
    emptied = 0
    for _ in range(40):
        low, high = sorted(rng.choice(histograms.GRID, 2).tolist())
        area = float(rng.choice([0, 1e-9, 0.05, 0.2]))
        gate = rng.choice([None, *search.COARSE[50:], *tally.max_probability.tolist()])
        settings = {"threshold": low, "min_area": area, "top_threshold": high}
        point = settings | {"gate": gate, "rule": "any", "objective": "dice_pooled"}
        at = tallies.at_point(tally, point)
        one = metric_table.of_class(at, 1)
        for row, (index, probability) in enumerate(predictions):
            mask = split[index]["mask"]
            rule = {"threshold": low, "top": high, "area": area, "gate": gate}
            tp, fp = _brute(probability, mask, **rule)
            assert (one["tp"][row], one["fp"][row]) == (tp, fp), (point, index)
            for given in (probability, probability[..., 1:]):
                shown = decision.decide(given, mask, point)[mask != 255].sum()
                assert shown == tp + fp
            emptied += (tp + fp == 0) and bool((probability[..., 1] > low).any())
    assert emptied > 40  # the rules had work to do


@pytest.mark.parametrize("metric", decision.OBJECTIVES)
def test_every_searched_value_is_that_of_the_point(made, metric):
    tally, rng = made[2], np.random.default_rng(0)
    by = {"triplet": search.by_triplet, "gate": search.by_gate}
    key = {"triplet": "top_threshold", "gate": "gate"}
    for rule, function in by.items():
        value = function(tally, metric, AREAS)
        assert value.shape == (1 + len(search.COARSE), len(AREAS), len(histograms.GRID))
        np.testing.assert_allclose(
            value[0], search.by_threshold(tally, metric, AREAS), atol=1e-9
        )
        drawn = [rng.integers(0, n, 60) for n in value.shape]
        drawn[2][:9] = 4 * (drawn[0][:9] - 1)  # a top that is the threshold
        for layer, area, place in zip(*drawn, strict=True):
            point = {
                "threshold": float(histograms.GRID[place]),
                "min_area": AREAS[area],
            }
            if layer:
                point[key[rule]] = float(search.COARSE[layer - 1])
            if rule == "triplet" and layer and point[key[rule]] < point["threshold"]:
                assert np.isnan(value[layer, area, place])
                continue
            at = tallies.at_point(tally, point)
            expected = overlap.value(metric, metric_table.of_class(at, 1))
            found = value[layer, area, place]
            assert np.isnan(found) if expected is None else abs(found - expected) < 1e-9


@pytest.mark.parametrize("rule", ["triplet", "gate"])
@pytest.mark.parametrize("objective", ["dice_kaggle", "dice_pooled"])
def test_a_richer_rule_is_never_worse(made, rule, objective):
    choice = {"objective": objective, "min_areas": (0.0, 0.08), **SOURCE}
    plain = operating_point.choose(made[2], **choice)
    rich = operating_point.choose(made[2], rule=rule, **choice)
    assert rich["value"] >= plain["value"] - 1e-9
    assert rich["rule"] == rule and list(rich) == list(plain)
    at = tallies.at_point(made[2], rich)
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


CHOICE = {"objective": "dice_kaggle", "min_areas": (0.0, 0.05), **SOURCE}


def test_a_triplet_keeps_the_rim_and_drops_images_without_a_core():
    """A sure core with a doubtful rim; elsewhere doubt alone, or a sure speck."""
    positives = [[(0.9, 8), (0.4, 30)]] * 2
    tally = _scene(positives, [[(0.4, 38)], [(0.9, 2), (0.4, 36)]])
    plain = operating_point.choose(tally, **CHOICE)
    point = operating_point.choose(tally, rule="triplet", **CHOICE)
    assert plain["value"] < 1 and point["value"] == 1.0
    assert point["min_area"] == 0.05 and point["gate"] is None
    assert point["threshold"] < 0.4 <= point["top_threshold"] < 0.9


def test_a_gate_empties_images_without_a_sure_pixel():
    positives = [[(0.9, 1), (0.4, 37)]] * 2
    tally = _scene(positives, [[(0.4, 38)], [(0.625, 2), (0.4, 36)]])
    plain = operating_point.choose(tally, **CHOICE)
    point = operating_point.choose(tally, rule="gate", **CHOICE)
    assert plain["value"] < 1 and point["value"] == 1.0
    assert 0.625 in search.COARSE and point["gate"] == 0.625  # not above it: empty
    assert point["threshold"] < 0.4
    assert point["top_threshold"] == point["threshold"] and point["min_area"] == 0


@pytest.mark.parametrize("rule", decision.RULES)
def test_without_need_the_simplest_rule_is_stored(rule):
    tally = _scene([[(1.0, 20)]], [[(0.0, 1)]])
    point = operating_point.choose(tally, rule=rule, **CHOICE)
    assert (point["threshold"], point["min_area"], point["gate"]) == (0.5, 0.0, None)
    assert point["top_threshold"] == 0.5 and point["value"] == 1.0


def test_more_images_than_one_chunk(made, monkeypatch):
    whole = [
        f(made[2], "iou_kaggle", AREAS) for f in (search.by_triplet, search.by_gate)
    ]
    monkeypatch.setattr(search, "_ROWS", 5)
    parts = [
        f(made[2], "iou_kaggle", AREAS) for f in (search.by_triplet, search.by_gate)
    ]
    for a, b in itertools.zip_longest(whole, parts):
        np.testing.assert_array_equal(a, b)


def test_points_that_mean_nothing_are_refused(made):
    with pytest.raises(ConfigError, match="top threshold 0.25 is below .* 0.5"):
        tallies.at(made[2], threshold=0.5, top_threshold=0.25)
    with pytest.raises(ConfigError, match="nearest that is: 0.80078125"):
        tallies.at(made[2], threshold=0.5, top_threshold=0.8)
