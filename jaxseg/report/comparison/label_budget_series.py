"""Sorts the units of a comparison into label budgets and their full masks."""

import itertools
import json
import math
from collections.abc import Iterable, Sequence
from typing import Any, TypedDict

import numpy as np

from jaxseg.report.comparison import config_differences, group_runs, scores, wording
from jaxseg.report.comparison.group_runs import IDLE, REPEATS, Unit
from jaxseg.report.read import Row, pick

_AMOUNT = ("positive", "negative", "length", "annotators", "seed")  # of supervision
_AMOUNT += ("masks",)
_IDLE = (*IDLE, "name", "recipe", "per_device_batch")
_ENUMERATED = 9  # values whose every order is tried: 362,880
_DRAWN = 99_999


class Budget(TypedDict):
    """One unit that was trained on a part of the labels."""

    unit: Unit
    label: str  # such as 10+50
    asked: int | None  # clicks an image; None for labels of another kind
    ratio: str  # positive to negative
    pixels: float  # distinct labelled ones an image, mean
    most: int  # of the image with most
    total: float  # of all images; mean over seeds
    share: float  # of all pixels
    images: int
    # class -> images with too few, over seeds; None where that was not counted
    short: dict[str, tuple[int, int]] | None
    row: Row  # score and interval by the stated metric


class Series(TypedDict):
    """Budgets that differ in the amount of labels alone."""

    words: str  # what tells it from the other series; "" where there is one
    budgets: list[Budget]  # fewest labels first
    full: Unit | None  # trained on full masks, and otherwise most alike
    odd: list[str]  # settings in which that one differs nevertheless


def series(ranking: Sequence[Unit], metric: str) -> list[Series]:
    """The budgets of units that were judged on the same images, the best first.

    [] with fewer than two of them. Settings that cannot change a result, seeds and the
    amount of labels may differ within a series.
    """
    described = [
        (unit, [pick(r["info"], "supervision") for r in unit["runs"]], _fixed(unit))
        for unit in ranking
    ]
    full = [(unit, fixed) for unit, labels, fixed in described if not any(labels)]
    kinds: dict[str, tuple[dict, list[Budget]]] = {}
    for unit, labels, fixed in described:
        if all(labels):
            key = json.dumps(fixed, sort_keys=True)
            budgets = kinds.setdefault(key, (fixed, []))[1]
            budgets.append(_budget(unit, labels, metric))
    if sum(len(budgets) for _, budgets in kinds.values()) < 2:
        return []
    telling = config_differences.differing([fixed for fixed, _ in kinds.values()])
    listed = []
    for fixed, budgets in kinds.values():
        keys = [key for key in telling if key in fixed]
        words = [f"{key}: {wording.setting(fixed[key])}" for key in keys]
        budgets.sort(key=lambda b: (size(b), b["pixels"], b["label"]))
        reference, odd = _reference(fixed, full)
        listed.append(
            Series(words="; ".join(words), budgets=budgets, full=reference, odd=odd)
        )
    return listed


def _fixed(unit: Unit) -> dict[str, Any]:
    """The dotted config without seeds, amounts of labels and what changes nothing."""
    free = (*REPEATS, *_IDLE, *(f"supervision.{name}" for name in _AMOUNT))
    return group_runs.settings(unit["runs"][0], without=free)


def _reference(fixed: dict, full: list) -> tuple[Unit | None, list[str]]:
    """The unit on full masks that differs in fewest settings, and those."""

    def odd(other: dict) -> list[str]:
        keys = config_differences.differing([fixed, other])
        return [key for key in keys if key.split(".")[0] != "supervision"]

    candidates = [(unit, odd(other)) for unit, other in full]
    return min(candidates, key=lambda pair: len(pair[1]), default=(None, []))


def _budget(unit: Unit, labels: list[dict[str, Any]], metric: str) -> Budget:
    first = labels[0]
    options, classes = first["options"], first["per_class"]
    counted = [each["short_images"] for each in labels]
    short = {name: [each.get(name, 0) for each in counted] for name in classes}
    return Budget(
        unit=unit,
        label=label(options),
        asked=asked(options, len(classes)),
        ratio=_ratio(options),
        pixels=_mean(each["per_image"]["mean"] for each in labels),
        most=max(each["per_image"]["max"] for each in labels),
        total=_mean(each["labelled_pixels"] for each in labels),
        share=_mean(each["share"] for each in labels),
        images=first["images"],
        short=_ends(short) if all(counted) else None,
        row=scores.score(unit, metric),
    )


def _ends(short: dict[str, list[int]]) -> dict[str, tuple[int, int]]:
    return {name: (min(n), max(n)) for name, n in short.items() if max(n)}


def _mean(values: Iterable[float]) -> float:
    values = list(values)
    return math.fsum(values) / len(values)


def label(options: dict[str, Any]) -> str:
    """`10+50` of clicks; labels of another kind begin with their name."""
    words = [] if options["name"] == "clicks" else [options["name"]]
    if {"positive", "negative"} <= set(options):
        words.append(f"{options['positive']}+{options['negative']}")
    if (masks := options.get("masks")) is not None:
        words.append(
            f"{masks:.3g} masks" if masks > 1 else f"{100 * masks:.3g} % of masks"
        )
    if options.get("annotators", 1) > 1:
        words.append(f"of {options['annotators']} annotators")
    return " ".join(words)


def asked(options: dict[str, Any], classes: int) -> int | None:
    """Clicks asked of an image that shows every class."""
    if options["name"] != "clicks":
        return None
    each = options["positive"] * (classes - 1) + options["negative"]
    return each * options.get("annotators", 1)


def _ratio(options: dict[str, Any]) -> str:
    if not {"positive", "negative"} <= set(options):
        return options["name"]
    positive, negative = options["positive"], options["negative"]
    common = math.gcd(positive, negative) or 1
    return f"{positive // common}:{negative // common}"


def size(budget: Budget) -> float:
    """What budgets are ordered by: clicks asked of an image, else labelled pixels."""
    return budget["pixels"] if budget["asked"] is None else budget["asked"]


def references(series: list[Series]) -> list[Series]:
    """The first series of each unit on full masks."""
    first = {each["full"]["name"]: each for each in reversed(series) if each["full"]}
    return [each for each in series if each in first.values()]


def share(budget: Budget, full: Unit | None, metric: str) -> float | None:
    """Which part of the score on full masks a budget reaches; None: not to be said."""
    bar = scores.score(full, metric)["value"] if full else None
    value = budget["row"]["value"]
    if value is None or bar is None or bar <= 0 or not scores.higher(metric):
        return None
    return value / bar


def kendall(x: Sequence[float], y: Sequence[float]) -> dict[str, Any] | None:
    """Rank correlation tau-b of two lists, and how seldom chance reaches it.

    {"tau", "p", "least", "exact"}: the two-sided p is the share of the orders of y
    whose tau is as far from 0, of all orders for up to 9 values, else of 99,999 drawn
    ones with the `+ 1` of a Monte Carlo test; `least` is the p of the orders farthest
    from 0, below which none can be. None where either is constant. Kendall, 1945, The
    treatment of ties in ranking problems, https://doi.org/10.1093/biomet/33.3.239.
    """
    n = len(x)
    i, j = np.triu_indices(n, 1)
    ours, theirs = (np.sign(np.subtract.outer(v, v)).astype(np.int64) for v in (x, y))
    scale = math.sqrt(np.abs(ours[i, j]).sum() * np.abs(theirs[i, j]).sum())
    if not scale:
        return None
    exact = n <= _ENUMERATED
    if exact:
        every = itertools.chain.from_iterable(itertools.permutations(range(n)))
        orders = np.fromiter(every, np.int8).reshape(-1, n)
    else:
        base = np.tile(np.arange(n, dtype=np.int64), (_DRAWN, 1))
        orders = np.random.default_rng(0).permuted(base, axis=1)
    drawn = np.zeros(len(orders), np.int64)
    for a, b in zip(i, j, strict=True):
        drawn += ours[a, b] * theirs[orders[:, a], orders[:, b]]
    own = int((ours * theirs)[i, j].sum())
    drawn, more = np.abs(drawn), int(not exact)
    p, least = (
        float(np.count_nonzero(drawn >= bar) + more) / (len(drawn) + more)
        for bar in (abs(own), max(abs(own), drawn.max()))
    )
    return {"tau": own / scale, "p": p, "least": least, "exact": exact}
