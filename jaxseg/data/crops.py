"""Places the windows of training in native images, and cuts them out.

A window is a pure function of (seed, number of the example in the stream) and of the
image at hand: any number of processes and workers cuts the same ones, and a run that
goes on cuts what it would have cut.

`foreground_share` of the windows, as nnU-Net oversamples (Isensee et al., 2021,
https://doi.org/10.1038/s41592-020-01008-z), are placed around a pixel of a foreground
class. The others lie anywhere. Which window is which is drawn for each example alone: a
fixed rhythm could fall in step with that of a sampler and meet only its negatives.
"""

from typing import NamedTuple

import numpy as np
from jaxtyping import Float, Int, Shaped, UInt8

from jaxseg.types import IGNORE

_TAG = 7  # of the random numbers of windows, beside those of the samplers
_ROUNDS = 100  # of the proportional fitting; classes are equal to 1e-3 long before


class Placed(NamedTuple):
    """Where a window begins, and the class around whose pixel it was placed."""

    top: int  # below 0: that many rows of padding above the image
    left: int
    label: int  # IGNORE for a window that lies anywhere


class Windows(NamedTuple):
    """How the windows of training are placed; picklable for workers."""

    size: tuple[int, int]  # height, width
    seed: int
    foreground_share: float
    chances: Float[np.ndarray, "n k"]  # of each class, by image: see `class_chances`
    sparse: bool  # few pixels are labelled: the other windows show one too

    def __call__(
        self, number: int, index: int, mask: UInt8[np.ndarray, "h w"]
    ) -> Placed:
        """The window of example `number` of the stream, which is image `index`.

        The pixel is drawn uniformly over those of its class in `mask`, which may be
        partly IGNORE, and lies in the middle half of the window unless the border of
        the image is nearer. An image without foreground gets a window anywhere. With
        `sparse` labels a window that would lie anywhere is placed around a labelled
        pixel of any class: elsewhere nothing could be learned.
        """
        rng = np.random.default_rng((self.seed, _TAG, int(number)))
        foreground, at = rng.random(2)
        chances, label = self.chances[index], IGNORE
        if foreground < self.foreground_share and chances.any():
            upto = np.cumsum(chances)
            label = int(np.searchsorted(upto, at * upto[-1], "right"))
        inside = mask == label if label != IGNORE else mask != IGNORE
        pixels: np.ndarray = np.zeros(0, np.int64)
        if label != IGNORE or self.sparse:
            pixels = np.flatnonzero(inside.ravel())
        places = rng.random(3)
        if not len(pixels):
            tops = zip(mask.shape, self.size, places[1:], strict=True)
            top, left = (_anywhere(n, size, u) for n, size, u in tops)
            return Placed(top, left, IGNORE)
        pixel = divmod(int(pixels[int(places[0] * len(pixels))]), mask.shape[1])
        tops = zip(mask.shape, self.size, pixel, places[1:], strict=True)
        return Placed(*(_around(*axis) for axis in tops), label)


def _anywhere(length: int, size: int, u: float) -> int:
    """A start of a window inside the image, each equally often; centred if larger."""
    return centred(length, size) if length <= size else int(u * (length - size + 1))


def _around(length: int, size: int, pixel: int, u: float) -> int:
    """A start for which the pixel lies in the middle half of the window, or nearest."""
    if length <= size:
        return centred(length, size)
    first = pixel - size // 4 - int(u * (size - 2 * (size // 4)))
    return min(max(first, 0), length - size)


def centred(length: int, size: int) -> int:
    """The start, 0 or below, of a window that is not smaller than the image."""
    return -((size - length) // 2)


def class_chances(pixels: Int[np.ndarray, "n k"]) -> Float[np.ndarray, "n k"]:
    """The chance of each foreground class for a window of each image; rows sum to 1.

    `pixels` are the labelled pixels of n images by class. Over all images the classes
    shall be equally frequent, but an image can only give a class that it shows. So the
    chances start equal over the classes of an image and are brought near both
    conditions by iterative proportional fitting (Deming and Stephan, 1940,
    https://doi.org/10.1214/aoms/1177731829): an image with a rare and a frequent class
    gives the rare one more often. Where no chances satisfy both, rows still sum to 1
    and rare classes come as often as the fitting brings them. Background, and images
    without foreground, have chance 0.
    """
    shown = (pixels > 0).astype(np.float64)
    shown[:, 0] = 0
    rows = shown.sum(1, keepdims=True)
    chances = shown / np.maximum(rows, 1)
    classes = max(1, np.count_nonzero(shown.any(0)))
    wanted = np.count_nonzero(rows) / classes
    for _ in range(_ROUNDS):
        columns = chances.sum(0)
        chances *= np.divide(
            wanted, columns, where=columns > 0, out=np.ones_like(columns)
        )
        chances /= np.where(rows > 0, chances.sum(1, keepdims=True), 1)
    return chances


def cut(
    array: Shaped[np.ndarray, "h w *c"],
    start: tuple[int, int],
    size: tuple[int, int],
    *,
    fill: int,
) -> Shaped[np.ndarray, "height width *c"]:
    """The window of `size` that begins at `start`; `fill` where there is no image."""
    inside = tuple(
        slice(max(s, 0), min(s + n, length))
        for s, n, length in zip(start, size, array.shape, strict=False)
    )
    part = array[inside]
    if part.shape[:2] == tuple(size):
        return np.ascontiguousarray(part)
    out = np.full((*size, *array.shape[2:]), fill, array.dtype)
    top, left = (max(-s, 0) for s in start)
    out[top : top + part.shape[0], left : left + part.shape[1]] = part
    return out


def image_label(label: int, mask: UInt8[np.ndarray, "h w"]) -> int:
    """The image-level label of a window with this mask, from that of its image.

    A negative image has negative windows. A window of a positive image is positive
    where its mask shows foreground, negative where all of its mask is labelled
    background, and else not labelled (-1), as is one of an image without a label.
    """
    if label <= 0 or ((mask > 0) & (mask != IGNORE)).any():
        return label
    return -1 if (mask == IGNORE).any() else 0
