"""Traces the outlines of areas along the edges of their pixels.

The corners are whole numbers, and a polygon with its holes covers exactly the pixels of
its area: drawn again, it is the mask. Pixels that touch by a corner alone are two
areas, so no outline crosses itself.
"""

from collections.abc import Iterator
from typing import NamedTuple

import cv2
import numpy as np
from jaxtyping import Bool, Int
from scipy import ndimage

from jaxseg.predict.masks import Labelled

Ring = Int[np.ndarray, "n 2"]  # corners x, y, clockwise on the screen; not closed


class Outline(NamedTuple):
    """One area: its outer ring, and a ring around every hole."""

    outer: Ring
    holes: list[Ring]
    at: tuple[int, int]  # y and x of one of its pixels
    area: int  # pixels


class Area(NamedTuple):
    """An outline of an image, and what it is of."""

    class_id: int
    name: str  # of the area among all of the image, as "bead-00003"
    outline: Outline


def areas(image: Labelled) -> Iterator[Area]:
    """The outlines of an image: of its objects, or else of the areas of each class.

    Names count the areas of a class from 1; the name of an object has its number in the
    label map, and further pieces of it that do not touch are "-part2" and so on.
    """
    if image.objects is None:
        for c in range(1, len(image.names)):
            for k, outline in enumerate(trace(image.classes == c), 1):
                yield Area(c, f"{image.names[c]}-{k:05d}", outline)
        return
    ids = classes_of(image.objects, image.classes, len(image.names))
    for k, box in enumerate(ndimage.find_objects(image.objects), 1):
        if box is None:
            continue
        top, left = (side.start for side in box)
        c = ids[k - 1]
        for part, piece in enumerate(trace(image.objects[box] == k), 1):
            name = f"{image.names[c]}-{k:05d}" + f"-part{part}" * (part > 1)
            yield Area(c, name, _shifted(piece, top, left))


def classes_of(
    labels: Int[np.ndarray, "h w"], classes: Int[np.ndarray, "h w"], num_classes: int
) -> list[int]:
    """The most frequent foreground class of each object 1..n; the lowest of equals.

    An object whose pixels are all background is of class 1: a rule for objects has a
    threshold of its own.
    """
    size = int(labels.max(initial=0)) + 1
    votes = np.bincount(
        labels.ravel() * num_classes + classes.ravel(), minlength=size * num_classes
    ).reshape(size, num_classes)
    return [1 + int(row[1:].argmax()) for row in votes[1:]]


def _shifted(outline: Outline, top: int, left: int) -> Outline:
    by = np.array([left, top])
    holes, (y, x) = [ring + by for ring in outline.holes], outline.at
    return Outline(outline.outer + by, holes, (y + top, x + left), outline.area)


def trace(inside: Bool[np.ndarray, "h w"]) -> list[Outline]:
    """The Outlines of all areas, in the order of their first pixels, row by row."""
    count, labels, facts, _ = cv2.connectedComponentsWithStats(
        inside.astype(np.uint8), connectivity=4, ltype=cv2.CV_32S
    )
    out = []
    for label in range(1, count):
        left, top, width, height, area = (int(v) for v in facts[label])
        box = labels[top : top + height, left : left + width] == label
        outer, *holes = sorted(_rings(box), key=_area, reverse=True)
        shift = np.array([left, top])
        first = int(np.flatnonzero(box[0])[0])
        rings = [ring + shift for ring in (outer, *holes)]
        out.append(Outline(rings[0], rings[1:], (top, left + first), area))
    return sorted(out, key=lambda outline: outline.at)


def _area(ring: Ring) -> float:
    """Twice the area of a ring; below 0 for one around a hole."""
    x, y = ring.T
    return float(np.sum(x * np.roll(y, -1) - np.roll(x, -1) * y))


def _rings(box: Bool[np.ndarray, "h w"]) -> list[Ring]:
    """All rings of one area; its pixels lie to the right of every step.

    Where two pixels touch by a corner, a ring turns left: it would come there twice.
    """
    wide = np.pad(box, 1)
    here = wide[1:-1, 1:-1]
    sides = (  # the neighbour that is outside; the corner a step leaves, and its way
        (wide[:-2, 1:-1], (0, 0), (0, 1)),  # above: to the right, on the upper edge
        (wide[1:-1, 2:], (0, 1), (1, 0)),
        (wide[2:, 1:-1], (1, 1), (0, -1)),
        (wide[1:-1, :-2], (1, 0), (-1, 0)),
    )
    ways: dict[tuple[int, int], list[tuple[int, int]]] = {}
    for neighbour, corner, way in sides:
        for y, x in np.argwhere(here & ~neighbour).tolist():
            ways.setdefault((y + corner[0], x + corner[1]), []).append(way)
    rings = []
    while ways:
        (y, x), (way, *_) = next(iter(ways.items()))
        ring, came = [], []
        while (y, x) in ways:
            there = ways[y, x]
            if came and len(there) > 1:
                dy, dx = came[-1]
                way = (-dx, dy)
            else:
                way = there[0]
            there.remove(way)
            if not there:
                del ways[y, x]
            ring.append((x, y))
            came.append(way)
            y, x = y + way[0], x + way[1]
            if (x, y) == ring[0]:
                break
        turns = [k for k in range(len(ring)) if came[k] != came[k - 1]]
        rings.append(np.array([ring[k] for k in turns], np.int64))
    return rings
