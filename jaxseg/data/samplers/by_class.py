"""Samples every class in a set share of the drawn images, in every stretch of an epoch.

The images fall into groups: those that show class 1, those that show class 2, ..., and
those that show no foreground. An image with several classes belongs to the group of
each, so it is drawn for each of them: the shares say for which class an image is drawn,
and a class is shown by at least that many images. Each group is an endless stream of
permutations: every image of it is drawn equally often for it.

`share` is one of

    a number below 0    equal parts for each class and for the images that show none
    a number s          s for the classes together, in equal parts, the rest for none
    (s_none, s_1, ...)  a part for each group; they sum to 1
    knots over training ((progress, s), ...) or ((progress, s_none, s_1, ...), ...)

A group without images gets nothing and leaves its part to the others. Over the epochs
so far each group comes within one example of its part, or two where shares change.
"""

import numpy as np
from jaxtyping import Bool, Float, Int

from jaxseg.data.samplers import _quotas
from jaxseg.errors import ConfigError, DataError

Share = float | tuple[float, ...] | tuple[tuple[float, ...], ...]


def epoch_size(present: Bool[np.ndarray, "n k"], *, share: Share) -> int:
    """Examples that make an epoch: as many as there are images.

    Raises ConfigError for a share that is none, DataError without any foreground.
    """
    if not present[:, 1:].any():
        raise DataError(
            f"none of the {len(present)} training images shows a class above 0, so "
            "there is nothing to sample by class: use config.sampler.name=uniform."
        )
    parts(present, epoch=0, epochs=1, share=share)
    return len(present)


def share(
    present: Bool[np.ndarray, "n k"], *, epoch: int, epochs: int, share: Share
) -> float:
    """The target share of positives in `epoch`: all parts but that of none."""
    return float(1 - parts(present, epoch=epoch, epochs=epochs, share=share)[0])


def parts(
    present: Bool[np.ndarray, "n k"], *, epoch: int, epochs: int, share: Share
) -> Float[np.ndarray, "k"]:
    """The part of each group in the draws of `epoch`: of none, of class 1, ...; sum 1.

    Raises ConfigError for a share that is none.
    """
    there = _quotas.with_none(present[:, 1:]).any(axis=0)
    groups = len(there)
    wanted = _at(share, epoch / max(1, epochs - 1), groups)
    if wanted.size == 1:
        foreground = there.copy()
        foreground[0] = False
        if wanted[0] < 0:
            wanted = np.ones(groups)
        else:
            wanted = np.where(foreground, wanted[0] / foreground.sum(), 1 - wanted[0])
    out = _quotas.divided(wanted, there)
    if out is None:
        raise _no_share(share, groups)
    return out


def order(
    present: Bool[np.ndarray, "n k"],
    *,
    seed: int,
    epoch: int,
    epochs: int,
    size: int,
    share: Share,
) -> Int[np.ndarray, "size"]:
    """i64 [size]: the examples of `epoch`, each group spread evenly over it.

    A pure function of its arguments: the streams go on where the epoch before ended,
    which is computed, not remembered.
    """

    def at(number: int) -> np.ndarray:
        return parts(present, epoch=number, epochs=epochs, share=share)

    groups = _quotas.with_none(present[:, 1:])
    return _quotas.order(groups, at, seed=seed, epoch=epoch, size=size)


def _at(share: Share, progress: float, groups: int) -> np.ndarray:
    """f64 [1] or [groups]: the share at `progress` in [0, 1]."""
    try:
        table = np.asarray(share, float)
    except (TypeError, ValueError):
        raise _no_share(share, groups) from None
    if table.ndim > 2 or not table.size:
        raise _no_share(share, groups)
    if table.ndim == 2:
        steps, table = table[:, 0], table[:, 1:]
        if not (np.all(np.diff(steps) > 0) and steps[0] >= 0 and steps[-1] <= 1):
            raise _no_share(share, groups)
    else:
        steps, table = np.zeros(1), np.atleast_1d(table)[None]
    constant = np.ndim(share) == 0
    one = table.shape[1] == 1 and (constant or np.ndim(share) == 2)
    wrong_sum = not one and np.any(np.abs(table.sum(1) - 1) > 1e-6)
    wrong_size = not one and table.shape[1] != groups
    below = np.any(table < 0) and not constant
    if wrong_size or wrong_sum or below or not np.all(table <= 1):
        raise _no_share(share, groups)
    return np.array([np.interp(progress, steps, column) for column in table.T])


def _no_share(share: Share, groups: int) -> ConfigError:
    return ConfigError(
        f"config.sampler.by_class.share is {share!r}; give a number up to 1, "
        f"{groups} shares that sum to 1 (of images without foreground, then of each "
        "class, 0 where there are none), or knots over training such as "
        "((0.0, 0.9), (1.0, 0.5))."
    )
