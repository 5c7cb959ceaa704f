"""Counting a split: at native size, in any order and share, with bounded memory."""

import threading

import cv2
import numpy as np
import pytest
from support import scored

from jaxseg.errors import ConfigError, DataError, NotFinite
from jaxseg.evaluation import count
from jaxseg.evaluation import tally as tallies


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
    many = tallies.merge(parts)
    for name, array in vars(one).items():
        np.testing.assert_array_equal(array, vars(many)[name], name)


def test_memory_is_bounded():
    """The iterator is never more than a few images ahead of the counting."""
    split, predictions = scored.make(40)
    lock, number, ahead = threading.Lock(), {"out": 0, "in": 0}, []

    def stream():
        for item in predictions:
            number["out"] += 1
            ahead.append(number["out"] - number["in"])
            yield item

    def to_native(probability, size):
        with lock:
            number["in"] += 1
        return probability

    count.count_split(stream(), split, to_native=to_native, threads=2)
    assert number["in"] == 40 and max(ahead) <= 5


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
