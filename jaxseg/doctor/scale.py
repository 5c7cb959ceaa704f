"""Checks at what scale images are seen, and what the windows of training show."""

from typing import Any

import numpy as np

from jaxseg.data import crops, resize
from jaxseg.doctor.case import ERROR, OK, WARNING, Case, Finding, few, share
from jaxseg.experiment import training_labels
from jaxseg.types import IGNORE

_APART = 1.25  # the ratio of two scales above which objects look different
_PADDED = 0.25  # of a window: it is larger than the image
_WINDOWS = 64  # that are looked at


def image_scale(case: Case) -> Finding:
    """Objects are seen at the same scale in every image, and windows are filled.

    A split whose images are scaled otherwise than those of training is scored on
    objects of another size: one `image_size` for images of three sizes made the Dice of
    a test set fall from .69 to .58.
    """
    splits, view = case.experiment.splits, case.experiment.parts.view
    factors = {
        fit: {name: _factors(s.sizes, view.size, fit) for name, s in splits.items()}
        for fit in resize.MODES
    }
    if view.fit == "crop":
        would = "; ".join(f"{fit} would be {_words(factors[fit])}" for fit in factors)
        scale = "native scale"
        if view.pixel_size:
            scale = f"pixels of {view.pixel_size:g} micrometres"
        observed = f"crop: {scale} in windows of {_size(view.size)} ({would})"
        return _padding(observed, view.sizes(splits["train"]), view.size)
    used = factors[view.fit]
    observed = f"{view.fit} to {_size(view.size)} is {_words(used)}"
    medians = {name: float(np.median(values)) for name, values in used.items()}
    train = medians["train"]
    odd = [n for n, m in medians.items() if max(m, train) > _APART * min(m, train)]
    low, high = (float(f(used["train"])) for f in (np.min, np.max))
    if not odd and high <= _APART * low:
        return Finding(OK, observed)
    what = "images of training differ in scale among themselves"
    if odd:
        what = f"{few(odd)} is scaled otherwise than train"
    return Finding(
        WARNING,
        observed,
        f"{what}: a network that learns objects at one scale misses them at another",
        "config.data.fit=crop, which leaves every image at its native scale"
        if case.config.supervision.name not in training_labels.OF_IMAGES
        else "images of one size: labels of whole images need whole images",
    )


def _factors(sizes: np.ndarray, size: tuple[int, int], fit: str) -> np.ndarray:
    """The factor f64 [n] by which `fit` scales each image: mean of the two axes."""
    boxes = np.array([resize.box(tuple(n), size, fit)[2:] for n in sizes.tolist()])
    return np.sqrt((boxes / sizes).prod(1))


def _words(factors: dict[str, np.ndarray]) -> str:
    """ "x 0.5 (0.4 to 0.6) in train, ...": the median, the smallest and the largest."""
    return ", ".join(
        f"x {np.median(v):.3g} ({v.min():.3g} to {v.max():.3g}) in {name}"
        for name, v in factors.items()
    )


def _size(size: tuple[int, int]) -> str:
    return f"{size[0]} x {size[1]}"


def _padding(observed: str, sizes: np.ndarray, size: tuple[int, int]) -> Finding:
    shown = np.minimum(sizes, size).prod(1) / np.prod(size)
    padded = int((1 - shown > _PADDED).sum())
    if padded <= len(sizes) / 2:
        return Finding(OK, observed)
    fitting = np.median(sizes, axis=0).astype(int)
    return Finding(
        WARNING,
        f"{observed}; {padded} of {len(sizes)} images of train fill less than "
        f"{share(1 - _PADDED, 1)} of a window",
        "the window is larger than most images, so much of each step is padding",
        "a smaller config.data.image_size: the median image is "
        f"{_size(tuple(fitting.tolist()))}",
    )


def foreground_windows(case: Case) -> Finding:
    """Windows that are placed around foreground show foreground."""
    windows = case.experiment.windows()
    if windows is None:
        view = case.experiment.parts.view
        return Finding(OK, f"none: {view.fit} to {_size(view.size)} shows whole images")
    placed = [_placed(case, windows, number) for number in range(_WINDOWS)]
    around = [inside for label, inside, _ in placed if label != IGNORE]
    fore = sum(foreground for _, _, foreground in placed)
    images = case.experiment.splits["train"].positive.mean()
    wanted = windows.foreground_share
    observed = (
        f"of {_WINDOWS} windows {len(around)} were placed around a foreground pixel, "
        f"and {fore} show foreground (config.data.foreground_share={wanted:g}, "
        f"{share(images, 1)} of the images are positive)"
    )
    if not all(around):
        return Finding(
            ERROR,
            f"{observed}; {len(around) - sum(around)} of them do not show their class",
            "classes would be seen less often than the config asks for",
            "look at data/crops.py: window and mask no longer belong together",
        )
    if not fore:
        return Finding(
            WARNING,
            observed,
            "a network that is fed no foreground learns to predict none",
            "a larger config.data.foreground_share or config.data.image_size",
        )
    return Finding(OK, observed)


def _placed(case: Case, windows: crops.Windows, number: int) -> tuple[int, bool, Any]:
    """(class it was placed around, whether it shows it, whether it shows any)."""
    experiment = case.experiment
    epoch, position = divmod(number, experiment.plan.epoch_size)
    index = int(experiment.plan.order(epoch=epoch)[position])
    labels = experiment.labels()
    mask = experiment.parts.view(experiment.splits["train"], index)["mask"]
    if labels is not None:
        mask = labels.mask(index, mask)
    at = windows(number, index, mask)
    seen = crops.cut(mask, (at.top, at.left), windows.size, fill=IGNORE)
    foreground = ((seen > 0) & (seen != IGNORE)).any()
    return at.label, bool((seen == at.label).any()), bool(foreground)
