"""Metrics from counts: fixtures worked by hand, policies, and scikit-learn."""

import hypothesis
import numpy as np
import pytest
from hypothesis import strategies
from sklearn import metrics as sklearn

from jaxseg.metrics import overlap


def _counts(*images):
    """Images as (tp, fp, fn, tn)."""
    columns = np.array(images, np.int64).T
    return dict(zip(("tp", "fp", "fn", "tn"), columns, strict=True))


def test_f1_of_the_crack_report():
    found = _counts((1000, 4, 3, 0), (480, 6, 0, 202))
    assert overlap.value("dice_pooled", found) == pytest.approx(0.9956273, abs=5e-8)


def test_f1_and_iou_of_the_pneumothorax_report():
    # precision 0.6718 and recall 0.66 as whole pixels: tp / 0.6718 and tp / 0.66
    tp = 6718 * 6600
    found = _counts((tp, 6600 * 10000 - tp, 6718 * 10000 - tp, 0))
    assert overlap.value("precision_pooled", found) == 0.6718
    assert overlap.value("recall_pooled", found) == 0.66
    assert overlap.value("dice_pooled", found) == pytest.approx(0.665848, abs=5e-7)
    assert overlap.value("iou_pooled", found) == pytest.approx(0.499079, abs=5e-7)


@pytest.mark.parametrize("dice, iou", [(0.6095, 0.438332), (0.7218, 0.564700)])
def test_iou_of_a_pooled_dice(dice, iou):
    tp = round(1e8 * dice)
    found = _counts((tp, 10**8 - tp, 10**8 - tp, 0))
    assert overlap.value("dice_pooled", found) == pytest.approx(dice, abs=1e-12)
    assert overlap.value("iou_pooled", found) == pytest.approx(iou, abs=5e-7)


def test_kaggle_dice():
    cases = _counts((0, 0, 0, 9), (4, 0, 0, 5), (0, 1, 0, 8), (1, 1, 1, 6))
    assert overlap.value("dice_kaggle", cases) == 0.625  # (1 + 1 + 0 + 0.5) / 4
    empty = _counts(*[(0, 0, 0, 9)] * 8296, *[(0, 0, 2, 7)] * 2379)
    assert overlap.value("dice_kaggle", empty) == 8296 / 10675
    assert 8296 / 10675 == pytest.approx(0.777143, abs=5e-7)


def test_each_policy_keeps_its_word():
    cases = _counts((0, 0, 0, 9), (4, 0, 0, 5), (0, 1, 0, 8), (1, 1, 1, 6))
    assert overlap.value("dice_image_skip_empty", cases) == 1.5 / 3
    assert overlap.value("dice_positives", cases) == 1.5 / 2
    assert overlap.value("iou_positives", cases) == (1 + 1 / 3) / 2
    assert overlap.support("dice_image_skip_empty", cases) == (3, 6)
    assert overlap.support("dice_positives", cases) == (2, 6)
    assert overlap.support("dice_kaggle", cases) == (4, 6)
    assert overlap.support("dice_pooled", cases) == (2, 6)
    assert overlap.support("specificity_pooled", cases) == (4, 30)
    assert overlap.each("dice_pooled", cases) == [None, 1.0, 0.0, 0.5]
    for name in overlap.METRICS:
        assert "n/a" in overlap.policy(name) or "mean over" in overlap.policy(name)


@pytest.mark.parametrize("false_positives", [0, 7])
def test_an_absent_class_has_no_value(false_positives):
    absent = _counts((0, false_positives, 0, 9 - false_positives), (0, 0, 0, 9))
    for name in overlap.METRICS:
        value = overlap.value(name, absent)
        if name.endswith("_kaggle"):
            assert value == (0.5 if false_positives else 1.0)
        elif name == "specificity_pooled":
            assert value == (18 - false_positives) / 18
        else:
            assert value is None, name


def test_absent_classes_stay_out_of_a_mean():
    assert overlap.mean_of_present([0.5, None, 1.0]) == 0.75
    assert overlap.mean_of_present([None]) is None


@pytest.mark.parametrize("big", [2**24, 2**31, 2**40])
def test_exact_beyond_float32_and_int32(big):
    found = _counts((big + 1, 0, 0, 1), (0, 1, 0, big))
    assert overlap.value("precision_pooled", found) == (big + 1) / (big + 2)
    assert overlap.support("dice_pooled", found) == (1, big + 1)
    parts = overlap.split_counts(*(np.array([x + big]) for x in (3, 2, 1, 9)))
    assert {k: int(v[0]) for k, v in parts.items()} == {
        "tp": big + 1,
        "fp": 1,
        "fn": 2,
        "tn": 5,
    }


@hypothesis.settings(max_examples=25, deadline=None, derandomize=True)
@hypothesis.given(strategies.data())
def test_parity_with_scikit_learn(data):
    bits = strategies.lists(strategies.booleans(), min_size=8, max_size=8)
    truth, guess = np.array(data.draw(bits)), np.array(data.draw(bits))
    found = overlap.split_counts(
        *(np.array([x]) for x in (truth.sum(), guess.sum(), (truth & guess).sum(), 8))
    )
    theirs = {
        "dice_pooled": sklearn.f1_score,
        "iou_pooled": sklearn.jaccard_score,
        "precision_pooled": sklearn.precision_score,
        "recall_pooled": sklearn.recall_score,
    }
    for name, function in theirs.items():
        ours = overlap.value(name, found)
        if ours is not None:
            assert ours == pytest.approx(function(truth, guess), abs=1e-12)
        else:
            assert not truth.any() or (name == "precision_pooled" and not guess.any())


@hypothesis.settings(max_examples=20, deadline=None, derandomize=True)
@hypothesis.given(strategies.permutations(range(6)))
def test_the_order_of_images_changes_no_bit(order):
    found = _counts(*np.random.default_rng(3).integers(0, 999, (6, 4)))
    other = {key: column[order] for key, column in found.items()}
    for name in overlap.METRICS:
        assert overlap.value(name, found) == overlap.value(name, other)


def test_an_image_without_labels_is_in_no_mean():
    """Wholly unlabelled is not the same as empty."""
    one = {"tp": [0, 3], "fp": [0, 1], "fn": [0, 0], "tn": [0, 12]}
    cases = {k: np.array(v, np.int64) for k, v in one.items()}
    assert overlap.value("dice_kaggle", cases) == 6 / 7
    assert overlap.support("dice_kaggle", cases)[0] == 1
