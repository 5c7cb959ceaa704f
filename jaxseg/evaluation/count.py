"""Exact counts of images and their probabilities, each at its native size.

Its probabilities are brought back to that size before anything is counted, and only a
compact row stays in memory.
"""

import collections
import concurrent.futures
import itertools
from collections.abc import Callable, Iterable, Iterator
from typing import Any

import numpy as np
from jaxtyping import Float, UInt8

from jaxseg.errors import ConfigError, DataError, NotFinite
from jaxseg.evaluation import image_threshold
from jaxseg.evaluation.tally import WHOLE, Tally, empty, merge
from jaxseg.labels import IGNORE
from jaxseg.metrics import histograms
from jaxseg.metrics.histogram import joint

Resize = Callable[[np.ndarray, tuple[int, int]], np.ndarray]


def count_split(
    predictions: Iterable[tuple[int, np.ndarray]],
    split: Any,
    *,
    to_native: Resize,
    threads: int = 2,
) -> Tally:
    """Tally of the predicted images of `split`, each at its native size.

    `predictions` gives (index in the split, probability f32 [H, W, k]) of real images,
    without padding; of several processes each gives its own share, and their tallies
    are merged later. For k = 2 only the foreground channel, [H, W, 1], is resized.
    `split` has len, [i], `ids` and `classes`; it is read from `threads` threads. Raises
    DataError for an image that comes twice and for labels or probabilities that are
    none; ConfigError when k is not the number of classes.
    """
    k = len(split.classes)

    def one(item: tuple[int, np.ndarray]) -> Tally:
        index = int(item[0])
        example = split[index]
        mask = example["mask"]
        native = at_native(item[1], mask.shape, k, to_native)
        facts = {"index": index, "num_classes": k, "name": split.ids[index]}
        return count_image(native, mask, example["image"], **facts)

    rows = in_threads(one, predictions, threads)
    return merge(itertools.chain([empty(k)], rows), ids=split.ids)


def at_native(probability, shape, k: int, to_native: Resize) -> np.ndarray:
    """Probability f32 [h, w, k] at native size; [h, w, 1], of foreground, for k = 2."""
    probability = np.asarray(probability, np.float32)
    if probability.shape[-1] != k:
        raise ConfigError(
            f"The model predicts {probability.shape[-1]} classes, but the data set has "
            f"{k}: set the model's num_classes to {k}."
        )
    if k == 2:
        probability = np.ascontiguousarray(probability[..., 1:])
    return np.reshape(to_native(probability, shape), (*shape, probability.shape[-1]))


def in_threads(function, items: Iterable, threads: int) -> Iterator:
    """function(item) of every item in order, at most 2 x threads items in memory."""
    waiting = collections.deque()
    with concurrent.futures.ThreadPoolExecutor(max(threads, 1)) as pool:
        try:
            for item in items:
                waiting.append(pool.submit(function, item))
                if len(waiting) >= 2 * threads:
                    yield waiting.popleft().result()
            while waiting:
                yield waiting.popleft().result()
        finally:
            for future in waiting:
                future.cancel()


def count_image(
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
    if label.max(initial=0) >= num_classes:
        raise DataError(
            f"The mask of {name!r} holds label {label.max()}, but there are "
            f"{num_classes} classes; use 0 to {num_classes - 1}, or {IGNORE} to ignore."
        )
    _check(picked, name)
    levels = np.zeros((2, 0), np.uint32)
    if num_classes == 2:
        levels = image_threshold.histogram(image, mask)
        counted = _binary(picked[:, -1], label)
    else:
        counted = _many(picked, label)
    row = {"index": np.int64(index), "ignored": np.int64(mask.size - label.size)}
    row |= {"levels": levels} | counted
    whole = {name: row.pop(name) for name in WHOLE}
    return Tally(**{name: value[None] for name, value in row.items()}, **whole)


def _check(picked, name: str) -> None:
    low, high = (picked.min(), picked.max()) if picked.size else (0, 0)
    if not (low >= -1e-3 and high <= 1.001):  # also NaN
        raise NotFinite(
            f"The predictions for {name!r} range from {low} to {high}; probabilities "
            "from 0 to 1 are needed. Training has diverged: lower the learning rate."
        )


def _binary(score, label) -> dict[str, np.ndarray]:
    score = score.astype(np.float32, copy=False)

    def encode(part):
        return histograms.bins(score[part]) + label[part] * np.int32(histograms.BINS)

    counts, codes = joint(encode, label.size, 2 * histograms.BINS)
    pooled = counts.reshape(2, histograms.BINS)
    cells = histograms.coarse(pooled)
    truth = cells.sum(axis=1)
    wrong, right = histograms.above(cells)[:, histograms.nearest(0.5)[0]]
    return {
        "truth": truth,
        "predicted": np.array([label.size - wrong - right, wrong + right]),
        "hits": np.array([truth[0] - wrong, right]),
        "max_probability": np.float32(score.max(initial=0)),
        "scores": cells.astype(np.uint32),
        "pooled": pooled,
        "seen": histograms.join(
            *histograms.values(score, codes, counts).reshape(2, -1)
        ),
    }


def _many(picked, label) -> dict[str, np.ndarray]:
    k = picked.shape[1]

    def encode(part):
        best, guess = picked[part, 0], 0
        for c in range(1, k):  # argmax: the lowest class wins a tie
            guess = np.where(picked[part, c] > best, c, guess)
            best = np.maximum(best, picked[part, c])
        return guess + label[part] * np.int32(k)

    confusion = joint(encode, label.size, k * k)[0].reshape(k, k)
    return {
        "truth": confusion.sum(axis=1),
        "predicted": confusion.sum(axis=0),
        "hits": confusion.diagonal().copy(),
        "max_probability": np.float32((1 - picked[:, 0]).max(initial=0)),
        "scores": np.zeros((2, 0), np.uint32),
        "pooled": np.zeros((2, 0), np.int64),
        "seen": np.zeros(0, np.int32),
    }
