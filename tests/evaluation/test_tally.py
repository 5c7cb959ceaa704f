"""Tallies: exact, order-independent, complete, and safe on their way."""

import concurrent.futures
import dataclasses
import threading

import hypothesis
import jax
import numpy as np
import pytest
from hypothesis import strategies
from sklearn import metrics as sklearn
from support import scored

from jaxseg.devices import sharding
from jaxseg.errors import ConfigError, DataError, NotFinite
from jaxseg.evaluation import metric_table
from jaxseg.evaluation import tally as tallies
from jaxseg.evaluation.count import count_image
from jaxseg.metrics import histograms
from jaxseg.postprocess import decision


def _measure(split, prediction):
    index, probability = prediction
    example = split[index]
    facts = {"index": index, "num_classes": len(split.classes), "name": example["id"]}
    return count_image(probability, example["mask"], example["image"], **facts)


def _same(a, b):
    for field in dataclasses.fields(a):
        x, y = getattr(a, field.name), getattr(b, field.name)
        assert x.dtype == y.dtype, field.name
        np.testing.assert_array_equal(x, y, field.name)


@pytest.mark.parametrize("k", [2, 4])
def test_counts_equal_a_confusion_matrix(k):
    split, predictions = scored.make(8, k=k)
    found = tallies.merge(_measure(split, p) for p in predictions)
    for row, (index, probability) in enumerate(predictions):
        mask = split[index]["mask"]
        keep = mask != 255
        guess = probability.argmax(axis=-1)[keep]
        table_ = sklearn.confusion_matrix(mask[keep], guess, labels=range(k))
        np.testing.assert_array_equal(found.confusion[row], table_)
        np.testing.assert_array_equal(found.truth[row], table_.sum(axis=1))
        np.testing.assert_array_equal(found.predicted[row], table_.sum(axis=0))
        np.testing.assert_array_equal(found.hits[row], table_.diagonal())
        assert found.ignored[row] == (~keep).sum()
        shown = (1 - probability[..., 0] if k > 2 else probability[..., 1])[keep]
        assert found.max_probability[row] == shown.max()


@pytest.mark.parametrize(
    "threshold", decision.THRESHOLDS[[0, 60, 200, 208, 300, 416]].tolist()
)
@pytest.mark.parametrize("area", [0.0, 0.2])
def test_counts_at_a_threshold_are_direct_counts(threshold, area):
    split, predictions = scored.make(8)
    found = tallies.merge(_measure(split, p) for p in predictions)
    found = tallies.at(found, threshold=threshold, min_area=area)
    one = metric_table.of_class(found, 1)
    for row, (index, probability) in enumerate(predictions):
        mask = split[index]["mask"]
        keep, truth = mask != 255, mask == 1
        guess = (probability[..., 1] > threshold) & keep
        if guess.sum() < area * keep.sum():
            guess[:] = False
        expected = {
            "tp": guess & truth,
            "fp": guess & ~truth,
            "fn": keep & ~guess & truth,
            "tn": keep & ~guess & ~truth,
        }
        for key, value in expected.items():
            assert one[key][row] == value.sum(), key


def test_counts_above_a_threshold_equal_direct_counts():
    """Smooth scores, crowds at both ends, thresholds and the floats beside them."""
    rng, edges = np.random.default_rng(0), decision.THRESHOLDS.astype(np.float32)
    beside = [np.nextafter(edges, np.float32(x)) for x in (-1, 2)]
    spread = [rng.random(4000), rng.random(2000) ** 40, 1 - rng.random(2000) ** 12]
    special = [0, 1, -1e-6, 1 + 1e-6, 1e-45]
    score = np.concatenate([edges, *beside, *spread, special]).astype(np.float32)
    counts = np.bincount(histograms.bins(score), minlength=histograms.BINS)
    cells = tallies.cells(np.stack([counts, counts * 0]))
    assert cells.shape == (2, tallies.CELLS)
    direct = [(score > t).sum() for t in edges]
    np.testing.assert_array_equal(tallies.above(cells)[0], direct)
    assert not tallies.above(cells)[1].any()
    place = tallies.nearest(0.3)
    assert abs(decision.THRESHOLDS[place] - 0.3) < 1 / 128


def test_an_area_of_just_the_minimum_stays():
    probability = np.zeros((8, 8, 1), np.float32)
    probability[:4, :4] = 0.9
    mask, image = np.zeros((8, 8), np.uint8), np.zeros((8, 8, 1), np.uint8)
    found = count_image(probability, mask, image, index=0, num_classes=2, name="a")
    for area, left in ((0.25, 16), (0.2501, 0)):
        at = tallies.at(found, threshold=0.5, min_area=area)
        assert at.predicted.tolist() == [[64 - left, left]]
        point = {"threshold": 0.5, "min_area": area}
        assert decision.apply(probability, **point).sum() == left


def test_a_threshold_off_the_grid_is_refused_with_the_nearest():
    split, predictions = scored.make(2)
    with pytest.raises(ConfigError, match="nearest that is: 0.296875"):
        tallies.at(_measure(split, predictions[0]), threshold=0.3)


@hypothesis.settings(max_examples=15, deadline=None, derandomize=True)
@hypothesis.given(strategies.permutations(range(6)), strategies.integers(1, 5))
def test_merging_in_any_order_and_any_parts_is_the_same(order, cut):
    split, predictions = scored.make(6)
    parts = [_measure(split, p) for p in predictions]
    whole = tallies.merge(parts)
    mixed = [parts[i] for i in order]
    halves = [tallies.merge(mixed[:cut]), tallies.empty(2), tallies.merge(mixed[cut:])]
    _same(whole, tallies.merge(halves))
    assert whole.index.tolist() == list(range(6))


@hypothesis.settings(max_examples=15, deadline=None, derandomize=True)
@hypothesis.given(strategies.sampled_from([2, 3]), strategies.integers(0, 99))
def test_unlabelled_pixels_count_nowhere(k, seed):
    split, [(_, probability), *_] = scored.make(2, k=k, seed=seed, ignore=False)
    example, rng = split[1], np.random.default_rng(seed)
    probability = rng.dirichlet(np.ones(k), example["mask"].shape).astype(np.float32)
    image = example["image"].astype(np.uint8 if seed % 2 else np.uint16)
    facts = {"index": 0, "num_classes": k, "name": "a"}
    plain = count_image(probability, example["mask"], image, **facts)
    pad = ((2, 1), (0, 3))
    mask = np.pad(example["mask"], pad, constant_values=255)
    wide = np.pad(probability, (*pad, (0, 0)), constant_values=0.9)
    padded = count_image(wide, mask, np.pad(image, (*pad, (0, 0))), **facts)
    assert padded.ignored == mask.size - example["mask"].size
    _same(dataclasses.replace(padded, ignored=plain.ignored), plain)


@hypothesis.settings(max_examples=10, deadline=None, derandomize=True)
@hypothesis.given(strategies.integers(0, 99))
def test_the_order_of_pixels_changes_nothing(seed):
    split, predictions = scored.make(2, seed=seed)
    example, probability = split[1], predictions[1][1]
    order = np.random.default_rng(seed).permutation(example["mask"].size)
    facts = {"index": 0, "num_classes": 2, "name": "a"}
    one = count_image(probability, example["mask"], example["image"], **facts)
    mixed = (x.reshape(-1, 1, x.shape[-1])[order] for x in (probability,))
    mask, image = example["mask"].reshape(-1, 1)[order], example["image"]
    image = image.reshape(-1, 1, 1)[order]
    _same(one, count_image(next(mixed), mask, image, **facts))


def test_an_image_twice_or_not_at_all_is_named():
    split, predictions = scored.make(6)
    parts = [_measure(split, p) for p in predictions]
    with pytest.raises(DataError, match="more than once: 'scan02'"):
        tallies.merge([*parts, parts[2]], ids=split.ids)
    with pytest.raises(DataError, match="2 of 6 .* not scored: 'scan01', 'scan04'"):
        tallies.check_complete(
            tallies.merge(parts[:1] + parts[2:4] + parts[5:]), split.ids
        )
    with pytest.raises(DataError, match="no images at index 5"):
        tallies.check_complete(tallies.merge(parts), split.ids[:5])
    with pytest.raises(DataError, match="No image was scored"):
        tallies.merge([])
    with pytest.raises(ConfigError, match="of 2 and of 3 classes"):
        tallies.merge([parts[0], tallies.empty(3)])


@pytest.mark.parametrize("k", [2, 3])
def test_tallies_travel_between_processes_unharmed(k, monkeypatch):
    """JAX holds 32 bits: counts beyond them must still arrive, of unequal shares."""
    split, predictions = scored.make(6, k=k)
    parts = [_measure(split, p) for p in predictions]
    parts[0] = dataclasses.replace(parts[0], confusion=parts[0].confusion + 2**40)
    parts[1].pooled[:] += 2**33
    rng = np.random.default_rng(0)
    classes = {"class_probability": np.float32, "class_truth": np.int8}
    parts = [
        dataclasses.replace(
            part,
            **{n: rng.integers(-1, 2, (1, 3)).astype(t) for n, t in classes.items()},
        )
        for part in parts
    ]
    nothing = tallies.empty(k, image_classes=3)
    shares = [tallies.merge(parts), tallies.merge([nothing])]
    if k == 3:
        shares = [tallies.merge(parts[:4]), tallies.merge([*parts[4:], nothing])]
    barrier, sent = threading.Barrier(2), {}

    def allgather(array):
        sent[threading.current_thread().name] = jax.numpy.asarray(array)
        barrier.wait()
        everyone = np.stack([sent[name] for name in sorted(sent)])
        barrier.wait()
        return everyone

    monkeypatch.setattr(jax, "process_count", lambda: 2)
    monkeypatch.setattr(sharding.multihost_utils, "process_allgather", allgather)
    with concurrent.futures.ThreadPoolExecutor(2, "process") as pool:
        received = list(pool.map(sharding.gather, map(vars, shares)))
    for process in received:
        joined = tallies.merge(tallies.Tally(**fields) for fields in process)
        _same(joined, tallies.merge(parts))


def test_counts_beyond_int32_over_many_images():
    split, predictions = scored.make(2)
    one = _measure(split, predictions[1])
    big = np.full_like(one.scores, 2**31)
    images = [
        dataclasses.replace(
            one,
            index=np.array([i]),
            scores=big,
            confusion=np.diag(big.sum(axis=(0, 2), dtype=np.int64))[None],
        )
        for i in range(3)
    ]
    found = tallies.at(tallies.merge(images), threshold=0.5)
    above = tallies.CELLS // 2
    assert metric_table.of_class(found, 1)["tp"].sum() == 3 * 2**31 * above
    assert metric_table.of_class(found, 1)["fp"].sum() == 3 * 2**31 * above
    assert found.pixels.sum() == 3 * 2**31 * 2 * tallies.CELLS


@pytest.mark.parametrize("value", [np.nan, 1.5, -0.5])
@pytest.mark.parametrize("k", [2, 3])
def test_what_is_no_probability_is_refused(value, k):
    split, [_, (index, probability), *_] = scored.make(2, k=k)
    probability[-1, -1] = value
    with pytest.raises(NotFinite, match="'scan01' range from"):
        _measure(split, (index, probability))


def test_a_label_that_is_no_class_is_refused():
    split, predictions = scored.make(2, ignore=False)
    split[1]["mask"][0, 0] = 7
    with pytest.raises(DataError, match="'scan01' holds label 7.* 2 classes"):
        _measure(split, predictions[1])


def test_an_image_without_any_label_counts_nothing():
    split, predictions = scored.make(2)
    split[1]["mask"][:] = 255
    found = _measure(split, predictions[1])
    assert found.pixels == 0 and not found.pooled.any() and not found.levels.any()
    assert found.max_probability == predictions[1][1][..., 1].max()  # it has a score
