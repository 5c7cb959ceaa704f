"""Computes any stretch of an endless stream of permutations."""

import numpy as np


def take(n: int, start: int, count: int, *, seed: int, tag: int) -> np.ndarray:
    """Positions start to start + count of perm_0 + perm_1 + ... of range(n).

    Every element comes once before any comes again, across any cut of the stream.
    """
    if count == 0:
        return np.zeros(0, np.int64)
    blocks = range(start // n, (start + count - 1) // n + 1)
    perms = [np.random.default_rng((seed, tag, b)).permutation(n) for b in blocks]
    first = start - blocks[0] * n
    return np.concatenate(perms)[first : first + count]
