"""Paired tests between units that were judged on the same images."""

from collections.abc import Sequence
from typing import Any

import numpy as np

from jaxseg.metrics import paired_test
from jaxseg.report.comparison import scores
from jaxseg.report.comparison.group_runs import Unit, comparable, split_of

Test = dict[str, Any]
Tests = dict[str, dict[tuple[str, str], Test]]  # metric -> (first, second) -> test


def tests(block: Sequence[Unit], metric: str) -> Tests:
    """Every pair of a block by every metric that counts per image can repeat.

    A test is `paired.Difference` of the first minus the second with `values`;
    `adjusted`: p by Holm over all pairs of the metric, so best and worst may be picked
    afterwards; `seeds`: Welch's p over seeds, by Holm too, None unless both are groups;
    `answer`: is the first better than the second (yes, no, unclear, tie). A group is
    the mean of its members, on every resample. {} where nothing is testable.
    """
    if len(block) < 2 or not comparable(block[0], block[1]):
        return {}
    names = scores.testable(block, metric)
    if not names:
        return {}
    members = [[_images(run, unit) for run in unit["runs"]] for unit in block]
    pairs = len(block) * (len(block) - 1) // 2
    drawn = paired_test.resample(
        names,
        [images for unit in members for images in unit],
        resamples=max(paired_test.RESAMPLES, 100 * pairs),  # so that Holm can decide
    )
    cuts = np.cumsum([len(unit) for unit in members])[:-1]
    value, samples = (np.split(drawn[key], cuts) for key in ("value", "samples"))
    titles = [unit["name"] for unit in block]
    found: Tests = {}
    for m, name in enumerate(names):
        values = [v[:, m] for v in value]
        again = [s[:, m].mean(axis=0) for s in samples]
        found[name] = _family(titles, name, values, again, drawn["groups"])
    return found


def _images(run: Any, unit: Unit) -> paired_test.Images:
    return paired_test.images(split_of(run, unit)["images"])


def _family(titles, name, values, again, groups) -> dict[tuple[str, str], Test]:
    """All pairs by one metric, their p-values adjusted together."""
    found: dict[tuple[str, str], Test] = {}
    for i, first in enumerate(titles):
        for j, second in enumerate(titles[i + 1 :], start=i + 1):
            means = float(values[i].mean()), float(values[j].mean())
            test = paired_test.difference(means, (again[i], again[j]), groups)
            seeds = scores.welch(*([*map(_or_none, values[k])] for k in (i, j)))
            found[first, second] = {**test, "values": means, "seeds": seeds}
    for old, new in (("p", "adjusted"), ("seeds", "seeds")):
        adjusted = paired_test.holm([test[old] for test in found.values()])
        for test, p in zip(found.values(), adjusted, strict=True):
            test[new] = p
    for test in found.values():
        test["answer"] = _answer(test, more=scores.higher(name))
    return found


def _or_none(value: float) -> float | None:
    return None if np.isnan(value) else float(value)


def _answer(test: Test, *, more: bool) -> str:
    if test["value"] is None or test["adjusted"] is None:
        return "unclear"
    if test["value"] == 0 and test["p"] == 1:
        return "tie"
    known = [p for p in (test["adjusted"], test["seeds"]) if p is not None]
    if max(known) >= paired_test.LEVEL:
        return "unclear"
    return "yes" if (test["value"] > 0) == more else "no"


def between(found: Tests, metric: str, first: str, second: str) -> Test | None:
    """The test of two units in this order, whichever way it was made."""
    family = found.get(metric, {})
    if (first, second) in family:
        return family[first, second]
    test = family.get((second, first))
    if test is None:
        return None
    turned = {"yes": "no", "no": "yes"}
    low, high = test["high"], test["low"]
    return test | {
        "value": None if test["value"] is None else -test["value"],
        "low": None if low is None else -low,
        "high": None if high is None else -high,
        "values": test["values"][::-1],
        "answer": turned.get(test["answer"], test["answer"]),
    }
