"""Matches predicted objects with true ones, and scores the matching.

Both are label maps, 0 is background. Two objects match when their IoU (shared pixels
over all pixels of either) is at least the threshold, one to one, so that most pairs
match and among those matchings the one of the largest summed IoU counts. From a
threshold of 0.5 on these are the numbers of `stardist.matching.matching` (Schmidt et
al., 2018, https://arxiv.org/abs/1806.03535) and of `cellpose.metrics.average_precision`
(Stringer et al., 2021, https://doi.org/10.1038/s41592-020-01018-x).

At thresholds of 0.5 and more nothing has to be chosen. Of two candidates of one object
each shares at least half of it, so both share exactly half and lie within it: either
pair gives the same counts and an IoU of 0.5. Below 0.5 the Hungarian method decides.

`accuracy` = TP / (TP + FP + FN) is what papers on cells call average precision (AP);
it is not the area under a precision-recall curve. Panoptic quality is that of Kirillov
et al., 2019, https://arxiv.org/abs/1801.00868 (which asks for more than 0.5), the
aggregated Jaccard index that of Kumar et al., 2017,
https://doi.org/10.1109/TMI.2017.2677499, algorithm 1: each true object takes the
predicted one of the largest IoU, which several may take; predicted objects that none
takes are added to the union. Ties go to the larger overlap, then to the object whose
first pixel, row by row, comes first: no score depends on how objects are numbered.

Pixels that are not labelled (`ignore`) are cut out of all objects. An object of which
more than half is cut out may match, but is no error when it does not: it is neither a
false positive nor a false negative, and adds nothing to the union of the aggregated
Jaccard index (as void pixels of Kirillov et al., 2019, at every threshold).
"""

import math
from typing import NamedTuple

import numpy as np
from jaxtyping import Bool, Float, Int, Integer
from scipy import optimize, sparse

from jaxseg.errors import ConfigError
from jaxseg.metrics import _label_maps

# divided, not added up: 11 of 20 pixels are exactly the threshold 0.55
THRESHOLDS = tuple(k / 100 for k in range(50, 100, 5))
_SUMS = ("tp", "fp", "fn", "iou_sum")
# of one image: four sums at each threshold, and the two of the aggregated Jaccard index
FIELDS = tuple(f"{name}_{round(100 * t)}" for name in _SUMS for t in THRESHOLDS)
FIELDS += ("aji_intersection", "aji_union")
_FORMULA = {
    "precision": "TP / (TP + FP)",
    "recall": "TP / (TP + FN)",
    "f1": "2 TP / (2 TP + FP + FN)",
    "accuracy": "TP / (TP + FP + FN), called AP in papers on cells",
    "panoptic_quality": "summed IoU of matched pairs / (TP + FP / 2 + FN / 2)",
    "mean_true_score": "summed IoU of matched pairs / (TP + FN)",
    "mean_matched_score": "summed IoU of matched pairs / TP",
    "aji": "aggregated Jaccard index (Kumar et al., 2017)",
}
SCORES = tuple(_FORMULA)
_FAMILY = {
    "pooled": "sums over all images, then one ratio; n/a for 0/0, where StarDist says "
    "0; support: images with an object in truth or prediction",
    "image_skip_empty": "mean over images; an image without any object in truth and "
    "prediction is left out, objects in one of them only count 0; support: images in "
    "the mean",
    "image_empty_is_one": "mean over images; an image without any object in truth and "
    "prediction counts 1, objects in one of them only count 0; support: images in the "
    "mean",
}
FAMILIES = tuple(_FAMILY)
# an image without a match has no mean IoU of its matches
PER_IMAGE = tuple(name for name in SCORES if name != "mean_matched_score")


class Objects(NamedTuple):
    """The objects of one label map, in the order of their first pixels."""

    ids: Integer[np.ndarray, "n"]
    area: Int[np.ndarray, "n"]  # labelled pixels
    ignored: Int[np.ndarray, "n"]  # further pixels, which are not labelled

    @property
    def may_be_wrong(self) -> Bool[np.ndarray, "n"]:
        """Whether the object is an error when it is not matched."""
        return self.ignored <= self.area


class Intersections(NamedTuple):
    """The pairs of a true and a predicted object that share labelled pixels."""

    truth: Objects
    predicted: Objects
    truth_place: Int[np.ndarray, "p"]  # place in `truth`, ascending
    predicted_place: Int[np.ndarray, "p"]
    pixels: Int[np.ndarray, "p"]  # how many they share, at least 1

    @property
    def union(self) -> Int[np.ndarray, "p"]:
        """Labelled pixels of either object of each pair."""
        areas = self.truth.area[self.truth_place]
        return areas + self.predicted.area[self.predicted_place] - self.pixels

    @property
    def iou(self) -> Float[np.ndarray, "p"]:
        """Shared pixels over pixels of either object."""
        return self.pixels / self.union


def intersect(
    truth: Integer[np.ndarray, "h w"],
    predicted: Integer[np.ndarray, "h w"],
    *,
    ignore: Bool[np.ndarray, "h w"] | None = None,
) -> Intersections:
    """Counts exactly the pixels of all objects and of all pairs that share one.

    Raises DataError for maps of different sizes, fractions or negative ids.
    """
    _label_maps.check(truth)
    _label_maps.check(predicted)
    _label_maps.check_same_size(truth, predicted, "the predicted label map")
    maps = (truth, predicted)
    if ignore is not None:
        _label_maps.check_same_size(truth, ignore, "`ignore`")
        maps += (ignore,)
    first, length = _label_maps.runs(*maps)
    labelled = np.ones(len(first), bool)
    if ignore is not None:
        labelled = ~ignore.ravel()[first]
    ours, place = _objects(truth.ravel()[first], length, labelled)
    theirs, other = _objects(predicted.ravel()[first], length, labelled)
    shared = (place >= 0) & (other >= 0) & labelled
    code = place[shared] * max(len(theirs.ids), 1) + other[shared]
    pairs, inverse = np.unique(code, return_inverse=True)
    rows, columns = np.divmod(pairs, max(len(theirs.ids), 1))
    pixels = _sums(inverse, length[shared], len(pairs))
    return Intersections(ours, theirs, rows, columns, pixels)


def _objects(
    ids: Integer[np.ndarray, "r"],
    length: Int[np.ndarray, "r"],
    labelled: Bool[np.ndarray, "r"],
) -> tuple[Objects, Int[np.ndarray, "r"]]:
    """(objects, the place of each run's object among them; -1 for background)."""
    inside = ids > 0
    values, start, inverse = np.unique(
        ids[inside], return_index=True, return_inverse=True
    )
    order = np.argsort(start)
    rank = np.empty_like(order)
    rank[order] = np.arange(len(order))
    place = np.full(len(ids), -1)
    place[inside] = rank[inverse]
    area, ignored = (
        _sums(place[inside & part], length[inside & part], len(values))
        for part in (labelled, ~labelled)
    )
    return Objects(values[order], area, ignored), place


def _sums(
    place: Int[np.ndarray, "r"], length: Int[np.ndarray, "r"], size: int
) -> Int[np.ndarray, "n"]:
    return np.bincount(place, length, minlength=size).astype(np.int64)  # exact


def match(pairs: Intersections, threshold: float) -> Int[np.ndarray, "tp"]:
    """Positions in `pairs` of those that match at an IoU of `threshold` or more.

    Raises ConfigError for a threshold that is not above 0 and at most 1.
    """
    if not 0 < threshold <= 1:
        raise ConfigError(
            f"an IoU threshold lies above 0 and at most at 1, but {threshold} came."
        )
    near = np.flatnonzero(pairs.iou >= threshold)
    ours, theirs = pairs.truth_place[near], pairs.predicted_place[near]
    contested = (np.bincount(ours)[ours] > 1) | (np.bincount(theirs)[theirs] > 1)
    if not contested.any():
        return near
    chosen = _assign(pairs, near[contested])
    return np.sort(np.concatenate([near[~contested], chosen]))


def _assign(
    pairs: Intersections, contested: Int[np.ndarray, "c"]
) -> Int[np.ndarray, "m"]:
    """The largest matching of these pairs; of several, that of the largest IoU sum."""
    ours, theirs = pairs.truth_place[contested], pairs.predicted_place[contested]
    size = len(pairs.truth.ids)
    graph = sparse.coo_array(
        (np.ones(len(ours)), (ours, size + theirs)),
        shape=(size + len(pairs.predicted.ids),) * 2,
    )
    group = sparse.csgraph.connected_components(graph, directed=False)[1][ours]
    chosen = []
    for members in (contested[group == g] for g in np.unique(group)):
        rows, row = np.unique(pairs.truth_place[members], return_inverse=True)
        columns, column = np.unique(pairs.predicted_place[members], return_inverse=True)
        gain = np.zeros((len(rows), len(columns)))
        # no sum of IoU is worth as much as one more pair
        gain[row, column] = 1 + pairs.iou[members] / (2 * min(gain.shape))
        best = optimize.linear_sum_assignment(gain, maximize=True)
        where = np.full(gain.shape, -1)
        where[row, column] = members
        chosen.append(where[best][where[best] >= 0])
    return np.concatenate(chosen)


def measure(
    truth: Integer[np.ndarray, "h w"],
    predicted: Integer[np.ndarray, "h w"],
    *,
    ignore: Bool[np.ndarray, "h w"] | None = None,
) -> Float[np.ndarray, "42"]:
    """FIELDS of one image, float64: what is summed over images before `scores`.

    Raises DataError for maps of different sizes, fractions or negative ids.
    """
    pairs = intersect(truth, predicted, ignore=ignore)
    iou, sums = pairs.iou, np.zeros((len(_SUMS), len(THRESHOLDS)))
    for k, threshold in enumerate(THRESHOLDS):
        matched = match(pairs, threshold)
        wrong = []
        for objects, places in (
            (pairs.predicted, pairs.predicted_place),
            (pairs.truth, pairs.truth_place),
        ):
            unmatched = objects.may_be_wrong
            unmatched[places[matched]] = False
            wrong.append(np.count_nonzero(unmatched))
        sums[:, k] = len(matched), *wrong, math.fsum(iou[matched])
    return np.array([*sums.ravel(), *_aggregated(pairs)])


def _aggregated(pairs: Intersections) -> tuple[int, int]:
    """Intersection and union of the aggregated Jaccard index."""
    # the last key decides first; a stable order leaves ties to the first pixel
    order = np.lexsort((-pairs.pixels, -pairs.iou, pairs.truth_place))
    taken, first = np.unique(pairs.truth_place[order], return_index=True)
    best = order[first]
    alone, idle = pairs.truth.may_be_wrong, pairs.predicted.may_be_wrong
    alone[taken] = idle[pairs.predicted_place[best]] = False
    rest = pairs.truth.area[alone].sum() + pairs.predicted.area[idle].sum()
    return int(pairs.pixels[best].sum()), int(pairs.union[best].sum() + rest)


def total(rows: Float[np.ndarray, "n 42"]) -> Float[np.ndarray, "42"]:
    """Sums the rows of images; correctly rounded, so in any order the same."""
    return np.array([math.fsum(column) for column in rows.T])


def scores(summed: Float[np.ndarray, "*r 42"]) -> dict[str, Float[np.ndarray, "*r t"]]:
    """SCORES from the row of one image or from summed rows; NaN for 0/0.

    Each is [*r, thresholds], except `aji`, [*r].
    """
    shape = (*summed.shape[:-1], len(_SUMS), len(THRESHOLDS))
    tp, fp, fn, iou = np.moveaxis(summed[..., :-2].reshape(shape), -2, 0)
    return {
        "precision": _divide(tp, tp + fp),
        "recall": _divide(tp, tp + fn),
        "f1": _divide(2 * tp, 2 * tp + fp + fn),
        "accuracy": _divide(tp, tp + fp + fn),
        "panoptic_quality": _divide(iou, tp + fp / 2 + fn / 2),
        "mean_true_score": _divide(iou, tp + fn),
        "mean_matched_score": _divide(iou, tp),
        "aji": _divide(summed[..., -2], summed[..., -1]),
    }


def _divide(above: np.ndarray, below: np.ndarray) -> np.ndarray:
    return np.where(below > 0, above / np.where(below > 0, below, 1), np.nan)


def value(
    rows: Float[np.ndarray, "n 42"], *, family: str
) -> dict[str, Float[np.ndarray, "*t"]]:
    """Scores of all images by one of FAMILIES; NaN where there is nothing to say.

    The families of means over images leave `mean_matched_score` out. Raises ConfigError
    for another family.
    """
    if family not in FAMILIES:
        raise ConfigError(
            f"scores of objects come {', '.join(FAMILIES)}, but {family!r} was asked "
            "for: choose one of these."
        )
    if family == "pooled":
        return scores(total(rows))
    each = scores(rows)
    out = {}
    for name in PER_IMAGE:
        empty = np.isnan(each["aji" if name == "aji" else "accuracy"])
        ratio = np.nan_to_num(each[name], nan=0.0)
        ratio[empty] = family == "image_empty_is_one"
        images = len(rows) - np.count_nonzero(empty, axis=0) * (
            family == "image_skip_empty"
        )
        summed = np.array([math.fsum(column) for column in np.atleast_2d(ratio.T)])
        out[name] = _divide(summed.reshape(ratio.shape[1:]), np.asarray(images))
    return out


def counts(
    rows: Float[np.ndarray, "n 42"],
) -> tuple[Int[np.ndarray, "n"], Int[np.ndarray, "n"]]:
    """Numbers of true and of predicted objects in each image, for `object_counts`.

    They are counted at the lowest threshold, so an object that is mostly not labelled
    is among them only when it matches.
    """
    tp, fp, fn = rows[:, : 3 * len(THRESHOLDS) : len(THRESHOLDS)].T.astype(np.int64)
    return tp + fn, tp + fp


def support(rows: Float[np.ndarray, "n 42"], *, family: str) -> dict[str, int]:
    """Images, true objects and predicted objects that the scores rest on (`counts`)."""
    truth, predicted = counts(rows)
    images = len(rows)
    if family != "image_empty_is_one":
        images = np.count_nonzero(truth + predicted)
    return {
        "images": int(images),
        "true_objects": int(truth.sum()),
        "predicted_objects": int(predicted.sum()),
    }


def policy(name: str, *, family: str) -> str:
    """Says in words what the score is and what it does without objects."""
    words = f"{_FORMULA[name]}; {_FAMILY[family]}"
    return words if name == "aji" else f"one to one at IoU >= threshold; {words}"
