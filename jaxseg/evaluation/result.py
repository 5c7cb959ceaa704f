"""Assembles `eval/<split>.json`, and writes the tables and pictures beside it."""

import csv
import io
import os
import pathlib
from collections.abc import Iterable
from typing import Any

import numpy as np

from jaxseg import atomic
from jaxseg.errors import DataError
from jaxseg.evaluation import (
    class_table,
    class_temperature,
    count,
    examples,
    metric_table,
    one_vs_rest,
    temperature,
)
from jaxseg.evaluation.tally import Decided, Tally, above, at, check_complete
from jaxseg.metrics import bootstrap, curves
from jaxseg.postprocess import decision
from jaxseg.run_directory import files


def summary(tally: Tally, threshold: float = 0.5) -> dict[str, float | None]:
    """Every metric by name at a fixed threshold; None where it is undefined.

    For k > 2 the threshold is not used: argmax, averaged over present classes.
    """
    two = tally.num_classes == 2
    return metric_table.summary(at(tally, threshold=threshold) if two else tally)


def assemble(
    decided: Decided,
    baselines: list[dict[str, Any]],
    split: Any,
    *,
    step: int,
    seed: int = 0,
    resamples: int = bootstrap.RESAMPLES,
    scaling: dict[str, Any] | None = None,
    argmax: Tally | None = None,
    softened: Tally | None = None,
) -> dict[str, Any]:
    """Assembles `eval/<split>.json`: every image of the split, at the operating point.

    `baselines` are `baselines.rows`; `scaling` (None: there is none) comes from
    `temperature.fit` and changes `calibration` only. Intervals resample the groups of
    the split. `curves.pixel` has a proven bound on the error of each figure; its best
    F1 is chosen on these very images. Above two classes it is None, and
    `curves.pixel_by_class` has the same of each foreground class against the rest;
    `class_table` and `confusion` (a row for each true and a column for each predicted
    class) are there too, `argmax`, of the tally `argmax`, beside offsets, and
    `calibration` of the tally `softened` at the frozen temperature. Raises DataError,
    with the ids, when an image is missing.
    """
    tally, two = decided.tally, len(split.classes) == 2
    check_complete(tally, split.ids)
    area = tally.predicted[:, 1:].sum(axis=1) / np.maximum(tally.pixels, 1)
    pixel = None
    if two:
        pixel = curves.pixel_curve(tally.pooled, tally.only_value)
        pixel["support_pixels"] = pixel.pop("support")
    image = {"max_probability": tally.max_probability, "predicted_share": area}
    image = [_image_curve(tally, title, score) for title, score in image.items()]
    scores = {
        "split": split.name,
        "split_hash": split.hash,
        "step": int(step),
        "images": len(tally.index),
        "positive_images": int(tally.positive.sum()),
        "pixels": int(tally.pixels.sum()),
        "positive_pixels": int(tally.truth[:, 1:].sum()),
        "ignored_pixels": int(tally.ignored.sum()),
        "classes": list(split.classes),
        "operating_point": decided.point,
        "metrics": metric_table.rows(
            tally, split.classes, split.groups, seed=seed, resamples=resamples
        ),
        "baselines": baselines,
        "curves": {"pixel": pixel, "image": image[0], "image_area": image[1]},
    }
    if two:
        return scores | {"calibration": temperature.assemble(tally, scaling, split)}
    whole = tally.pooled, tally.only_value
    scores["curves"]["pixel_by_class"] = one_vs_rest.pixel_curves(*whole, split.classes)
    scores["calibration"] = class_temperature.assemble(tally, scaling, softened, split)
    scores["class_table"] = class_table.rows(tally, split.classes)
    scores["confusion"] = tally.confusion.sum(axis=0).tolist()
    if decided.point is not None and argmax is not None:
        scores["argmax"] = class_table.without_offsets(argmax, split.classes)
    return scores


def _image_curve(tally: Tally, title: str, score: np.ndarray) -> dict[str, Any]:
    labelled = tally.pixels > 0  # an image without labels is neither kind
    positive = tally.positive[labelled]
    curve = curves.exact_curve(score[labelled], positive)
    if positive.all():  # any order of them is perfect
        curve["average_precision"] = None
    wanted = ("average_precision", "roc_auc", "prevalence")
    support = {"support_images": int(labelled.sum())}
    return {"score": title} | {key: curve[key] for key in wanted} | support


def write_tables(
    folder: str | os.PathLike,
    decided: Decided,
    split: Any,
    *,
    columns: dict[str, list] | None = None,
) -> None:
    """Writes `<split>_per_image.csv` and, for k = 2, `<split>_pr.csv` by threshold.

    For k > 2 it has columns of every class. `columns` are more of an image, in order.
    Floats are written so that they read back bit for bit; None is an empty field.
    """
    folder, tally = pathlib.Path(folder), decided.tally
    rows = metric_table.per_image(tally, split.ids, split.groups)
    by_class = {}
    if len(split.classes) > 2:
        by_class = class_table.per_image(tally, split.classes)
    columns = by_class | (columns or {})
    for title, values in columns.items():
        for row, value in zip(rows, values, strict=True):
            row[title] = value
    atomic.replace(folder / f"{split.name}_per_image.csv", csv_of(rows))
    if len(split.classes) == 2:
        cells = tally.scores.sum(axis=0, dtype=np.int64)
        rows = curves.rows(decision.THRESHOLDS, above(cells), cells.sum(axis=1))
        atomic.replace(folder / f"{split.name}_pr.csv", csv_of(rows))


def csv_of(rows: list[dict[str, Any]]) -> bytes:
    """The content of a table, its columns those of the first row; None is empty."""
    text = io.StringIO()
    writer = csv.DictWriter(text, rows[0] if rows else [], lineterminator="\n")
    writer.writeheader()
    writer.writerows(rows)
    return text.getvalue().encode()


def write_examples(
    folder: str | os.PathLike,
    decided: Decided,
    split: Any,
    predictions: Iterable[tuple[int, np.ndarray]],
    *,
    to_native: count.Resize,
    image_threshold: float | None = None,
) -> list[dict[str, Any]]:
    """Writes `<split>_examples.json` and the PNG files it names in `<split>_examples/`.

    `predictions` gives (index, probability) of the images that
    `examples.choose(decided.tally, split.ids)` names, in any order; others are passed
    over. `image_threshold` is the frozen one of a decision head. Returns what the JSON
    holds. Raises DataError when one is missing.
    """
    folder = pathlib.Path(folder)
    chosen = examples.choose(
        decided.tally,
        split.ids,
        classes=split.classes,
        image_threshold=image_threshold,
    )
    wanted = {e["index"]: e for e in chosen}
    for index, probability in predictions:
        if int(index) not in wanted:
            continue
        example = split[int(index)]
        shape, k = example["mask"].shape, len(split.classes)
        native = count.at_native(probability, shape, k, to_native)
        pictures = examples.draw(example, native, decided.point)
        for kind, content in pictures.items():
            file = f"{int(index):06d}_{kind}.png"
            atomic.replace(folder / f"{split.name}_examples" / file, content)
            wanted[int(index)][kind] = file
    missing = [e["id"] for e in wanted.values() if "image" not in e]
    if missing:
        raise DataError(f"No prediction came for the examples {missing}.")
    shown = list(wanted.values())
    files.write_json(folder / f"{split.name}_examples.json", shown)
    return shown
