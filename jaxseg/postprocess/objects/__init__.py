"""Finds the objects of an image in the maps of a network: one file a rule.

A rule is a file with `find(maps, **settings)`, the label map i32 [h, w] of one image, 0
where there is no object, and `GRID`, the settings that validation chooses from. `maps`
holds "probability", f32 [h, w, k] of the classes, and what the target of the network
has beside it: "border" and "distance", f32 [h, w], and "rays", f32 [h, w, n].

`find` here is what others call: it composes a rule with the classes and the cleaning.
"""

from collections.abc import Mapping
from typing import Any

import numpy as np
from jaxtyping import Float, Int32

from jaxseg import lookup
from jaxseg.errors import ConfigError
from jaxseg.postprocess.objects import _clean

FOLDER = "postprocess/objects"
CLEANING = _clean.OFF  # {setting of the cleaning: its value when it is off}
# what the choice of a rule's settings makes large: a score of objects at an IoU, or the
# aggregated Jaccard index (jaxseg/metrics/instances.py)
OBJECTIVES = ("f1_50", "f1_75", "accuracy_50", "accuracy_75", "panoptic_quality_50")
OBJECTIVES += ("mean_true_score_50", "aji")


def find(
    maps: Mapping[str, Float[np.ndarray, "h w ..."]],
    rule: str,
    settings: Mapping[str, Any] | None = None,
    cleaning: Mapping[str, Any] | None = None,
) -> Int32[np.ndarray, "h w"]:
    """The label map of the objects that `rule` finds with `settings`, cleaned.

    Objects are numbered 1 to n in the order of their first pixels, row by row. With
    more than two classes the rule is asked for each class, with the pixels where it is
    the most probable one besides the background, so that objects of different classes
    never join. Raises ConfigError for a rule that there is not, for a setting of the
    cleaning that it does not have, and for a rule that returns no label map.
    """
    shape = maps["probability"].shape[:2]
    labels = np.zeros(shape, np.int32)
    for part in _by_class(maps):
        own = _checked(lookup.find(FOLDER, rule).find(part, **settings or {}), rule)
        if own.shape != shape:
            raise ConfigError(
                f"find() of {rule} must return a label map {shape}; it returned "
                f"{own.shape}."
            )
        new = (own > 0) & (labels == 0)
        labels[new] = own[new] + labels.max(initial=0)
    return _clean.clean(labels, **cleaning or {})


def without_small(
    labels: Int32[np.ndarray, "h w"], min_area: int
) -> Int32[np.ndarray, "h w"]:
    """The label map without its objects below `min_area` pixels, numbered anew.

    What `find` gives with a smaller `min_area` in its cleaning becomes what it gives
    with this one.
    """
    return _clean.clean(labels, min_area=min_area)


def named(
    maps: Float[np.ndarray, "h w n"],
    names: tuple[str, ...],
    ray_length: float = 1.0,
) -> dict[str, np.ndarray]:
    """The maps by name, of an array that has the classes first and then `names`.

    "ray_0", "ray_1" ... together are "rays", here in pixels of the array: `ray_length`
    is the length of a ray that is 1. It is that of the target, times the pixels of the
    array that one pixel of the network has become. Raises ConfigError where the array
    has no two classes beside them.
    """
    k = maps.shape[-1] - len(names)
    if k < 2:
        raise ConfigError(
            f"{maps.shape[-1]} maps are not two classes and {', '.join(names)}: they "
            "come from a network with another target."
        )
    out = {"probability": maps[..., :k]}
    rays = [k + i for i, name in enumerate(names) if name.startswith("ray_")]
    if rays:
        of_rays = maps[..., rays[0] : rays[-1] + 1]
        out["rays"] = of_rays * np.float32(ray_length)
    out |= {n: maps[..., k + i] for i, n in enumerate(names) if k + i not in rays}
    return out


def _checked(labels: Any, rule: str) -> np.ndarray:
    labels = np.asarray(labels)
    if labels.dtype.kind not in "iu" or labels.min(initial=0) < 0:
        raise ConfigError(
            f"find() of {rule} must return a label map of integers >= 0; it returned "
            f"{labels.dtype} from {labels.min(initial=0):g}."
        )
    return labels.astype(np.int32)


def _by_class(maps):
    """The maps for each class but the background, with those of the others at 0."""
    probability = maps["probability"]
    k = probability.shape[-1]
    if k == 2:
        yield maps
        return
    best = 1 + probability[..., 1:].argmax(-1)
    foreground = 1 - probability[..., 0]
    for c in range(1, k):
        own = best == c
        score = np.where(own, foreground, 0)
        part = {"probability": np.stack([1 - score, score], -1)}
        part |= {n: np.where(own, maps[n], 0) for n in maps if n in _SCORES}
        yield part | {n: maps[n] for n in maps if n not in part}


_SCORES = ("border", "distance")  # maps that are 0 outside of objects
