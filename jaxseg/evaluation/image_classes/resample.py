"""Draws groups of images again and again, and scores classes on each draw."""

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
from jaxtyping import Float, Int

from jaxseg.metrics import bootstrap, classification, image_classification

RANKED = ("roc_auc", "average_precision")


class Drawn(NamedTuple):
    """Every number on every draw; NaN where it is undefined. Empty of one group."""

    of_class: dict[str, Float[np.ndarray, "r m"]]  # of RANKED, and f1
    of_all: dict[str, Float[np.ndarray, "r"]]  # by the names of "means"

    def ends(
        self, name: str, c: int | None = None
    ) -> tuple[float | None, float | None]:
        """The interval of class `c`, or of a mean; (None, None) of a single group."""
        values = self.of_all.get(name) if c is None else self.of_class.get(name)
        if values is None:
            return None, None
        return bootstrap.interval(values if c is None else values[:, c])


def resample(
    probability: Float[np.ndarray, "n m"],
    truth: Int[np.ndarray, "n m"],
    thresholds: Sequence[float | None],
    groups: Sequence[str],
    *,
    exclusive: bool,
    seed: int,
    resamples: int,
) -> Drawn:
    """All numbers on the same draws of the groups of images.

    A mean leaves out a class that a draw does not show, as that of the split does.
    """
    known = image_classification.known(truth)
    names, code = np.unique(np.array(groups, str)[known], return_inverse=True)
    if len(names) < 2:
        return Drawn({}, {})
    probability, truth = probability[known], truth[known]
    parts = []
    for taken in bootstrap.draws(len(names), seed=seed, resamples=resamples):
        times = taken[:, code]
        one = {"f1": _f1(probability, truth, thresholds, times)}
        one |= _ranked(probability, truth, times)
        if exclusive:
            one |= _answers(probability, truth, times)
        parts.append(one)
    whole = {name: np.concatenate([part[name] for part in parts]) for name in parts[0]}
    of_class = {name: whole.pop(name) for name in (*RANKED, "f1")}
    means = {f"{name}_mean": _mean(of_class[name]) for name in RANKED}
    if not exclusive:
        means["f1_macro"] = _mean(of_class["f1"])
    return Drawn(of_class, means | whole)


def _mean(values: Float[np.ndarray, "r m"]) -> Float[np.ndarray, "r"]:
    there = ~np.isnan(values)
    number = there.sum(axis=1)
    total = np.where(there, values, 0.0).sum(axis=1)
    return np.where(number > 0, total / np.maximum(number, 1), np.nan)


def _ranked(probability, truth, times) -> dict[str, np.ndarray]:
    """[r, m] of each of RANKED."""
    out = {name: np.full((len(times), truth.shape[1]), np.nan) for name in RANKED}
    for c, label in enumerate(truth.T):
        there = label >= 0
        if not there.any():
            continue
        drawn = classification.resampled(
            probability[there, c], label[there] > 0, times[:, there]
        )
        for name in RANKED:
            out[name][:, c] = drawn[name]
    return out


def _f1(probability, truth, thresholds, times) -> np.ndarray:
    """[r, m]: NaN without a threshold, and where a draw does not show the class."""
    out = np.full((len(times), truth.shape[1]), np.nan)
    for c, (label, cut) in enumerate(zip(truth.T, thresholds, strict=True)):
        if cut is None:
            continue
        there, yes = label >= 0, probability[:, c] >= cut
        shows, marked = there & (label > 0), there & yes
        hits, total, all_of = (
            times @ part.astype(np.int64) for part in (shows & marked, marked, shows)
        )
        value = 2 * hits / np.maximum(total + all_of, 1)
        out[:, c] = np.where(all_of > 0, value, np.nan)
    return out


def _answers(probability, truth, times) -> dict[str, np.ndarray]:
    """[r] of the numbers that rest on the most probable class."""
    rows, m = (truth == 1).any(axis=1), truth.shape[1]
    answer, right = image_classification.answers(probability, truth)
    cell = np.eye(m * m, dtype=np.int64)[right * m + answer]
    counts = (times[:, rows] @ cell).reshape(-1, m, m)
    against = image_classification.one_against_rest(counts)
    return {
        "f1_macro": image_classification.f1_macro(**against),
        "accuracy": image_classification.accuracy(counts),
        "balanced_accuracy": image_classification.balanced_accuracy(counts),
    }
