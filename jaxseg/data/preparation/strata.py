"""Names the stratum of each image, so that splits agree in objects or in rare classes.

Strata are exhaustive: every image is in one. A stratum with fewer images than there are
splits cannot be in all of them, which `warn_of_short` says.
"""

from collections.abc import Mapping, Sequence

import numpy as np
from absl import logging
from jaxtyping import Bool, Int

from jaxseg.errors import ConfigError

# what automatic splits agree in; auto is image_classes where there are such, and
# classes where there are more than two
CHOICES = ("auto", "foreground", "classes", "image_classes", "objects")
# objects at which the next bin begins: 0, 1-4, 5-14, 15-29, 30-99, 100 and more
OBJECT_BINS = (1, 5, 15, 30, 100)
BINS_OPTION = ",".join(map(str, OBJECT_BINS))  # the same, as options of `prepare` are


def edges(bins: str | Sequence[int]) -> tuple[int, ...]:
    """The bins, "1,5" or (1, 5), as whole numbers.

    Raises ConfigError unless they ascend from 1 or more.
    """
    try:
        parts = bins.split(",") if isinstance(bins, str) else bins
        starts = tuple(int(edge) for edge in parts)
    except (TypeError, ValueError):
        starts = ()
    ascend = all(a < b for a, b in zip(starts, starts[1:], strict=False))
    if not starts or starts[0] < 1 or not ascend:
        raise ConfigError(
            f"object_bins is {bins!r}; give the numbers of objects at which the next "
            "bin begins, ascending from 1 or more, such as 1,5,15,30,100."
        )
    return starts


def bin_names(bins: Sequence[int]) -> list[str]:
    """What each bin holds, in words: "0", "1-4" ... "100 and more"."""
    starts = [0, *bins]
    ranges = zip(starts, bins, strict=False)
    names = [str(a) if a == b - 1 else f"{a}-{b - 1}" for a, b in ranges]
    return [*names, f"{bins[-1]} and more"]


def by_objects(counts: Sequence[int], bins: Sequence[int]) -> Int[np.ndarray, "n"]:
    """The bin of each image with so many objects: 0 below the first edge, and so on."""
    return np.digitize(np.asarray(counts, np.int64), bins)


def by_rarest_class(shown: Bool[np.ndarray, "n k"]) -> Int[np.ndarray, "n"]:
    """The class above 0 that an image shows and that is in the fewest images.

    The lower class of two that are equally rare; 0 for an image that shows none.
    """
    images = shown[:, 1:].sum(0)
    cost = np.where(shown[:, 1:], images, len(shown) + 1)
    return np.where(shown[:, 1:].any(1), 1 + cost.argmin(1), 0)


def warn_of_short(
    strata: Int[np.ndarray, "n"], names: Mapping[int, str], what: str, splits: int
) -> list[str]:
    """The strata with fewer images than splits, in words, after one warning of all."""
    values, counts = np.unique(strata, return_counts=True)
    short = [
        f"{names[int(value)]} ({count} image{'' if count == 1 else 's'})"
        for value, count in zip(values, counts, strict=True)
        if count < splits
    ]
    if short:
        logging.warning(
            "stratified by %s: %s, which cannot be in each of the %d splits.",
            what,
            ", ".join(short),
            splits,
        )
    return short
