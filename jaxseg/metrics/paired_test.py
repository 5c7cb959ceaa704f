"""Paired bootstrap between runs that were scored on the same images.

Every run is measured on the very same resamples of the groups (patients): what makes
an image hard is hard for both runs, and cancels in their difference. The p-value is the
one whose test inverts the percentile interval (Efron and Tibshirani, 1993, An
Introduction to the Bootstrap, chapters 13 and 15), with the `+ 1` of a Monte Carlo test
(Davison and Hinkley, 1997, Bootstrap Methods and their Application, chapter 4):

    p = min(1, 2 min(1 + #{d* <= 0}, 1 + #{d* >= 0}) / (r + 1))

Over n groups it is never below 2^(1 - n), the smallest two-sided p of the exact test
that flips the sign of each group's difference (Fisher, 1935): three images that agree
have shown nothing, though each of their resamples agrees as well. Of two equal runs it
still calls 9 in 100 different at 0.05 over 10 to 20 groups, 7 over 40 and 5 over 80 or
more (simulated): with few groups, believe small p-values only.
"""

import math
from collections.abc import Iterable, Mapping, Sequence
from typing import Any, TypedDict

import numpy as np
from jaxtyping import Float

from jaxseg.errors import DataError
from jaxseg.metrics import bootstrap, overlap

RESAMPLES = 5000
LEVEL = 0.05  # a difference with a smaller p is called decided
_COUNTS = ("tp", "fp", "fn", "tn")


class Images(TypedDict):
    """The images of one run, sorted by id."""

    id: list[str]
    group: list[str]
    counts: dict[str, np.ndarray]  # tp, fp, fn and tn, int64 [n]


class Drawn(TypedDict):
    """Metrics of several runs on one series of resamples; NaN where undefined."""

    value: Float[np.ndarray, "runs m"]
    samples: Float[np.ndarray, "runs m resamples"]
    groups: int


class Difference(TypedDict):
    """First minus second; None where there is nothing to say."""

    value: float | None
    low: float | None  # 95 % percentile interval
    high: float | None
    p: float | None  # two-sided
    groups: int
    resamples: int  # on which both runs are defined


def images(rows: Iterable[Mapping[str, Any]]) -> Images:
    """The images of a `<split>_per_image.csv`, from its rows; the order is no matter.

    With several foreground classes the rows hold the sum over them, and so does every
    test. Raises DataError for an id that comes twice or a count that is missing.
    """
    rows = sorted(rows, key=lambda row: row["id"])
    for before, row in zip([None, *rows], rows, strict=False):
        if before is not None and before["id"] == row["id"]:
            raise DataError(f"image {row['id']!r} stands twice in a table of images.")
        lacking = [key for key in _COUNTS if row.get(key) is None]
        if lacking:
            raise DataError(f"image {row['id']!r} has no {lacking[0]}: evaluate again.")
    return Images(
        id=[row["id"] for row in rows],
        group=[row.get("group") or row["id"] for row in rows],
        counts={
            key: np.array([int(r[key]) for r in rows], np.int64) for key in _COUNTS
        },
    )


def check(first: Images, second: Images) -> None:
    """Raises DataError unless both are the same images, groups and truths."""
    odd = sorted(set(first["id"]) ^ set(second["id"]))
    if odd:
        raise DataError(
            f"a paired test wants the same images, but {len(odd)} are in one run only, "
            f"{odd[0]!r} among them: score both runs on the same split."
        )
    truths = [run["counts"]["tp"] + run["counts"]["fn"] for run in (first, second)]
    pairs = zip(first["group"], second["group"], *truths, strict=True)
    for name, (ours, theirs, mine, yours) in zip(first["id"], pairs, strict=True):
        if ours != theirs:
            raise DataError(
                f"a paired test wants the same groups, but image {name!r} is of "
                f"{ours!r} in one run and of {theirs!r} in the other."
            )
        if mine != yours:
            raise DataError(
                f"a paired test wants the same masks, but image {name!r} has {mine} "
                f"foreground pixels in one run and {yours} in the other."
            )


def resample(
    names: Sequence[str],
    runs: Sequence[Images],
    *,
    seed: int = 0,
    resamples: int = RESAMPLES,
) -> Drawn:
    """The metrics `names` of all runs, and again on resamples that they share.

    Raises DataError unless all runs hold the same images, groups and truths.
    """
    for other in runs[1:]:
        check(runs[0], other)
    each = [(run["counts"], name) for run in runs for name in names]
    shape = (len(runs), len(names))
    value = np.array([overlap.value(name, counts) for counts, name in each], float)
    terms = np.stack([overlap.terms(name, **counts) for counts, name in each])
    samples = bootstrap.resample(
        [name for _, name in each],
        terms,
        runs[0]["group"],
        seed=seed,
        resamples=resamples,
    )
    groups = len(set(runs[0]["group"]))
    return Drawn(
        value=value.reshape(shape), samples=samples.reshape(*shape, -1), groups=groups
    )


def difference(
    value: tuple[float, float],
    samples: tuple[Float[np.ndarray, "r"], Float[np.ndarray, "r"]],
    groups: int,
) -> Difference:
    """First minus second of one metric, from its values and its shared resamples.

    Resamples on which either is undefined are left out. One group, or none of them
    defined, leaves interval and p undefined.
    """
    gap = value[0] - value[1]
    drawn = samples[0] - samples[1]
    drawn = drawn[~np.isnan(drawn)]
    low = high = p = None
    if groups > 1 and len(drawn) and not math.isnan(gap):
        low, high = bootstrap.interval(drawn)
        tail = 1 + min(np.count_nonzero(drawn <= 0), np.count_nonzero(drawn >= 0))
        p = min(1.0, max(2 * tail / (len(drawn) + 1), 2.0 ** (1 - groups)))
    return Difference(
        value=None if math.isnan(gap) else float(gap),
        low=low,
        high=high,
        p=p,
        groups=groups,
        resamples=len(drawn),
    )


def holm(p: Sequence[float | None]) -> list[float | None]:
    """p-values of one family, adjusted so that all together err as seldom as one.

    Undefined ones stay undefined and are not counted. Holm, 1979, A simple sequentially
    rejective multiple test procedure, https://www.jstor.org/stable/4615733.
    """
    defined = sorted((value, i) for i, value in enumerate(p) if value is not None)
    adjusted, highest = [None] * len(p), 0.0
    for rank, (value, i) in enumerate(defined):
        highest = max(highest, min(1.0, (len(defined) - rank) * value))
        adjusted[i] = highest
    return adjusted
