"""Blackening and whitening equal a loop over masks; tables by threshold too."""

import json

import cv2
import numpy as np
import pytest
from scipy import ndimage
from support import decided, scored

from jaxseg.evaluation import (
    decided_masks,
    image_blocks,
    image_level,
    operating_point,
    overlap_rows,
    surfaces,
    tolerant_truth,
)
from jaxseg.metrics import region_overlap
from jaxseg.postprocess import decision
from jaxseg.run_directory import image_schemas, schemas

EIGHT = np.ones((3, 3))


@pytest.fixture(scope="module")
def case():
    """(split, predictions, tally, plain, frozen): a high threshold empties masks."""
    split, predictions, scores = decided.make(seed=1)
    tally = decided.tally_of(split, predictions, scores)
    high = float(decision.THRESHOLDS[np.searchsorted(decision.THRESHOLDS, 0.97)])
    point = {"threshold": high, "min_area": 0.0} | operating_point.source(
        scored.VALIDATION
    )
    plain = operating_point.apply(tally, point, split)
    frozen = image_level.choose(tally, scored.VALIDATION)
    frozen["whitening"] = decided_masks.choose(
        plain, tally, frozen, objective="dice_pooled"
    )
    return split, predictions, tally, plain, frozen


def _loop(case, *, blacken=False, whiten=False):
    """The row of a rule, from masks."""
    split, predictions, tally, plain, frozen = case
    each, pooled, changed = [], np.zeros(3), 0
    for i, probability in predictions:
        mask = split[i]["mask"]
        labelled, truth = mask != 255, mask == 1
        before = (probability[..., 1] > plain.point["threshold"]) & labelled
        yes, marked = tally.image_score[i] >= np.float32(frozen["threshold"]), before
        if whiten and yes and not before.any():
            marked = (probability[..., 1] > frozen["whitening"]["threshold"]) & labelled
        if blacken and not yes:
            marked = np.zeros_like(before)
        changed += (marked != before).any()
        right = (marked & truth).sum()
        pooled += right, marked.sum(), truth.sum()
        if labelled.any():
            total = marked.sum() + truth.sum()
            dice = 2 * right / total if total else 1.0
            each.append((truth.any(), dice, dice / (2 - dice)))
    each = np.array(each)
    of_positives = each[each[:, 0] == 1]
    right, marked, truth = pooled
    return {
        "changed_images": changed,
        "precision": right / marked,
        "recall": right / truth,
        "f1": 2 * right / (marked + truth),
        "iou": right / (marked + truth - right),
        "dice_positives": of_positives[:, 1].mean(),
        "dice_positives_deviation": of_positives[:, 1].std(),
        "iou_positives": of_positives[:, 2].mean(),
        "dice_all": each[:, 1].mean(),
        "iou_all_deviation": each[:, 2].std(),
    }


@pytest.mark.parametrize(
    "name, rules",
    [
        ("plain", {}),
        ("blackened", {"blacken": True}),
        ("whitened", {"whiten": True}),
        ("blackened_whitened", {"blacken": True, "whiten": True}),
    ],
)
def test_rules_are_those_of_a_loop_over_masks(case, name, rules):
    split, _, tally, plain, frozen = case
    block = decided_masks.assemble(plain, tally, frozen)
    schemas.check(json.loads(json.dumps(block)), image_schemas.PostProcessing, "test")
    row = next(row for row in block["rows"] if row["name"] == name)
    want = _loop(case, **rules)
    assert want["changed_images"] > 0 or name == "plain"
    for key, value in want.items():
        assert row[key] == pytest.approx(value, rel=1e-9), key
    masks = [e["mask"] for e in split.examples]
    assert block["images"] == sum((m != 255).any() for m in masks)
    assert block["positives"] == sum((m == 1).any() for m in masks)


def test_whitening_has_the_best_threshold_below_that_of_the_point(case):
    *_, frozen = case
    plain = case[3]
    lower = [t for t in decision.COARSE if t < plain.point["threshold"]]
    values = []
    for t in lower:
        tried = (*case[:4], frozen | {"whitening": {"threshold": float(t)}})
        values.append(_loop(tried, whiten=True)["f1"])
    assert frozen["whitening"]["value"] == pytest.approx(max(values), rel=1e-9)
    assert (
        frozen["whitening"]["threshold"]
        in np.array(lower)[np.isclose(values, max(values), rtol=1e-12)]
    )


def test_the_threshold_of_these_images_says_that_it_is_optimistic(case):
    _, _, tally, plain, frozen = case
    rows = decided_masks.assemble(plain, tally, frozen)["rows"]
    row = next(row for row in rows if row["name"] == "optimistic_threshold")
    assert "these very images: optimistic" in row["detail"]
    by = operating_point.by_threshold(tally, "dice_pooled", np.zeros(1))
    assert row["f1"] == np.nanmax(by) and row["f1"] > rows[0]["f1"]


def test_without_a_threshold_or_a_head_no_rule_is_applied(case):
    split, predictions, tally, plain, frozen = case
    none = frozen | {"threshold": None}
    rows = decided_masks.assemble(plain, tally, none)["rows"]
    assert [row["name"] for row in rows] == ["plain", "optimistic_threshold"]
    assert decided_masks.choose(plain, tally, none, objective="dice_pooled") is None
    headless = decided.tally_of(split, predictions, None)
    chosen = image_level.choose(headless, scored.VALIDATION)
    plain = operating_point.apply(headless, plain.point, split)
    assert decided_masks.assemble(plain, headless, chosen) is None


def test_blocks_hold_the_table_by_threshold_and_the_dilated_truth(case):
    split, predictions, tally, plain, frozen = case
    options = {"seed": 0, "resamples": 20}
    scores = image_blocks.of_counts(plain, tally, {"image": frozen}, split, **options)
    assert set(scores) == {"image_level", "post_processing", "by_threshold"}
    assert image_blocks.of_counts(plain, tally, {}, split, **options) == {}
    measured = surfaces.measure(
        predictions, split, point=plain.point, tolerance=2.0, to_native=scored.keep
    )
    more = image_blocks.of_pixels(scores, tally, measured, split, **options)
    assert "5x5 cross" in more["by_threshold_dilated"]["policy"]
    cross = cv2.getStructuringElement(cv2.MORPH_CROSS, (5, 5)).astype(bool)
    tables = (
        (scores["by_threshold"], lambda truth: truth),
        (
            more["by_threshold_dilated"],
            lambda truth: ndimage.binary_dilation(truth, cross),
        ),
    )
    for block, grown in tables:
        schemas.check(
            json.loads(json.dumps(block)), image_schemas.ByPixelThreshold, "test"
        )
        assert len(block["rows"]) == 19
        for row in block["rows"][::6]:
            right = marked = truth_pixels = 0
            for i, probability in predictions:
                labelled = split[i]["mask"] != 255
                truth = grown(split[i]["mask"] == 1) & labelled
                above = (probability[..., 1] > np.float32(row["threshold"])) & labelled
                right += (above & truth).sum()
                marked, truth_pixels = marked + above.sum(), truth_pixels + truth.sum()
            assert row["precision"] == right / marked
            assert row["recall"] == right / truth_pixels
            assert row["f1"] == 2 * right / (marked + truth_pixels)
    assert [row["threshold"] for row in tables[0][0]["rows"]] == pytest.approx(
        np.arange(1, 20) / 20, abs=0.01
    )


def test_regions_are_those_of_every_image(case):
    split, predictions, tally, plain, _ = case
    measured = surfaces.measure(
        predictions, split, point=plain.point, tolerance=2.0, to_native=scored.keep
    )
    block = tolerant_truth.of_regions(tally, measured, split, resamples=30)
    covered, regions, scores = 0, 0, []
    for i, probability in predictions:
        truth = split[i]["mask"] == 1
        part, number = region_overlap.measure(
            truth, probability[..., 1], decision.THRESHOLDS
        )
        covered, regions = covered + part, regions + number
        scores.append(probability[..., 1][split[i]["mask"] == 0])
        assert number == ndimage.label(truth, EIGHT)[1]
    background = np.concatenate(scores)
    false = (background[:, None] > decision.THRESHOLDS.astype(np.float32)).sum(0)
    want = region_overlap.value(covered, regions, false, len(background))
    assert block["value"] == pytest.approx(want, rel=1e-12)
    assert block["low"] < block["value"] < block["high"]
    assert block["regions"] == regions
    schemas.check(json.loads(json.dumps(block)), image_schemas.RegionOverlap, "test")


def test_deviations_and_means_of_nothing_are_undefined():
    split, predictions, scores = decided.make(4)
    for example in split.examples:
        example["mask"][:] = 255
    row = overlap_rows.row(decided.tally_of(split, predictions, scores))
    assert set(row.values()) == {None}
