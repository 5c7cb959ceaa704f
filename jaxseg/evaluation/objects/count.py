"""Compares the objects of each image of a split with the true ones.

Every image is one row of numbers that can be summed; label maps are not kept.
"""

from collections.abc import Iterable, Mapping
from typing import Any, NamedTuple

import numpy as np
from jaxtyping import Float, Int, Integer

from jaxseg.data import objects as ids
from jaxseg.data import pipeline
from jaxseg.evaluation import count, object_baselines
from jaxseg.evaluation.objects import _rows
from jaxseg.evaluation.objects.finding import Finding, at_native, label_map
from jaxseg.labels import IGNORE
from jaxseg.metrics import counting_frame, instances, object_shapes, point_pattern

MODEL, SIDES = "model", ("true", "predicted")
BASELINES = ("all_foreground", "otsu_watershed")
_THREADS = 2


class Counted(NamedTuple):
    """The objects of the images of a split, in the order of the split.

    Lengths are in `unit`: micrometres where the pixel size of every image is known,
    pixels otherwise. A frame that an image is too small for is a row of zeros.
    """

    unit: str  # "um" or "px"
    index: Int[np.ndarray, "n"]
    # by "model" and by the names of BASELINES: instances.FIELDS of each image
    rows: dict[str, Float[np.ndarray, "n 42"]]
    # by "true" and "predicted": equivalent diameters of the objects of each image
    diameters: dict[str, list[Float[np.ndarray, "_"]]]
    frames: dict[str, Float[np.ndarray, "n 6"]]  # counting_frame.FIELDS, areas in px
    patterns: dict[str, Float[np.ndarray, "n 6"]]  # point_pattern.FIELDS
    pixel_area: Float[np.ndarray, "n"]  # in square micrometres; 1 without a unit


def count_split(
    maps: Iterable[tuple[int, np.ndarray]],
    split: Any,
    frozen: Mapping[str, Any],
    finding: Finding,
    view: pipeline.View,
) -> Counted:
    """Looks for the objects of every image as `choose.choose` froze it.

    `maps` are those of `whole_split.maps` of this process; every process gets the
    result of all. Raises what `objects.find` does.
    """
    sizes = getattr(split, "pixel_sizes", None)
    physical = sizes is not None and len(sizes) > 0 and bool(np.all(sizes > 0))
    of_pixel = np.asarray(sizes, np.float64) if physical else np.ones(len(split))

    def one(item: tuple[int, np.ndarray]) -> tuple[dict, dict]:
        index = int(item[0])
        example = split[index]
        truth, ignore = ids.of_example(example), example["mask"] == IGNORE
        whole, scale = at_native(item[1], finding, view, truth.shape)
        answers = {
            MODEL: label_map(whole, finding, frozen, scale),
            "all_foreground": object_baselines.all_foreground(example["image"]),
            "otsu_watershed": object_baselines.otsu_watershed(
                example["image"], **frozen["baseline"]["settings"]
            ),
        }
        row = {"index": np.int64(index)}
        for name, labels in answers.items():
            row[name] = instances.measure(truth, labels, ignore=ignore)
        lists = {}
        for side, labels in zip(SIDES, (truth, answers[MODEL]), strict=True):
            labels = np.where(ignore, 0, labels)
            frame, pattern, lists[side] = _described(
                labels, float(of_pixel[index]), int(frozen["margin_px"])
            )
            row |= {f"frame_{side}": frame, f"pattern_{side}": pattern}
        return row, {side: (index, values) for side, values in lists.items()}

    pairs = [*count.in_threads(one, maps, _THREADS)]
    empty = {"index": np.zeros(0, np.int64)}
    empty |= {n: np.zeros((0, len(instances.FIELDS))) for n in (MODEL, *BASELINES)}
    for side in SIDES:
        empty[f"frame_{side}"] = np.zeros((0, len(counting_frame.FIELDS)))
        empty[f"pattern_{side}"] = np.zeros((0, len(point_pattern.FIELDS)))
    whole = _rows.gather((row for row, _ in pairs), empty)
    diameters = {
        side: _rows.gather_lists(lists[side] for _, lists in pairs) for side in SIDES
    }
    order = whole["index"].tolist()
    return Counted(
        unit="um" if physical else "px",
        index=whole["index"],
        rows={name: whole[name] for name in (MODEL, *BASELINES)},
        diameters={s: [diameters[s][i] for i in order] for s in SIDES},
        frames={s: whole[f"frame_{s}"] for s in SIDES},
        patterns={s: whole[f"pattern_{s}"] for s in SIDES},
        pixel_area=of_pixel[whole["index"]] ** 2,
    )


def _described(
    labels: Integer[np.ndarray, "h w"], pixel: float, margin: int
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """(row of the counting frame, row of the point pattern, diameters) of a map."""
    widest = (min(labels.shape) - 1) // 2
    frame = np.zeros(len(counting_frame.FIELDS))
    if widest >= 1:
        frame = counting_frame.measure(labels, margin=min(margin, widest))
    table = object_shapes.measure(labels)
    points = np.stack([table["centroid_y_px"], table["centroid_x_px"]], -1) * pixel
    height, width = (n * pixel for n in labels.shape)
    pattern = point_pattern.measure(points, (height, width))
    return frame, pattern, table["diameter_px"] * pixel
