"""What is kept of each scored image: a compact row of exact counts.

A tally holds rows, one per image, and one pooled histogram of the scores. Merging
tallies is addition: any number of processes, any order, the same result.
"""

import dataclasses
import functools
import math
from collections.abc import Iterable, Sequence
from typing import Any, NamedTuple

import numpy as np

from jaxseg.errors import ConfigError, DataError
from jaxseg.metrics import histograms


@dataclasses.dataclass(frozen=True)
class Tally:
    """Counts of n images and k classes, rows sorted by index; IGNORE counts nowhere.

    The histograms exist for k = 2 only: elsewhere their last axis has length 0. "By
    truth" means two rows, background and foreground.
    """

    index: np.ndarray  # i64 [n], position in the split
    ignored: np.ndarray  # i64 [n], pixels that are not labelled
    truth: np.ndarray  # i64 [n, k], pixels of each class
    predicted: np.ndarray  # i64 [n, k], by argmax (k = 2: p > 0.5)
    hits: np.ndarray  # i64 [n, k], in both
    max_probability: np.ndarray  # f32 [n], of foreground
    scores: np.ndarray  # u32 [n, 2, 418], cells of bins.GRID by truth
    levels: np.ndarray  # u32 [n, 2, 256], intensity of the image by truth
    pooled: np.ndarray  # i64 [2, bins.BINS], scores of all images by truth
    seen: np.ndarray  # i32 [bins.BINS], bins.values of all images

    @property
    def pixels(self) -> np.ndarray:
        """Labelled pixels of each image, i64 [n]."""
        return self.truth.sum(axis=1)

    @property
    def positive(self) -> np.ndarray:
        """Whether the truth has any foreground (class > 0), bool [n]."""
        return self.truth[:, 1:].any(axis=1)


WHOLE = ("pooled", "seen")
ROWS = [f.name for f in dataclasses.fields(Tally) if f.name not in WHOLE]


def _layout(k: int) -> dict[str, tuple[type, tuple[int, ...]]]:
    """dtype and shape, without the axis of the images, of every array."""
    cells, levels, size = (418, 256, histograms.BINS) if k == 2 else (0, 0, 0)
    return {
        "index": (np.int64, ()),
        "ignored": (np.int64, ()),
        "truth": (np.int64, (k,)),
        "predicted": (np.int64, (k,)),
        "hits": (np.int64, (k,)),
        "max_probability": (np.float32, ()),
        "scores": (np.uint32, (2, cells)),
        "levels": (np.uint32, (2, levels)),
        "pooled": (np.int64, (2, size)),
        "seen": (np.int32, (size,)),
    }


def empty(num_classes: int) -> Tally:
    """The tally of no image: what a process without a share of the split has."""
    arrays = {
        name: np.zeros(shape if name in WHOLE else (0, *shape), dtype)
        for name, (dtype, shape) in _layout(num_classes).items()
    }
    arrays["seen"] += histograms.EMPTY
    return Tally(**arrays)


class Applied(NamedTuple):
    """A tally whose `predicted` and `hits` are those at an operating point."""

    tally: Tally
    point: dict[str, Any] | None  # None for more than two classes: argmax


def at(
    tally: Tally,
    *,
    threshold: float,
    min_area: float = 0.0,
    top_threshold: float | None = None,
    gate: float | None = None,
) -> Tally:
    """The tally (k = 2) with the counts of `p > threshold`.

    An image becomes empty when fewer of its pixels than `min_area` (a share of the
    labelled ones) lie above `top_threshold`, which is `threshold` unless given; and
    when its max_probability is not above `gate`. Raises ConfigError for thresholds that
    are not in bins.GRID: counts at others are not known exactly.
    """
    top = threshold if top_threshold is None else top_threshold
    if top < threshold:
        raise ConfigError(
            f"The top threshold {top} is below the threshold {threshold}; raise it."
        )
    above = histograms.above(tally.scores)
    wrong, right = above[..., _place(threshold)].T
    keep = above[..., _place(top)].sum(axis=1) >= min_area * tally.pixels
    if gate is not None:
        keep &= tally.max_probability.astype(np.float64) > gate
    wrong, right = wrong * keep, right * keep
    predicted = np.stack([tally.pixels - wrong - right, wrong + right], axis=1)
    hits = np.stack([tally.truth[:, 0] - wrong, right], axis=1)
    return dataclasses.replace(tally, predicted=predicted, hits=hits)


def at_point(tally: Tally, point: dict[str, Any]) -> Tally:
    """`at` with the settings of an operating point, those of an older one included."""
    names = ("threshold", "min_area", "top_threshold", "gate")
    return at(tally, **{name: point[name] for name in names if name in point})


def _place(threshold: float) -> int:
    place, exact = histograms.nearest(threshold)
    if not exact:
        raise ConfigError(
            f"Threshold {threshold} is not on the grid of exactly counted thresholds; "
            f"the nearest that is: {float(histograms.GRID[place])!r}."
        )
    return place


def merge(tallies: Iterable[Tally], *, ids: Sequence[str] | None = None) -> Tally:
    """All images of the tallies in one, sorted by index; consumes them one by one.

    Raises DataError when there is no tally or an image comes twice; `ids` names it.
    """
    rows, pooled, seen = {name: [] for name in ROWS}, None, None
    for tally in tallies:
        if pooled is None:
            pooled = np.zeros_like(tally.pooled)
            seen = np.full_like(tally.seen, histograms.EMPTY)
            classes = tally.truth.shape[1]
        if tally.truth.shape[1] != classes:
            raise ConfigError(
                f"Tallies of {classes} and of {tally.truth.shape[1]} classes cannot be "
                "merged; score them with one model."
            )
        for name in ROWS:
            rows[name].append(getattr(tally, name))
        pooled += tally.pooled
        seen = histograms.join(seen, tally.seen)
    if pooled is None:
        raise DataError("No image was scored: the split is empty.")
    index = np.concatenate(rows["index"])
    order = np.argsort(index, kind="stable")
    index = index[order]
    twice = np.unique(index[1:][np.diff(index) == 0])
    if len(twice):
        raise DataError(f"Images scored more than once: {_names(twice, ids)}.")
    joined = {name: np.concatenate(parts)[order] for name, parts in rows.items()}
    return Tally(**joined, pooled=pooled, seen=seen)


def check_complete(tally: Tally, ids: Sequence[str]) -> None:
    """Raises DataError, with the ids, unless images 0 to len(ids) - 1 are all there."""
    missing = np.setdiff1d(np.arange(len(ids)), tally.index)
    strange = np.setdiff1d(tally.index, np.arange(len(ids)))
    if len(missing):
        raise DataError(
            f"{len(missing)} of {len(ids)} images were not scored: "
            f"{_names(missing, ids)}; every process must score its share."
        )
    if len(strange):
        raise DataError(f"The split has no images at {_names(strange, None)}.")


def _names(index, ids: Sequence[str] | None) -> str:
    shown = [repr(ids[i]) if ids is not None else f"index {i}" for i in index[:5]]
    return ", ".join(shown) + (f" and {len(index) - 5} more" if len(index) > 5 else "")


def to_arrays(tally: Tally, *, rows: int | None = None) -> dict[str, np.ndarray]:
    """The tally as uint32 arrays [images, words] that survive a gather through JAX.

    JAX without x64 cuts int64 to 32 bits, so everything travels as its 32-bit words.
    Arrays of several processes may be concatenated along axis 0. Where they must have
    equal shapes, `rows` pads the images of each to one number; `from_arrays` drops the
    padding.
    """
    out = {}
    for name, (dtype, shape) in _layout(tally.truth.shape[1]).items():
        array = np.ascontiguousarray(getattr(tally, name), dtype)
        n = 1 if name in WHOLE else len(tally.index)
        words = array.dtype.itemsize // 4 * math.prod(shape)
        flat = array.view(np.uint32).reshape(n, words)
        if rows is not None and name not in WHOLE:
            pad = ((0, rows - n), (0, 0))
            flat = np.pad(flat, pad, constant_values=2**32 - 1)  # as index: -1
        out[name] = flat
    return out


def from_arrays(arrays: dict[str, np.ndarray], *, num_classes: int) -> Tally:
    """The merged tally of concatenated `to_arrays`; padding rows are dropped."""
    found = {}
    for name, (dtype, shape) in _layout(num_classes).items():
        words = np.ascontiguousarray(arrays[name], dtype=np.uint32)
        found[name] = words.reshape(-1).view(dtype).reshape(len(words), *shape)
    real = found["index"] >= 0
    pooled = found.pop("pooled").sum(axis=0)
    seen = functools.reduce(histograms.join, found.pop("seen"))
    kept = {name: array[real] for name, array in found.items()}
    return merge([Tally(**kept, pooled=pooled, seen=seen)])
