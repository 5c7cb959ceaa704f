"""What must change nothing: order, merging, images without labels."""

import dataclasses

import hypothesis
import numpy as np
import pytest
from hypothesis import strategies
from support import scored

from jaxseg.evaluation import baselines, count, metric_table, operating_point
from jaxseg.evaluation import tally as tallies
from jaxseg.postprocess import decision

N = 9
properties = hypothesis.settings(max_examples=12, deadline=None, derandomize=True)


def _tallies(k):
    """One tally an image."""
    split, predictions = scored.make(N, k=k, seed=2)
    whole = count.count_split(predictions, split, to_native=scored.keep)
    parts = [
        count.count_split([prediction], split, to_native=scored.keep)
        for prediction in predictions
    ]
    return split, whole, parts


MADE = {k: _tallies(k) for k in (2, 3)}


def _at(tally, k):
    """At a point where all of the triplet and the gate are at work."""
    if k > 2:
        return tally
    settings = {"threshold": 0.25, "min_area": 0.05, "top_threshold": 0.75}
    return tallies.at(tally, gate=0.9375, **settings)


def _found(tally, k):
    """Every number of the table, with intervals, and every baseline."""
    split = MADE[k][0]
    groups = [split.groups[i % N] for i in tally.index]
    rows = metric_table.rows(_at(tally, k), split.classes, groups, resamples=30)
    point = baselines.choose(tally, scored.VALIDATION)
    return rows, baselines.rows(tally, point, split)


def _points(tally):
    for rule in decision.RULES[1:]:
        choice = {"objective": "dice_kaggle", "min_areas": (0.0, 0.05), "rule": rule}
        yield operating_point.choose(tally, scored.VALIDATION, **choice)


@pytest.mark.parametrize("k", [2, 3])
@properties
@hypothesis.given(strategies.permutations(range(N)), strategies.integers(1, N - 1))
def test_merge_order(k, order, cut):
    _, whole, parts = MADE[k]
    mixed = [parts[i] for i in order]
    shares = [mixed[cut:], [tallies.empty(k)], mixed[:cut]]
    halves = [tallies.merge(share) for share in shares]
    assert _found(tallies.merge(halves), k) == _found(whole, k)


@pytest.mark.parametrize("k", [2, 3])
@properties
@hypothesis.given(strategies.permutations(range(N)))
def test_images_in_another_order(k, order):
    """The same images at other places in the split: not even the last bit moves."""
    split, whole, parts = MADE[k]
    moved = [
        dataclasses.replace(part, index=np.array([order[i]]))
        for i, part in enumerate(parts)
    ]
    other = tallies.merge(moved)
    assert metric_table.summary(_at(other, k)) == metric_table.summary(_at(whole, k))
    for c in range(k):
        kinds = [metric_table.of_class(_at(t, k), c) for t in (whole, other)]
        assert all(np.array_equal(kinds[0][n], kinds[1][n][order]) for n in kinds[0])
    if k == 2:
        assert list(_points(other)) == list(_points(whole))


@pytest.mark.parametrize("k", [2, 3])
@properties
@hypothesis.given(strategies.integers(1, 3))
def test_images_without_any_label(k, extra):
    """They add no pixel and no image to any value, support or choice."""
    _, whole, parts = MADE[k]
    nothing = [
        dataclasses.replace(
            parts[i],
            index=np.array([N + i]),
            **{name: 0 * getattr(parts[i], name) for name in _COUNTED},
            only_value=tallies.empty(k).only_value,
        )
        for i in range(extra)
    ]
    more = tallies.merge([whole, *nothing])
    kept = ("name", "class", "value", "support_images", "support_pixels", "policy")
    rows, bases = zip(_found(more, k), _found(whole, k), strict=True)
    for a, b in zip(*rows, strict=True):
        assert all(a[key] == b[key] for key in kept), (a, b)
    assert bases[0] == bases[1]
    if k == 2:
        assert list(_points(more)) == list(_points(whole))


_COUNTED = set(tallies.ROWS) - {"index"} | {"pooled"}


def test_the_point_of_these_tests_is_at_work():
    _, whole, _ = MADE[2]
    loose = tallies.at(whole, threshold=0.25).predicted[:, 1]
    strict = _at(whole, 2).predicted[:, 1]
    assert (loose > 0).sum() > (strict > 0).sum() > 0
