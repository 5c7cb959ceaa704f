"""Objects matched one to one: figures of StarDist and Cellpose, brute force, ignore."""

import itertools
import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from jaxseg.errors import ConfigError, DataError
from jaxseg.metrics import instances
from jaxseg.metrics.instances import FIELDS, SCORES, THRESHOLDS


def _drawn(seed, shape=(60, 80)):
    """True discs and predicted ones: moved, resized, missed, merged, invented."""
    draw = np.random.RandomState(seed)  # a stream that NumPy has frozen
    maps = np.zeros((2, *shape), np.int32)
    y, x = np.indices(shape)
    for k in range(1, 15):
        row, column = draw.randint(0, shape[0]), draw.randint(0, shape[1])
        radius = draw.randint(4, 10)
        moved = draw.randint(-1, 2, 3)
        kind = draw.randint(8)
        near = (y - row) ** 2 + (x - column) ** 2 <= radius**2
        other = (y - row - moved[0]) ** 2 + (x - column - moved[1]) ** 2
        if kind:  # 0: invented
            maps[0][near] = 3 * k
        if kind != 1:  # missed
            merged = 50 if kind == 2 else 7 * k
            maps[1][other <= (radius + moved[2]) ** 2] = merged
    return maps[0], maps[1]


ROWS = np.stack([instances.measure(*_drawn(seed)) for seed in range(4)])
# stardist.matching.matching of StarDist 0.9.2 on _drawn(seed), in its float32: true and
# predicted objects and tp at THRESHOLDS; panoptic_quality, mean_true_score and
# mean_matched_score at 0.5, 0.7 and 0.85; average_precision of Cellpose 4.2.1 there,
# which counts the same tp
NAMES = ("panoptic_quality", "mean_true_score", "mean_matched_score", "accuracy")
STARDIST = {
    0: (
        (13, 13, [12, 12, 12, 11, 10, 8, 6, 3, 1, 1]),
        [0.7276542, 0.6283291, 0.2078805],
        [0.7276542, 0.628329, 0.2078805],
        [0.7882921, 0.8168278, 0.9008153],
        [0.8571429, 0.625, 0.1304348],
    ),
    1: (
        (11, 12, [7, 6, 6, 4, 2, 1, 1, 1, 0, 0]),
        [0.4102325, 0.1415087, 0.0772947],
        [0.4288794, 0.1479409, 0.0808081],
        [0.6739533, 0.8136752, 0.8888889],
        [0.4375, 0.0952381, 0.0454545],
    ),
    2: (
        (12, 12, [8, 6, 5, 5, 5, 3, 1, 0, 0, 0]),
        [0.4518185, 0.3153759, 0],
        [0.4518186, 0.3153759, 0],
        [0.6777278, 0.7569021, 0],
        [0.5, 0.2631579, 0],
    ),
    3: (
        (13, 11, [9, 8, 7, 5, 3, 3, 1, 1, 0, 0]),
        [0.5114001, 0.2059166, 0.0746187],
        [0.4720616, 0.1900769, 0.0688788],
        [0.6818668, 0.8236664, 0.8954248],
        [0.6, 0.1428571, 0.0434783],
    ),
}
# stardist.matching.matching_dataset on all four at 0.5, 0.75 and 0.9: by_image=False
# (pooled), by_image=True
DATASET = {
    "precision": ([0.7500000, 0.3125000, 0.0208333], [0.7478147, 0.3053613, 0.0192308]),
    "recall": ([0.7346939, 0.3061224, 0.0204082], [0.7296037, 0.2967657, 0.0192308]),
    "f1": ([0.7422680, 0.3092784, 0.0206186], [0.7371098, 0.3005853, 0.0192308]),
    "accuracy": ([0.5901639, 0.1829268, 0.0104167], [0.5986607, 0.1939033, 0.0100000]),
    "panoptic_quality": (
        [0.5306351, 0.2559024, 0.0197770],
        [0.5252763, 0.2485945, 0.0184458],
    ),
    "mean_true_score": (
        [0.5252205, 0.2532911, 0.0195752],
        [0.5201035, 0.2455130, 0.0184458],
    ),
}


@pytest.mark.parametrize("seed", STARDIST)
def test_scores_are_those_of_stardist_and_cellpose(seed):
    (true, predicted, tp), *wanted = STARDIST[seed]
    row = dict(zip(FIELDS, ROWS[seed], strict=True))
    for t, right in zip(THRESHOLDS, tp, strict=True):
        keys = [f"{name}_{round(100 * t)}" for name in ("tp", "fp", "fn")]
        assert [row[key] for key in keys] == [right, predicted - right, true - right]
    scores = instances.scores(ROWS[seed])
    for name, values in zip(NAMES, wanted, strict=True):
        # where nothing matches, StarDist says 0 and the mean is undefined
        ours = np.nan_to_num(scores[name][[0, 4, 7]])
        np.testing.assert_allclose(ours, values, atol=1.1e-7, err_msg=name)


@pytest.mark.parametrize("name", DATASET)
def test_scores_of_several_images_are_those_of_stardist(name):
    pooled, by_image = DATASET[name]
    ours = instances.value(ROWS, family="pooled")[name][[0, 5, 8]]
    np.testing.assert_allclose(ours, pooled, atol=1.1e-7)
    for family in instances.FAMILIES[1:]:
        ours = instances.value(ROWS, family=family)[name][[0, 5, 8]]
        np.testing.assert_allclose(ours, by_image, atol=1.1e-7)


def _bars(*lengths):
    """One object a row, `lengths` pixels long."""
    label_map = np.zeros((len(lengths), 20), np.uint16)
    for k, length in enumerate(lengths):
        label_map[k, :length] = k + 1
    return label_map


def test_eight_pairs_worked_out_by_hand():
    """TP 8, FP 2, FN 4, with the IoU of 8 pairs; all are whole numbers of pixels."""
    iou = (0.9, 0.8, 0.7, 0.6, 0.75, 0.65, 0.85, 0.95)
    truth = _bars(*[20] * 8, *[20] * 4, 0, 0)
    predicted = _bars(*(round(20 * i) for i in iou), *[0] * 4, 9, 9)
    row = instances.measure(truth, predicted)
    assert row[[0, 10, 20]].tolist() == [8, 2, 4]
    wanted = {
        "accuracy": 0.571429,
        "precision": 0.8,
        "recall": 0.666667,
        "f1": 0.727273,
        "mean_matched_score": 0.775,
        "mean_true_score": 0.516667,
        "panoptic_quality": 0.563636,
    }
    scores = instances.scores(row)
    at_half = {name: scores[name][0] for name in wanted}
    assert at_half == pytest.approx(wanted, abs=5e-7)
    # a pair at exactly the threshold matches: 0.6 and more are 8, 0.65 and more 7, ...
    assert row[:10].tolist() == [8, 8, 8, 7, 6, 5, 4, 3, 2, 1]
    assert scores["aji"] == pytest.approx(8 * 20 * 0.775 / (8 * 20 + 4 * 20 + 2 * 9))


def _best(iou, threshold):
    """(most pairs, largest IoU sum of so many), over every way to pair them up."""
    rows, columns = iou.shape
    best = (0, 0.0)
    places = [*range(columns), *[None] * rows]
    for chosen in set(itertools.permutations(places, rows)):
        values = [iou[i, j] for i, j in enumerate(chosen) if j is not None]
        values = [v for v in values if v >= threshold]
        best = max(best, (len(values), math.fsum(values)))
    return best


def _kumar(iou, shared, areas, others):
    """Algorithm 1 of Kumar et al., literally."""
    above, below, used = 0, 0, set()
    for i, area in enumerate(areas):
        order = [(iou[i, j], shared[i, j], -j) for j in range(len(others))]
        if not order or max(order)[0] == 0:
            below += area
            continue
        j = -max(order)[2]
        above += shared[i, j]
        below += area + others[j] - shared[i, j]
        used.add(j)
    return above, below + sum(a for j, a in enumerate(others) if j not in used)


@settings(max_examples=60, deadline=None)
@given(st.integers(0, 2**32 - 1), st.sampled_from([0.05, 0.2, 0.35, 0.5, 0.7]))
def test_against_every_matching(seed, threshold):
    """Tiny crowded maps; each number from masks of single objects."""
    rng = np.random.default_rng(seed)
    shape = (4, 6)
    block = np.kron(rng.integers(0, 4, (2, 3)), np.ones((2, 2), np.int64))
    truth = np.where(rng.random(shape) < 0.9, block, 0)
    predicted = np.where(rng.random(shape) < 0.6, block, rng.integers(0, 4, shape))
    ids = [list(dict.fromkeys(m[m > 0].tolist())) for m in (truth, predicted)]
    masks = [[m == i for i in n] for m, n in zip((truth, predicted), ids, strict=True)]
    shared = np.array([[(a & b).sum() for b in masks[1]] for a in masks[0]])
    shared = shared.reshape(len(ids[0]), len(ids[1]))
    either = np.array([[(a | b).sum() for b in masks[1]] for a in masks[0]])
    iou = shared / either.reshape(shared.shape)
    pairs = instances.intersect(truth, predicted)
    matched = instances.match(pairs, threshold)
    assert len(set(pairs.truth_place[matched])) == len(matched)
    assert len(set(pairs.predicted_place[matched])) == len(matched)
    count, summed = _best(iou, threshold)
    assert len(matched) == count
    assert math.fsum(pairs.iou[matched]) == pytest.approx(summed)
    assert [pairs.truth.ids.tolist(), pairs.predicted.ids.tolist()] == ids
    areas = [[m.sum() for m in side] for side in masks]
    row = instances.measure(truth, predicted)
    assert tuple(row[-2:]) == _kumar(iou, shared, *areas)
    at_half = _best(iou, 0.5)
    assert (row[0], row[30]) == pytest.approx(at_half)


@settings(max_examples=30, deadline=None)
@given(st.integers(0, 2**32 - 1))
def test_ids_sides_and_order_change_nothing(seed):
    rng = np.random.default_rng(seed)
    truth, predicted = _drawn(seed % 997, (24, 30))
    ignore = rng.random((6, 10)).repeat(4, 0).repeat(3, 1) < 0.2
    row = instances.measure(truth, predicted, ignore=ignore)
    ids = rng.permutation(np.arange(2**16 - 200, 2**16, dtype=np.uint16))
    ids[0] = 0
    moved = instances.measure(ids[truth], ids[predicted], ignore=ignore)
    np.testing.assert_array_equal(moved, row)
    back = instances.scores(instances.measure(predicted, truth, ignore=ignore))
    scores = instances.scores(row)
    for name, other in {
        "precision": "recall",
        "recall": "precision",
        "f1": "f1",
        "accuracy": "accuracy",
        "panoptic_quality": "panoptic_quality",
        "mean_matched_score": "mean_matched_score",
    }.items():
        np.testing.assert_array_equal(back[other], scores[name])
    flipped = instances.measure(truth[::-1], predicted[::-1], ignore=ignore[::-1])
    np.testing.assert_array_equal(flipped[:-2], row[:-2])
    order = rng.permutation(len(ROWS))
    np.testing.assert_array_equal(instances.total(ROWS[order]), instances.total(ROWS))
    for family in instances.FAMILIES:
        for a, b in zip(
            instances.value(ROWS[order], family=family).values(),
            instances.value(ROWS, family=family).values(),
            strict=True,
        ):
            np.testing.assert_array_equal(a, b)


def test_two_halves_of_one_object():
    """Both halves have an IoU of exactly 0.5: one of them matches, whatever its id."""
    truth, predicted = np.ones((2, 6), int), np.ones((2, 6), int)
    predicted[1] = 2
    row = instances.measure(truth, predicted)
    assert row[[0, 10, 20, 30]].tolist() == [1, 1, 0, 0.5]
    assert row[[1, 11, 21, 31]].tolist() == [0, 2, 1, 0]
    pairs = instances.intersect(truth, predicted)
    assert pairs.predicted.ids[pairs.predicted_place[instances.match(pairs, 0.5)]] == 1
    assert instances.scores(row)["aji"] == 6 / 18


def test_more_pairs_are_worth_more_than_a_better_one():
    """IoU of first true, second predicted: 85/115; the two others: 15/100 each."""
    truth, predicted = np.zeros((2, 1, 115), int)
    truth[:, :100], truth[:, 100:] = 1, 2
    predicted[:, :15], predicted[:, 15:] = 1, 2
    pairs = instances.intersect(truth, predicted)
    assert pairs.iou.tolist() == [0.15, 85 / 115, 0.15]
    assert instances.match(pairs, 0.15).tolist() == [0, 2]
    assert instances.match(pairs, 0.16).tolist() == [1]


def test_of_two_objects_of_one_iou_the_larger_overlap_is_aggregated():
    truth, predicted = np.zeros((2, 2, 12), int)
    truth[0] = 1
    predicted[0, :3] = 1  # 3 of 12
    predicted[:, 8:] = 2  # 4 of 16
    assert instances.measure(truth, predicted)[-2:].tolist() == [4, 16 + 3]


def test_objects_that_are_mostly_not_labelled_are_no_errors():
    truth = np.zeros((9, 10), int)
    truth[0, :4] = 1
    predicted = np.zeros_like(truth)
    predicted[0, :10] = 1  # matches with its labelled 4 of 10 pixels
    predicted[2, :10] = 2  # 4 of 10 labelled: no false positive
    predicted[4, 1:7] = 3  # 3 of 6: a false positive
    predicted[6, 6:9] = 4  # not labelled at all
    truth[8, 2:9] = 7  # 2 of 7 labelled: no false negative
    ignore = np.zeros(truth.shape, bool)
    ignore[:, 4:] = True
    row = instances.measure(truth, predicted, ignore=ignore)
    for k in range(len(THRESHOLDS)):
        assert row[[k, 10 + k, 20 + k, 30 + k]].tolist() == [1, 1, 0, 1]
    assert row[-2:].tolist() == [4, 4 + 3]
    # seen from the other side it is the same
    row = instances.measure(predicted, truth, ignore=ignore)
    assert row[[0, 10, 20]].tolist() == [1, 0, 1] and row[-2:].tolist() == [4, 7]
    support = instances.support(row[None], family="pooled")
    assert support == {"images": 1, "true_objects": 2, "predicted_objects": 1}
    nowhere = instances.measure(truth, predicted, ignore=np.ones_like(ignore))
    assert not nowhere.any()
    without = instances.measure(truth, predicted, ignore=np.zeros_like(ignore))
    np.testing.assert_array_equal(without, instances.measure(truth, predicted))


def test_images_without_objects():
    empty, full = np.zeros((3, 4), int), np.ones((3, 4), int)
    pairs = {"both": (full, full), "missed": (full, empty), "invented": (empty, full)}
    pairs["nothing"] = (empty, empty)
    rows = {name: instances.measure(*pair) for name, pair in pairs.items()}
    for name in SCORES:
        each = {n: instances.scores(row)[name].ravel()[0] for n, row in rows.items()}
        assert each["both"] == 1 and math.isnan(each["nothing"])
        undefined = {
            "precision": ["missed"],
            "recall": ["invented"],
            "mean_true_score": ["invented"],
            "mean_matched_score": ["missed", "invented"],
        }
        for n in ("missed", "invented"):
            if n in undefined.get(name, []):
                assert math.isnan(each[n])
            else:
                assert each[n] == 0
    table = np.stack([*rows.values()])
    means = {f: instances.value(table, family=f) for f in instances.FAMILIES}
    for name in instances.PER_IMAGE:
        np.testing.assert_array_equal(means["image_skip_empty"][name], 1 / 3)
        np.testing.assert_array_equal(means["image_empty_is_one"][name], 2 / 4)
    assert means["pooled"]["accuracy"][0] == 1 / 3
    assert "mean_matched_score" not in means["image_skip_empty"]
    true, predicted = instances.counts(table)
    assert true.tolist() == [1, 1, 0, 0] and predicted.tolist() == [1, 0, 1, 0]
    counted = {"true_objects": 2, "predicted_objects": 2}
    for family, images in zip(instances.FAMILIES, (3, 3, 4), strict=True):
        assert instances.support(table, family=family) == counted | {"images": images}
    nothing = table[[3]]
    assert np.isnan(instances.value(nothing, family="image_skip_empty")["f1"]).all()
    assert math.isnan(instances.value(nothing, family="image_skip_empty")["aji"])
    assert (instances.value(nothing, family="image_empty_is_one")["f1"] == 1).all()
    for none in (instances.measure(empty[:0], empty[:0]), instances.total(table[:0])):
        assert none.shape == (len(FIELDS),) and not none.any()


def test_every_score_says_its_policy():
    for name, family in itertools.product(SCORES, instances.FAMILIES):
        words = instances.policy(name, family=family)
        assert ("IoU >= threshold" in words) == (name != "aji"), words
        assert "support: images" in words


def test_what_is_no_label_map_is_refused():
    one = np.ones((3, 4), int)
    for truth, predicted, words in (
        (one, one[:2], r"\[2, 4\], but the label map is \[3, 4\]"),
        (one, one - 2, "lowest here is -1"),
        (one.astype(float), one, "of float64"),
        (one, one[None], r"\[1, 3, 4\] of int64"),
    ):
        with pytest.raises(DataError, match=words):
            instances.measure(truth, predicted)
    with pytest.raises(DataError, match="`ignore` is"):
        instances.measure(one, one, ignore=one[:1] > 0)
    with pytest.raises(ConfigError, match="above 0 and at most at 1, but 0"):
        instances.match(instances.intersect(one, one), 0)
    with pytest.raises(ConfigError, match="image_skip_empty, .* 'mean'"):
        instances.value(ROWS, family="mean")
