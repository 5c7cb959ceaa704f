"""Deals patients out to training, validation and test, once and for good.

Groups (patients) are dealt out whole, the largest first and otherwise in an order
hashed from the seed, each to the split that lacks its images most. What a split lacks
is counted over all images, over each class of label, and over bins of mask area among
the positives, so the splits agree in size, in prevalence and in areas. Other strata
(`strata.py`) can take the place of the areas; a split that lacks one of these then gets
it before a split that has it, while enough groups are left.
"""

import collections
import csv
import hashlib
import io
import re
from collections.abc import Mapping, Sequence

import numpy as np

from jaxseg.errors import ConfigError, DataError

_BINS = 4  # of mask area
_IMAGES_PER_BIN = 20  # fewer positives than this per bin give fewer bins


def shares(*, validation: float, test: float) -> dict[str, float]:
    """The share of each split; ConfigError unless each of the three is above 0."""
    train = 1 - validation - test
    if not (validation > 0 and test > 0 and train > 1e-9):
        raise ConfigError(
            f"validation={validation} and test={test} leave {train:.3g} for training; "
            "each of the three shares must be above 0, for example 0.15 and 0.15."
        )
    return {"train": train, "validation": validation, "test": test}


def describe(shares: Mapping[str, float]) -> str:
    """The shares in one line, for the data card."""
    return ", ".join(f"{name} {share:.3g}" for name, share in shares.items())


def are_dealt(rule: str) -> bool:
    """Whether a data card's `split_rule` says that all three splits were dealt out.

    The rule then begins as `describe` has it; where one of them came with the data it
    says so in other words.
    """
    return re.match(r"train [\d.e-]+, validation [\d.e-]+, test ", rule) is not None


def assign(
    groups: Sequence[str],
    labels: Sequence[int],
    areas: Sequence[float],
    *,
    shares: Mapping[str, float],
    seed: int,
    strata: Sequence[int] | None = None,
) -> list[str]:
    """The split of every image, one group in one split; a pure function.

    The order of the images does not matter. `areas` are positive shares of the image
    (or pixels) where the label is above 0. With `strata`, a number for each image,
    these are used instead, and every split gets an image of each stratum that has
    groups enough. Raises DataError when there are fewer groups than splits.
    """
    names = list(shares)
    members: dict[str, list[int]] = {}
    for i, group in enumerate(groups):
        members.setdefault(group, []).append(i)
    if len(members) < len(names):
        raise DataError(
            f"{len(members)} groups (patients) cannot be dealt out to "
            f"{len(names)} splits ({', '.join(names)}) without splitting a group."
        )
    features = _features(np.asarray(labels), np.asarray(areas, float), strata)  # [n, f]
    rarest = {} if strata is None else _rarest(members, strata)
    waiting = collections.Counter(rarest.values())  # groups of each stratum, not dealt
    has: dict[str, set[int]] = {name: set() for name in names}  # strata of each split
    wanted = np.outer(list(shares.values()), features.sum(0))  # [splits, f]
    dealt = np.zeros_like(wanted)
    chosen = {}

    def turn(group: str) -> tuple:
        rare = waiting[rarest[group]] if rarest else 0
        return -len(members[group]), rare, _hash(seed, group)

    for group in sorted(members, key=turn):
        holds = features[members[group]].sum(0)
        # Chi-square distance to what is wanted, after against before, for each split:
        # relative to the split, so that few positives do not all go to the largest.
        change = (holds * (holds + 2 * (dealt - wanted)) / wanted).sum(1)
        empty = [s for s in range(len(names)) if not dealt[s].any()]
        left = len(members) - len(chosen)
        able = empty if left <= len(empty) else range(len(names))
        if rarest:
            stratum = rarest[group]
            lacking = [s for s in able if stratum not in has[names[s]]]
            able = lacking if waiting[stratum] <= len(lacking) else able
            waiting[stratum] -= 1
        best = min(able, key=change.item)
        dealt[best] += holds
        chosen[group] = names[best]
        if strata is not None:
            has[names[best]].update(strata[i] for i in members[group])
    return [chosen[group] for group in groups]


def area_bins(labels: np.ndarray, areas: np.ndarray) -> np.ndarray:
    """int [n]: 0 for negatives, 1, 2, ... for positives from small to large areas."""
    out = np.zeros(len(labels), int)
    positive = np.flatnonzero(labels > 0)
    bins = min(max(len(positive) // _IMAGES_PER_BIN, 1), _BINS)
    if len(positive):
        edges = np.quantile(areas[positive], np.arange(1, bins) / bins)
        out[positive] = 1 + np.searchsorted(edges, areas[positive], side="right")
    return out


def table(
    ids: Sequence[str], groups: Sequence[str], splits: Sequence[str]
) -> tuple[str, str]:
    """The CSV text (id, group, split), sorted by id, and its SHA-256 in hex."""
    text = io.StringIO()
    writer = csv.writer(text, lineterminator="\n")
    writer.writerow(["id", "group", "split"])
    writer.writerows(sorted(zip(ids, groups, splits, strict=True)))
    return text.getvalue(), hashlib.sha256(text.getvalue().encode()).hexdigest()


def join(groups: Sequence[str], keys: Sequence[str]) -> list[str]:
    """The groups, united where two of them hold images of the same key (a duplicate).

    A united group takes the alphabetically first name.
    """
    parent: dict[str, str] = {}

    def root(name: str) -> str:
        while parent.setdefault(name, name) != name:
            parent[name] = name = parent[parent[name]]
        return name

    first: dict[str, str] = {}
    for group, key in zip(groups, keys, strict=True):
        one, other = sorted((root(group), root(first.setdefault(key, group))))
        parent[other] = one
    return [root(group) for group in groups]


def _rarest(
    members: Mapping[str, Sequence[int]], strata: Sequence[int]
) -> dict[str, int]:
    """The stratum of each group that has the fewest images; the lower of two."""
    images = collections.Counter(strata)
    return {
        group: min((images[strata[i]], strata[i]) for i in inside)[1]
        for group, inside in members.items()
    }


def _features(
    labels: np.ndarray, areas: np.ndarray, strata: Sequence[int] | None
) -> np.ndarray:
    """f64 [n, f]: 1 where image n counts for feature f: any image, label, stratum."""
    stratum = area_bins(labels, areas) if strata is None else np.asarray(strata)
    columns = [np.ones(len(labels), bool)]
    columns += [labels == value for value in np.unique(labels)]
    columns += [stratum == value for value in np.unique(stratum)]
    return np.stack(columns, 1).astype(float)


def _hash(seed: int, group: str) -> bytes:
    return hashlib.sha256(f"{seed}:{group}".encode()).digest()
