"""Writes the tables of predictions: one row an image, or an image that failed."""

import csv
import io
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

import numpy as np

from jaxseg.predict import answer

_FIRST = 10  # images that are named as those to look at first


def row(
    of: answer.Sums,
    *,
    size: tuple[int, int],
    classes: Sequence[str],
    pixel_size: float | None,
    decide: float | None = None,
    image_classes: Mapping[str, Any] | None = None,
) -> dict[str, Any]:
    """What `predictions.csv` says of one image, but for its name and its rank.

    `image_score` is there for runs with a decision head, and so is `image_decision`
    where `decide` is the threshold that validation chose for it: 1 at or above it.
    `image_classes` are as frozen: `of_classes` says which columns they give.
    Areas are of the foreground classes, in pixels and, where `pixel_size` (micrometres)
    is known, in square micrometres: `area_um2` is None elsewhere.
    """
    out: dict[str, Any] = {"height": size[0], "width": size[1]}
    out |= {"pixel_size_um": pixel_size, "score": of.score}
    out |= {"confidence": answer.image_confidence(of)}
    if of.image_score is not None:
        out["image_score"] = of.image_score
        if decide is not None:
            out["image_decision"] = int(of.image_score >= decide)
    if of.image_classes is not None and image_classes is not None:
        out |= of_classes(of.image_classes, image_classes)
    for name, pixels in zip(classes[1:], of.pixels[1:], strict=True):
        area = None if pixel_size is None else pixels * pixel_size**2
        out[f"area_px/{name}"], out[f"area_um2/{name}"] = pixels, area
    return out


def of_classes(
    probability: Sequence[float], frozen: Mapping[str, Any]
) -> dict[str, Any]:
    """Columns of the classes of whole images, decided as validation froze it.

    `class_<name>` is the probability. Exclusive classes give `image_class`, the name of
    the most probable one; others `class_<name>_decided`, 1 from the threshold of the
    class on and None where validation could choose none.
    """
    names = frozen["names"]
    out = {f"class_{n}": p for n, p in zip(names, probability, strict=True)}
    if frozen["exclusive"]:
        return out | {"image_class": names[int(np.argmax(probability))]}
    for row, value in zip(frozen["classes"], probability, strict=True):
        cut = row["threshold"]
        out[f"class_{row['name']}_decided"] = None if cut is None else int(value >= cut)
    return out


def row_of_whole_image(
    probability: Sequence[float],
    frozen: Mapping[str, Any],
    *,
    size: tuple[int, int],
    pixel_size: float | None,
) -> dict[str, Any]:
    """`row` of a run that learned classes of whole images and no pixels.

    `confidence` is the highest probability of exclusive classes; of others that of the
    least sure answer.
    """
    sure = max(probability)
    if not frozen["exclusive"]:
        sure = min(max(p, 1 - p) for p in probability)
    out: dict[str, Any] = {"height": size[0], "width": size[1]}
    out |= {"pixel_size_um": pixel_size, "confidence": sure}
    return out | of_classes(probability, frozen)


def predictions(rows: Mapping[str, dict[str, Any]], files: Mapping[str, str]) -> bytes:
    """The content of predictions.csv, by id; `look_at_first` 1 is the least sure.

    `score` is the highest probability of foreground, `confidence` that of
    `answer.image_confidence`. Floats read back bit for bit; None is an empty field.
    """
    rank = {name: k for k, name in enumerate(least_sure(rows), 1)}
    return _csv(
        {"id": name, "file": files[name], **rows[name], "look_at_first": rank[name]}
        for name in sorted(rows)
    )


def least_sure(rows: Mapping[str, dict[str, Any]]) -> list[str]:
    """The ids, the least sure first."""
    return sorted(rows, key=lambda name: (rows[name]["confidence"], name))


def look_at_first(rows: Mapping[str, dict[str, Any]]) -> str:
    """Lines that name the images that somebody should look at first."""
    names = least_sure(rows)[:_FIRST]
    lines = [f"  {rows[name]['confidence']:.3f}  {name}" for name in names]
    return "\n".join(["look at these first (confidence, image):", *lines])


def errors(problems: Mapping[str, str], files: Mapping[str, str]) -> bytes:
    """The content of errors.csv: the images without a prediction, and why."""
    return _csv(
        {"id": name, "file": files[name], "error": " ".join(problems[name].split())}
        for name in sorted(problems)
    )


def counts(lines: Mapping[str, dict[str, Any]]) -> bytes:
    """The content of counts.csv: the objects of every image."""
    return _csv({"id": name, **lines[name]["counts"]} for name in sorted(lines))


def objects(lines: Mapping[str, dict[str, Any]]) -> bytes:
    """The content of objects.csv: every object of every image."""
    return _csv(
        {"id": name, **row} for name in sorted(lines) for row in lines[name]["objects"]
    )


def _csv(rows: Iterable[Mapping[str, Any]]) -> bytes:
    rows, text = [*rows], io.StringIO()
    writer = csv.DictWriter(text, rows[0] if rows else [], lineterminator="\n")
    writer.writeheader()
    writer.writerows(rows)
    return text.getvalue().encode()
