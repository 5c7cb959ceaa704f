"""FROC: objects found against false positives per image, as candidates are accepted.

Free-response receiver operating characteristic with the false-positive rates of LUNA16
(Setio et al., 2017, https://doi.org/10.1016/j.media.2017.06.015) and CAMELYON16
(Ehteshami Bejnordi et al., 2017, https://doi.org/10.1001/jama.2017.14585, from 1/4 on).
"""

from collections.abc import Sequence
from typing import Any

import cv2
import numpy as np
from jaxtyping import Bool, Float, Int

from jaxseg.metrics import bootstrap

RATES = (0.125, 0.25, 0.5, 1.0, 2.0, 4.0, 8.0)  # false positives per image
MISSED = np.float32(-1)  # the score of a truth component that no candidate touches
POLICY = (
    "candidates: 8-connected components of the prediction at the operating point, with "
    "their highest probability as score; a truth component (8-connected) is found when "
    "a candidate shares a pixel with it; candidates that touch no truth component are "
    "false positives, further ones on the same component are neither; sensitivity at "
    "the lowest score that keeps to the rate, without interpolation (LUNA16 "
    "interpolates); rates that the operating point does not reach repeat its "
    "sensitivity; pixels not labelled are background in both; mean: over the rates"
)


def measure(
    truth: Bool[np.ndarray, "h w"],
    predicted: Bool[np.ndarray, "h w"],
    score: Float[np.ndarray, "h w"],
) -> tuple[Float[np.ndarray, "t"], Float[np.ndarray, "f"]]:
    """(scores at which truth components are detected, scores of false positives).

    Both are sorted; MISSED stands for a component that is not detected at all.
    """
    number, components = _components(truth)
    many, candidates = _components(predicted)
    highest = np.full(many, MISSED)
    np.maximum.at(highest, candidates[predicted], score[predicted].astype(np.float32))
    both = truth & predicted
    detected = np.full(number, MISSED)
    np.maximum.at(detected, components[both], highest[candidates[both]])
    touched = np.zeros(many, bool)
    touched[candidates[both]] = True
    return np.sort(detected[1:]), np.sort(highest[1:][~touched[1:]])


def _components(mask: Bool[np.ndarray, "h w"]) -> tuple[int, Int[np.ndarray, "h w"]]:
    """(number of labels, of which 0 is the background; the label of every pixel)."""
    return cv2.connectedComponents(mask.view(np.uint8), connectivity=8)


def curve(
    detected: Float[np.ndarray, "t"],
    false: Float[np.ndarray, "f"],
    *,
    weights: tuple[
        Int[np.ndarray, "r t"], Int[np.ndarray, "r f"], Int[np.ndarray, "r"]
    ],
) -> Float[np.ndarray, "r 7"]:
    """Sensitivity at RATES; NaN without truth components.

    `weights` says how often each truth component and false positive counts, and how
    many images there are, in each of r resamples.
    """
    up, down = np.argsort(-detected, kind="stable"), np.argsort(-false, kind="stable")
    detected, false = detected[up], false[down]
    of_detected, of_false, images = weights
    hits = _running(of_detected[:, up])  # [r, t + 1]
    wrong = _running(of_false[:, down])
    out = np.full((len(images), len(RATES)), np.nan)
    for r in np.flatnonzero(hits[:, -1]):
        allowed = np.array(RATES) * images[r]
        # the first false positive too many, and every score above its own
        first = np.searchsorted(wrong[r, 1:], allowed, side="right")
        limit = np.append(false, MISSED)[first]
        accepted = np.searchsorted(-detected, -limit, side="left")
        out[r] = hits[r, accepted] / hits[r, -1]
    return out


def _running(weight: np.ndarray) -> np.ndarray:
    """Sums the first 0, 1, 2, ... columns."""
    return np.pad(np.cumsum(weight, axis=1), ((0, 0), (1, 0)))


def row(
    title: str,
    detected: tuple[Int[np.ndarray, "t"], Float[np.ndarray, "t"]],
    false: tuple[Int[np.ndarray, "f"], Float[np.ndarray, "f"]],
    groups: Sequence[str],
    *,
    seed: int = 0,
    resamples: int = bootstrap.RESAMPLES,
) -> dict[str, Any]:
    """Row of one class in eval/<split>.json: sensitivity at RATES and their mean.

    `detected` and `false` are (image, score) of every truth component and every false
    positive; `groups` names the group of every image. `low` and `high` end the 95 %
    bootstrap interval of the mean over groups; None for fewer than two.
    `false_positives` is the rate at the operating point, where the curve ends.
    """
    names, code = np.unique(np.asarray(groups, str), return_inverse=True)
    size = np.bincount(code, minlength=len(names))
    parts = code[detected[0]], code[false[0]]

    def sensitivity(taken):
        weights = taken[:, parts[0]], taken[:, parts[1]], taken @ size
        return curve(detected[1], false[1], weights=weights)

    value = sensitivity(np.ones((1, len(names)), np.int64))[0]
    defined = not np.isnan(value).any()
    low = high = None
    if defined and len(names) > 1:
        taken = bootstrap.draws(len(names), seed=seed, resamples=resamples)
        means = np.concatenate([sensitivity(t).mean(axis=1) for t in taken])
        low, high = bootstrap.interval(means)
    return {
        "class": title,
        "sensitivity": value.tolist() if defined else None,
        "mean": float(value.mean()) if defined else None,
        "low": low,
        "high": high,
        "found": int(np.count_nonzero(detected[1] > MISSED)),
        "false_positives": len(false[1]) / max(len(code), 1),
        "support_components": len(detected[1]),
        "support_images": len(code),
    }
