"""Samples every class of whole images in a set share, in every stretch of an epoch.

The images fall into groups: those of the first class of images, of the second, ..., and
those of which no class is known to apply. An image of several classes is drawn for each
of them. `share` is one of

    a number below 0    equal parts for the classes, and for the images of none
    (s_none, s_1, ...)  a part for each group; they sum to 1

A group without images gets nothing and leaves its part to the others. The parts are the
same in every epoch; over the epochs so far each group comes within one example of its
part.
"""

import numpy as np
from jaxtyping import Bool, Float, Int, Int8

from jaxseg.data.samplers import _quotas
from jaxseg.errors import ConfigError, DataError

Share = float | tuple[float, ...]


def epoch_size(
    present: Bool[np.ndarray, "n k"],
    *,
    image_classes: Int8[np.ndarray, "n m"] | None,
    share: Share,
) -> int:
    """Examples that make an epoch: as many as there are images.

    Raises DataError where the data has no classes of images or shows none of them, and
    ConfigError for a share that is none.
    """
    if image_classes is None:
        raise DataError(
            "the data has no classes of whole images to sample by: use "
            "config.sampler.name=by_class for classes of pixels, or uniform."
        )
    if not (image_classes == 1).any():
        raise DataError(
            f"none of the {len(present)} training images is known to be of any class "
            "of images: use config.sampler.name=uniform."
        )
    image_parts(image_classes, share=share)
    return len(present)


def share(
    present: Bool[np.ndarray, "n k"],
    *,
    image_classes: Int8[np.ndarray, "n m"],
    epoch: int,
    epochs: int,
    share: Share,
) -> float:
    """The share of positives (of any class of pixels) to be expected in an epoch."""
    positive, groups = present[:, 1:].any(axis=1), _groups(image_classes)
    each = (positive[:, None] & groups).sum(0) / np.maximum(groups.sum(0), 1)
    return float(each @ image_parts(image_classes, share=share))


def image_parts(
    image_classes: Int8[np.ndarray, "n m"], *, share: Share
) -> Float[np.ndarray, "g"]:
    """The part of each group in the draws: of none, of each class of images; sum 1.

    Raises ConfigError for a share that is none.
    """
    there = _groups(image_classes).any(axis=0)
    wanted = _checked(share, len(there))
    out = _quotas.divided(wanted, there)
    if out is None:
        raise _no_share(share, len(there))
    return out


def order(
    present: Bool[np.ndarray, "n k"],
    *,
    image_classes: Int8[np.ndarray, "n m"],
    seed: int,
    epoch: int,
    epochs: int,
    size: int,
    share: Share,
) -> Int[np.ndarray, "size"]:
    """i64 [size]: the examples of `epoch`, each group spread evenly over it.

    A pure function of its arguments.
    """
    parts, groups = image_parts(image_classes, share=share), _groups(image_classes)
    return _quotas.order(groups, lambda _: parts, seed=seed, epoch=epoch, size=size)


def _groups(image_classes: np.ndarray) -> np.ndarray:
    """bool [n, m + 1]: the images of each group, first those of no known class."""
    return _quotas.with_none(image_classes == 1)


def _checked(share: Share, groups: int) -> np.ndarray:
    """f64 [groups]: the parts as they are asked for, equal for a number below 0."""
    try:
        wanted = np.asarray(share, float)
    except (TypeError, ValueError):
        raise _no_share(share, groups) from None
    if wanted.ndim == 0 and wanted < 0:
        return np.ones(groups)
    fits = wanted.shape == (groups,) and np.all(wanted >= 0)
    if not fits or not abs(wanted.sum() - 1) <= 1e-6:
        raise _no_share(share, groups)
    return wanted


def _no_share(share: Share, groups: int) -> ConfigError:
    return ConfigError(
        f"config.sampler.by_image_class.share is {share!r}; give -1 for equal parts, "
        f"or {groups} shares that sum to 1 (of images of no known class, then of each "
        "class of images, above 0 where there are images)."
    )
