"""Strata are exhaustive, and no split misses one that has images enough."""

import collections
import hashlib

import hypothesis
import numpy as np
import pytest
from hypothesis import strategies as st

from jaxseg.data.preparation import splits, strata
from jaxseg.errors import ConfigError

SHARES = splits.shares(validation=0.15, test=0.15)
QUIET = hypothesis.settings(
    max_examples=60, deadline=None, derandomize=True, database=None
)


def test_every_number_of_objects_is_in_one_bin():
    counts = [0, 1, 4, 5, 14, 15, 29, 30, 99, 100, 10**6]
    assignment = strata.by_objects(counts, strata.OBJECT_BINS)
    assert assignment.tolist() == [0, 1, 1, 2, 2, 3, 3, 4, 4, 5, 5]
    names = strata.bin_names(strata.OBJECT_BINS)
    assert names == ["0", "1-4", "5-14", "15-29", "30-99", "100 and more"]
    assert strata.bin_names([1, 2]) == ["0", "1", "2 and more"]


@pytest.mark.parametrize("bins", ["", "0,5", "5,5", (9, 3), "a", 7, None])
def test_bins_that_do_not_ascend_are_refused(bins):
    with pytest.raises(ConfigError, match="object_bins is .*ascending from 1 or more"):
        strata.edges(bins)
    assert strata.edges("2, 30") == strata.edges([2, 30]) == (2, 30)
    assert strata.edges(strata.BINS_OPTION) == strata.OBJECT_BINS


def test_the_rarest_class_by_hand():
    shown = [[1, 1, 1, 0], [1, 1, 0, 1], [1, 1, 0, 1], [1, 0, 0, 0], [0, 1, 0, 0]]
    assignment = strata.by_rarest_class(np.array(shown, bool))
    assert assignment.tolist() == [2, 3, 3, 0, 1]
    assert strata.by_rarest_class(np.zeros((2, 3), bool)).tolist() == [0, 0]
    tie = np.array([[0, 1, 1], [0, 1, 1]], bool)
    assert strata.by_rarest_class(tie).tolist() == [1, 1]


def assigned(bins, *, groups=None, seed=0):
    ones = [1] * len(bins)
    groups = groups or [str(k) for k in range(len(bins))]
    return splits.assign(groups, ones, ones, shares=SHARES, seed=seed, strata=bins)


@QUIET
@hypothesis.given(
    seed=st.integers(0, 10_000),
    sizes=st.lists(st.integers(1, 30), min_size=2, max_size=7),
)
def test_no_split_misses_a_stratum_of_three_images(seed, sizes):
    bins = [k for k, size in enumerate(sizes) for _ in range(size)]
    hypothesis.assume(len(bins) >= 3)
    order = np.random.default_rng(seed).permutation(len(bins))
    names = [str(k) for k in order]
    assignment = assigned([bins[k] for k in order], groups=names, seed=seed)
    again = assigned(bins, groups=[str(k) for k in range(len(bins))], seed=seed)
    assert [again[k] for k in order] == assignment  # whatever the order
    here = collections.Counter(zip(again, bins, strict=True))
    for k, size in enumerate(sizes):
        several = [here[name, k] for name in SHARES]
        assert np.count_nonzero(several) >= min(size, 3) - (size == 1)
        for count, share in zip(several, SHARES.values(), strict=True):
            assert abs(count - share * size) <= 2
    if min(sizes) >= 10:
        for name, share in SHARES.items():
            assert abs(again.count(name) - share * len(bins)) <= 2


def test_a_stratum_of_few_images_in_groups():
    groups = ["big"] * 9 + ["a", "b", "c", "d", "e", "f"]
    assignment = assigned([0] * 9 + [1, 1, 1, 0, 0, 0], groups=groups)
    assert set(assignment[9:12]) == set(SHARES) and len(set(assignment[:9])) == 1


def test_splits_of_two_classes_are_those_of_every_version_before():
    rng = np.random.default_rng(0)
    groups = [f"p{g}" for g in rng.integers(0, 80, 120)]
    labels = rng.integers(0, 2, 120)
    areas = labels * rng.random(120)
    assignment = splits.assign(groups, labels, areas, shares=SHARES, seed=3)
    digest = hashlib.sha256(",".join(assignment).encode()).hexdigest()
    assert digest.startswith("5200f6b638563175")


def test_strata_with_fewer_images_than_splits_are_said_in_one_sentence(caplog):
    names = dict(enumerate(strata.bin_names([1, 5])))
    bins = np.array([1] * 9 + [0, 2, 2])
    words = strata.warn_of_short(bins, names, "objects an image", 3)
    assert words == ["0 (1 image)", "5 and more (2 images)"]
    (line,) = caplog.messages
    assert line == (
        "stratified by objects an image: 0 (1 image), 5 and more (2 images), which "
        "cannot be in each of the 3 splits."
    )
    assert not strata.warn_of_short(bins[:9], names, "objects an image", 3)
    assert len(caplog.messages) == 1
