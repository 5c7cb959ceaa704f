"""Offsets: the search counts what the rule decides, and finds a class that was lost."""

import itertools

import numpy as np
import pytest
from sklearn import metrics as sklearn
from support import scored

from jaxseg.devices import sharding
from jaxseg.evaluation import class_choices, class_table, count, kept_pixels, offsets
from jaxseg.evaluation.count import Frozen
from jaxseg.evaluation.tally import Tally
from jaxseg.postprocess import decision

GRID = np.array([-2.0, -1.0, 0.0, 1.0, 2.0, 4.0])


def _lost_class(n=6, *, shift=4.0, seed=0):
    """Images of four classes whose head has the logit of the last one too low."""
    split, predictions = scored.make(n, k=4, seed=seed)
    scaled = np.exp([0, 0, 0, -shift]).astype(np.float32)
    for _, probability in predictions:
        probability *= scaled
        probability /= probability.sum(axis=-1, keepdims=True)
    return split, predictions


def _tally(split, predictions, found=None) -> Tally:
    ways = (Frozen(found, None),)
    (tally,) = count.count_ways(
        predictions, split, ways, to_native=scored.keep, class_histograms=False
    )
    return tally


def _kept(split, predictions, most=2**20):
    tally = _tally(split, predictions)
    return kept_pixels.keep(
        predictions, tally, split, to_native=scored.keep, most=most
    ), tally


def _dice(tally, split):
    return np.array([row["dice"] for row in class_table.rows(tally, split.classes)])


def test_a_class_that_cannot_be_told_swallows_no_other(monkeypatch):
    """Random scores of a class gain Dice by taking the background: not all of it."""
    rng = np.random.default_rng(0)
    label = np.repeat([0, 1, 2], [1200, 600, 200]).astype(np.uint8)
    probability = np.zeros((2000, 3), np.float32)
    probability[:, 1] = np.where(label == 2, 0.001, 0.01 + 0.2 * rng.random(2000))
    probability[:, 2] = np.where(label == 2, 0.9, 0.001)
    probability[:, 0] = 1 - probability[:, 1:].sum(axis=1)
    pixels = kept_pixels.Pixels(
        probability, label, np.ones(2000), np.zeros(2000, np.int32)
    )

    def background() -> float:
        found = offsets.search(pixels, [1, 2], objective="dice_pooled")
        answer = decision.by_offsets(probability, found)
        return sklearn.f1_score(label == 0, answer == 0, zero_division=0)

    plain = sklearn.f1_score(label == 0, probability.argmax(-1) == 0)
    assert 0.5 * plain <= background() < plain
    monkeypatch.setattr(offsets, "KEPT", 0.0)
    assert background() == 0


def test_equal_products_are_counted_for_the_lower_class():
    rng = np.random.default_rng(0)
    probability = rng.multinomial(4, [0.25] * 4, 400).astype(np.float32) / 4
    label = rng.integers(0, 4, 400).astype(np.uint8)
    pixels = kept_pixels.Pixels(
        probability, label, np.ones(400), np.zeros(400, np.int32)
    )
    for c in (1, 2, 3):
        _, dice = offsets.along(
            pixels, [1, 2, 3], np.zeros(4), c, objective="dice_pooled", grid=GRID
        )
        for offset, scores in zip(GRID, dice.T, strict=True):
            each = np.where(np.arange(4) == c, offset, 0.0)
            answer = decision.by_offsets(probability, each)
            direct = sklearn.f1_score(label, answer, average=None)
            assert scores == pytest.approx(direct)


def test_offsets_of_zero_are_argmax_and_ties_go_to_the_lower_class():
    rng = np.random.default_rng(0)
    probability = rng.random((500, 5)).astype(np.float32)
    probability[:50, 3] = probability[:50, 1] = 1.0
    zero = decision.by_offsets(probability, (0.0,) * 5)
    np.testing.assert_array_equal(zero, probability.argmax(-1))
    assert (zero[:50] == 1).all() and zero.dtype == np.uint8
    found = decision.by_offsets(probability, (0.0, -1.0, 0.5, 2.0, 1.0))
    direct = np.log(probability.astype(np.float64)) + [0, -1, 0.5, 2, 1]
    assert (found == direct.argmax(-1)).all()
    probability[:, 1:] = 0
    assert not decision.by_offsets(probability, (0.0, 8.0, 8.0, 8.0, 8.0)).any()


@pytest.mark.parametrize(
    "objective", ["dice_pooled", "dice_positives", "iou_kaggle", "matthews_pooled"]
)
def test_every_offset_of_the_grid_is_counted_as_it_decides(objective):
    split, predictions = _lost_class()
    pixels, tally = _kept(split, predictions)
    present = offsets.present_classes(tally)
    assert present == [1, 2, 3] and len(pixels.label) == tally.pixels.sum()
    start = np.array([0.0, 0.5, -0.25, 1.0])
    for c in present:
        values, dice = offsets.along(
            pixels, present, start, c, objective=objective, grid=GRID
        )
        for offset, value, scores in zip(GRID, values, dice.T, strict=True):
            each = [*start[:c], offset, *start[c + 1 :]]
            decided = _tally(split, predictions, each)
            direct = offsets.value(decided, objective)
            assert value == pytest.approx(direct, abs=1e-12)
            rows = class_table.rows(decided, split.classes)
            assert scores == pytest.approx([row["dice"] for row in rows])


def test_many_images_are_counted_in_parts(monkeypatch):
    split, predictions = _lost_class(9)
    pixels, tally = _kept(split, predictions)
    present, start = offsets.present_classes(tally), np.zeros(4)
    options = {"objective": "dice_positives", "grid": GRID}
    whole, _ = offsets.along(pixels, present, start, 2, **options)
    monkeypatch.setattr(offsets, "_CELLS", 2 * 4 * 4 * (len(GRID) + 1))
    parts, _ = offsets.along(pixels, present, start, 2, **options)
    np.testing.assert_allclose(parts, whole, atol=1e-14)


@pytest.mark.parametrize("objective", ["dice_pooled", "dice_positives"])
def test_a_small_grid_is_searched_as_by_brute_force(objective):
    split, predictions = _lost_class(8)
    pixels, tally = _kept(split, predictions)
    present = offsets.present_classes(tally)
    found = offsets.search(pixels, present, objective=objective, grid=GRID)
    plain = _dice(tally, split)
    every = {}
    for each in itertools.product(GRID.tolist(), repeat=3):
        decided = _tally(split, predictions, (0.0, *each))
        if (_dice(decided, split) >= offsets.KEPT * plain).all():
            every[each] = offsets.value(decided, objective)
    assert every[tuple(found[1:])] == pytest.approx(max(every.values()), abs=1e-12)
    assert found[0] == 0 and found[3] >= 2


def test_a_class_that_the_head_predicts_too_seldom_is_recovered():
    """The offsets undo what the head was off."""
    split, predictions = _lost_class(16, shift=5.0)
    pixels, tally = _kept(split, predictions)
    assert tally.truth[:, 3].sum() == 32 and tally.predicted[:, 3].sum() == 0
    point = class_choices.point(
        pixels,
        lambda way: _tally(split, predictions, way.offsets),
        tally,
        scored.VALIDATION,
        objective="dice_pooled",
    )
    decided = _tally(split, predictions, point["offsets"])
    assert decided.hits[:, 3].sum() > 16
    assert point["value"] == offsets.value(decided, "dice_pooled")
    assert point["value_argmax"] == offsets.value(tally, "dice_pooled")
    assert point["value"] > point["value_argmax"] + 0.3
    intact = offsets.search(
        _kept(*_lost_class(16, shift=0.0))[0], [1, 2, 3], objective="dice_pooled"
    )
    assert point["offsets"] == [*intact[:3], intact[3] + 5]
    names = ("source_split", "split_hash", "rule", "objective")
    want = ["validation", "v1", "offsets", "dice_pooled"]
    assert [point[name] for name in names] == want
    assert point["pixels_searched"] == tally.pixels.sum()


def test_argmax_wins_where_offsets_are_no_better_on_all_of_validation():
    split, predictions = _lost_class()
    pixels, tally = _kept(split, predictions)
    point = class_choices.point(
        pixels, lambda way: tally, tally, scored.VALIDATION, objective="dice_pooled"
    )
    assert point["offsets"] == [0.0] * 4
    assert point["value"] == point["value_argmax"] is not None


def test_without_foreground_nothing_is_chosen(caplog):
    split, predictions = scored.make(1, k=3)
    pixels, tally = _kept(split, predictions)
    point = class_choices.point(
        pixels, None, tally, scored.VALIDATION, objective="dice_pooled"
    )
    assert point["offsets"] == [0.0] * 3 and "dice_pooled is undefined" in caplog.text
    assert point["value"] is point["value_argmax"] is None


def test_an_absent_class_is_not_moved():
    split, predictions = _lost_class()
    for example in split.examples:
        example["mask"][example["mask"] == 2] = 0
    pixels, tally = _kept(split, predictions)
    present = offsets.present_classes(tally)
    assert present == [1, 3]
    assert offsets.search(pixels, present, objective="dice_pooled")[2] == 0


def test_a_bounded_sample_stands_for_all_pixels_and_keeps_the_rare_class():
    split, predictions = _lost_class(12)
    whole, tally = _kept(split, predictions)
    most = 4 * 1200
    pixels, _ = _kept(split, predictions, most)
    assert 1100 <= len(pixels.label) <= 1200 < len(whole.label)
    assert np.bincount(pixels.label, pixels.weight) == pytest.approx(
        tally.truth.sum(axis=0)
    )
    for index in range(12):
        rare = (tally.truth[index, 1:] > 0) & (tally.truth[index, 1:] < 25)
        own = np.bincount(pixels.label[pixels.image == index], minlength=4)[1:]
        np.testing.assert_array_equal(own[rare], tally.truth[index, 1:][rare])
    found = offsets.search(pixels, [1, 2, 3], objective="dice_pooled")
    exact = offsets.search(whole, [1, 2, 3], objective="dice_pooled")
    reached, best = (
        offsets.value(_tally(split, predictions, f), "dice_pooled")
        for f in (found, exact)
    )
    assert reached > best - 0.03
    mixed = kept_pixels.keep(
        predictions[::-1], tally, split, to_native=scored.keep, most=most
    )
    for one, other in zip(pixels, mixed, strict=True):
        np.testing.assert_array_equal(one, other)


def test_quotas_leave_what_small_images_do_not_need_to_the_others():
    quota = kept_pixels._quota
    assert quota(np.array([10, 10, 100]), 300) == 100
    assert quota(np.array([10, 10, 100, 100]), 100) == 40
    assert quota(np.array([50, 50]), 20) == 10
    assert quota(np.zeros(0, int), 20) == 0


def test_every_process_gets_the_pixels_that_one_alone_would_keep(monkeypatch):
    split, predictions = _lost_class(9)
    alone, tally = _kept(split, predictions, 4 * 900)
    sent = []
    monkeypatch.setattr(sharding, "gather", lambda own: sent.append(own) or sent)
    for share in (predictions[1::2][::-1], [], predictions[::2]):
        together = kept_pixels.keep(
            share, tally, split, to_native=scored.keep, most=4 * 900
        )
    for one, other in zip(alone, together, strict=True):
        assert one.dtype == other.dtype
        np.testing.assert_array_equal(one, other)
