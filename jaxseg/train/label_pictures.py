"""Draws training images with their labelled pixels marked, by class."""

import pathlib
from collections.abc import Sequence
from typing import Any

import cv2
import numpy as np
from jaxtyping import UInt8

from jaxseg import atomic, pictures
from jaxseg.data import intensity, sparse_labels
from jaxseg.data.pipeline import View
from jaxseg.data.prepared import Split
from jaxseg.run_directory import files
from jaxseg.types import IGNORE

FOLDER = "supervision_examples"
INDEX = "index.json"
SIDE = 384  # longer side of a picture with marks
_LARGE = 1024  # height of an image of any size
# Okabe and Ito, 2008, https://jfly.uni-koeln.de/color/; background first
COLOURS = (
    (86, 180, 233),
    (230, 159, 0),
    (204, 121, 167),
    (240, 228, 66),
    (0, 158, 115),
)
MARKS = ("cross", "disc", "triangle", "square", "diamond")
_INK = (20, 20, 20)
_CROWDED = 6.0  # pixels between marks, below which areas are painted instead


def write(
    workdir: pathlib.Path,
    split: Split,
    view: View,
    labels: sparse_labels.Labels,
    *,
    most: int = 3,
) -> None:
    """`supervision_examples/`: up to `most` images as the model sees them, and marked.

    `<k>_image.png` is of the size of the model (with fit "crop" the native image, at
    most `_LARGE` high), `<k>_labels.png` large enough for the marks; index.json,
    written last, says what they are: {"legend": [{class, colour, mark}], "examples":
    [{id, image, labels, pixels: {class: n}}]}. Nothing is done where it stands, nor
    without a labelled pixel.
    """
    folder = workdir / FOLDER
    if (folder / INDEX).exists() or not len(labels.image):
        return
    folder.mkdir(parents=True, exist_ok=True)
    shown, marks = [], dict.fromkeys(range(len(split.classes)), "")
    for k, index in enumerate(choose(labels, len(split.classes), most)):
        levels = intensity.eight_bits(view(split, index)["image"])
        image = pictures.grey_or_rgb(levels)
        mask = labels.mask(index)
        drawn, used = draw(image, mask)
        names = {"image": f"{k}_image.png", "labels": f"{k}_labels.png"}
        _save(folder / names["image"], _shown(image, view.fit))
        _save(folder / names["labels"], drawn)
        marks |= used
        pixels = {n: int((mask == c).sum()) for c, n in enumerate(split.classes)}
        shown.append({"id": split.ids[index], **names, "pixels": pixels})
    legend = [
        {"class": split.classes[c], "colour": f"#{bytes(_colour(c)).hex()}", "mark": m}
        for c, m in marks.items()
        if m
    ]
    files.write_json(folder / INDEX, {"legend": legend, "examples": shown})


def _shown(image: np.ndarray, fit: str) -> np.ndarray:
    return pictures.small(image, side=_LARGE) if fit == "crop" else image


def choose(labels: sparse_labels.Labels, classes: int, most: int) -> list[int]:
    """Images in which most classes are labelled, spread over the split, in order."""
    cell = labels.image.astype(np.int64) * classes + labels.label
    present = np.bincount(cell, minlength=len(labels.ids) * classes) > 0
    kinds = present.reshape(-1, classes).sum(axis=1)
    best = np.flatnonzero(kinds == kinds.max())
    places = np.linspace(0, len(best) - 1, min(most, len(best))).round()
    return best[places.astype(np.int64)].tolist()


def draw(
    image: UInt8[np.ndarray, "h w *c"], mask: UInt8[np.ndarray, "h w"]
) -> tuple[UInt8[np.ndarray, "H W 3"], dict[int, str]]:
    """The image, about SIDE large, with a mark on every labelled pixel of `mask`.

    Also {class: how it is marked}. Where labels are too dense for marks, the pixels
    themselves are tinted ("area").
    """
    size, scale = _size(mask.shape)
    grey = image if image.ndim == 3 else image[..., None].repeat(3, axis=-1)
    how = cv2.INTER_AREA if scale < 1 else cv2.INTER_NEAREST
    out = cv2.resize(np.ascontiguousarray(grey), size[::-1], interpolation=how)
    y, x = np.nonzero(mask != IGNORE)
    classes = sorted(set(mask[y, x].tolist()))
    spacing = (size[0] * size[1] / max(1, len(y))) ** 0.5
    if spacing < _CROWDED:
        return _tint(out, mask, classes), dict.fromkeys(classes, "area")
    radius = int(np.clip(0.25 * spacing, 3, 7))
    for row, column in zip(y.tolist(), x.tolist(), strict=True):
        c = int(mask[row, column])
        centre = int((column + 0.5) * scale), int((row + 0.5) * scale)
        mark(out, centre, radius, MARKS[c % len(MARKS)], _colour(c))
    return out, {c: MARKS[c % len(MARKS)] for c in classes}


def _size(shape: tuple[int, int]) -> tuple[tuple[int, int], float]:
    """Size of the picture and how much larger it is; a whole number if it is."""
    scale = SIDE / max(shape)
    scale = float(int(scale)) if scale >= 1 else scale
    return tuple(max(1, round(n * scale)) for n in shape), scale


def _colour(c: int) -> tuple[int, int, int]:
    return COLOURS[c % len(COLOURS)]


def _tint(out: np.ndarray, mask: np.ndarray, classes: Sequence[int]) -> np.ndarray:
    large = cv2.resize(mask, out.shape[1::-1], interpolation=cv2.INTER_NEAREST)
    for c in classes:
        half = 0.5 * out[large == c] + 0.5 * np.array(_colour(c))
        out[large == c] = half.round().astype(np.uint8)
    return out


def mark(out: np.ndarray, centre: tuple[int, int], r: int, kind: str, colour) -> None:
    """Draws one mark with a dark rim, which tells it from bright and dark alike."""
    x, y = centre
    if kind == "disc":
        cv2.circle(out, centre, r + 1, _INK, cv2.FILLED, cv2.LINE_AA)
        cv2.circle(out, centre, r - 1, colour, cv2.FILLED, cv2.LINE_AA)
    elif kind == "cross":
        ends = [((x - r, y - r), (x + r, y + r)), ((x - r, y + r), (x + r, y - r))]
        for width, ink in ((4, _INK), (2, colour)):
            for start, end in ends:
                cv2.line(out, start, end, ink, width, cv2.LINE_AA)
    else:
        corners = {
            "triangle": [(x, y - r), (x + r, y + r), (x - r, y + r)],
            "square": [(x - r, y - r), (x + r, y - r), (x + r, y + r), (x - r, y + r)],
            "diamond": [(x, y - r), (x + r, y), (x, y + r), (x - r, y)],
        }[kind]
        points = np.array(corners, np.int32)
        cv2.fillPoly(out, [points], colour, cv2.LINE_AA)
        cv2.polylines(out, [points], True, _INK, 1, cv2.LINE_AA)


def _save(path: pathlib.Path, image: Any) -> None:
    """OpenCV stores colours as blue, green, red."""
    flipped = np.ascontiguousarray(image[..., ::-1]) if image.ndim == 3 else image
    small = [cv2.IMWRITE_PNG_COMPRESSION, 9]  # a report holds the bytes as well
    atomic.replace(path, cv2.imencode(".png", flipped, small)[1].tobytes())
