"""Splits: whole groups, shares and strata met, the same every time."""

import collections

import hypothesis
import numpy as np
import pytest
from hypothesis import strategies as st

from jaxseg.data.preparation import splits
from jaxseg.errors import ConfigError, DataError

SHARES = splits.shares(validation=0.15, test=0.15)
QUIET = hypothesis.settings(
    max_examples=60, deadline=None, derandomize=True, database=None
)


def _images(seed, n, *, groups, prevalence=0.25):
    rng = np.random.default_rng(seed)
    names = [f"p{g}" for g in rng.integers(0, groups, n)]
    labels = (rng.random(n) < prevalence).astype(int)
    return names, labels, labels * rng.lognormal(0, 1, n)


@QUIET
@hypothesis.given(seed=st.integers(0, 10_000), n=st.integers(40, 300))
def test_groups_stay_whole_and_shares_are_met(seed, n):
    groups, labels, areas = _images(seed, n, groups=n // 2)
    found = splits.assign(groups, labels, areas, shares=SHARES, seed=seed)
    sides = collections.defaultdict(set)
    for group, split in zip(groups, found, strict=True):
        sides[group].add(split)
    assert all(len(s) == 1 for s in sides.values())
    largest = max(collections.Counter(groups).values())
    for name, share in SHARES.items():
        here = np.array(found) == name
        assert abs(here.sum() - share * n) <= largest + 1
        assert abs(labels[here].sum() - share * labels.sum()) <= largest + 1


@QUIET
@hypothesis.given(seed=st.integers(0, 10_000))
def test_positives_of_every_area_are_in_every_split(seed):
    _, labels, areas = _images(seed, 400, groups=1, prevalence=0.5)
    groups = [str(i) for i in range(400)]
    found = splits.assign(groups, labels, areas, shares=SHARES, seed=seed)
    strata = splits.area_bins(labels, areas)
    assert sorted(set(strata)) == [0, 1, 2, 3, 4]
    for stratum in range(5):
        for name, share in SHARES.items():
            here = np.sum((np.array(found) == name) & (strata == stratum))
            assert abs(here - share * np.sum(strata == stratum)) <= 2


def test_few_positives_do_not_all_train():
    labels = np.array([1] * 4 + [0] * 20)
    groups = [str(i) for i in range(24)]
    found = splits.assign(groups, labels, 0.1 * labels, shares=SHARES, seed=0)
    assert sorted(found[:4]) == ["test", "train", "train", "validation"]


@pytest.mark.parametrize("seed", [0, 1])
def test_pure_in_the_groups_whatever_the_order(seed):
    groups, labels, areas = _images(seed, 90, groups=40)
    first = splits.assign(groups, labels, areas, shares=SHARES, seed=seed)
    order = np.random.default_rng(1).permutation(90)
    again = splits.assign(
        [groups[i] for i in order],
        labels[order],
        areas[order],
        shares=SHARES,
        seed=seed,
    )
    assert again == [first[i] for i in order]
    ids = [str(i) for i in range(90)]
    table = splits.table(ids, groups, first)
    shuffled = [[ids[i] for i in order], [groups[i] for i in order], again]
    assert splits.table(*shuffled) == table
    other = splits.assign(groups, labels, areas, shares=SHARES, seed=seed + 1)
    assert other != first and splits.table(ids, groups, other)[1] != table[1]


def test_a_large_group_does_not_empty_a_split():
    groups = ["big"] * 50 + ["a", "b"]
    found = splits.assign(groups, [0] * 52, [0] * 52, shares=SHARES, seed=0)
    assert set(found) == set(SHARES)


def test_three_groups_are_one_for_each_split():
    found = splits.assign(["a", "b", "c"], [1, 0, 0], [1, 0, 0], shares=SHARES, seed=0)
    assert set(found) == set(SHARES)


def test_too_few_groups():
    with pytest.raises(DataError, match="2 groups"):
        splits.assign(["a", "b", "b"], [0] * 3, [0] * 3, shares=SHARES, seed=0)


@pytest.mark.parametrize("validation, test", [(0.0, 0.1), (0.1, -0.1), (0.5, 0.5)])
def test_shares_leave_something_for_each(validation, test):
    with pytest.raises(ConfigError, match="above 0"):
        splits.shares(validation=validation, test=test)


def test_duplicates_unite_groups():
    groups = ["b", "c", "a", "d", "e"]
    keys = ["x", "y", "y", "x", "z"]
    assert splits.join(groups, keys) == ["b", "a", "a", "b", "e"]
    assert splits.join(["c", "b", "b", "a"], ["1", "1", "2", "2"]) == ["a"] * 4
