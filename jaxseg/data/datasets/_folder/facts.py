"""Opens one image and its mask, and says what they hold: a worker process does that."""

import hashlib
from typing import NamedTuple

import cv2
import numpy as np

from jaxseg.data.datasets._folder.items import Item
from jaxseg.data.files import colours, images, palettes
from jaxseg.errors import DataError

MANY = 32  # an id this high, with most below it in use, numbers objects
_NO_COLOUR = np.zeros((0, 4), np.int64)
_SAMPLED = 16  # ids of a mask whose pieces are counted


class Reading(NamedTuple):
    """How the masks of a folder are read, besides what their files say."""

    threshold: bool  # JPEG masks are cut at 127
    max_pixels: int
    white: int | None = None  # palettes of black and white are read as 0 and this
    listed: colours.Table | None = None  # masks are read by these colours


class Facts(NamedTuple):
    """What one image and its mask hold; the mask's part is empty without one."""

    numbers: str  # the type of the image in its file
    dtype: str  # the type it is stored with
    channels: int
    digest: str  # of the pixels: the same image twice has it twice
    values: np.ndarray  # label values as stored, ascending
    pixels: np.ndarray  # with that value
    nbytes: int  # of the image
    colours: palettes.Colours = {}  # of the indices of a mask with a palette
    scattered: float = 0.0  # share of the label values that lie in several pieces
    pages: bool = False  # the channels are pages that no tag names
    flat: bool = False  # every pixel of the image is the same
    nodata: bool = False  # the image holds 8-bit numbers that are declared as no data
    orientation: int = 1  # the tag by which the image was turned upright
    painted: np.ndarray = _NO_COLOUR  # `colours.count` of a mask that no table lists


def inspect(item: Item, reading: Reading) -> tuple[Facts, list[str]]:
    """The Facts of one item, and its problems; with problems the Facts mean nothing."""
    problems, mask, painted = [], None, _NO_COLOUR
    image = images.Picture(np.zeros((0, 0, 0), np.uint8), "", 1)
    try:
        image = images.read_picture(item.image, max_pixels=reading.max_pixels)
    except DataError as error:
        problems.append(str(error))
    if item.mask is not None:
        try:
            mask = _labels(item, reading)
        except colours.InColour as error:
            painted = error.counts
        except DataError as error:
            problems.append(str(error))
    if not problems and mask is not None:
        different = images.different(item.image, image, item.mask, mask)
        problems += [different] if different else []
    pixels = image.pixels
    digest = hashlib.sha256(repr(pixels.shape).encode() + pixels.tobytes()).hexdigest()
    labels = np.zeros((0, 0), np.uint8) if mask is None else mask.values
    values, counts = _counts(labels)
    facts = Facts(
        numbers=image.numbers,
        dtype=str(pixels.dtype),
        channels=pixels.shape[2],
        digest=digest,
        values=values,
        pixels=counts,
        nbytes=pixels.nbytes,
        colours=mask.colours if mask else {},
        scattered=_scattered(labels, values),
        pages=image.pages,
        flat=bool(pixels.size and pixels.min() == pixels.max()),
        nodata=image.nodata,
        orientation=image.orientation,
        painted=painted,
    )
    return facts, problems


def packed(item: Item, reading: Reading) -> list:
    """What `inspect` says, as it travels from a worker process; see `unpacked`."""
    facts, problems = inspect(item, reading)
    return [*facts._replace(colours=list(facts.colours.items())), problems]


def unpacked(row: list) -> tuple[Facts, list[str]]:
    """The Facts and the problems that `packed` gave."""
    facts = Facts(*row[:-1])
    colours = {index: tuple(colour) for index, colour in facts.colours}
    return facts._replace(colours=colours), row[-1]


def unreadable(item: Item, error: DataError) -> list:
    """What `packed` says of files that ended the worker process that read them."""
    nothing = np.zeros(0, np.int64)
    return [
        *Facts("", "", 0, "", nothing, nothing, 0)._replace(colours=[]),
        [str(error)],
    ]


def read_mask(item: Item, reading: Reading) -> np.ndarray:
    """The label values [h, w] of an item that has a mask."""
    labels = _labels(item, reading)
    if reading.white is None or not labels.colours:
        return labels.values
    return palettes.by_colour(labels.values, labels.colours, reading.white)


def _labels(item: Item, reading: Reading) -> images.Labels:
    """The Labels of an item that has a mask, by its colours where they are listed."""
    if reading.listed:
        return images.read_painted(
            item.mask, reading.listed, max_pixels=reading.max_pixels
        )
    try:
        return images.read_labels(
            item.mask, threshold=reading.threshold, max_pixels=reading.max_pixels
        )
    except images.Lossy as error:  # this data set has an option for it
        words = str(error).rstrip(".")
        raise images.Lossy(
            f"{words}, or set mask_format to 'binary' to cut at 127."
        ) from None


def read_ids(item: Item, reading: Reading) -> np.ndarray:
    """The object ids [h, w] of an item that has them beside its mask."""
    return images.read_labels(item.instances, max_pixels=reading.max_pixels).values


def by_colour(fact: Facts, white: int) -> Facts:
    """The Facts of a mask whose palette of black and white is read by its colours."""
    if not fact.colours:
        return fact
    shown = palettes.by_colour(fact.values, fact.colours, white)
    values = np.unique(shown)
    pixels = np.array([fact.pixels[shown == value].sum() for value in values])
    return fact._replace(values=values, pixels=pixels)


def _counts(mask: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    if mask.dtype.itemsize > 2:
        return np.unique(mask, return_counts=True)
    count = np.bincount(mask.ravel())  # several times faster than sorting
    values = np.flatnonzero(count)
    return values, count[values]


def _scattered(mask: np.ndarray, values: np.ndarray) -> float:
    """Share of the labels above 0 that lie in several pieces; 0 for few labels.

    An object lies in one piece, but for an occlusion; a class lies wherever it likes.
    """
    labels = values[values > 0]
    if not len(labels) or labels[-1] < MANY:
        return 0.0
    spread = np.linspace(0, len(labels) - 1, min(_SAMPLED, len(labels)))
    chosen = labels[np.unique(spread.astype(int))]
    pieces = [
        cv2.connectedComponents((mask == label).astype(np.uint8), connectivity=8)[0] - 1
        for label in chosen
    ]
    return float(np.mean(np.array(pieces) > 1))
