"""Counts what a tolerance forgives, and how much of each region is covered.

The truth with a tolerance of two pixels is the truth dilated by a cross of 5x5: what
lies within two steps along an axis of a foreground pixel is foreground too. Regions are
those of the truth as it is (`metrics/region_overlap.py`). For two classes.
"""

import dataclasses
from collections.abc import Mapping
from typing import Any

import cv2
import numpy as np
from jaxtyping import Float, UInt8

from jaxseg.evaluation import overlap_rows
from jaxseg.evaluation.tally import Tally, above, cells
from jaxseg.labels import IGNORE
from jaxseg.metrics import bootstrap, histograms, region_overlap
from jaxseg.postprocess import decision

FIELDS = ("dilated", "covered", "regions")
POLICY = (
    "the truth is dilated by a 5x5 cross (2 pixels) and then compared as any other "
    "mask: predicted pixels inside it are right, its pixels that are not predicted are "
    "missed; pixels not labelled count nowhere"
)
_CROSS = cv2.getStructuringElement(cv2.MORPH_CROSS, (5, 5))
Measured = Mapping[str, np.ndarray]


def measure(
    mask: UInt8[np.ndarray, "h w"], probability: Float[np.ndarray, "h w _"]
) -> dict[str, np.ndarray]:
    """FIELDS of one image, each with a first axis of 1.

    `dilated` u32 [1, 2, CELLS] are pixels between two thresholds by the dilated truth,
    `covered` f64 [1, t] and `regions` i64 [1] those of `region_overlap.measure`.
    """
    labelled, score = mask != IGNORE, probability[..., -1].astype(np.float32)
    truth = mask == 1
    grown = cv2.dilate(truth.view(np.uint8), _CROSS)[labelled]
    code = histograms.bins(score[labelled]) + grown * np.int32(histograms.BINS)
    counts = np.bincount(code, minlength=2 * histograms.BINS)
    of_truth = cells(counts.reshape(2, histograms.BINS))
    covered, regions = region_overlap.measure(truth, score, decision.THRESHOLDS)
    return {
        "dilated": of_truth.astype(np.uint32)[None],
        "covered": covered[None],
        "regions": np.array([regions], np.int64),
    }


def nothing() -> dict[str, np.ndarray]:
    """FIELDS of no image."""
    t = len(decision.THRESHOLDS)
    return {
        "dilated": np.zeros((0, 2, t + 1), np.uint32),
        "covered": np.zeros((0, t)),
        "regions": np.zeros(0, np.int64),
    }


def by_threshold(tally: Tally, measured: Measured) -> list[dict[str, Any]]:
    """The rows of `overlap_rows.by_threshold`, against the dilated truth."""
    total = measured["dilated"].sum(axis=2, dtype=np.int64)
    confusion = np.stack([total, np.zeros_like(total)], axis=2)
    grown = dataclasses.replace(tally, scores=measured["dilated"], confusion=confusion)
    return overlap_rows.by_threshold(grown)


def of_regions(
    tally: Tally,
    measured: Measured,
    split: Any,
    *,
    seed: int = 0,
    resamples: int = bootstrap.RESAMPLES,
) -> dict[str, Any]:
    """schemas.RegionOverlap: AUPRO, and its 95 % bootstrap interval over groups."""
    false = above(tally.scores)[:, 0].astype(np.float64)
    terms = np.concatenate(
        [
            measured["covered"],
            false,
            measured["regions"][:, None],
            tally.truth[:, :1],
        ],
        axis=1,
    ).T
    t = len(decision.THRESHOLDS)

    def divide(_: str, summed: np.ndarray) -> np.ndarray:
        covered, wrong = summed[:t].T, summed[t : 2 * t].T
        return region_overlap.area(covered, summed[-2], wrong, summed[-1])

    groups = [split.groups[i] for i in tally.index]
    low = high = None
    value = float(divide("", terms.sum(axis=1)[:, None])[0])
    if len(set(groups)) > 1 and not np.isnan(value):
        options = {"divide": divide, "seed": seed, "resamples": resamples}
        (drawn,) = bootstrap.resample(["aupro"], terms[None], groups, **options)
        low, high = bootstrap.interval(drawn)
    return {
        "value": None if np.isnan(value) else value,
        "low": low,
        "high": high,
        "limit": region_overlap.LIMIT,
        "regions": int(measured["regions"].sum()),
        "images": int(np.count_nonzero(measured["regions"])),
        "policy": region_overlap.POLICY.format(limit=region_overlap.LIMIT),
    }
