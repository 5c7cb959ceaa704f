"""Measures surfaces and detected objects of a split, at its frozen operating point.

They need the prediction itself, which is decided only after validation was counted: so
they take a second pass over the predictions. Only a compact row of each image stays in
memory. Rows are joined in the order of the images: the same bits for any number of
processes, devices, threads, and any batch size.
"""

import math
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

import numpy as np
from jaxtyping import Float, UInt8

from jaxseg.evaluation import count, tolerant_truth
from jaxseg.labels import IGNORE
from jaxseg.metrics import bootstrap, froc, surface_distance
from jaxseg.metrics.surface_distance import FIELDS
from jaxseg.postprocess import decision

Measured = dict[str, np.ndarray]
# of every image: index, labelled pixels, FIELDS of each foreground class; of every
# truth component (kind 1) and false positive (kind 0): image, class, kind, score
# for two classes the FIELDS of `tolerant_truth` of every image too
_IMAGE, _OBJECT = ("index", "labelled", "surface"), ("image", "class", "kind", "score")
COLUMNS = ("hd95", "assd", "nsd", "boundary_iou", "f1_tolerant")
_WORDS = {
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
METRICS = tuple(f"{name}_image_skip_empty" for name in _WORDS)
METRICS += tuple(f"{name}_pooled" for name in TOLERANT)


def measure(
    predictions: Iterable[tuple[int, np.ndarray]],
    split: Any,
    *,
    point: dict[str, Any] | None,
    tolerance: float,
    to_native: count.Resize,
    threads: int = 2,
) -> Measured:
    """Measures what `assemble` and `columns` need of the predicted images of `split`.

    `predictions` are as in `count.count_split`, `point` is that of
    `operating_point.apply` (None for k > 2: argmax), `tolerance` is in pixels. Of
    several processes each measures its own share; `join` puts them together.
    """
    k = len(split.classes)

    def one(item: tuple[int, np.ndarray]) -> Measured:
        index, mask = int(item[0]), split[int(item[0])]["mask"]
        native = count.at_native(item[1], mask.shape, k, to_native)
        prediction = decision.decide(native, point, mask != IGNORE)
        return _image(index, mask, prediction, native, tolerance)

    return join([_empty(k), *count.in_threads(one, predictions, threads)])


def _image(
    index: int,
    mask: UInt8[np.ndarray, "h w"],
    prediction: UInt8[np.ndarray, "h w"],
    probability: Float[np.ndarray, "h w _"],
    tolerance: float,
) -> Measured:
    labelled = mask != IGNORE
    channels = probability.shape[-1]  # 1, of foreground, for k = 2
    rows, kinds, classes, scores = [], [], [], []
    for c in range(1, max(channels, 2)):
        truth, predicted = mask == c, (prediction == c) & labelled
        rows.append(surface_distance.measure(truth, predicted, tolerance=tolerance))
        channel = probability[..., min(c, channels - 1)]
        objects = froc.measure(truth, predicted, channel)
        for kind, score in zip((1, 0), objects, strict=True):
            kinds += [kind] * len(score)
            classes += [c] * len(score)
            scores.append(score)
    by_threshold = tolerant_truth.measure(mask, probability) if channels < 3 else {}
    return by_threshold | {
        "index": np.array([index], np.int64),
        "labelled": np.array([np.count_nonzero(labelled)], np.int64),
        "surface": np.stack(rows)[None],
        "image": np.full(len(kinds), index, np.int64),
        "class": np.array(classes, np.int64),
        "kind": np.array(kinds, np.int64),
        "score": np.concatenate(scores).astype(np.float32),
    }


def _empty(k: int) -> Measured:
    whole = {name: np.zeros(0, np.int64) for name in (*_IMAGE, *_OBJECT)}
    whole |= tolerant_truth.nothing() if k == 2 else {}
    rows = np.zeros((0, k - 1, len(FIELDS)))
    return whole | {"surface": rows, "score": np.zeros(0, np.float32)}


def join(parts: list[Measured]) -> Measured:
    """All images of the parts in one, in order of the split."""
    whole = {name: np.concatenate([p[name] for p in parts]) for name in parts[0]}
    order = np.argsort(whole["index"], kind="stable")
    objects = np.lexsort([whole[name] for name in reversed(_OBJECT)])
    return {n: whole[n][objects if n in _OBJECT else order] for n in whole}


def assemble(
    measured: Measured,
    split: Any,
    *,
    tolerance: float,
    seed: int = 0,
    resamples: int = bootstrap.RESAMPLES,
) -> dict[str, Any]:
    """Assembles `surface` and `froc` of eval/<split>.json, of all images of the split.

    An image without a labelled pixel takes no part in either.
    """
    groups = np.asarray(split.groups, str)[measured["index"]]
    labelled = measured["labelled"] > 0
    options = {"seed": seed, "resamples": resamples}
    place = np.cumsum(labelled) - 1  # of a labelled image among these
    detection = []
    for c, title in enumerate(split.classes[1:], start=1):
        parts = []
        for kind in (1, 0):
            of = (measured["class"] == c) & (measured["kind"] == kind)
            where = place[np.searchsorted(measured["index"], measured["image"][of])]
            parts.append((where, measured["score"][of]))
        detection.append(froc.row(title, *parts, groups[labelled], **options))
    return {
        "surface": rows(
            measured["surface"],
            split.classes[1:],
            groups,
            tolerance=tolerance,
            **options,
        ),
        "froc": {
            "false_positives_per_image": list(froc.RATES),
            "policy": froc.POLICY,
            "classes": detection,
        },
    }


def columns(measured: Measured) -> dict[str, list[float | None]]:
    """Columns of <split>_per_image.csv for k = 2; None where both masks are empty."""
    if measured["surface"].shape[1] != 1:
        return {}
    values = each(measured["surface"][:, 0])
    return {
        name: [None if np.isnan(v) else v for v in values[name].tolist()]
        for name in COLUMNS
    }


def policy(name: str, tolerance: float) -> str:
    """Says in words what the metric is and what it does with empty masks."""
    formula, family = _parts(name)
    words = _WORDS[formula].format(tolerance=tolerance)
    if family == "pooled":
        words += "; pixels summed over all images, then one ratio"
    else:
        worst = "the diagonal of the image" if formula in DISTANCES else "0"
        words += (
            "; mean over images; an object missed or invented (one of the two masks "
            f"empty) counts {worst}, an image in which both are empty is left out"
        )
    return f"{words}; n/a when the class is absent; not labelled pixels are background"


def _parts(name: str) -> tuple[str, str]:
    formula = next(f for f in _WORDS if name.startswith(f"{f}_"))
    return formula, name.removeprefix(f"{formula}_")


def each(measured: Float[np.ndarray, "n 9"]) -> dict[str, Float[np.ndarray, "n"]]:
    """Every metric of every image by its short name; NaN where both masks are empty."""
    predicted_near, predicted, truth_near, truth = measured[:, 5:].T
    out = dict(zip(FIELDS[:5], measured[:, :5].T, strict=True))
    none = np.where(predicted + truth > 0, 0.0, np.nan)
    precision = predicted_near / np.maximum(predicted, 1) + none
    recall = truth_near / np.maximum(truth, 1) + none
    both = precision + recall
    f1 = 2 * precision * recall / np.where(both > 0, both, 1) + none
    return out | dict(zip(TOLERANT, (precision, recall, f1), strict=True))


def _terms(
    name: str, measured: np.ndarray, values: Mapping[str, np.ndarray]
) -> Float[np.ndarray, "4 n"]:
    """Four numbers of each image, to be summed over images and then divided."""
    formula, family = _parts(name)
    if family == "pooled":
        return measured[:, 5:].T
    inside = ~np.isnan(values[formula])
    rows = [np.where(inside, values[formula], 0.0), inside, np.zeros(len(inside))]
    return np.stack([*rows, measured[:, 8]])


def _divide(name: str, summed: Float[np.ndarray, "4 *r"]) -> Float[np.ndarray, "*r"]:
    """The metric from summed terms; NaN without truth, or for 0/0."""
    formula, family = _parts(name)
    predicted_near, predicted, truth_near, truth = summed
    above, below = predicted_near, predicted  # also sum and number of images
    if family == "pooled" and formula == "recall_tolerant":
        above, below = truth_near, truth
    if family == "pooled" and formula == "f1_tolerant":
        above = 2 * predicted_near * truth_near
        below = predicted_near * truth + truth_near * predicted
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
    """One row for each foreground class and metric, from FIELDS of n images.

    `low` and `high` end the 95 % bootstrap interval over groups, None for fewer than
    two. `median` is over the images of the mean. `missed` and `invented` are images in
    which one of the two masks is empty.
    """
    wanted = [(c, name) for c in range(len(classes)) for name in METRICS]
    values = [each(measured[:, c]) for c in range(len(classes))]
    terms = [_terms(name, measured[:, c], values[c]) for c, name in wanted]
    drawn = np.full((len(wanted), 1), np.nan)
    if len(set(groups)) > 1:
        drawn = bootstrap.resample(
            [name for _, name in wanted],
            np.stack(terms),
            groups,
            divide=_divide,
            seed=seed,
            resamples=resamples,
        )
    return [
        _row(name, classes[c], measured[:, c], values[c], term, ends, tolerance)
        for (c, name), term, ends in zip(wanted, terms, drawn, strict=True)
    ]


def _row(
    name: str,
    title: str,
    measured: Float[np.ndarray, "n 9"],
    values: Mapping[str, np.ndarray],
    terms: Float[np.ndarray, "4 n"],
    drawn: np.ndarray,
    tolerance: float,
) -> dict[str, Any]:
    summed = np.array([math.fsum(term) for term in terms])  # in any order the same
    value = float(_divide(name, summed))
    defined = not math.isnan(value)
    low, high = bootstrap.interval(drawn) if defined else (None, None)
    formula, family = _parts(name)
    predicted, truth = measured[:, 6] > 0, measured[:, 8] > 0
    support = truth if family == "pooled" else predicted | truth
    median = None
    if defined and family != "pooled":
        median = float(np.median(values[formula][support]))
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
