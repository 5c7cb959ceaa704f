"""Frequency-of-use sampling: the fixture, even frequencies, and a pure function."""

import functools

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from support import toy

from jaxseg import errors
from jaxseg.data import pipeline
from jaxseg.data.samplers import frequency


def _present(positives, negatives):
    positive = np.random.default_rng(1).permutation(
        np.arange(positives + negatives) < positives
    )
    return np.stack([np.ones_like(positive), positive], axis=1)


def _order(present, epoch, size, seed=0, factor=4.0):
    options = {"seed": seed, "epochs": 99, "factor": factor}
    return frequency.order(present, epoch=epoch, size=size, **options)


def test_the_chances_of_a_worked_example():
    # f / max = 1/2, 1/2, 1, 0; 1 - that = 1/2, 1/2, 0, 1 of median 1/2; so the bases
    # are 1, 1, 1/2, 3/2, to the power 4 ln 4 = 5.545177
    got = frequency.chances(np.array([1, 1, 2, 0]))
    np.testing.assert_allclose(got, (0.087004, 0.087004, 0.001863, 0.824129), atol=5e-7)
    np.testing.assert_array_equal(frequency.chances(np.zeros(5, int)), np.full(5, 0.2))
    flat = frequency.chances(np.array([1, 1, 2, 0, 0, 0, 0]), factor=0.0)
    np.testing.assert_allclose(flat, 1 / 7)


def test_draws_follow_the_chances():
    uses = np.array([1, 1, 2, 0])
    first = [
        np.flatnonzero(np.bincount(d, minlength=4))
        for d in (
            frequency.draw(uses, 1, seed=0, epoch=e, factor=4.0) for e in range(4000)
        )
    ]
    shares = np.bincount(np.concatenate(first), minlength=4) / 4000
    wanted = frequency.chances(uses)
    assert np.all(np.abs(shares - wanted) < 4 * np.sqrt(wanted / 4000) + 1e-3)


@pytest.mark.parametrize("positives, negatives", [(40, 160), (160, 40), (50, 50)])
def test_an_epoch_has_all_of_the_minority_and_as_many_others(positives, negatives):
    present = _present(positives, negatives)
    positive = present[:, 1]
    rare = positive if positives <= negatives else ~positive
    size = frequency.epoch_size(present, factor=4.0)
    assert size == 2 * min(positives, negatives)
    for epoch in range(6):
        got = _order(present, epoch, size)
        counts = np.bincount(got, minlength=len(present))
        assert (counts[rare] == 1).all() and counts.max() == 1
        for batch in got.reshape(-1, 4):  # both kinds in every batch
            assert positive[batch].sum() == 2
    assert frequency.share(present, epoch=3, epochs=9, factor=4.0) == 0.5


def test_the_published_numbers():
    present = _present(6921, 987)
    assert frequency.epoch_size(present, factor=4.0) == 2 * 987
    present = _present(987, 6921)
    orders = [_order(present, epoch, 2 * 987) for epoch in range(50)]
    used = np.bincount(np.concatenate(orders), minlength=len(present))[~present[:, 1]]
    assert used.mean() == pytest.approx(50 / 7.012, abs=1e-3) and np.ptp(used) <= 1


@settings(max_examples=40, deadline=None)
@given(
    positives=st.integers(1, 60),
    negatives=st.integers(1, 60),
    odd=st.integers(-3, 9),
    seed=st.integers(0, 5),
    epochs=st.integers(1, 30),
)
def test_frequencies_are_even_for_any_ratio_and_length(
    positives, negatives, odd, seed, epochs
):
    present = _present(positives, negatives)
    size = max(1, frequency.epoch_size(present, factor=4.0) + odd)
    orders = [_order(present, epoch, size, seed) for epoch in range(epochs)]
    counts = np.bincount(np.concatenate(orders), minlength=len(present))
    positive = present[:, 1]
    rare, common = (positive, ~positive)[:: 1 if positives <= negatives else -1]
    assert np.ptp(counts[rare]) <= 1
    # a few images have a small exponent, and chance more room
    assert np.ptp(counts[common]) <= (2 if common.sum() >= 20 else 4)
    assert counts[rare].sum() == epochs * (size // 2)


def test_the_order_does_not_depend_on_what_was_asked_before():
    present = _present(30, 130)
    epochs = [7, 2, 0, 9, 8, 9, 1]
    asked = {e: _order(present, e, 60) for e in epochs}
    for epoch in range(10):
        frequency._uses.cache_clear()
        fresh = _order(present, epoch, 60)
        if epoch in asked:
            np.testing.assert_array_equal(fresh, asked[epoch])
    assert not np.array_equal(asked[7], asked[8])
    assert not np.array_equal(_order(present, 7, 60, seed=1), asked[7])


@pytest.mark.parametrize("processes", [2, 4])
def test_any_number_of_processes_reads_the_same_batches(tmp_path, processes):
    split = toy.split(tmp_path)
    view = pipeline.View((16, 16), "stretch", "none", None, None)
    order = functools.partial(_order, split.present, size=20)

    def read(process=0, of=1, start=0):
        frequency._uses.cache_clear()  # as another process begins
        parts = pipeline.train_batches(
            split,
            view,
            lambda epoch: order(epoch=epoch),
            epoch_size=20,
            batch_size=4,
            steps=15,
            start=start,
            process=process,
            processes=of,
        )
        return [batch["index"] for batch in parts]

    whole = np.stack(read())
    parts = [read(process, processes) for process in range(processes)]
    np.testing.assert_array_equal(np.concatenate(parts, axis=1), whole)
    np.testing.assert_array_equal(np.stack(read(start=7)), whole[7:])  # mid-epoch
    counts = np.bincount(whole.ravel(), minlength=40)[~split.positive]
    assert counts.sum() == 30 and np.ptp(counts) <= 1  # 3 epochs of 10, of 30 negatives


def test_what_cannot_be_sampled_is_refused():
    with pytest.raises(errors.DataError, match="0 positives of 9 images"):
        frequency.epoch_size(_present(0, 9), factor=4.0)
    with pytest.raises(errors.DataError, match="9 positives of 9 images"):
        frequency.epoch_size(_present(9, 0), factor=4.0)
    with pytest.raises(errors.ConfigError, match="factor is -1"):
        frequency.epoch_size(_present(3, 9), factor=-1)
