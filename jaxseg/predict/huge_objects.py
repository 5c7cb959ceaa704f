"""Finds the objects of an image that is larger than memory, band by band.

The rule of a run looks at a band of rows with some rows more above and below it. An
object belongs to the band that holds its centroid, so each is counted once, and an edge
between two bands cuts none. What reaches from the edge of what is looked at into the
band itself is too long for that, and is refused: nothing is counted in parts.
"""

import pathlib
from collections.abc import Callable
from typing import Any

import numpy as np
from jaxtyping import Bool, Float, Int32, UInt, UInt8

from jaxseg.errors import DataError
from jaxseg.metrics import object_shapes
from jaxseg.predict import huge_files, objects
from jaxseg.predict.masks import Labelled

_LEAST = 256  # rows of a band
_SURE = 32  # rows beside the longest object: what its edge may depend on
_HALF = 0.5  # of its pixels, that an object may share with those of the band before


class Finder:
    """Takes rows of an image from top to bottom, and writes its label map.

    `of_rows` says what is true of the pixels of some rows, (top, bottom) -> Labelled
    without its classes and confidence.
    """

    def __init__(
        self,
        rule: objects.Rule,
        size: tuple[int, int],
        of_rows: Callable[[int, int], Labelled],
        written: huge_files.LabelMap,
    ):
        self._rule, self._size, self._of_rows = rule, size, of_rows
        self._written = written
        self._beside = 2 * rule.margin + _SURE
        self._band = max(_LEAST, 2 * self._beside)
        self._next = 0  # the first row of the next band
        self._top, self._parts = 0, []  # rows that are kept, and the first of them
        self._taken = np.zeros((0, size[1]), bool)  # of objects, from `_top` on
        self._rows: list[dict[str, Any]] = []
        self._first: list[tuple[int, int]] = []  # row and column of an object

    def add(
        self,
        maps: Float[np.ndarray, "rows w n"],
        classes: UInt8[np.ndarray, "rows w"],
        confidence: Float[np.ndarray, "rows w"],
    ) -> None:
        """Takes the next rows. Raises DataError for an object too long for a band."""
        self._parts.append((maps, classes, confidence))
        there = self._top + sum(len(part[0]) for part in self._parts)
        if there >= self._next + self._band + self._beside:
            self._join()
        while there >= self._next + self._band + self._beside:
            self._look(self._next + self._band)

    def finish(self) -> list[dict[str, Any]]:
        """Looks at what is left; the rows of all objects, as `objects.rows` has them.

        They are numbered as in memory: in the order of their first pixels.
        """
        self._join()
        while self._next < self._size[0]:
            self._look(min(self._next + self._band, self._size[0]))
        order = sorted(range(len(self._first)), key=self._first.__getitem__)
        number = np.zeros(len(order) + 1, np.int32)
        number[np.array(order, np.int64) + 1] = np.arange(1, len(order) + 1)
        self._written.renumber(number)
        return [self._rows[k] | {"object": n} for n, k in enumerate(order, 1)]

    def _join(self) -> None:
        columns = zip(*self._parts, strict=True)
        self._parts = [tuple(np.concatenate(column) for column in columns)]

    def _look(self, stop: int) -> None:
        """Finds the objects of the band from `_next` to `stop`, and forgets rows."""
        height, width = self._size
        bottom = min(stop + self._beside, height)
        maps, classes, confidence = (x[: bottom - self._top] for x in self._parts[0])
        labels = self._rule.find(maps, 1.0)
        table = object_shapes.measure(labels)
        self._check(table, stop - self._top, bottom == height)
        taken = np.zeros(labels.shape, bool)
        taken[: len(self._taken)] = self._taken[: len(taken)]
        labels, first = self._own(labels, table, taken, stop - self._top)
        image = self._of_rows(self._top, bottom)
        image = image._replace(classes=classes, confidence=confidence, objects=labels)
        for row in objects.rows(labels, image):
            self._rows.append(row | {"y": row["y"] + self._top})
        self._written.put(labels, self._top, offset=len(self._first))
        self._first += [(y + self._top, x) for y, x in first]
        self._next, before = stop, self._top
        self._top = max(stop - self._beside, 0)
        left = self._top - before
        self._parts = [tuple(x[left:].copy() for x in self._parts[0])]
        self._taken = ((labels > 0) | taken)[left:]

    def _check(self, table: dict[str, np.ndarray], stop: int, last: bool) -> None:
        """DataError for an object that is cut, and that has pixels in the band."""
        top, bottom = table["top_px"], table["bottom_px"]
        cut = (top == 0) & (bottom > self._next - self._top) & (self._top > 0)
        if not last:
            cut |= (bottom == stop + self._beside) & (top < stop)
        if cut.any():
            raise DataError(
                f"an object near row {self._top + int(top[cut][0])} is more than "
                f"{self._beside} rows long, and objects of an image that is read by "
                "rows must be shorter: cut it into smaller images, or raise "
                "--max_pixels where it fits into memory."
            )

    def _own(
        self,
        labels: Int32[np.ndarray, "h w"],
        table: dict[str, np.ndarray],
        taken: Bool[np.ndarray, "h w"],
        stop: int,
    ) -> tuple[Int32[np.ndarray, "h w"], list[tuple[int, int]]]:
        """(the objects of this band alone, numbered; the first pixel of each).

        Where rules see an object a little otherwise with other rows around it, its
        centroid may lie in both bands or in neither. So the band before has the first
        word, and this one takes what is still free near its upper edge.
        """
        middle, start = table["centroid_y_px"], self._next - self._top
        n = len(middle)
        shared = np.bincount(labels[taken], minlength=n + 1)[1:] / table["area_px"]
        whole = (table["top_px"] > 0) | (self._top == 0)
        near = (middle >= start - self._beside / 2) & whole
        own = (middle < stop) & near & (shared <= _HALF)
        free = np.where(taken, 0, labels)
        number = np.zeros(n + 1, np.int32)
        number[1:][own] = np.arange(1, np.count_nonzero(own) + 1)
        kept = number[free]
        flat = kept.ravel()
        inside = np.flatnonzero(flat)
        _, places = np.unique(flat[inside], return_index=True)
        rows, columns = np.divmod(inside[places], labels.shape[1])
        return kept, list(zip(rows.tolist(), columns.tolist(), strict=True))


def labelled(
    path: pathlib.Path,
    read: Callable[[int, int], UInt[np.ndarray, "rows w c"]],
    names: list[str],
    pixel_size: float | None,
    channels: int,
) -> Callable[[int, int], Labelled]:
    """What `Finder` asks for, of an image whose rows (top, bottom) `read` gives.

    Grey images stand for `channels` equal ones, as they do for a run of colours.
    """
    nothing = np.zeros((0, 0), np.uint8)

    def of_rows(top: int, bottom: int) -> Labelled:
        pixels = read(top, bottom)
        if pixels.shape[-1] < channels:
            pixels = np.repeat(pixels, channels, axis=-1)
        return Labelled(
            classes=nothing,
            confidence=nothing,
            pixels=pixels,
            names=names,
            source=path,
            orientation=1,
            pixel_size=pixel_size,
            origin="",
        )

    return of_rows
