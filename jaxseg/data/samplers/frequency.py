"""Samples the rarer kind wholly in every epoch, and as many of the other, used least.

Positives and negatives are the two kinds, and the majority is whichever has more
images. An epoch holds all of the minority and as many of the majority, drawn without
replacement with the chances

    p_i ~ (1 - f_i / max f - median(1 - f / max f) + 1) ^ (factor ln N)

where f_i counts how often image i of the N of the majority was used, and `factor` is 4.
Bozic, Tabernik and Skocaj, Mixed supervision for surface-defect detection, 2021,
https://arxiv.org/abs/2104.06064

Two things differ from that. There the negatives are always what is drawn, also where
they are the minority; here the roles are by number. And f counts from the least used
image on: over the uses of many epochs the quotients would all come near 1, and the
chances near equal ones, so that frequencies would drift apart as the root of the epoch.
So they stay within one or two of each other for ever, and the first epochs are alike.

What was used before an epoch is computed from the seed, never remembered.
"""

import functools

import numpy as np
from jaxtyping import Bool, Float, Int

from jaxseg.data.samplers import _stream
from jaxseg.errors import ConfigError, DataError

_MINORITY, _MAJORITY = 40, 41  # tags of the random numbers, beside the other samplers
_KEPT = 8  # majorities whose uses up to an epoch a process keeps


def epoch_size(present: Bool[np.ndarray, "n k"], *, factor: float) -> int:
    """Examples that make an epoch: twice the minority.

    Raises DataError where all images are of one kind, ConfigError for a negative
    `factor`.
    """
    positive = _positive(present)
    positives = int(positive.sum())
    if positives in (0, len(positive)):
        raise DataError(
            f"the training split has {positives} positives of {len(positive)} images; "
            "sampling by frequency of use needs both kinds: use "
            "config.sampler.name=uniform."
        )
    if not factor >= 0:
        raise ConfigError(
            f"config.sampler.frequency.factor is {factor}; give a number from 0 "
            "(all alike), such as 4."
        )
    return 2 * min(positives, len(positive) - positives)


def share(
    present: Bool[np.ndarray, "n k"], *, epoch: int, epochs: int, factor: float
) -> float:
    """The target share of positives: half."""
    return 0.5


def order(
    present: Bool[np.ndarray, "n k"],
    *,
    seed: int,
    epoch: int,
    epochs: int,
    size: int,
    factor: float,
) -> Int[np.ndarray, "size"]:
    """i64 [size]: the examples of `epoch`, the two kinds in turn; a pure function.

    The minority is an endless stream of permutations, so that epochs of any other size
    use it evenly too; the larger half of an odd size is of the majority.
    """
    positive = _positive(present)
    majority = positive if 2 * positive.sum() > len(positive) else ~positive
    few, many = np.flatnonzero(~majority), np.flatnonzero(majority)
    rest, drawn = size // 2, size - size // 2
    out = np.empty(size, np.int64)
    taken = _stream.take(len(few), epoch * rest, rest, seed=seed, tag=_MINORITY)
    out[1::2] = few[taken]
    uses = _uses(len(many), drawn, seed, float(factor)).before(epoch)
    out[0::2] = many[draw(uses, drawn, seed=seed, epoch=epoch, factor=factor)]
    return out


def chances(
    uses: Int[np.ndarray, "n"], *, factor: float = 4.0
) -> Float[np.ndarray, "n"]:
    """The chance p of each image that was used so often; they sum to 1."""
    weights = np.exp(_log_weights(uses, factor))
    return weights / weights.sum()


def draw(
    uses: Int[np.ndarray, "n"], count: int, *, seed: int, epoch: int, factor: float
) -> Int[np.ndarray, "count"]:
    """i64 [count]: images of the majority for one epoch, in a random order.

    Without replacement; where `count` is above their number, all of them as often as it
    holds them, and the rest drawn. One number an image decides, so that the draw is
    one of successive draws by `chances` (Efraimidis and Spirakis, Weighted random
    sampling with a reservoir, 2006, https://doi.org/10.1016/j.ipl.2005.11.003).
    """
    rng = np.random.default_rng((seed, _MAJORITY, epoch))
    whole, rest = divmod(count, len(uses))
    keys = _log_weights(uses - uses.min(), factor) + rng.gumbel(size=len(uses))
    # images of chance 0 come last, in a random order of their own
    last = np.lexsort((rng.random(len(uses)), -keys))
    out = np.concatenate([np.tile(np.arange(len(uses)), whole), last[:rest]])
    return rng.permutation(out)


def _positive(present: np.ndarray) -> np.ndarray:
    """bool [n]: whether an image shows any class above 0."""
    return present[:, 1:].any(axis=1)


def _log_weights(uses: np.ndarray, factor: float) -> np.ndarray:
    """f64 [n]: the logarithm of what the chances are proportional to; -inf for 0."""
    most = uses.max()
    if not most:
        return np.zeros(len(uses))
    rest = 1 - uses / most
    with np.errstate(divide="ignore"):
        log = np.log(np.maximum(rest - np.median(rest) + 1, 0))
    exponent = factor * np.log(len(uses))
    # 0 * -inf: with the exponent 0 all are alike
    return exponent * log if exponent else np.zeros(len(uses))


class _Uses:
    """How often each image was used before an epoch, going on from the last answer."""

    def __init__(self, images: int, count: int, seed: int, factor: float):
        self._draw = functools.partial(draw, count=count, seed=seed, factor=factor)
        self._last = 0, np.zeros(images, np.int64)  # replaced whole: threads read it

    def before(self, epoch: int) -> Int[np.ndarray, "n"]:
        """i64 [n]: the uses in epochs 0 to epoch - 1."""
        at, uses = self._last
        if at > epoch:
            at, uses = 0, np.zeros_like(uses)
        for done in range(at, epoch):
            drawn = self._draw(uses, epoch=done)
            uses = uses + np.bincount(drawn, minlength=len(uses))
        self._last = epoch, uses
        return uses


_uses = functools.lru_cache(maxsize=_KEPT)(_Uses)
