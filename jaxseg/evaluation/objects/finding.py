"""Finds the objects of one image in what a network says of it."""

from collections.abc import Mapping
from typing import Any, NamedTuple

import numpy as np
from jaxtyping import Float, Int32

from jaxseg.data import pipeline
from jaxseg.inference import image
from jaxseg.postprocess import objects


class Finding(NamedTuple):
    """How a run looks for objects, but for the settings that validation chooses."""

    rule: str  # a file of postprocess/objects/, or a module of the user's own
    objective: str  # one of objects.OBJECTIVES: what the choice makes large
    cleaning: dict[str, Any]  # of `objects.find`, as the config has it
    num_classes: int
    names: tuple[str, ...] = ()  # of the maps beside the classes
    ray_length: float = 1.0  # of a ray that is 1, in pixels that the network sees
    # what validation chooses `min_area` from, as shares of its median object
    min_area_shares: tuple[float, ...] = (0.0,)


def named_maps(
    maps: Float[np.ndarray, "h w n"], finding: Finding, scale: float = 1.0
) -> dict[str, np.ndarray]:
    """What `objects.find` takes, from the maps of an image at its native size.

    `scale` is how many pixels of it one pixel has become that the network sees.
    """
    return objects.named(maps, finding.names, finding.ray_length * scale)


def label_map(
    maps: Float[np.ndarray, "h w n"],
    finding: Finding,
    frozen: Mapping[str, Any],
    scale: float = 1.0,
) -> Int32[np.ndarray, "h w"]:
    """The objects 1..n of an image from its maps at native size, 0 = background.

    `frozen` has the settings of the rule and the cleaning that validation chose;
    `scale` is that of `named_maps`. Raises what `objects.find` does.
    """
    there = named_maps(maps, finding, scale)
    return objects.find(there, finding.rule, frozen["settings"], frozen["cleaning"])


def at_native(
    maps: Float[np.ndarray, "height width n"],
    finding: Finding,
    view: pipeline.View,
    native: tuple[int, int],
) -> tuple[Float[np.ndarray, "h w n"], float]:
    """(the maps at the `native` size of an image, their scale), as the view saw it."""
    whole = image.maps_at_native(maps, view, native, finding.num_classes)
    return whole, native[0] / maps.shape[0]
