"""Counts predicted images exactly, each at its native size.

The probabilities of an image are brought back to that size before anything is counted,
and only its compact row of a tally stays in memory.
"""

import collections
import concurrent.futures
import itertools
import math
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from typing import Any, NamedTuple

import numpy as np
from jaxtyping import Float, Int, UInt8

from jaxseg.errors import ConfigError, DataError, NotFinite
from jaxseg.evaluation import image_threshold, one_vs_rest
from jaxseg.evaluation import tally as tallies
from jaxseg.evaluation.tally import WHOLE, Tally, empty
from jaxseg.labels import IGNORE
from jaxseg.metrics import calibration, histograms
from jaxseg.postprocess import decision

Resize = Callable[[np.ndarray, tuple[int, int]], np.ndarray]


class Frozen(NamedTuple):
    """What validation chose for more than two classes."""

    offsets: Sequence[float] | None  # None: the most probable class
    temperature: float | None  # None: probabilities as they are


AS_PREDICTED = Frozen(None, None)
_NO_CLASSES = np.zeros(0)


def count_split(
    predictions: Iterable[tuple[int, np.ndarray]],
    split: Any,
    *,
    to_native: Resize,
    threads: int = 2,
    class_histograms: bool = True,
) -> Tally:
    """Counts the predicted images of `split`, each at its native size.

    `predictions` gives (index in the split, probability f32 [H, W, k]) of real images,
    without padding; of several processes each gives its own share, and their tallies
    are merged later. For k = 2 only the foreground channel, [H, W, 1], is resized.
    `split` has len, [i], `ids` and `classes`; it is read from `threads` threads. For
    more than two classes `class_histograms` asks for those of every class. Raises
    DataError for an image that comes twice and for labels or probabilities that are
    none; ConfigError when k is not the number of classes.
    """
    (tally,) = count_ways(
        predictions,
        split,
        (AS_PREDICTED,),
        to_native=to_native,
        threads=threads,
        class_histograms=class_histograms,
    )
    return tally


def count_ways(
    predictions: Iterable[tuple[int, np.ndarray]],
    split: Any,
    ways: Sequence[Frozen],
    *,
    to_native: Resize,
    threads: int = 2,
    class_histograms: bool = True,
    image_scores: Mapping[int, Float[np.ndarray, "n"] | float] | None = None,
    image_classes: int = 0,
) -> list[Tally]:
    """The tally of each way to read the same predictions, all in one pass.

    As `count_split`, which reads them as they are. `image_scores` has what is said of
    the whole image of an index when its prediction comes: the probability that it shows
    foreground or, with `image_classes`, that of each of so many classes.
    """
    image_scores = {} if image_scores is None else image_scores
    k = len(split.classes)

    def one(item: tuple[int, np.ndarray]) -> list[Tally]:
        index = int(item[0])
        example = split[index]
        mask = example["mask"]
        native = at_native(item[1], mask.shape, k, to_native)
        facts = {"index": index, "num_classes": k, "name": split.ids[index]}
        facts["class_histograms"] = class_histograms
        facts["label"] = int(example.get("label", -1))
        if image_classes:
            facts["class_probability"] = image_scores[index]
            facts["class_truth"] = split.image_classes[index]
        elif index in image_scores:
            facts["image_score"] = float(np.ravel(image_scores[index])[0])
        return [
            count_image(native, mask, example["image"], frozen=way, **facts)
            for way in ways
        ]

    sums = [tallies.Sum() for _ in ways]
    nothing = empty(k, class_histograms=class_histograms, image_classes=image_classes)
    first = [nothing] * len(ways)
    for rows in itertools.chain([first], in_threads(one, predictions, threads)):
        for whole, row in zip(sums, rows, strict=True):
            whole.add(row)
    return [whole.total(split.ids) for whole in sums]


def of_whole_images(
    image_scores: Mapping[int, Float[np.ndarray, "m"]], split: Any
) -> Tally:
    """The tally of what is said of m classes of whole images; pixels are not counted.

    `image_scores` are the probabilities by index, of this process's share; `split` has
    `labels`, `classes` and `image_classes`.
    """
    index = np.array(sorted(image_scores), np.int64)
    said = [image_scores[i] for i in index.tolist()]
    m = split.image_classes.shape[1]
    return tallies.without_pixels(
        index,
        split.labels[index],
        np.reshape(np.array(said, np.float32), (len(said), m)),
        split.image_classes[index],
        num_classes=len(split.classes),
    )


def at_native(
    probability: Float[np.ndarray, "H W k"],
    shape: tuple[int, int],
    k: int,
    to_native: Resize,
) -> Float[np.ndarray, "h w _"]:
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


def in_threads(
    function: Callable[[Any], Any], items: Iterable, threads: int
) -> Iterator:
    """Yields function(item) in order, with at most 2 x threads items in memory."""
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
    frozen: Frozen = AS_PREDICTED,
    class_histograms: bool = True,
    label: int = -1,
    image_score: float = math.nan,
    class_probability: Float[np.ndarray, "m"] = _NO_CLASSES,
    class_truth: Int[np.ndarray, "m"] = _NO_CLASSES,
) -> Tally:
    """Counts one image; `probability` is at the size of the mask, float32.

    For two classes a single channel, that of the foreground, is enough. For more,
    `frozen` says which class a pixel gets and how its probabilities are softened before
    the histograms. Raises DataError for a label that is no class, and for probabilities
    that are none.
    """
    keep = mask != IGNORE
    if keep.all():
        ids, picked = mask.ravel(), probability.reshape(mask.size, -1)
    else:
        ids, picked = mask[keep], probability[keep]
    if ids.max(initial=0) >= num_classes:
        raise DataError(
            f"The mask of {name!r} holds label {ids.max()}, but there are "
            f"{num_classes} classes; use 0 to {num_classes - 1}, or {IGNORE} to ignore."
        )
    _check(picked, name)
    levels = np.zeros((2, 0), np.uint32)
    if num_classes == 2:
        levels = image_threshold.histogram(image, mask)
        counts = _two_classes(picked[:, -1], ids)
    else:
        counts = _more_classes(picked, ids, frozen, class_histograms)
    if not ids.size:  # an image without a mask can still be called positive
        highest = probability[..., -1] if num_classes == 2 else 1 - probability[..., 0]
        counts["max_probability"] = np.float32(highest.max(initial=0))
    row = {"index": np.int64(index), "ignored": np.int64(mask.size - ids.size)}
    row |= {"label": np.int64(label), "image_score": np.float32(image_score)}
    row["class_probability"] = np.asarray(class_probability, np.float32)
    row["class_truth"] = np.asarray(class_truth, np.int8)
    row |= {"levels": levels} | counts
    whole = {name: row.pop(name) for name in WHOLE}
    return Tally(**{name: value[None] for name, value in row.items()}, **whole)


def _check(probability: np.ndarray, name: str) -> None:
    low, high = 0, 0
    if probability.size:
        low, high = probability.min(), probability.max()
    if not (low >= -1e-3 and high <= 1.001):  # also NaN
        raise NotFinite(
            f"The predictions for {name!r} range from {low} to {high}; probabilities "
            "from 0 to 1 are needed. Training has diverged: lower the learning rate."
        )


def _two_classes(
    score: Float[np.ndarray, "n"], label: UInt8[np.ndarray, "n"]
) -> dict[str, np.ndarray]:
    """Fields of the tally of one image from its probabilities of foreground."""
    score = score.astype(np.float32, copy=False)

    def encode(part: slice) -> np.ndarray:
        return histograms.bins(score[part]) + label[part] * np.int32(histograms.BINS)

    counts, codes = histograms.count_codes(encode, label.size, 2 * histograms.BINS)
    pooled = counts.reshape(2, histograms.BINS)
    cells = tallies.cells(pooled)
    total, foreground = cells.sum(axis=1), tallies.above(cells)[:, tallies.nearest(0.5)]
    values = histograms.only_values(score, codes, counts).reshape(2, -1)
    return {
        "confusion": np.stack([total - foreground, foreground], axis=1),
        "max_probability": np.float32(score.max(initial=0)),
        "scores": cells.astype(np.uint32),
        "pooled": pooled,
        "only_value": histograms.join_only_values(*values),
    }


def _more_classes(
    probability: Float[np.ndarray, "n k"],
    label: UInt8[np.ndarray, "n"],
    frozen: Frozen,
    class_histograms: bool,
) -> dict[str, np.ndarray]:
    """Fields of the tally of one image by the class that each pixel gets."""
    k = probability.shape[1]
    offsets = (0.0,) * k if frozen.offsets is None else frozen.offsets

    def encode(part: slice) -> np.ndarray:
        answer = decision.by_offsets(probability[part], offsets).astype(np.int32)
        return answer + label[part] * np.int32(k)

    counts, _ = histograms.count_codes(encode, label.size, k * k)
    confusion = counts.reshape(k, k)
    softened = probability
    if frozen.temperature is not None and class_histograms:
        softened = soften(probability, frozen.temperature)
    pooled, only_value = one_vs_rest.count(softened, label, kept=class_histograms)
    return {
        "confusion": confusion,
        "max_probability": np.float32((1 - probability[:, 0]).max(initial=0)),
        "scores": np.zeros((2, 0), np.uint32),
        "pooled": pooled,
        "only_value": only_value,
    }


def soften(
    probability: Float[np.ndarray, "n k"], temperature: float
) -> Float[np.ndarray, "n k"]:
    """softmax(log p / temperature), float32; p is taken inside calibration.CLIP."""
    low, _ = calibration.CLIP
    logit = np.log(np.maximum(probability, low).astype(np.float64)) / temperature
    power = np.exp(logit - logit.max(axis=1, keepdims=True))
    return (power / power.sum(axis=1, keepdims=True)).astype(np.float32)
