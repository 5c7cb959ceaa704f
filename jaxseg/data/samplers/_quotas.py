"""Draws from groups of images, each in its part of every stretch of an epoch.

A group is an endless stream of permutations: every image of it is drawn equally often
for it. An image of several groups is drawn for each of them.
"""

from collections.abc import Callable

import numpy as np
from jaxtyping import Bool, Float, Int

from jaxseg.data.samplers import _stream

_FIRST_TAG = 3  # of the streams; uniform and balanced have 0 to 2
Parts = Callable[[int], np.ndarray]  # epoch -> the part of each group, sum 1


def order(
    groups: Bool[np.ndarray, "n g"], parts: Parts, *, seed: int, epoch: int, size: int
) -> Int[np.ndarray, "size"]:
    """i64 [size]: the examples of `epoch`, each group spread evenly over it.

    `groups` says which images each group has. A pure function of its arguments: the
    streams go on where the epoch before ended, which is computed, not remembered.
    """
    before, counts = _counts(parts, epoch, size)
    places, examples = [], []
    for g, (start, count) in enumerate(zip(before, counts, strict=True)):
        members = np.flatnonzero(groups[:, g])
        if count:
            tag = _FIRST_TAG + g
            drawn = _stream.take(len(members), start, count, seed=seed, tag=tag)
            examples.append(members[drawn])
            places.append((np.arange(count) + 0.5) / count)
    return np.concatenate(examples)[np.argsort(np.concatenate(places), kind="stable")]


def with_none(shown: Bool[np.ndarray, "n m"]) -> Bool[np.ndarray, "n g"]:
    """The groups bool [n, m + 1]: images that show no class, then each of the m."""
    return np.concatenate([~shown.any(axis=1, keepdims=True), shown], axis=1)


def divided(
    wanted: Float[np.ndarray, "g"], there: Bool[np.ndarray, "g"]
) -> Float[np.ndarray, "g"] | None:
    """The parts of the groups that have images, so that they sum to 1.

    None where none of these is wanted.
    """
    wanted = np.where(there, wanted, 0.0)
    return wanted / wanted.sum() if wanted.sum() > 0 else None


def _counts(parts: Parts, epoch: int, size: int) -> tuple[list[int], list[int]]:
    """(draws of each group before `epoch`, those within it), lists of int.

    An epoch gives each group what it lacks, rounded down, and the few draws that are
    left to the groups that lack most.
    """
    total = np.zeros(len(parts(0)))
    before = drawn = np.zeros(len(total), np.int64)
    for number in range(epoch + 1):
        wanted = parts(number)
        total, before = total + size * wanted, drawn
        lack = np.round(total - drawn, 6)  # equal parts stay equal
        count = np.maximum(np.floor(lack), 0).astype(np.int64)
        left = size - count.sum()
        rest = np.where(wanted > 0, lack - count, -np.inf)
        if left > 0:
            most = np.argsort(-rest, kind="stable")
            np.add.at(count, most[np.arange(left) % np.sum(wanted > 0)], 1)
        for _ in range(-left):  # a group that was ahead got no fewer than 0
            count[np.argmin(np.where(count > 0, rest, np.inf))] -= 1
        drawn = before + count
    return before.tolist(), (drawn - before).tolist()
