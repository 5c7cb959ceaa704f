"""A baseline: copies the mask of the training image that looks most alike.

What anatomy and framing alone give is a bar that a model has to clear. Images are
compared as thumbnails: grey, averaged over areas, standardised each by itself. These
are rounded to whole numbers, so distances are exact and the nearest image is the same
on any machine and for any number of processes.
"""

from typing import Any, NamedTuple

import cv2
import numpy as np
from jaxtyping import Int, Shaped

from jaxseg.devices import sharding
from jaxseg.evaluation import count
from jaxseg.labels import IGNORE

NAME = "nearest_training_image"
SIDE = 32  # pixels of a thumbnail
DETAIL = (
    f"the mask of the training image with the nearest thumbnail ({SIDE} x {SIDE}, "
    "grey, standardised; L2), stretched to the size of the image"
)
_STEPS = 64  # of a standard deviation
_FARTHEST = 8  # standard deviations


class Training(NamedTuple):
    """A training split and the thumbnails of its images, in its order."""

    split: Any
    thumbnails: Int[np.ndarray, "n 1024"]  # i16


def thumbnail(image: Shaped[np.ndarray, "h w c"]) -> Int[np.ndarray, "1024"]:
    """The grey thumbnail with mean 0, i16 in 1/64 of its standard deviation.

    A constant image is 0 throughout.
    """
    grey = image.mean(axis=-1, dtype=np.float32)
    small = cv2.resize(grey, (SIDE, SIDE), interpolation=cv2.INTER_AREA)
    small = small.astype(np.float64).ravel()
    spread = small.std()
    if spread < 1e-6:
        return np.zeros(SIDE * SIDE, np.int16)
    scaled = np.clip((small - small.mean()) / spread, -_FARTHEST, _FARTHEST)
    return np.rint(scaled * _STEPS).astype(np.int16)


def read(split: Any, *, process: int = 0, processes: int = 1) -> Training:
    """Thumbnails of a training split; every process reads its share, all get all."""
    own = np.arange(process, len(split), processes)
    found = [
        np.zeros((0, SIDE * SIDE), np.int16),
        *(row[None] for row in count.in_threads(_one(split), own, 2)),
    ]
    parts = sharding.gather({"index": own, "rows": np.concatenate(found)})
    index = np.concatenate([part["index"] for part in parts])
    rows = np.concatenate([part["rows"] for part in parts])
    return Training(split, rows[np.argsort(index)])


def _one(split: Any):
    return lambda index: thumbnail(split[int(index)]["image"])


def nearest(training: Training, image: Shaped[np.ndarray, "h w c"]) -> int:
    """The training image with the nearest thumbnail; the lower index of equal ones."""
    gap = training.thumbnails.astype(np.int32) - thumbnail(image)
    return int(np.argmin((gap * gap).sum(axis=1, dtype=np.int64)))


def confusion(
    training: Training, split: Any, *, process: int = 0, processes: int = 1
) -> Int[np.ndarray, "n k k"]:
    """Confusion i64 of every image of `split` with the mask copied to it, in order.

    A pixel that is not labelled in the copied mask counts as background. Every process
    counts its share, and all get all.
    """
    k = len(split.classes)

    def one(index: int) -> np.ndarray:
        example = split[int(index)]
        truth = example["mask"]
        copied = training.split[nearest(training, example["image"])]["mask"]
        answer = _stretched(np.where(copied == IGNORE, 0, copied), truth.shape)
        labelled = truth != IGNORE
        code = truth[labelled].astype(np.int64) * k + answer[labelled]
        return np.bincount(code, minlength=k * k).reshape(1, k, k)

    own = np.arange(process, len(split), processes)
    rows = [np.zeros((0, k, k), np.int64), *count.in_threads(one, own, 2)]
    parts = sharding.gather({"index": own, "rows": np.concatenate(rows)})
    index = np.concatenate([part["index"] for part in parts])
    return np.concatenate([part["rows"] for part in parts])[np.argsort(index)]


def _stretched(mask: np.ndarray, size: tuple[int, int]) -> np.ndarray:
    """The label under each new pixel centre."""
    rows, columns = (
        (2 * np.arange(new) + 1) * old // (2 * new)
        for old, new in zip(mask.shape, size, strict=True)
    )
    return mask[rows][:, columns]
