"""One image and its probabilities become a row of exact counts."""

import numpy as np
from jaxtyping import Float, UInt8

from jaxseg.errors import DataError, NotFinite
from jaxseg.evaluation import image_threshold
from jaxseg.evaluation.tally import WHOLE, Tally
from jaxseg.labels import IGNORE
from jaxseg.metrics import histograms
from jaxseg.metrics.histogram import joint


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
