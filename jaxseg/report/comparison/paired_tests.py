"""Tests pairs of units that were judged on the same images."""

from collections.abc import Sequence
from typing import Any

import numpy as np

from jaxseg.metrics import paired_test
from jaxseg.report import class_counts, derived_numbers
from jaxseg.report.comparison import (
    image_class_tests,
    object_tests,
    scores,
)
from jaxseg.report.comparison.group_runs import Unit, comparable, members, split_of

Test = dict[str, Any]
Tests = dict[str, dict[tuple[str, str], Test]]  # metric -> (first, second) -> test


def test_pairs(ranking: Sequence[Unit], metric: str) -> Tests:
    """Tests every pair of a ranking by every metric that its images can repeat.

    A test is `paired_test.Difference` of the first minus the second with `values`;
    `adjusted`: p by Holm over all pairs of the metric, so best and worst may be picked
    afterwards; `seeds`: Welch's p over seeds, by Holm too, None unless both are groups;
    `answer`: is the first better than the second (yes, no, unclear, tie). A group is
    the mean of its members, on every resample. Above two classes the metrics are means
    over classes (`over_classes`), else of counts summed over them. Units that were not
    scored by pixels, or answered other classes of images, have no test by these. {}
    where nothing is testable.
    """
    if len(ranking) < 2 or not comparable(ranking[0], ranking[1]):
        return {}
    of_pixels = [u for u in ranking if derived_numbers.pixels_trained(split_of(u))]
    tests = _of_pixels(of_pixels, metric) | _of_image_classes(ranking)
    if metric in tests:  # first
        tests = {metric: tests[metric]} | tests
    return tests


def _resamples(ranking: Sequence[Unit]) -> int:
    """As many as Holm needs to decide."""
    pairs = len(ranking) * (len(ranking) - 1) // 2
    return max(paired_test.RESAMPLES, 100 * pairs)


def _of_image_classes(ranking: Sequence[Unit]) -> Tests:
    """The tests of the units that answered the same classes of whole images."""
    units = image_class_tests.testable(ranking)
    if len(units) < 2:
        return {}
    splits = [split_of(run) for run in members(units)]
    drawn = image_class_tests.resample(splits, resamples=_resamples(units))
    return _families(units, image_class_tests.names(splits), drawn)


def _of_pixels(ranking: Sequence[Unit], metric: str) -> Tests:
    """The tests of the units that were scored by pixels, and by objects."""
    names = scores.testable(ranking, metric) if len(ranking) > 1 else []
    if not names:
        return {}
    resamples = _resamples(ranking)
    splits = [split_of(run) for run in members(ranking)]
    if over_classes(ranking):
        counted = [class_counts.of_split(split) for split in splits]
        drawn = class_counts.resample(names, counted, resamples=resamples)
    else:
        counted = [paired_test.images(split["images"]) for split in splits]
        drawn = paired_test.resample(names, counted, resamples=resamples)
    tests = _families(ranking, names, drawn)
    if object_tests.testable(splits):
        drawn = object_tests.resample(splits, resamples=resamples)
        tests |= _families(ranking, object_tests.NAMES, drawn)
    return tests


def _families(
    ranking: Sequence[Unit], names: Sequence[str], drawn: paired_test.Drawn
) -> Tests:
    """The tests of all pairs by each of these metrics."""
    cuts = np.cumsum([len(unit["runs"]) for unit in ranking])[:-1]
    value, samples = (np.split(drawn[key], cuts) for key in ("value", "samples"))
    titles = [unit["name"] for unit in ranking]
    tests: Tests = {}
    for m, name in enumerate(names):
        values = [v[:, m] for v in value]
        again = [s[:, m].mean(axis=0) for s in samples]
        tests[name] = _family(titles, name, values, again, drawn["groups"])
    return tests


def over_classes(ranking: Sequence[Unit]) -> bool:
    """Do all runs have the counts of each class, so that their mean can be tested?"""
    splits = [split_of(run) for run in members(ranking)]
    return all(class_counts.of_split(split) for split in splits)


def _family(
    titles: list[str],
    name: str,
    values: list[np.ndarray],
    again: list[np.ndarray],
    groups: int,
) -> dict[tuple[str, str], Test]:
    """All pairs by one metric, their p-values adjusted together.

    `values` [runs of the unit] and, on resamples, their mean `again` [resamples], one
    array a unit.
    """
    family: dict[tuple[str, str], Test] = {}
    for i, first in enumerate(titles):
        for j, second in enumerate(titles[i + 1 :], start=i + 1):
            means = float(values[i].mean()), float(values[j].mean())
            test = paired_test.difference(means, (again[i], again[j]), groups)
            seeds = scores.welch(*([*map(_or_none, values[k])] for k in (i, j)))
            family[first, second] = {**test, "values": means, "seeds": seeds}
    for old, new in (("p", "adjusted"), ("seeds", "seeds")):
        adjusted = paired_test.holm([test[old] for test in family.values()])
        for test, p in zip(family.values(), adjusted, strict=True):
            test[new] = p
    for test in family.values():
        test["answer"] = _answer(test, more=scores.higher(name))
    return family


def _or_none(value: float) -> float | None:
    return None if np.isnan(value) else float(value)


def _answer(test: Test, *, more: bool) -> str:
    if test["value"] is None or test["adjusted"] is None:
        return "unclear"
    if test["value"] == 0 and test["p"] == 1:
        return "tie"
    p_values = [p for p in (test["adjusted"], test["seeds"]) if p is not None]
    if max(p_values) >= paired_test.LEVEL:
        return "unclear"
    return "yes" if (test["value"] > 0) == more else "no"


def between(tests: Tests, metric: str, first: str, second: str) -> Test | None:
    """The test of two units in this order, whichever way it was made."""
    family = tests.get(metric, {})
    if (first, second) in family:
        return family[first, second]
    test = family.get((second, first))
    if test is None:
        return None
    turned = {"yes": "no", "no": "yes"}
    ends = {"value": test["value"], "low": test["high"], "high": test["low"]}
    return test | {
        **{name: None if end is None else -end for name, end in ends.items()},
        "values": test["values"][::-1],
        "answer": turned.get(test["answer"], test["answer"]),
    }
