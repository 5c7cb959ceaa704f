"""Where objects join in: a label map of an image becomes rows of two tables.

A run that looks for objects (config.objects.rule) gives a `Rule`; other runs give none,
and nothing here is called.
"""

from collections.abc import Callable, Sequence
from typing import Any, NamedTuple

import numpy as np
from jaxtyping import Int

from jaxseg.errors import ConfigError
from jaxseg.evaluation.objects.finding import label_map
from jaxseg.experiment import finished_run
from jaxseg.metrics import counting_frame, object_shapes
from jaxseg.predict import outlines
from jaxseg.predict.formats import tif
from jaxseg.predict.masks import Labelled

COUNTS, OBJECTS, FOLDER = "counts.csv", "objects.csv", "instances"


class Rule(NamedTuple):
    """How the objects of an image are looked for, with its frozen settings."""

    name: str
    # (maps f32 [h, w, k + m] at native size, their scale) -> label map i32 [h, w]
    find: Callable[[np.ndarray, float], np.ndarray]
    margin: int  # of the counting frame, pixels: the side of the longest true object
    largest: int = 0  # only so many objects of an image


def rule_of(run: finished_run.FinishedRun) -> Rule | None:
    """The rule of a run that looks for objects; None for one that does not.

    Raises ConfigError where its settings were not chosen on validation.
    """
    finding, frozen = run.finding, run.operating_point.get("objects")
    if finding is None:
        return None
    if not frozen:
        raise ConfigError(
            f"{run.workdir} names config.objects.rule={finding.rule!r}, but no "
            "settings of it were chosen on validation: the version that trained it did "
            "not choose them. Train it again."
        )

    def find(maps, scale):
        return label_map(maps, finding, frozen, scale)

    margin, largest = frozen["margin_px"], frozen["cleaning"]["largest"]
    return Rule(finding.rule, find, int(margin), int(largest))


def label_tiff(image: Labelled, labels: Int[np.ndarray, "h w"]) -> bytes:
    """The bytes of a TIFF of the label map, u16 or, above 65535 objects, u32."""
    kind = np.uint16 if labels.max(initial=0) <= np.iinfo(np.uint16).max else np.uint32
    return tif.of_array(labels.astype(kind), image)


def rows(labels: Int[np.ndarray, "h w"], image: Labelled) -> list[dict[str, Any]]:
    """One row an object, in the order of their numbers.

    Lengths and areas are in pixels, and in micrometres where the size of a pixel is
    known, as `object_shapes.measure` defines them; the centroid is in pixels, (0, 0)
    being the centre of the first one. `confidence` is the mean of the confidence of its
    pixels, `intensity_0` and so on that of the stored ones by channel, and `class` the
    most frequent foreground class of its pixels.
    """
    size = None if image.pixel_size is None else (image.pixel_size,) * 2
    table = object_shapes.measure(
        labels, image=image.pixels, probability=image.confidence, um_per_px=size
    )
    names = outlines.classes_of(labels, image.classes, len(image.names))
    channels = image.pixels.shape[-1]
    out = []
    for k, number in enumerate(table["id"].tolist()):
        row = {"object": number, "class": image.names[names[k]]}
        for name in ("area_px", "area_um2", "diameter_px", "diameter_um"):
            row[name] = table[name][k].item() if name in table else None
        row["circularity"] = float(table["circularity"][k])
        row["y"] = float(table["centroid_y_px"][k])
        row["x"] = float(table["centroid_x_px"][k])
        for c in range(channels):
            row[f"intensity_{c}"] = float(table[f"mean_intensity_{c}"][k])
        row["confidence"] = float(table["mean_probability"][k])
        out.append({**row, "touches_border": int(table["touches_border"][k])})
    return out


def counted(
    labels: Int[np.ndarray, "h w"],
    objects: Sequence[dict[str, Any]],
    classes: Sequence[str],
    *,
    margin: int,
    pixel_size: float | None,
) -> dict[str, Any]:
    """The row of an image in counts.csv: how many objects it shows, and holds.

    `objects` are all that show, `touching_border` those that the edge may cut. Beside
    this naive count stand the counts that the edge does not bias: those in the counting
    frame with its area, and the sum of weights (`counting_frame`). They are None for an
    image that is too small for a frame.
    """
    out: dict[str, Any] = {"objects": len(objects)}
    out["touching_border"] = sum(row["touches_border"] for row in objects)
    for name in classes[1:]:
        out[f"objects/{name}"] = sum(row["class"] == name for row in objects)
    frame: dict[str, Any] = dict.fromkeys(counting_frame.FIELDS)
    if widest := max((min(labels.shape) - 1) // 2, 0):
        values = counting_frame.measure(labels, margin=min(margin, widest))
        frame = dict(zip(counting_frame.FIELDS, values.tolist(), strict=True))
    for name in ("frame_objects", "frame_area_px"):
        out[name] = None if frame[name] is None else int(frame[name])
    inside, area = out["frame_objects"], out["frame_area_px"]
    physical = pixel_size is not None and area
    out["frame_area_mm2"] = area * pixel_size**2 / 1e6 if physical else None
    out["frame_objects_per_mm2"] = inside / out["frame_area_mm2"] if physical else None
    return out | {"weighted_objects": frame["weighted_objects"]}
