"""Folds: whole groups, alike in size and in positives, the same every time."""

import collections

import hypothesis
import numpy as np
import pytest
from hypothesis import strategies as st

from jaxseg.data.preparation import folds, splits
from jaxseg.errors import ConfigError, DataError

QUIET = hypothesis.settings(
    max_examples=40, deadline=None, derandomize=True, database=None
)


def images(seed, n, groups, prevalence=0.4):
    rng = np.random.default_rng(seed)
    names = [f"p{g}" for g in rng.integers(0, groups, n)]
    labels = (rng.random(n) < prevalence).astype(int)
    return names, labels, labels * rng.lognormal(0, 1, n)


@QUIET
@hypothesis.given(
    seed=st.integers(0, 10_000), n=st.integers(40, 200), number=st.integers(3, 7)
)
def test_groups_stay_whole_and_folds_are_alike(seed, n, number):
    groups, labels, areas = images(seed, n, groups=n // 2)
    fold = folds.assign(groups, labels, areas, folds=number, seed=seed)
    of_group = collections.defaultdict(set)
    for group, one in zip(groups, fold, strict=True):
        of_group[group].add(one)
    assert all(len(places) == 1 for places in of_group.values())
    largest = max(collections.Counter(groups).values())
    for counted in (np.bincount(fold), np.bincount(fold[labels > 0])):
        assert len(counted) == number
        assert np.ptp(counted) <= largest + 1


@QUIET
@hypothesis.given(seed=st.integers(0, 10_000))
def test_the_order_of_the_images_does_not_matter_and_the_seed_does(seed):
    groups, labels, areas = images(seed, 60, groups=30)
    order = np.random.default_rng(seed).permutation(60)
    first = folds.assign(groups, labels, areas, folds=5, seed=seed)
    again = folds.assign(
        [groups[i] for i in order], labels[order], areas[order], folds=5, seed=seed
    )
    assert np.array_equal(first[order], again)
    other = folds.assign(groups, labels, areas, folds=5, seed=seed + 1)
    assert not np.array_equal(first, other)


@pytest.mark.parametrize("count,number", [(14, 3), (14, 5), (17, 5), (23, 3)])
def test_single_images_are_dealt_as_evenly_as_numbers_allow(count, number):
    names = [str(i) for i in range(count)]
    labels = np.arange(count) % 3 > 0
    fold = folds.assign(names, labels, 0.1 * labels, folds=number, seed=0)
    assert np.ptp(np.bincount(fold)) <= 1
    assert np.ptp(np.bincount(fold[labels])) <= 1


def test_fewer_groups_than_folds():
    with pytest.raises(DataError, match="2 groups"):
        folds.assign(["a", "b", "a"], [1, 0, 1], [0.1, 0, 0.1], folds=3, seed=0)


@pytest.mark.parametrize("member", range(4))
def test_one_fold_tests_the_next_validates_and_the_rest_trains(member):
    fold = np.array([0, 1, 2, 3, 0, 1, -1, -1, -1])
    groups = ["a", "b", "c", "d", "a", "b", "a", "d", "alone"]
    names = folds._names(fold, 4, member, groups)
    for i, one in enumerate(fold[:6]):
        place = {member: "test", (member + 1) % 4: "validation"}
        assert names[i] == place.get(one, "train")
    # nothing is known of the last three: they train, or are left out with their group
    for i, home in ((6, 0), (7, 3)):
        away = home in (member, (member + 1) % 4)
        assert names[i] == ("" if away else "train")
    assert names[8] == "train"


def dealt(shown, groups, fold):
    rows = [
        {"label": -1, "c0": 9, "c1": 9, "c2": 9 * has, "ignored": 0} for has in shown
    ]
    card = {"classes": ["background", "cell", "rare"]}
    of_image = np.array(fold)
    return folds._Dealt(card, [], of_image, rows, groups, of_image, "", 0)


def test_a_class_that_a_member_would_not_learn():
    groups = [str(i) for i in range(6)]
    alone = dealt([1, 0, 0, 0, 0, 0], groups, [0, 1, 2, 0, 1, 2])
    message = "class 'rare' is shown by 1 images of 1 groups alone, and member fold0"
    with pytest.raises(ConfigError, match=message):
        folds._check_classes(alone, 3)
    beside = dealt([1, 1, 0, 0, 0, 0], groups, [0, 1, 2, 0, 1, 2])
    with pytest.raises(ConfigError, match="member fold0, which tests fold 0 and vali"):
        folds._check_classes(beside, 3)
    folds._check_classes(dealt([1] * 6, groups, [0, 1, 2, 0, 1, 2]), 3)
    folds._check_classes(dealt([0] * 6, groups, [0, 1, 2, 0, 1, 2]), 3)


@pytest.mark.parametrize(
    "rule,answer",
    [
        (splits.describe(splits.shares(validation=0.15, test=0.15)), True),
        ("train 0.7, validation 0.15, test 0.15, by group, seed 0", True),
        ("train 1e-03, validation 0.5, test 0.499, by group, seed 0", True),
        ("as given by the user", False),
        ("as given", False),
        ("test as given; of train 0.2 for validation, by image, seed 0", False),
        ("train and test as given", False),
    ],
)
def test_splits_that_were_dealt_are_told_from_those_that_came(rule, answer):
    assert splits.are_dealt(rule) is answer
