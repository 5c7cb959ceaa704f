"""The table of surface metrics: mean, interval, median, support and policy of each."""

import math
from collections.abc import Sequence
from typing import Any

import numpy as np
from jaxtyping import Float

from jaxseg.metrics import bootstrap
from jaxseg.metrics.surface_distance import FIELDS

_SAID = {
    "hd95": "95th percentile of the distances between borders, the larger direction",
    "hd": "largest distance between borders",
    "assd": "mean distance between borders, both directions together",
    "nsd": "share of both borders within {tolerance:g} px of the other",
    "boundary_iou": "IoU of the parts of both masks within 2 % of the image's diagonal "
    "of their own borders (Cheng et al., 2021)",
    "precision_tolerant": "predicted pixels within {tolerance:g} px of a truth pixel, "
    "of all predicted",
    "recall_tolerant": "truth pixels within {tolerance:g} px of a predicted pixel, of "
    "all in the truth",
    "f1_tolerant": "harmonic mean of precision and recall, each tolerating "
    "{tolerance:g} px",
}
DISTANCES = ("hd95", "hd", "assd")  # in pixels, lower is better
TOLERANT = ("precision_tolerant", "recall_tolerant", "f1_tolerant")
METRICS = tuple(f"{name}_image_skip_empty" for name in _SAID)
METRICS += tuple(f"{name}_pooled" for name in TOLERANT)


def policy(name: str, tolerance: float) -> str:
    """What the metric is and what it does with empty masks, in words."""
    formula, family = _parts(name)
    said = _SAID[formula].format(tolerance=tolerance)
    if family == "pooled":
        said += "; pixels summed over all images, then one ratio"
    else:
        worst = "the diagonal of the image" if formula in DISTANCES else "0"
        said += (
            "; mean over images; an object missed or invented (one of the two masks "
            f"empty) counts {worst}, an image in which both are empty is left out"
        )
    return f"{said}; n/a when the class is absent; not labelled pixels are background"


def _parts(name: str) -> tuple[str, str]:
    formula = next(f for f in _SAID if name.startswith(f"{f}_"))
    return formula, name.removeprefix(f"{formula}_")


def each(measured: Float[np.ndarray, "n 9"]) -> dict[str, Float[np.ndarray, "n"]]:
    """Every metric of every image by its short name; NaN where both masks are empty."""
    precise, predicted, found, truth = measured[:, 5:].T
    out = dict(zip(FIELDS[:5], measured[:, :5].T, strict=True))
    none = np.where(predicted + truth > 0, 0.0, np.nan)
    precision = precise / np.maximum(predicted, 1) + none
    recall = found / np.maximum(truth, 1) + none
    both = precision + recall
    f1 = 2 * precision * recall / np.where(both > 0, both, 1) + none
    return out | dict(zip(TOLERANT, (precision, recall, f1), strict=True))


def _terms(name: str, measured: np.ndarray, known: dict) -> Float[np.ndarray, "4 n"]:
    """Four numbers of each image, to be summed over images and then divided."""
    formula, family = _parts(name)
    if family == "pooled":
        return measured[:, 5:].T
    inside = ~np.isnan(known[formula])
    rows = [np.where(inside, known[formula], 0.0), inside, np.zeros(len(inside))]
    return np.stack([*rows, measured[:, 8]])


def _divide(name: str, summed: Float[np.ndarray, "4 *r"]) -> Float[np.ndarray, "*r"]:
    """The metric from summed terms; NaN without truth, or for 0/0."""
    formula, family = _parts(name)
    precise, predicted, found, truth = summed
    above, below = precise, predicted  # also sum and number of images
    if family == "pooled" and formula == "recall_tolerant":
        above, below = found, truth
    if family == "pooled" and formula == "f1_tolerant":
        above, below = 2 * precise * found, precise * truth + found * predicted
        below = np.where(below > 0, below, 1)  # nothing right: 0
    defined = (truth > 0) & (below > 0)
    return np.where(defined, above / np.where(defined, below, 1), np.nan)


def rows(
    measured: Float[np.ndarray, "n c 9"],
    classes: Sequence[str],
    groups: Sequence[str],
    *,
    tolerance: float,
    seed: int = 0,
    resamples: int = bootstrap.RESAMPLES,
) -> list[dict[str, Any]]:
    """One dict for each foreground class and metric, from FIELDS of n images.

    `low` and `high` end the 95 % bootstrap interval over groups, None for fewer than
    two. `median` is over the images of the mean. `missed` and `invented` are images in
    which one of the two masks is empty.
    """
    wanted = [(c, name) for c in range(len(classes)) for name in METRICS]
    known = [each(measured[:, c]) for c in range(len(classes))]
    terms = [_terms(name, measured[:, c], known[c]) for c, name in wanted]
    summed = bootstrap.by_group(np.stack(terms), groups)
    drawn = np.full((len(wanted), 1), np.nan)
    if summed.shape[-1] > 1:
        parts = []
        for taken in bootstrap.draws(
            summed.shape[-1], seed=seed, resamples=resamples
        ):  # einsum adds in a fixed order
            sums = np.einsum("rg,mtg->mtr", taken.astype(np.float64), summed)
            pairs = zip(wanted, sums, strict=True)
            parts.append(np.stack([_divide(name, one) for (_, name), one in pairs]))
        drawn = np.concatenate(parts, axis=1)
    return [
        _row(name, classes[c], measured[:, c], known[c], term, ends, tolerance)
        for (c, name), term, ends in zip(wanted, terms, drawn, strict=True)
    ]


def _row(name, title, measured, known, terms, drawn, tolerance) -> dict[str, Any]:
    summed = np.array([math.fsum(term) for term in terms])  # in any order the same
    value = float(_divide(name, summed))
    defined = not math.isnan(value)
    low, high = bootstrap.interval(drawn) if defined else (None, None)
    formula, family = _parts(name)
    predicted, truth = measured[:, 6] > 0, measured[:, 8] > 0
    support = truth if family == "pooled" else predicted | truth
    median = None
    if defined and family != "pooled":
        median = float(np.median(known[formula][support]))
    return {
        "name": name,
        "class": title,
        "value": value if defined else None,
        "median": median,
        "low": low,
        "high": high,
        "support_images": int(support.sum()) if defined else 0,
        "missed": int((truth & ~predicted).sum()),
        "invented": int((predicted & ~truth).sum()),
        "policy": policy(name, tolerance),
    }
