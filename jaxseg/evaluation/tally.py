"""Holds the tally: exact counts of scored images, a compact row of each.

Beside the rows it holds one pooled histogram of all scores, for more than two classes
one of each class. Merging tallies is addition: any number of processes, any order, the
same result.
"""

import dataclasses
from collections.abc import Iterable, Sequence
from typing import Any, NamedTuple

import numpy as np
from jaxtyping import Float, Int

from jaxseg.errors import ConfigError, DataError
from jaxseg.evaluation import one_vs_rest
from jaxseg.metrics import histograms
from jaxseg.postprocess import decision

CELLS = len(decision.THRESHOLDS) + 1


@dataclasses.dataclass(frozen=True)
class Tally:
    """Counts of n images and k classes, rows sorted by index; IGNORE counts nowhere.

    The histograms of an image exist for k = 2 only: elsewhere their last axis has
    length 0. "By truth" means two rows, background and foreground. For k > 2 `pooled`
    is i64 [k, 2, BINS] and `only_value` i32 [k, BINS], of every class against the rest
    (`one_vs_rest`); their last axis has length 0 where they were not asked for.
    """

    index: np.ndarray  # i64 [n], position in the split
    ignored: np.ndarray  # i64 [n], pixels that are not labelled
    confusion: np.ndarray  # i64 [n, k truth, k predicted], by argmax (k = 2: p > 0.5)
    # f32 [n], of foreground: of the labelled pixels, or of all where none is labelled
    max_probability: np.ndarray
    label: np.ndarray  # i64 [n], of the whole image, -1 = not labelled
    image_score: np.ndarray  # f32 [n], that it shows foreground; NaN without a head
    # f32 [n, m], of each class of whole images, and i8 [n, m], whether it is shown:
    # 1, 0 or -1, unknown; m = 0 where the network says nothing of them
    class_probability: np.ndarray
    class_truth: np.ndarray
    scores: np.ndarray  # u32 [n, 2, CELLS], pixels between two thresholds by truth
    levels: np.ndarray  # u32 [n, 2, 256], intensity of the image by truth
    pooled: np.ndarray  # i64 [2, histograms.BINS], scores of all images by truth
    only_value: np.ndarray  # i32 [histograms.BINS], only_values of all images

    @property
    def has_class_histograms(self) -> bool:
        """Whether `pooled` holds every class against the rest, for k > 2."""
        return self.pooled.ndim == 3 and self.pooled.shape[-1] > 0

    @property
    def num_classes(self) -> int:
        """Classes of the truth and of the prediction, background included."""
        return self.confusion.shape[-1]

    @property
    def truth(self) -> np.ndarray:
        """Pixels of each class, i64 [n, k]."""
        return self.confusion.sum(axis=2)

    @property
    def predicted(self) -> np.ndarray:
        """Pixels that are predicted as each class, i64 [n, k]."""
        return self.confusion.sum(axis=1)

    @property
    def hits(self) -> np.ndarray:
        """Pixels of each class that are predicted as that class, i64 [n, k]."""
        return self.confusion.diagonal(axis1=1, axis2=2)

    @property
    def pixels(self) -> np.ndarray:
        """Labelled pixels of each image, i64 [n]."""
        return self.confusion.sum(axis=(1, 2))

    @property
    def positive(self) -> np.ndarray:
        """Whether the truth has any foreground (class > 0), bool [n]."""
        return self.truth[:, 1:].any(axis=1)

    @property
    def shows(self) -> np.ndarray:
        """Whether an image shows foreground, i64 [n]: 1, 0, or -1 where unknown.

        That is what its label says, and where it has none its labelled pixels.
        """
        by_mask = np.where(self.pixels > 0, self.positive, -1)
        return np.where(self.label < 0, by_mask, self.label > 0).astype(np.int64)


WHOLE = ("pooled", "only_value")  # of all images together; ROWS are of each
ROWS = [f.name for f in dataclasses.fields(Tally) if f.name not in WHOLE]
_STARTS = np.append(0, np.searchsorted(histograms.LOWER, decision.THRESHOLDS))


def empty(
    num_classes: int, *, class_histograms: bool = True, image_classes: int = 0
) -> Tally:
    """The tally of no image: what a process without a share of the split has."""
    k, two = num_classes, num_classes == 2
    if two:
        pooled = np.zeros((2, histograms.BINS), np.int64)
        only_value = np.full(histograms.BINS, histograms.EMPTY, np.int32)
    else:
        pooled, only_value = one_vs_rest.nothing(k, kept=class_histograms)
    return Tally(
        index=np.zeros(0, np.int64),
        ignored=np.zeros(0, np.int64),
        confusion=np.zeros((0, k, k), np.int64),
        max_probability=np.zeros(0, np.float32),
        label=np.zeros(0, np.int64),
        image_score=np.zeros(0, np.float32),
        class_probability=np.zeros((0, image_classes), np.float32),
        class_truth=np.zeros((0, image_classes), np.int8),
        scores=np.zeros((0, 2, CELLS * two), np.uint32),
        levels=np.zeros((0, 2, 256 * two), np.uint32),
        pooled=pooled,
        only_value=only_value,
    )


def without_pixels(
    index: Int[np.ndarray, "n"],
    label: Int[np.ndarray, "n"],
    class_probability: Float[np.ndarray, "n m"],
    class_truth: Int[np.ndarray, "n m"],
    *,
    num_classes: int,
) -> Tally:
    """The tally of images of which nothing is counted but their classes as a whole."""
    n, (nothing, k) = len(index), (empty(num_classes), num_classes)
    return dataclasses.replace(
        nothing,
        index=np.asarray(index, np.int64),
        ignored=np.zeros(n, np.int64),
        confusion=np.zeros((n, k, k), np.int64),
        max_probability=np.zeros(n, np.float32),
        label=np.asarray(label, np.int64),
        image_score=np.full(n, np.nan, np.float32),
        class_probability=np.asarray(class_probability, np.float32),
        class_truth=np.asarray(class_truth, np.int8),
        scores=np.zeros((n, 2, 0), np.uint32),
        levels=np.zeros((n, 2, 0), np.uint32),
    )


def cells(pooled: Int[np.ndarray, "2 bins"]) -> Int[np.ndarray, "2 cells"]:
    """Sums a histogram over bins into the CELLS that decision.THRESHOLDS cut."""
    return np.add.reduceat(pooled, _STARTS, axis=-1)


def above(cells: Int[np.ndarray, "*n cells"]) -> Int[np.ndarray, "*n thresholds"]:
    """Counts the scores that exceed each of decision.THRESHOLDS, int64."""
    tail = cells[..., :0:-1].astype(np.int64)
    return np.cumsum(tail, axis=-1)[..., ::-1]


def nearest(threshold: float) -> int:
    """Position in decision.THRESHOLDS of the nearest one."""
    return int(np.argmin(np.abs(decision.THRESHOLDS - threshold)))


def position(threshold: float) -> int:
    """Position in decision.THRESHOLDS of this one; ConfigError where it is none."""
    place = nearest(threshold)
    exact = float(decision.THRESHOLDS[place])
    if exact != threshold:
        raise ConfigError(
            f"Threshold {threshold} is not on the grid of exactly counted thresholds; "
            f"the nearest that is: {exact!r}."
        )
    return place


def with_foreground(
    tally: Tally, wrong: Int[np.ndarray, "n"], right: Int[np.ndarray, "n"]
) -> Tally:
    """The tally (k = 2) of a rule by its foreground, in pixels of each image.

    `wrong` of the predicted foreground are background in truth, `right` are not.
    """
    negative, positive = tally.truth.T
    parts = [negative - wrong, wrong, positive - right, right]
    confusion = np.stack(parts, axis=1).reshape(-1, 2, 2)
    return dataclasses.replace(tally, confusion=confusion)


def at(
    tally: Tally,
    *,
    threshold: float,
    min_area: float = 0.0,
    top_threshold: float | None = None,
    gate: float | None = None,
) -> Tally:
    """The tally (k = 2) of the rule of `decision.apply` with these settings.

    Raises ConfigError for a top threshold below the threshold, and for thresholds that
    are not in decision.THRESHOLDS: counts at others are not known exactly.
    """
    top = threshold if top_threshold is None else top_threshold
    if top < threshold:
        raise ConfigError(
            f"The top threshold {top} is below the threshold {threshold}; raise it."
        )
    counts = above(tally.scores)
    wrong, right = counts[..., position(threshold)].T
    keep = counts[..., position(top)].sum(axis=1) >= min_area * tally.pixels
    if gate is not None:
        keep &= tally.max_probability.astype(np.float64) > gate
    return with_foreground(tally, wrong * keep, right * keep)


class Decided(NamedTuple):
    """A tally at an operating point: its confusion is that of the frozen rule."""

    tally: Tally
    point: dict[str, Any] | None  # None: the most probable class


class Sum:
    """Adds tallies one by one; `total` is all of their images in one tally.

    Raises ConfigError for tallies of different numbers of classes.
    """

    def __init__(self):
        self.rows: dict[str, list[np.ndarray]] = {name: [] for name in ROWS}
        self.pooled = self.only_value = None
        self.classes = 0

    def add(self, tally: Tally) -> None:
        """Adds the images of `tally`."""
        if self.pooled is None:
            self.pooled = np.zeros_like(tally.pooled)
            self.only_value = np.full_like(tally.only_value, histograms.EMPTY)
            self.classes = tally.num_classes
        if tally.num_classes != self.classes:
            raise ConfigError(
                f"Tallies of {self.classes} and of {tally.num_classes} classes cannot "
                "be merged; score them with one model."
            )
        for name in ROWS:
            self.rows[name].append(getattr(tally, name))
        self.pooled += tally.pooled
        self.only_value = histograms.join_only_values(self.only_value, tally.only_value)

    def total(self, ids: Sequence[str] | None = None) -> Tally:
        """All images, sorted by index.

        Raises DataError when there is none or one comes twice; `ids` names it.
        """
        if self.pooled is None:
            raise DataError("No image was scored: the split is empty.")
        index = np.concatenate(self.rows["index"])
        order = np.argsort(index, kind="stable")
        index = index[order]
        twice = np.unique(index[1:][np.diff(index) == 0])
        if len(twice):
            raise DataError(f"Images scored more than once: {_names(twice, ids)}.")
        joined = {
            name: np.concatenate(parts)[order] for name, parts in self.rows.items()
        }
        return Tally(**joined, pooled=self.pooled, only_value=self.only_value)


def merge(tallies: Iterable[Tally], *, ids: Sequence[str] | None = None) -> Tally:
    """All images of the tallies in one, sorted by index; consumes them one by one.

    Raises what `Sum` does.
    """
    whole = Sum()
    for tally in tallies:
        whole.add(tally)
    return whole.total(ids)


def check_complete(tally: Tally, ids: Sequence[str]) -> None:
    """Raises DataError, with the ids, unless images 0 to len(ids) - 1 are all there."""
    missing = np.setdiff1d(np.arange(len(ids)), tally.index)
    strange = np.setdiff1d(tally.index, np.arange(len(ids)))
    if len(missing):
        raise DataError(
            f"{len(missing)} of {len(ids)} images were not scored: "
            f"{_names(missing, ids)}; every process must score its share."
        )
    if len(strange):
        raise DataError(f"The split has no images at {_names(strange, None)}.")


def _names(index, ids: Sequence[str] | None) -> str:
    shown = [repr(ids[i]) if ids is not None else f"index {i}" for i in index[:5]]
    return ", ".join(shown) + (f" and {len(index) - 5} more" if len(index) > 5 else "")
