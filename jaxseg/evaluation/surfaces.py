"""Surfaces and detected objects of a split, at its frozen operating point.

They need the prediction itself, which is known only after validation was counted: so
they take a second pass over the predictions. Only a compact row of each image stays in
memory. Rows are joined in the order of the images: the same bits for any number of
processes, devices, threads, and any batch size.
"""

from collections.abc import Iterable
from typing import Any

import numpy as np

from jaxseg.evaluation import count, surface_rows
from jaxseg.labels import IGNORE
from jaxseg.metrics import bootstrap, froc, surface_distance
from jaxseg.postprocess import decision

Measured = dict[str, np.ndarray]
# of every image: index, labelled pixels, surface.FIELDS of each foreground class; of
# every truth component (kind 1) and false positive (kind 0): image, class, kind, score
_IMAGE, _OBJECT = ("index", "labelled", "surface"), ("image", "class", "kind", "score")
COLUMNS = ("hd95", "assd", "nsd", "boundary_iou", "f1_tolerant")


def measure(
    predictions: Iterable[tuple[int, np.ndarray]],
    split: Any,
    *,
    point: dict[str, Any] | None,
    tolerance: float,
    to_native: count.Resize,
    threads: int = 2,
) -> Measured:
    """What `report` and `columns` need of the predicted images of `split`.

    `predictions` are as in `score.score`, `point` is that of `operating_point.apply`
    (None for k > 2: argmax), `tolerance` is in pixels. Of several processes each
    measures its own share; `join` puts them together.
    """
    k = len(split.classes)

    def one(item: tuple[int, np.ndarray]) -> Measured:
        index, mask = int(item[0]), split[int(item[0])]["mask"]
        native = count.at_native(item[1], mask.shape, k, to_native)
        guess = decision.decide(native, mask, point)
        return _image(index, mask, guess, native, k, tolerance)

    return join([_empty(k), *count.in_threads(one, predictions, threads)])


def _image(index, mask, guess, probability, k: int, tolerance: float) -> Measured:
    known = mask != IGNORE
    rows, kinds, classes, scores = [], [], [], []
    for c in range(1, k):
        truth, predicted = mask == c, (guess == c) & known
        rows.append(surface_distance.measure(truth, predicted, tolerance=tolerance))
        channel = probability[..., -1 if k == 2 else c]
        for kind, found in zip(
            (1, 0), froc.measure(truth, predicted, channel), strict=True
        ):
            kinds += [kind] * len(found)
            classes += [c] * len(found)
            scores.append(found)
    return {
        "index": np.array([index], np.int64),
        "labelled": np.array([np.count_nonzero(known)], np.int64),
        "surface": np.stack(rows)[None],
        "image": np.full(len(kinds), index, np.int64),
        "class": np.array(classes, np.int64),
        "kind": np.array(kinds, np.int64),
        "score": np.concatenate(scores).astype(np.float32),
    }


def _empty(k: int) -> Measured:
    whole = {name: np.zeros(0, np.int64) for name in (*_IMAGE, *_OBJECT)}
    rows = np.zeros((0, k - 1, len(surface_distance.FIELDS)))
    return whole | {"surface": rows, "score": np.zeros(0, np.float32)}


def join(parts: list[Measured]) -> Measured:
    """All images of the parts in one, in order of the split."""
    whole = {name: np.concatenate([p[name] for p in parts]) for name in parts[0]}
    order = np.argsort(whole["index"], kind="stable")
    objects = np.lexsort([whole[name] for name in reversed(_OBJECT)])
    return {n: whole[n][order if n in _IMAGE else objects] for n in whole}


def report(
    measured: Measured,
    split: Any,
    *,
    tolerance: float,
    seed: int = 0,
    resamples: int = bootstrap.RESAMPLES,
) -> dict[str, Any]:
    """The keys `surface` and `froc` of eval/<split>.json, of all images of the split.

    An image without a labelled pixel takes no part in either.
    """
    groups = np.asarray(split.groups, str)[measured["index"]]
    labelled = measured["labelled"] > 0
    options = {"seed": seed, "resamples": resamples}
    place = np.cumsum(labelled) - 1  # of a labelled image among these
    found = []
    for c, title in enumerate(split.classes[1:], start=1):
        parts = []
        for kind in (1, 0):
            of = (measured["class"] == c) & (measured["kind"] == kind)
            where = place[np.searchsorted(measured["index"], measured["image"][of])]
            parts.append((where, measured["score"][of]))
        found.append(froc.row(title, *parts, groups[labelled], **options))
    return {
        "surface": surface_rows.rows(
            measured["surface"],
            split.classes[1:],
            groups,
            tolerance=tolerance,
            **options,
        ),
        "froc": {
            "false_positives_per_image": list(froc.RATES),
            "policy": froc.POLICY,
            "classes": found,
        },
    }


def columns(measured: Measured) -> dict[str, list[float | None]]:
    """Columns of <split>_per_image.csv for k = 2; None where both masks are empty."""
    if measured["surface"].shape[1] != 1:
        return {}
    known = surface_rows.each(measured["surface"][:, 0])
    return {
        name: [None if np.isnan(v) else v for v in known[name].tolist()]
        for name in COLUMNS
    }
