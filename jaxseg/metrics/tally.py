"""What is kept of each scored image: a compact row of exact counts.

A tally holds rows, one per image, and one pooled histogram of the scores. Merging
tallies is addition: any number of processes, any order, the same result.
"""

import dataclasses
from collections.abc import Iterable, Sequence

import numpy as np
from jaxtyping import Float, UInt8

from jaxseg.errors import ConfigError, DataError
from jaxseg.metrics import bins, intensity
from jaxseg.types import IGNORE


@dataclasses.dataclass(frozen=True)
class Tally:
    """Counts of n images and k classes, rows sorted by index; IGNORE counts nowhere.

    The histograms exist for k = 2 only: elsewhere their second axis has length 0.
    Columns "by truth" are (background, foreground).
    """

    index: np.ndarray  # i64 [n], position in the split
    ignored: np.ndarray  # i64 [n], pixels that are not labelled
    truth: np.ndarray  # i64 [n, k], pixels of each class
    predicted: np.ndarray  # i64 [n, k], by argmax (k = 2: p > 0.5)
    hits: np.ndarray  # i64 [n, k], in both
    max_probability: np.ndarray  # f32 [n], of foreground
    scores: np.ndarray  # u32 [n, 418, 2], cells of bins.GRID by truth
    levels: np.ndarray  # u32 [n, 256, 2], intensity of the image by truth
    pooled: np.ndarray  # i64 [bins.BINS, 2], scores of all images by truth
    seen: np.ndarray  # i32 [bins.BINS], bins.values of all images

    @property
    def pixels(self) -> np.ndarray:
        """Labelled pixels of each image, i64 [n]."""
        return self.truth.sum(axis=1)

    @property
    def positive(self) -> np.ndarray:
        """Whether the truth has any foreground (class > 0), bool [n]."""
        return self.truth[:, 1:].any(axis=1)


_ROWS = [f.name for f in dataclasses.fields(Tally)][:-2]


def measure(
    probability: Float[np.ndarray, "h w k"],
    mask: UInt8[np.ndarray, "h w"],
    image: np.ndarray,
    *,
    index: int,
    num_classes: int,
    name: str,
) -> Tally:
    """Tally of one image; `probability` at the size of the mask, float32.

    For two classes a single channel, that of the foreground, is enough. Raises
    DataError for a label that is no class, and for probabilities that are none.
    """
    keep = mask != IGNORE
    if keep.all():
        label, picked = mask.ravel(), probability.reshape(mask.size, -1)
    else:
        label, picked = mask[keep], probability[keep]
    truth = np.bincount(label, minlength=num_classes).astype(np.int64)
    if len(truth) > num_classes:
        raise DataError(
            f"The mask of {name!r} holds label {len(truth) - 1}, but there are "
            f"{num_classes} classes; use 0 to {num_classes - 1}, or {IGNORE} to ignore."
        )
    _check(picked, name)
    counted = (_binary if num_classes == 2 else _many)(picked, label, truth)
    if num_classes == 2:
        levels = intensity.histogram(image, mask)
    else:
        levels = np.zeros((0, 2), np.uint32)
    row = {"index": np.int64(index), "ignored": np.int64(mask.size - label.size)}
    row |= {"truth": truth, "levels": levels} | counted
    return Tally(
        **{k: v if k in ("pooled", "seen") else v[None] for k, v in row.items()}
    )


def _check(picked, name: str) -> None:
    low, high = (picked.min(), picked.max()) if picked.size else (0, 0)
    if not (low >= -1e-3 and high <= 1.001):  # also NaN
        raise DataError(
            f"The predictions for {name!r} range from {low} to {high}; probabilities "
            "from 0 to 1 are needed: has training diverged?"
        )


def _binary(picked, label, truth) -> dict[str, np.ndarray]:
    score = np.ascontiguousarray(picked[:, -1], dtype=np.float32)
    code = bins.bins(score)
    both = np.bincount(
        code + label.astype(np.int32) * bins.BINS, minlength=2 * bins.BINS
    )
    pooled = np.ascontiguousarray(both.reshape(2, -1).T, dtype=np.int64)
    cells = bins.coarse(pooled)
    wrong, right = bins.above(cells)[bins.nearest(0.5)[0]]
    return {
        "predicted": np.array([label.size - wrong - right, wrong + right]),
        "hits": np.array([truth[0] - wrong, right]),
        "max_probability": np.float32(score.max(initial=0)),
        "scores": cells.astype(np.uint32),
        "pooled": pooled,
        "seen": bins.values(score, code, pooled),
    }


def _many(picked, label, truth) -> dict[str, np.ndarray]:
    k = len(truth)
    guess = picked.argmax(axis=1)
    return {
        "predicted": np.bincount(guess, minlength=k).astype(np.int64),
        "hits": np.bincount(label[guess == label], minlength=k).astype(np.int64),
        "max_probability": np.float32((1 - picked[:, 0]).max(initial=0)),
        "scores": np.zeros((0, 2), np.uint32),
        "pooled": np.zeros((0, 2), np.int64),
        "seen": np.zeros(0, np.int32),
    }


def merge(tallies: Iterable[Tally], *, ids: Sequence[str] | None = None) -> Tally:
    """All images of the tallies in one, sorted by index; consumes them one by one.

    Raises DataError when there is none or an image comes twice; `ids` names it.
    """
    rows, pooled, seen = {name: [] for name in _ROWS}, None, None
    for tally in tallies:
        for name in _ROWS:
            rows[name].append(getattr(tally, name))
        pooled = (
            tally.pooled.copy()
            if pooled is None
            else np.add(pooled, tally.pooled, out=pooled)
        )
        seen = tally.seen if seen is None else bins.join(seen, tally.seen)
    if pooled is None:
        raise DataError("No image was scored: the split is empty.")
    if len({t.shape[1:] for t in rows["truth"]}) > 1:
        raise ConfigError("Tallies of different numbers of classes cannot be merged.")
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


def to_arrays(tally: Tally) -> dict[str, np.ndarray]:
    """The tally as uint32 arrays [rows, ...] that survive a gather through JAX.

    JAX without x64 cuts int64 to 32 bits, so everything travels as its 32-bit words.
    Arrays of several processes may be concatenated along axis 0, and padded there with
    rows of which `index` is all ones (-1), to make their shapes equal.
    """
    out = {}
    for field in dataclasses.fields(tally):
        array = np.ascontiguousarray(getattr(tally, field.name))
        rows = 1 if field.name in ("pooled", "seen") else len(tally.index)
        words = array.view(np.uint32).size // max(rows, 1) if array.size else 0
        out[field.name] = array.view(np.uint32).reshape(rows, words)
    return out


def from_arrays(arrays: dict[str, np.ndarray], *, num_classes: int) -> Tally:
    """The merged tally of concatenated `to_arrays`; padding rows are dropped."""
    k, two = num_classes, num_classes == 2
    shapes = {
        "index": (np.int64, ()),
        "ignored": (np.int64, ()),
        "truth": (np.int64, (k,)),
        "predicted": (np.int64, (k,)),
        "hits": (np.int64, (k,)),
        "max_probability": (np.float32, ()),
        "scores": (np.uint32, (len(bins.GRID) + 1 if two else 0, 2)),
        "levels": (np.uint32, (256 if two else 0, 2)),
        "pooled": (np.int64, (bins.BINS if two else 0, 2)),
        "seen": (np.int32, (bins.BINS if two else 0,)),
    }
    found = {}
    for name, (dtype, shape) in shapes.items():
        words = np.ascontiguousarray(arrays[name])
        found[name] = (
            words.view(dtype).reshape(len(words), *shape)
            if words.size
            else (np.zeros((len(words), *shape), dtype))
        )
    real = found["index"] >= 0
    pooled = found.pop("pooled").sum(axis=0)
    first, *others = found.pop("seen")
    for seen in others:
        first = bins.join(first, seen)
    kept = {name: array[real] for name, array in found.items()}
    return merge([Tally(**kept, pooled=pooled, seen=first)])
