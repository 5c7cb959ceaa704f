"""Searches an offset for each class: the operating point of more than two classes.

A pixel gets the class argmax_c(log p_c + offset_c). With all offsets 0 that is argmax,
which is right for the costs that the network was trained on; a class that it calls too
seldom for the objective (or, with class weights, too often) is mended by its offset,
without training. Such additive adjustment of logits is that of Menon et al., 2021,
https://arxiv.org/abs/2007.07314; here it is not derived from class frequencies but
chosen on validation for the objective itself.

The mean over foreground classes alone would let a class that the network cannot tell
swallow the background, or another class. So no class, background included, may come
below KEPT of the pooled Dice that argmax gives it.

The search is coordinate ascent over GRID. With the other offsets fixed, a pixel gets
class c from some offset of the grid on, and before it the best of the others; so one
histogram of these places, by truth and by the best of the others, counts every offset
of the grid at once.
"""

from collections.abc import Iterator, Sequence

import numpy as np
from jaxtyping import Float, Int

from jaxseg.evaluation.kept_pixels import Pixels
from jaxseg.evaluation.tally import Tally
from jaxseg.metrics import overlap
from jaxseg.postprocess import decision

GRID = np.arange(-64, 65) / 8  # offsets that are tried: -8 to 8 in steps of 1/8
ROUNDS = 20  # over all classes, at most
KEPT = 0.5  # of the pooled Dice of every class by argmax: no offset may take more
_BETTER = 1e-12  # more than the rounding of the sums
_CELLS = 2**22  # of a histogram: bounds the memory


def present_classes(tally: Tally) -> list[int]:
    """Foreground classes that the truth shows: those the objective averages over."""
    return (np.flatnonzero(tally.truth[:, 1:].any(axis=0)) + 1).tolist()


def value(tally: Tally, objective: str) -> float | None:
    """The mean of the objective over the present foreground classes; None without any.

    A class without a value (Matthews' coefficient of one that is never predicted)
    counts 0: leaving it out would reward losing it.
    """
    counts = [
        overlap.split_counts(
            tally.truth[:, c], tally.predicted[:, c], tally.hits[:, c], tally.pixels
        )
        for c in present_classes(tally)
    ]
    each = [overlap.value(objective, one) or 0.0 for one in counts]
    return overlap.mean_of_present(each)


def search(
    pixels: Pixels,
    present: Sequence[int],
    *,
    objective: str,
    grid: Float[np.ndarray, "g"] = GRID,
) -> list[float]:
    """One offset a class, that of background 0, with a high objective on `pixels`.

    Only the `present` classes are moved, in order of their ids, again and again until
    none moves. A class moves when that is better, to the best offset of the grid that
    leaves every class KEPT of its Dice; of equal ones to that nearest 0, then to the
    lower. `grid` ascends and holds 0.
    """
    k = pixels.probability.shape[1]
    offsets, zero = np.zeros(k), np.flatnonzero(grid == 0)[0]
    floor = np.zeros(k)
    for _ in range(ROUNDS):
        moved = False
        for c in present:
            values, dice = along(
                pixels, present, offsets, c, objective=objective, grid=grid
            )
            if not floor.any():  # nothing has moved: this is argmax
                floor = KEPT * dice[:, zero]
            allowed = (dice >= floor[:, None] - _BETTER).all(axis=0)
            values = np.where(allowed, values, -np.inf)
            tied = np.flatnonzero(values >= values.max() - _BETTER)
            best = min(tied, key=lambda g: (abs(grid[g]), grid[g]))
            if values[best] > values[grid == offsets[c]][0] + _BETTER:
                offsets[c], moved = grid[best], True
        if not moved:
            break
    return offsets.tolist()


def along(
    pixels: Pixels,
    present: Sequence[int],
    offsets: Float[np.ndarray, "k"],
    c: int,
    *,
    objective: str,
    grid: Float[np.ndarray, "g"] = GRID,
) -> tuple[Float[np.ndarray, "g"], Float[np.ndarray, "k g"]]:
    """(objective, pooled Dice of every class) with each offset of the grid for class c.

    The other offsets stay. The objective is the mean over the `present` classes; Dice
    is 0 where it is undefined. Decisions are those of `decision.by_offsets`, bit for
    bit.
    """
    k = len(offsets)
    summed = {j: np.zeros((4, len(grid))) for j in present}
    pooled = np.zeros((k, 4, len(grid)))
    images = np.zeros(len(pixels.label), np.int64)
    if objective in overlap.PER_IMAGE:
        images = np.unique(pixels.image, return_inverse=True)[1]
    for taken, lost in _histograms(pixels, images, offsets, c, grid):
        total = taken[..., 0] + lost[..., 0]  # [n, truth, best of the others]
        every = total.sum(axis=(1, 2))[:, None]
        for j in range(k):
            truth = total[:, j].sum(axis=-1)[:, None]
            if j == c:
                predicted, hits = taken.sum(axis=(1, 2)), taken[:, c].sum(axis=1)
            else:
                predicted, hits = lost[:, :, j].sum(axis=1), lost[:, j, j]
            counts = overlap.split_counts(truth, predicted, hits, every)
            shape = predicted.shape
            counts = {name: np.broadcast_to(n, shape) for name, n in counts.items()}
            pooled[j] += overlap.terms("dice_pooled", **counts).sum(axis=1)
            if j in summed:
                summed[j] += overlap.terms(objective, **counts).sum(axis=1)
    each = [overlap.divide(objective, terms) for terms in summed.values()]
    dice = [overlap.divide("dice_pooled", terms) for terms in pooled]
    each, dice = (np.nan_to_num(np.stack(rows), nan=0.0) for rows in (each, dice))
    return each.mean(axis=0), dice


def _histograms(
    pixels: Pixels,
    images: Int[np.ndarray, "m"],
    offsets: Float[np.ndarray, "k"],
    c: int,
    grid: Float[np.ndarray, "g"],
) -> Iterator[tuple[np.ndarray, np.ndarray]]:
    """(pixels of class c, pixels of another class) [n, truth, best of others, g].

    Of some images at a time; `images` ascends.
    """
    k, cells = len(offsets), len(grid) + 1
    step = max(1, _CELLS // (k * k * cells))
    for first in range(0, int(images[-1]) + 1 if len(images) else 0, step):
        part = slice(*np.searchsorted(images, [first, first + step]))
        runner, cell = _places(pixels.probability[part], offsets, c, grid)
        code = (images[part] - first) * k + pixels.label[part]
        code = (code * k + runner) * cells + cell
        number = min(step, int(images[-1]) + 1 - first)
        size = number * k * k * cells
        counted = np.bincount(code, pixels.weight[part], minlength=size)
        counted = counted.reshape(number, k, k, cells)
        taken = np.cumsum(counted, axis=-1)
        yield taken[..., :-1], taken[..., -1:] - taken[..., :-1]


def _places(
    probability: Float[np.ndarray, "m k"],
    offsets: Float[np.ndarray, "k"],
    c: int,
    grid: Float[np.ndarray, "g"],
) -> tuple[Int[np.ndarray, "m"], Int[np.ndarray, "m"]]:
    """(the best class but c, how many offsets of the grid are too low for c)."""
    weights = decision.class_weights(offsets)
    bar = np.full(len(probability), -1.0)
    runner = np.zeros(len(probability), np.int64)
    for j in range(len(offsets)):
        if j != c:  # the lowest class wins a tie
            score = probability[:, j] * weights[j]
            runner[score > bar] = j
            np.maximum(bar, score, out=bar)
    own = probability[:, c].astype(np.float64)
    factors = np.append(decision.class_weights(grid), np.inf)
    first = c < runner  # c wins a tie

    def wins(at: np.ndarray) -> np.ndarray:
        score = own * factors[np.minimum(at, len(grid) - 1)]
        return (at == len(grid)) | (score > bar) | ((score == bar) & first)

    ratio = np.divide(bar, own, out=np.full(len(own), np.inf), where=own > 0)
    cell = np.searchsorted(factors[:-1], ratio)
    below = np.maximum(cell - 1, 0)
    down = (cell > 0) & wins(below)  # the ratio was rounded, the products are exact
    cell = np.where(down, below, cell)
    return runner, cell + ~wins(cell)
