"""Samples every example equally often, from an endless stream of permutations."""

import numpy as np

from jaxseg.data.samplers import _stream


def epoch_size(positive: np.ndarray) -> int:
    """Examples that make an epoch: all of them."""
    return len(positive)


def share(positive: np.ndarray, *, epoch: int, epochs: int) -> float:
    """The share of positives that this sampler aims at: the natural one."""
    return float(np.mean(positive))


def order(
    positive: np.ndarray, *, seed: int, epoch: int, epochs: int, size: int
) -> np.ndarray:
    """i64 [size]: the examples of `epoch`; a pure function of its arguments."""
    return _stream.take(len(positive), epoch * size, size, seed=seed, tag=0)
