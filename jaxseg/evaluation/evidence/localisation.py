"""Asks whether a classifier looks at the object: the pointing game.

Zhang et al., 2016, https://arxiv.org/abs/1608.00507: a hit is an image whose map has
its maximum in the mask, or so many pixels beside it.
"""

from collections.abc import Iterable
from typing import Any

import numpy as np
from jaxtyping import Bool, Float
from scipy import ndimage

from jaxseg.data import prepared
from jaxseg.devices import sharding
from jaxseg.evaluation.evidence import whole_scores
from jaxseg.labels import IGNORE
from jaxseg.metrics import classification

POLICY = (
    "a hit where the first maximum of the map of the class lies in the mask or within "
    "the tolerance of it, of the images that show both; a map without a maximum is a "
    "miss; Wilson interval at 95 %; chance: the mean share of labelled pixels that "
    "would be a hit"
)


def wanted(split: prepared.Split, output: int, width: int, mask_class: int) -> set[int]:
    """The images that show the class of the output, and pixels of `mask_class`."""
    shown = whole_scores.truth(split, width)[:, output] == 1
    return {int(i) for i in np.flatnonzero(shown & (split.pixels[:, mask_class] > 0))}


def pointed(
    attention: Float[np.ndarray, "h w"],
    mask: Bool[np.ndarray, "h w"],
    labelled: Bool[np.ndarray, "h w"],
    tolerance: float,
) -> tuple[bool, bool, float]:
    """(hit, whether the map has no maximum, the share of pixels that would be a hit).

    A maximum on a pixel that is not labelled is looked for on the labelled ones.
    """
    near = ndimage.distance_transform_edt(~mask) <= tolerance
    seen = np.where(labelled, attention, -np.inf)
    flat = bool(seen.max() <= seen[labelled].min())
    hit = not flat and bool(near.flat[seen.argmax()])
    return hit, flat, float(near[labelled].mean())


def score(
    maps: Iterable[tuple[int, Float[np.ndarray, "h w n"]]],
    split: prepared.Split,
    *,
    output: int,
    width: int,
    mask_class: int,
    tolerance: float,
    to_native: Any,
) -> dict[str, Any]:
    """Assembles "localisation" of eval/<split>.json.

    `maps` gives (index, map of every output) of `wanted` images of this process;
    `output` is the one that is asked. Every process gets the numbers of all.
    """
    rows = []
    for index, row in maps:
        mask = split[index]["mask"]
        one = np.ascontiguousarray(row[..., output : output + 1])
        native = np.reshape(to_native(one, mask.shape), mask.shape)
        rows.append(pointed(native, mask == mask_class, mask != IGNORE, tolerance))
    own = {"rows": np.array(rows, np.float64).reshape(-1, 3)}
    every = np.concatenate([part["rows"] for part in sharding.gather(own)])
    hits, flat = int(every[:, 0].sum()), int(every[:, 1].sum())
    low, high = classification.wilson(hits, len(every))
    return {
        "image_class": whole_scores.names(split, width)[output],
        "mask_class": split.classes[mask_class],
        "images": len(every),
        "hits": hits,
        "flat": flat,
        "value": hits / len(every) if len(every) else None,
        "low": low,
        "high": high,
        "chance": float(every[:, 2].mean()) if len(every) else None,
        "tolerance": float(tolerance),
        "policy": POLICY,
    }
