"""Fits one temperature for the probabilities of more than two classes.

Guo et al. 2017, https://arxiv.org/abs/1706.04599: p becomes softmax(log p / T), with
one T for all classes, that of the lowest mean -log of the probability of the true class
on kept pixels of validation. No most probable class changes with it. It is reported
beside the figures as they are, and applied nowhere else: decisions by offsets read
the probabilities as they are.
"""

import math
from typing import Any, NamedTuple

import numpy as np
from absl import logging
from jaxtyping import Float

from jaxseg.evaluation import one_vs_rest, operating_point, temperature
from jaxseg.evaluation.kept_pixels import Pixels
from jaxseg.evaluation.tally import Tally
from jaxseg.metrics import calibration

_CHUNK = 2**14  # pixels at a time: they stay in the cache of a processor
_LOW = calibration.CLIP[0]


def fit(pixels: Pixels, split: Any) -> dict[str, Any]:
    """The temperature of the lowest NLL on these pixels of `split`, to be frozen.

    `value` is None, and a warning is logged, unless two classes are present. NLL is in
    nats, of the true class among all. `support_pixels` were used, and
    `support_positive_pixels` of them are of a foreground class.
    """
    value = before = after = None
    if len(np.unique(pixels.label)) > 1:
        value = best(pixels)
        before, after = nll(pixels, 1.0), nll(pixels, value)
    else:
        logging.warning("%s has one class only: no temperature.", split.name)
    return {
        "value": value,
        "nll_before": before,
        "nll_after": after,
        "at_limit": value in temperature.LIMITS,
        "support_pixels": len(pixels.label),
        "support_positive_pixels": int(np.count_nonzero(pixels.label)),
        **operating_point.source(split),
    }


class _Chunk(NamedTuple):
    """Some of the pixels, with what does not depend on the temperature."""

    logit: Float[np.ndarray, "m k"]  # log p, f64
    true: Float[np.ndarray, "m"]  # of the class in the truth
    weight: Float[np.ndarray, "m"]


def _chunks(pixels: Pixels) -> list[_Chunk]:
    out = []
    for start in range(0, len(pixels.label), _CHUNK):
        part = slice(start, start + _CHUNK)
        low = np.maximum(pixels.probability[part].astype(np.float64), _LOW)
        logit, label = np.log(low), pixels.label[part].astype(np.int64)[:, None]
        true = np.take_along_axis(logit, label, axis=1)[:, 0]
        out.append(_Chunk(logit, true, pixels.weight[part]))
    return out


def _slope(chunks: list[_Chunk], t: float) -> float:
    """The derivative of the NLL over 1 / T at t, summed over the pixels."""
    parts = []
    for logit, true, weight in chunks:
        power = np.exp((logit - logit.max(axis=1, keepdims=True)) / t)
        expected = (power * logit).sum(axis=1) / power.sum(axis=1)
        parts.append(float((weight * (expected - true)).sum()))
    return math.fsum(parts)


def nll(pixels: Pixels, t: float) -> float:
    """Mean -log of the probability of the true class after softmax(log p / t)."""
    parts = []
    for logit, true, weight in _chunks(pixels):
        most = logit.max(axis=1)
        norm = np.exp((logit - most[:, None]) / t).sum(axis=1)
        parts.append(float((weight * (np.log(norm) - (true - most) / t)).sum()))
    return math.fsum(parts) / float(pixels.weight.sum())


def best(pixels: Pixels) -> float:
    """The T in `temperature.LIMITS` of the lowest NLL; 1 when no T changes it."""
    chunks = _chunks(pixels)
    return temperature.lowest(lambda log_t: _slope(chunks, math.exp(log_t)))


def assemble(
    tally: Tally,
    frozen: dict[str, Any] | None,
    softened: Tally | None,
    split: Any,
) -> dict[str, Any] | None:
    """The block `calibration` of eval/<split>.json for more than two classes.

    `by_class` has {"class", "pixel"} of each foreground class against the rest;
    `after_temperature` the same of `softened`, the tally at the frozen temperature
    (None without one). None where no histograms were kept. Raises ConfigError as
    `operating_point.is_optimistic` does.
    """
    if not tally.has_class_histograms:
        return None
    if frozen is not None:
        what = "temperature was fitted"
        optimistic = operating_point.is_optimistic(frozen, split, what)
        frozen = {**frozen, "optimistic": optimistic}
    after = None
    if frozen and frozen["value"] is not None and softened is not None:
        after = {"by_class": _by_class(softened, split)}
    return {
        "by_class": _by_class(tally, split),
        "temperature": frozen,
        "after_temperature": after,
    }


def _by_class(tally: Tally, split: Any) -> list[dict[str, Any]]:
    return one_vs_rest.reliability(tally.pooled, tally.only_value, split.classes)
