"""Two stages as one: which images pass, what a missed case costs, what is saved."""

import numpy as np
import pytest

from jaxseg import errors
from jaxseg.evaluation import two_stage
from jaxseg.run_directory import schemas, two_stage_schemas

# four images of 100 pixels: two of the class with 10 pixels each, two without
SEGMENTED = {"tp": [8, 6, 0, 0], "fp": [1, 0, 5, 3], "fn": [2, 4, 0, 0]}
EMPTIED = {"tp": [0, 0, 0, 0], "fp": [0, 0, 0, 0], "fn": [10, 10, 0, 0]}
TRUTH = np.array([1, 1, 0, 0], np.int8)
PROBABILITY = np.array([0.9, 0.4, 0.6, 0.1])
GROUPS = ["a", "b", "c", "d"]
COMPUTE = {"classify": 1e6, "segment": 4e6}


def counts(parts: dict) -> dict[str, np.ndarray]:
    out = {name: np.array(values, np.int64) for name, values in parts.items()}
    return out | {"tn": 100 - out["tp"] - out["fp"] - out["fn"]}


def chosen(probability=PROBABILITY, **options):
    return two_stage.choose(probability, counts(SEGMENTED), counts(EMPTIED), **options)


def assembled(threshold=0.5, truth=TRUTH, **options):
    frozen = {"threshold": threshold, "objective": "dice_pooled", "value": None}
    frozen |= {"image_class": "covid19", "pixel_class": "infection"}
    frozen |= {"source_split": "validation", "split_hash": "x"}
    return two_stage.assemble(
        PROBABILITY,
        truth,
        counts(SEGMENTED),
        counts(EMPTIED),
        GROUPS,
        frozen,
        compute=COMPUTE,
        resamples=200,
        **options,
    )


def test_an_image_that_does_not_pass_is_background():
    row = np.array([[[0.2, 0.3, 0.5, 7.0]]])
    gate = two_stage.Gate(np.array([True, False]), 3)
    assert two_stage.apply(gate, 0, row) is row
    np.testing.assert_allclose(two_stage.apply(gate, 1, row), [[[1.0, 0.0, 0.0, 7.0]]])
    assert row[0, 0, 2] == 0.5  # what came is left as it is


def test_the_threshold_that_makes_the_objective_largest():
    # >= .9: 16/(16+1+2+10), >= .6: + 5 wrong, >= .4: 28/(28+6+6), >= .1: + 3 wrong
    best = chosen()
    assert best["threshold"] == 0.4 and best["value"] == pytest.approx(28 / 40)
    # the mean over images, an empty one right: dropping a false alarm pays more
    kaggle = chosen(objective="dice_kaggle")
    assert kaggle["threshold"] == 0.9
    assert kaggle["value"] == pytest.approx((16 / 19 + 0 + 1 + 1) / 4)


def test_of_equal_thresholds_the_one_that_segments_least():
    best = chosen(np.array([0.9, 0.8, 0.2, 0.2]))
    assert best["threshold"] == 0.8
    none = {"tp": [0] * 4, "fp": [0] * 4, "fn": [0] * 4}
    nothing = two_stage.choose(PROBABILITY, counts(none), counts(none))
    assert nothing == {"threshold": 0.0, "objective": "dice_pooled", "value": None}
    with pytest.raises(errors.ConfigError, match="choose one of"):
        chosen(objective="dice_poled")


def test_what_a_missed_case_costs_is_end_to_end():
    block = assembled()
    ways = {row["way"]: row for row in block["ways"]}
    dice = {
        way: {m["name"]: m["value"] for m in row["metrics"]}
        for way, row in ways.items()
    }
    assert dice["segmentation"]["dice_pooled"] == pytest.approx(28 / (28 + 9 + 6))
    assert dice["true_class"]["dice_pooled"] == pytest.approx(28 / (28 + 1 + 6))
    assert dice["end_to_end"]["dice_pooled"] == pytest.approx(16 / (16 + 6 + 12))
    assert dice["end_to_end"]["dice_positives"] == pytest.approx(16 / 19 / 2)
    assert ways["segmentation"]["false_pixels"] == 8
    assert ways["end_to_end"]["false_pixels"] == 5
    assert [row["segmented"] for row in block["ways"]] == [4, 2, 2]


def test_the_flow_of_images_and_the_compute():
    block = assembled(truth=np.array([1, 1, 0, -1], np.int8))
    flow = block["flow"]
    assert flow["of_the_class"] == [1, 1] and flow["others"] == [1, 0]
    assert flow["unknown"] == [0, 1] and flow["sensitivity"] == 0.5
    assert 0 < flow["low"] < 0.5 < flow["high"] < 1
    assert block["compute"]["share_segmented"] == 0.5
    assert block["compute"]["relative_to_segmenting_all"] == pytest.approx(3 / 4)


def test_the_block_has_the_shape_that_is_read_back():
    block = assembled()
    schemas.check(block, two_stage_schemas.TwoStageResult, "test.json")
    gain = {row["name"]: row for row in block["gain"]}
    lost = 16 / 34 - 28 / 43
    assert gain["dice_pooled"]["value"] == pytest.approx(lost)
    assert gain["dice_pooled"]["low"] <= lost <= gain["dice_pooled"]["high"]
    alone = two_stage.assemble(
        PROBABILITY[:1],
        TRUTH[:1],
        {k: v[:1] for k, v in counts(SEGMENTED).items()},
        {k: v[:1] for k, v in counts(EMPTIED).items()},
        ["a"],
        {"threshold": 0.5},
        compute=COMPUTE,
    )
    assert alone["gain"] == []  # one group cannot be drawn from
    assert all(m["low"] is None for row in alone["ways"] for m in row["metrics"])
