"""Counts the objects of every mask of a checked folder: a second look at the masks."""

import functools
from collections.abc import Sequence
from typing import NamedTuple

import numpy as np

from jaxseg.data import objects
from jaxseg.data.datasets._folder import label_format
from jaxseg.data.datasets._folder.check import Plan
from jaxseg.data.datasets._folder.facts import Reading, read_ids, read_mask
from jaxseg.data.datasets._folder.items import Item
from jaxseg.data.datasets._folder.label_format import to_classes
from jaxseg.data.preparation import workers
from jaxseg.errors import DataError


class Objects(NamedTuple):
    """The objects of one image; all 0 without a mask."""

    count: int
    pixels: int  # of all of them together
    extent: int  # pixels of the image
    unnumbered: int = 0  # foreground pixels that no object has
    problem: str = ""  # of the file with the ids


def rule(numbered: bool) -> str:
    """What counts as one object, in words."""
    return "as they are numbered" if numbered else objects.STAND_IN


def of(plan: Plan) -> list[Objects]:
    """The Objects of each item of the plan, in order."""
    rows = workers.in_order(
        functools.partial(packed, reading=plan.reading, mask_format=plan.mask_format),
        plan.items,
        name=lambda item: str(item.mask or item.image),
        sizes=[workers.file_size(item.mask or item.image) for item in plan.items],
        broken=lambda item, error: [*Objects(0, 0, 0, problem=str(error))],
        limits=workers.for_pixels(plan.reading.max_pixels),
    )
    return [Objects(*row) for row in rows]


def packed(item: Item, reading: Reading, mask_format: str) -> list[int]:
    """The Objects of one item, as they travel from a worker process."""
    if item.mask is None:
        return [*Objects(0, 0, 0)]
    values = read_mask(item, reading)
    unnumbered, problem = 0, ""
    if item.instances is not None:
        ids, unnumbered, problem = _beside(item, values > 0, reading)
    elif mask_format == "instances":
        ids = values
    else:
        ids = objects.components(to_classes(values, mask_format))
    count = int(np.count_nonzero(np.unique(ids)))
    pixels = int(np.count_nonzero(ids))
    return [*Objects(count, pixels, ids.size, unnumbered, problem)]


def _beside(item: Item, inside: np.ndarray, reading: Reading) -> tuple:
    """(ids, foreground pixels without one, what is wrong) of a file beside a mask."""
    nothing = np.zeros(inside.shape, np.uint16)
    try:
        ids = read_ids(item, reading)
    except DataError as error:
        return nothing, 0, str(error)
    if ids.shape != inside.shape:
        sizes = " x ".join(map(str, ids.shape)), " x ".join(map(str, inside.shape))
        return nothing, 0, f"{item.instances} is {sizes[0]}, but its mask {sizes[1]}."
    if ids.max() > label_format.LARGEST_ID:
        return nothing, 0, label_format.too_large(item.instances, int(ids.max()))
    if outside := np.count_nonzero((ids > 0) & ~inside):
        return (
            ids,
            0,
            f"{item.instances} numbers {outside} pixels that are background in "
            f"{item.mask}; an object lies within the mask.",
        )
    return ids, int(np.count_nonzero(inside & (ids == 0))), ""


def summary(counted: Sequence[Objects], numbered: bool) -> dict[str, float | str]:
    """What the data card says of the objects: numbers an image, and their size.

    Areas are in pixels of the images as stored; means of numbers are over the images,
    that of the area over the objects.
    """
    counts = np.array([one.count for one in counted], np.int64)
    pixels, extent = (np.array([one[k] for one in counted]) for k in (1, 2))
    area = float(pixels.sum() / max(counts.sum(), 1))
    return {
        "objects_are": rule(numbered),
        "objects": int(counts.sum()),
        "objects_an_image_mean": float(counts.mean()),
        "objects_an_image_sd": float(counts.std()),
        "objects_an_image_min": int(counts.min()),
        "objects_an_image_max": int(counts.max()),
        "object_area_px_mean": area,
        "object_diameter_px_of_mean_area": 2 * float(np.sqrt(area / np.pi)),
        "foreground_share_mean": float((pixels / np.maximum(extent, 1)).mean()),
    }
