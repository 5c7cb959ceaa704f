"""Checks whether what has nothing to do with the object gives the label away.

Films of one class may carry a letter, a border or the grey levels of one scanner: a
network that reads these scores well here and nowhere else (Zech et al., 2018,
https://doi.org/10.1371/journal.pmed.1002683; DeGrave et al., 2021,
https://doi.org/10.1038/s42256-021-00338-7). Two linear models are asked for the label,
one with the frame and the corners of an image, one with how often each grey level
occurs in its outer part, and scored on images that they were not fitted on.
"""

from typing import NamedTuple

import cv2
import numpy as np
from jaxtyping import Bool, Float, Shaped

from jaxseg.doctor import logistic
from jaxseg.doctor.case import OK, WARNING, Case, Finding
from jaxseg.labels import IGNORE

BOUND = 0.75  # an interval wholly above it is no accident, and no mild confounder
_SIDE = 32  # of the image that frame and corners are cut from
_FRAME, _CORNER = 2, 5  # pixels of it: 6 % and 16 % of its sides
_OUTER = 0.125  # of each side: where grey levels are counted
_BINS = 32
_BESIDE = 0.03  # of the longer side: an object darkens what is beside it too
_FEW = 10  # images of a class: fewer tell nothing
_MOST = 1000  # images that are asked, for the time
FRAME, TONES = "frame and corners", "grey levels of the outer eighth"


class Label(NamedTuple):
    """One yes or no of images that may be given away."""

    name: str
    known: Bool[np.ndarray, "n"]
    positive: Bool[np.ndarray, "n"]


def frame(image: Shaped[np.ndarray, "h w c"]) -> Float[np.ndarray, "d"]:
    """The grey levels f32 [d] of frame and corners, as stored, 1 = the brightest.

    No mean of the image is taken away: it would bring the inner part in.
    """
    grey = image.mean(-1, dtype=np.float32) / _brightest(image)
    small = cv2.resize(grey, (_SIDE, _SIDE), interpolation=cv2.INTER_AREA)
    return small[_border()]


def _border() -> Bool[np.ndarray, "s s"]:
    place = np.minimum(np.arange(_SIDE), np.arange(_SIDE)[::-1])
    near = np.minimum(place[:, None], place[None]) < _FRAME
    return near | (np.maximum(place[:, None], place[None]) < _CORNER)


def tones(
    image: Shaped[np.ndarray, "h w c"], mask: Shaped[np.ndarray, "h w"]
) -> Float[np.ndarray, "b"]:
    """The square root of the share of each of 32 grey levels, f32, in the outer eighth.

    Pixels that the mask marks as foreground are left out, with those around them.
    """
    height, width = mask.shape
    top, left = int(np.ceil(_OUTER * height)), int(np.ceil(_OUTER * width))
    outer = np.ones(mask.shape, bool)
    outer[top : height - top, left : width - left] = False
    marked = ((mask > 0) & (mask != IGNORE)).astype(np.uint8)
    if marked.any():
        reach = 2 * int(np.ceil(_BESIDE * max(mask.shape))) + 1
        outer &= cv2.dilate(marked, np.ones((reach, reach), np.uint8)) == 0
    grey = image[outer].mean(-1, dtype=np.float32) / _brightest(image)
    counts = np.histogram(grey, _BINS, (0.0, 1.0))[0]
    return np.sqrt(counts / max(counts.sum(), 1)).astype(np.float32)


def _brightest(image: np.ndarray) -> int:
    return np.iinfo(image.dtype).max


def shortcut(case: Case) -> Finding:
    """The label of a training image cannot be told from its border."""
    split = case.experiment.splits["train"]
    looks = [look for look in case.scan() if look.split == split.name]
    kept = np.array([look.frame is not None for look in looks])
    asked = np.random.default_rng(0).permutation(np.flatnonzero(kept))[:_MOST]
    asked.sort()
    groups = [split.groups[i] for i in asked]
    numbers = {
        FRAME: np.array([looks[i].frame for i in asked], np.float64),
        TONES: np.array([looks[i].tones for i in asked], np.float64),
    }
    labels = [
        Label(label.name, label.known[asked], label.positive[asked])
        for label in _labels(split)
    ]
    labels = [label for label in labels if min(_kinds(label)) >= _FEW]
    if not labels:
        return Finding(
            OK,
            f"not asked: no class has {_FEW} images of either kind among the "
            f"{len(asked):,} of train",
        )
    level = 1 - 0.05 / (len(labels) * len(numbers))  # all intervals hold together
    rows = [
        (label, part, tell(label, values, groups, level=level))
        for label in labels
        for part, values in numbers.items()
    ]
    words = [
        f"{label.name} by {part} {row.value:.2f} [{row.low:.2f}, {row.high:.2f}]"
        for label, part, row in rows
        if row.low is not None
    ]
    observed = (
        f"area under ROC of a linear model, on other images than it was fitted on, "
        f"{len(asked):,} of train: {'; '.join(words)}"
    )
    bad = [row for row in rows if row[2].low is not None and row[2].low > BOUND]
    if not bad:
        return Finding(OK, observed)
    named = "; ".join(f"{label.name} by {part}" for label, part, _ in bad)
    return Finding(
        WARNING,
        f"{named}: the whole interval lies above {BOUND:g} ({observed})",
        "the label can be told from what is no part of the object, such as a letter in "
        "a corner or the grey levels of one scanner: a network may learn that, score "
        "well here and fail elsewhere",
        "look at the borders of the images of this class beside others; crop or cover "
        "what differs, or give every class images of every source; with a head of "
        "whole images config.eval.shortcut=True scores it again without the object",
    )


def _kinds(label: Label) -> tuple[int, int]:
    yes = int(np.count_nonzero(label.positive & label.known))
    return yes, int(np.count_nonzero(label.known)) - yes


def tell(
    label: Label,
    numbers: Float[np.ndarray, "n d"],
    groups: list[str],
    *,
    level: float = 0.95,
) -> logistic.Told:
    """How well these numbers tell the label, on images they were not fitted on."""
    known = label.known
    groups = [group for group, there in zip(groups, known, strict=True) if there]
    positive = label.positive[known]
    score = logistic.held_out(numbers[known], positive, logistic.folds(groups))
    return logistic.told(score, positive, groups, level=level)


def _labels(split) -> list[Label]:
    """Each class of images, where the data has such; else whether foreground shows."""
    classes = split.image_classes
    if classes is None:
        known = split.image_labels >= 0
        return [Label("foreground", known, split.image_labels > 0)]
    names = split.image_class_names
    if len(names) == 2 and split.card["image_classes"]["exclusive"]:
        names = names[1:]  # the other is the same question
        classes = classes[:, 1:]
    return [
        Label(name, column >= 0, column > 0)
        for name, column in zip(names, classes.T, strict=True)
    ]
