"""Samples every example equally often, from an endless stream of permutations."""

import numpy as np
from jaxtyping import Bool

from jaxseg.data.samplers import _stream


def epoch_size(present: Bool[np.ndarray, "n k"]) -> int:
    """Examples that make an epoch: all of them."""
    return len(present)


def share(present: Bool[np.ndarray, "n k"], *, epoch: int, epochs: int) -> float:
    """The share of positives that this sampler aims at: the natural one."""
    return float(np.mean(present[:, 1:].any(axis=1)))


def order(
    present: Bool[np.ndarray, "n k"], *, seed: int, epoch: int, epochs: int, size: int
) -> np.ndarray:
    """i64 [size]: the examples of `epoch`; a pure function of its arguments."""
    return _stream.take(len(present), epoch * size, size, seed=seed, tag=0)
