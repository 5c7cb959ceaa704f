"""Samples a set share of positives in every stretch of an epoch.

The share is constant or follows a schedule. The published recipe keeps a share of the
negatives and weights the positives; here the negatives kept are others in each epoch,
so that all take their turn in the long run. Positives and negatives are two endless
streams of permutations: every positive comes equally often, every negative too. The
share is exact to one example an epoch.
"""

import functools
from typing import Any

import numpy as np
from jaxtyping import Bool

from jaxseg import schedule
from jaxseg.data.samplers import _stream
from jaxseg.errors import ConfigError, DataError


def epoch_size(
    present: Bool[np.ndarray, "n k"],
    *,
    share: schedule.Schedule,
    negative_keep: float,
    positive_weight: float,
) -> int:
    """Examples that make an epoch: all positives and `negative_keep` of the rest."""
    positive = _positive(present)
    _check(positive, share, negative_keep, positive_weight)
    positives = int(np.sum(positive))
    return positives + int((len(positive) - positives) * negative_keep)


def share(
    present: Bool[np.ndarray, "n k"],
    *,
    epoch: int,
    epochs: int,
    share: schedule.Schedule,
    negative_keep: float,
    positive_weight: float,
) -> float:
    """The target share of positives in `epoch`.

    A negative `share` stands for what keeping and weighting imply:
    w P / (w P + keep N), as if a weighted sampler drew from the kept examples.
    """
    if isinstance(share, (int, float)) and share < 0:
        positive = _positive(present)
        positives = float(np.sum(positive)) * positive_weight
        negatives = int((len(positive) - np.sum(positive)) * negative_keep)
        return positives / (positives + negatives)
    progress = epoch / max(1, epochs - 1)
    return float(schedule.at(share, progress, epoch=epoch, epochs=epochs))


def order(
    present: Bool[np.ndarray, "n k"],
    *,
    seed: int,
    epoch: int,
    epochs: int,
    size: int,
    **options: Any,
) -> np.ndarray:
    """i64 [size]: the examples of `epoch`, positives spread evenly over it.

    A pure function of its arguments: the streams go on where the epoch before ended,
    which is computed, not remembered.
    """
    before = _positives_until(present, epoch, epochs, size, **options)
    count = _positives_until(present, epoch + 1, epochs, size, **options) - before
    positive = _positive(present)
    pick = functools.partial(_stream.take, seed=seed)
    where = np.flatnonzero(positive), np.flatnonzero(~positive)
    pos = where[0][pick(len(where[0]), before, count, tag=1)]
    neg = where[1][pick(len(where[1]), epoch * size - before, size - count, tag=2)]
    # position j is a positive where the running count of positives rises
    edges = np.arange(size + 1) * count // size
    out = np.empty(size, np.int64)
    rises = np.diff(edges) > 0
    out[rises], out[~rises] = pos, neg
    return out


def _positive(present: np.ndarray) -> np.ndarray:
    """bool [n]: whether an image shows any class above 0."""
    return present[:, 1:].any(axis=1)


def _positives_until(present, epoch: int, epochs: int, size: int, **options) -> int:
    shares = [share(present, epoch=e, epochs=epochs, **options) for e in range(epoch)]
    return round(size * float(np.sum(shares)))


def _check(positive, share, negative_keep, positive_weight) -> None:
    schedule.check(share, name="sampler.balanced.share")
    if np.all(positive) or not np.any(positive):
        raise DataError(
            f"the training split has {int(np.sum(positive))} positives of "
            f"{len(positive)} images; balanced sampling needs both kinds: use "
            "config.sampler.name=uniform."
        )
    values = [share] if isinstance(share, (int, float)) else [v for _, v in share]
    if max(values) > 1 or (len(values) > 1 and min(values) < 0):
        raise ConfigError(
            f"config.sampler.balanced.share is {share!r}; a share is from 0 to 1."
        )
    if not 0 < negative_keep <= 1 or positive_weight <= 0:
        raise ConfigError(
            f"config.sampler.balanced has negative_keep={negative_keep} and "
            f"positive_weight={positive_weight}; keep is in (0, 1], weight above 0."
        )
