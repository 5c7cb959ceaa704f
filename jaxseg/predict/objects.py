"""Where objects join in: a label map of an image becomes rows of two tables.

A run that looks for objects (config.objects.rule) gives a `Rule`; other runs give none,
and nothing here is called.
"""

import functools
from collections.abc import Callable, Sequence
from typing import Any, NamedTuple

import numpy as np
from jaxtyping import Int

from jaxseg import lookup
from jaxseg.errors import ConfigError
from jaxseg.experiment import finished_run
from jaxseg.predict.formats import tif
from jaxseg.predict.masks import Labelled

COUNTS, OBJECTS, FOLDER = "counts.csv", "objects.csv", "instances"


class Rule(NamedTuple):
    """How the objects of an image are found, with its frozen settings."""

    name: str
    # maps {"probability": f32 [h, w, k], ...} -> label map i32 [h, w], 0 = background
    find: Callable[[dict[str, np.ndarray]], Int[np.ndarray, "h w"]]


def rule_of(run: finished_run.FinishedRun) -> Rule | None:
    """The rule of a run that looks for objects; None for one that does not.

    Raises ConfigError where its settings were not chosen on validation.
    """
    block = run.config.get("objects")
    if block is None or not block.rule:
        return None
    frozen = run.operating_point.get("objects")
    if not frozen:
        raise ConfigError(
            f"{run.workdir} names config.objects.rule={block.rule!r}, but no settings "
            "of it were chosen on validation: this version does not choose them yet. "
            "Train with config.objects.rule='' to predict classes alone."
        )
    module = lookup.find("postprocess/objects", block.rule)
    find = functools.partial(module.find, **frozen.get("settings", {}))
    return Rule(block.rule, find)


def label_tiff(image: Labelled, labels: Int[np.ndarray, "h w"]) -> bytes:
    """The bytes of a TIFF of the label map, u16 or, above 65535 objects, u32."""
    kind = np.uint16 if labels.max(initial=0) <= np.iinfo(np.uint16).max else np.uint32
    return tif.of_array(labels.astype(kind), image)


def rows(labels: Int[np.ndarray, "h w"], image: Labelled) -> list[dict[str, Any]]:
    """One row an object, in the order of their numbers.

    Areas are in pixels, and in square micrometres where the size of a pixel is known;
    the centroid is in pixels, (0, 0) being the centre of the first one. `confidence`
    is the mean of the confidence of its pixels, `intensity` that of the stored ones
    over all channels, and `class` the most frequent class of its pixels.
    """
    count = int(labels.max(initial=0))
    if not count:
        return []
    flat, size = labels.ravel(), count + 1
    area = np.bincount(flat, minlength=size)

    def mean(values: np.ndarray) -> np.ndarray:
        return np.bincount(flat, values.ravel(), size) / np.maximum(area, 1)

    y, x = np.indices(labels.shape, np.float64)
    centre = mean(y), mean(x)
    bright, sure = mean(image.pixels.mean(-1)), mean(image.confidence)
    edge = np.concatenate([labels[[0, -1]].ravel(), labels[:, [0, -1]].ravel()])
    touching = set(edge.tolist())
    k = len(image.names)
    votes = np.bincount(flat * k + image.classes.ravel(), minlength=size * k)
    votes = votes.reshape(size, k)
    votes[:, 0] = 0  # an object is of a foreground class
    out = []
    for number in range(1, size):
        pixels = int(area[number])
        um2 = None if image.pixel_size is None else pixels * image.pixel_size**2
        diameter = 2 * (pixels / np.pi) ** 0.5
        row = {"object": number, "class": image.names[int(votes[number].argmax())]}
        row |= {"area_px": pixels, "area_um2": um2, "diameter_px": float(diameter)}
        um = None if image.pixel_size is None else float(diameter) * image.pixel_size
        row |= {"diameter_um": um}
        row |= {"y": float(centre[0][number]), "x": float(centre[1][number])}
        row |= {"intensity": float(bright[number]), "confidence": float(sure[number])}
        out.append({**row, "touches_border": int(number in touching)})
    return out


def counted(
    objects: Sequence[dict[str, Any]], classes: Sequence[str]
) -> dict[str, int]:
    """The row of an image in counts.csv: its objects, those at its border, by class."""
    out = {"objects": len(objects)}
    out["touching_border"] = sum(row["touches_border"] for row in objects)
    for name in classes[1:]:
        out[f"objects/{name}"] = sum(row["class"] == name for row in objects)
    return out
