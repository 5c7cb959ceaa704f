"""Keeps labelled pixels of a split with their probabilities, for what is searched.

Offsets and the temperature of more than two classes depend on all probabilities of a
pixel at once, which no histogram holds. So a bounded number of pixels is kept: all of
them where they fit, else a sample stratified by image and class, in which every pixel
stands for as many as were not kept. The sample is a pure function of the split: the
same for any number of processes.
"""

from collections.abc import Iterable
from typing import Any, NamedTuple

import numpy as np
from jaxtyping import Float, Int, UInt8

from jaxseg.devices import sharding
from jaxseg.evaluation import count
from jaxseg.evaluation.tally import Tally
from jaxseg.labels import IGNORE

MOST_NUMBERS = 2**22  # probabilities that are kept, 16 MB: 838,860 pixels of k = 5


class Pixels(NamedTuple):
    """m labelled pixels, those of an image side by side, images in order."""

    probability: Float[np.ndarray, "m k"]  # f32
    label: UInt8[np.ndarray, "m"]
    weight: Float[np.ndarray, "m"]  # f64, pixels of the split that each stands for
    image: Int[np.ndarray, "m"]  # i32, index in the split


def keep(
    predictions: Iterable[tuple[int, np.ndarray]],
    tally: Tally,
    split: Any,
    *,
    to_native: count.Resize,
    most: int = MOST_NUMBERS,
) -> Pixels:
    """Pixels of all processes, at most `most` // k of them.

    `predictions` are as in `count.count_split`, `tally` is that of the whole split.
    """
    k = len(split.classes)
    quota = _quota(tally.pixels, most // k)

    def one(item: tuple[int, np.ndarray]) -> Pixels:
        index, mask = int(item[0]), split[int(item[0])]["mask"]
        native = count.at_native(item[1], mask.shape, k, to_native)
        labelled = mask != IGNORE
        return _of_image(index, native[labelled], mask[labelled], quota)

    nothing = _of_image(0, np.zeros((0, k), np.float32), np.zeros(0, np.uint8), 0)
    own = _join([nothing, *count.in_threads(one, predictions, 2)])
    return _join([Pixels(**part) for part in sharding.gather(own._asdict())])


def _quota(pixels: Int[np.ndarray, "n"], most: int) -> int:
    """The number of pixels of an image such that all images keep `most` at the most.

    Images with fewer pixels keep all of them, and leave the rest to the others.
    """
    left, sizes = most, sorted(pixels.tolist())
    for place, size in enumerate(sizes):
        share = left // (len(sizes) - place)
        if size > share:
            return share
        left -= size
    return sizes[-1] if sizes else 0


def _of_image(index: int, probability, label, quota: int) -> Pixels:
    """At most `quota` pixels: the rarest class first, each class an equal share."""
    weight = np.ones(len(label))
    if len(label) > quota:
        number = np.bincount(label)
        classes = np.flatnonzero(number)
        classes = classes[np.argsort(number[classes], kind="stable")]
        places, weights, left = [], [], quota
        for place, c in enumerate(classes.tolist()):
            take = min(int(number[c]), left // (len(classes) - place))
            rng = np.random.default_rng([index, c])
            chosen = rng.choice(int(number[c]), take, replace=False)
            places.append(np.flatnonzero(label == c)[chosen])
            weights.append(np.full(take, number[c] / max(take, 1)))
            left -= take
        place, weight = np.concatenate(places), np.concatenate(weights)
        order = np.argsort(place)
        place, weight = place[order], weight[order]
        probability, label = probability[place], label[place]
    return Pixels(
        probability=np.ascontiguousarray(probability, np.float32),
        label=label.astype(np.uint8),
        weight=weight,
        image=np.full(len(label), index, np.int32),
    )


def _join(parts: list[Pixels]) -> Pixels:
    whole = Pixels(*(np.concatenate(arrays) for arrays in zip(*parts, strict=True)))
    order = np.argsort(whole.image, kind="stable")
    return Pixels(*(array[order] for array in whole))
