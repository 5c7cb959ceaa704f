"""Chooses a threshold whose misses on new images stay below a promised level.

Conformal risk control (Angelopoulos et al., 2022, https://arxiv.org/abs/2208.02814).
The loss of an image with foreground is its false-negative rate: the share of its
foreground that is not above the threshold, from 0 to 1. It only grows with the
threshold, so the largest t with

    n / (n + 1) x mean FNR(t) + 1 / (n + 1) <= alpha

over the n images with foreground of validation has an expected FNR of at most alpha on
one more image that is exchangeable with them. The last term is what that image could
cost at worst. The threshold is one of pixels alone: no area and no gate empties an
image. It is reported beside the operating point, and applied nowhere else.
"""

import math
from typing import Any

import numpy as np
from absl import logging
from jaxtyping import Float

from jaxseg.evaluation import operating_point
from jaxseg.evaluation.tally import Tally, above, position
from jaxseg.postprocess import decision

ALPHA = 0.10  # the promised level


def choose(tally: Tally, split: Any, *, alpha: float = ALPHA) -> dict[str, Any] | None:
    """The largest threshold of decision.THRESHOLDS that keeps the promise, to freeze.

    `threshold` is None, and a warning is logged, with fewer than `needed` images with
    foreground, and where no threshold is low enough. `groups` is the number of patients
    or other groups that these images are of. None for more than two classes.
    """
    if tally.num_classes != 2:
        return None
    images, needed = int(tally.positive.sum()), math.ceil(1 / alpha - 1)
    threshold = None
    if images >= needed:
        # the same inequality, solved for the sum of the rates
        allowed = alpha * (images + 1) - 1
        kept = np.flatnonzero(total_miss_rate(tally) <= allowed)
        threshold = float(decision.THRESHOLDS[kept[-1]]) if len(kept) else None
    groups = np.asarray(split.groups)[tally.index[tally.positive]]
    if threshold is None:
        logging.warning(
            "%s allows no conformal threshold: %s.", split.name, _why(images, needed)
        )
    return {
        "alpha": alpha,
        "threshold": threshold,
        "images": images,
        "groups": len(np.unique(groups)),
        "needed": needed,
        **operating_point.source(split),
    }


def total_miss_rate(tally: Tally) -> Float[np.ndarray, "thresholds"]:
    """The sum over images with foreground of the FNR at decision.THRESHOLDS.

    It never falls from one threshold to the next. Sums are exact (fsum), so the order
    of the images does not matter.
    """
    truth = tally.truth[tally.positive, 1:]
    rates = (truth - above(tally.scores[tally.positive, 1])) / truth
    return np.array([math.fsum(column) for column in rates.T])


def assemble(
    tally: Tally, frozen: dict[str, Any] | None, split: Any
) -> dict[str, Any] | None:
    """The block `conformal` of eval/<split>.json; None where nothing was frozen.

    `realised` is the mean FNR of the `realised_images` with foreground of this split at
    the frozen threshold, None where there is no threshold or no such image; `detail`
    says what is promised and what that rests on. `frozen` is None for more than two
    classes. Raises ConfigError as `operating_point.is_optimistic` does, and for a
    threshold that no search can have chosen.
    """
    if frozen is None:
        return None
    optimistic = operating_point.is_optimistic(
        frozen, split, "conformal threshold was chosen"
    )
    threshold, images = frozen["threshold"], int(tally.positive.sum())
    realised = None
    if threshold is not None and images:
        realised = float(total_miss_rate(tally)[position(threshold)]) / images
    return {
        **frozen,
        "optimistic": optimistic,
        "realised": realised,
        "realised_images": images,
        "detail": _detail(frozen),
    }


def _detail(frozen: dict[str, Any]) -> str:
    images, source = frozen["images"], frozen["source_split"]
    if frozen["threshold"] is None:
        return f"No threshold is promised: {_why(images, frozen['needed'])}."
    groups = ""
    if frozen["groups"] < images:
        groups = f" (of {frozen['groups']} groups, so they say less than so many)"
    return (
        f"At this threshold an image with foreground is promised to lose at most "
        f"{frozen['alpha']:.0%} of its foreground in expectation; that rests on the "
        f"{images} images with foreground of {source}{groups} and on new images being "
        "exchangeable with them, and it is not exact, because the checkpoint was "
        "chosen on the same images."
    )


def _why(images: int, needed: int) -> str:
    if images < needed:
        return (
            f"it rests on {images} images with foreground, and {needed} are needed for "
            "this level"
        )
    return (
        f"over {images} images with foreground even the lowest threshold misses too "
        "much"
    )
