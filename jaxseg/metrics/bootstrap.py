"""Percentile bootstrap over groups of images (Efron, 1979).

Whole groups (patients) are drawn with replacement, because images of one patient are
not independent. Davison and Hinkley, 1997, chapter 3.8.
"""

from collections.abc import Callable, Iterator, Sequence

import numpy as np
from jaxtyping import Float, Int

from jaxseg.metrics import overlap

RESAMPLES = 1000
_CHUNK = 100  # resamples at a time: bounds the memory


def draws(
    groups: int, *, seed: int, resamples: int = RESAMPLES
) -> Iterator[Int[np.ndarray, "r groups"]]:
    """Yields, in chunks, how often each resample takes each group; same for a seed."""
    rng = np.random.default_rng(seed)
    for start in range(0, resamples, _CHUNK):
        size = min(_CHUNK, resamples - start)
        taken = rng.integers(groups, size=(size, groups))
        taken += groups * np.arange(size)[:, None]
        yield np.bincount(taken.ravel(), minlength=size * groups).reshape(size, groups)


def by_group(
    terms: Float[np.ndarray, "m 4 n"], groups: Sequence[str]
) -> Float[np.ndarray, "m 4 groups"]:
    """Terms of m metrics summed over the images of each group, groups sorted."""
    names, code = np.unique(np.asarray(groups), return_inverse=True)
    summed = np.zeros((*terms.shape[:-1], len(names)))
    np.add.at(summed, (..., code), terms)
    return summed


def resample(
    names: Sequence[str],
    terms: Float[np.ndarray, "m 4 n"],
    groups: Sequence[str],
    *,
    divide: Callable[[str, np.ndarray], np.ndarray] = overlap.divide,
    seed: int = 0,
    resamples: int = RESAMPLES,
) -> Float[np.ndarray, "m resamples"]:
    """Each of m metrics on each resample of the groups; NaN where it is undefined.

    `terms` are what `divide` takes of each of the `names` once it is summed over images
    (`overlap.terms`), so a pooled metric is pooled again and a mean averaged again.
    """
    summed = by_group(terms, groups)
    parts = []
    for taken in draws(summed.shape[-1], seed=seed, resamples=resamples):
        # einsum adds in a fixed order, which BLAS does not: bit-exact when repeated
        drawn = np.einsum("rg,mtg->mtr", taken.astype(np.float64), summed)
        pairs = zip(names, drawn, strict=True)
        parts.append(np.stack([divide(name, one) for name, one in pairs]))
    return np.concatenate(parts, axis=1)


def interval(
    values: Float[np.ndarray, "resamples"], *, level: float = 0.95
) -> tuple[float | None, float | None]:
    """Returns the ends of the percentile interval; undefined resamples are left out.

    (None, None) when no resample is defined.
    """
    defined = values[~np.isnan(values)]
    if not len(defined):
        return None, None
    low, high = np.quantile(defined, [(1 - level) / 2, (1 + level) / 2])
    return float(low), float(high)
