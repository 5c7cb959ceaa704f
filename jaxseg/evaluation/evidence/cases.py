"""Chooses images of whose class the head is surest, wrong ones first; draws them."""

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from jaxtyping import Float, Int

from jaxseg import pictures
from jaxseg.labels import IGNORE
from jaxseg.types import Example

ERRORS, RIGHT = 8, 4


def choose(
    probability: Float[np.ndarray, "n m"],
    truth: Int[np.ndarray, "n m"],
    ids: Sequence[str],
    names: Sequence[str],
    *,
    thresholds: Sequence[float | None] | None = None,
) -> list[dict[str, Any]]:
    """Lists images to show, without their files: schemas.ClassExample.

    Of exclusive classes (no thresholds) the answer is the most probable one, and it is
    as sure as it is above the true one, or above the second where it is right. Of
    others each class is an answer, as sure as it is far from its threshold. First the
    surest errors, each image once, then the surest right answer that shows each class;
    ties go to the lower index. Images of unknown truth are left out.
    """
    answers = _exclusive if thresholds is None else _each
    listed = answers(probability, truth, thresholds)
    listed.sort(key=lambda row: (-row["margin"], row["index"]))
    errors = _once([row for row in listed if row["role"] == "error"])[:ERRORS]
    right = [row for row in listed if row["role"] == "right"]
    firsts = {row["class"]: row for row in reversed(right)}
    rest = sorted(firsts.values(), key=lambda row: row["class"])[:RIGHT]
    return [_record(row, probability, truth, ids, names) for row in errors + rest]


def _exclusive(probability, truth, _) -> list[dict[str, Any]]:
    rows = []
    for index in np.flatnonzero((truth == 1).any(axis=1)).tolist():
        p, answer = probability[index], int(probability[index].argmax())
        right = truth[index, answer] == 1
        other = np.delete(p, answer).max() if right else p[truth[index].argmax()]
        rows.append(
            {
                "index": index,
                "class": answer,
                "role": "right" if right else "error",
                "margin": float(p[answer] - other),
                "yes": [answer],
            }
        )
    return rows


def _each(probability, truth, thresholds) -> list[dict[str, Any]]:
    rows = []
    cuts = np.array([np.nan if cut is None else cut for cut in thresholds])
    yes = probability >= cuts  # never of a class without a threshold
    for index, k in np.argwhere((truth >= 0) & ~np.isnan(cuts)).tolist():
        right = bool(yes[index, k]) == (truth[index, k] == 1)
        if right and truth[index, k] == 0:
            continue  # nothing is there to be seen
        rows.append(
            {
                "index": index,
                "class": k,
                "role": "right" if right else "error",
                "margin": float(abs(probability[index, k] - cuts[k])),
                "yes": np.flatnonzero(yes[index]).tolist(),
            }
        )
    return rows


def _once(rows: list[dict[str, Any]]) -> list[dict[str, Any]]:
    """The first row of each image."""
    return list({row["index"]: row for row in reversed(rows)}.values())[::-1]


def _record(row, probability, truth, ids, names) -> dict[str, Any]:
    index, k = row["index"], row["class"]
    return {
        "id": ids[index],
        "index": index,
        "role": row["role"],
        "image_class": names[k],
        "truth": [names[c] for c in np.flatnonzero(truth[index] == 1)],
        "predicted": [names[c] for c in row["yes"]],
        "probability": float(probability[index, k]),
        "margin": row["margin"],
    }


def draw(
    example: Example, attended: Float[np.ndarray, "h w"] | None
) -> Mapping[str, bytes]:
    """PNG files of the image and, with a map, of the map upon it.

    The outline of what the mask marks is drawn on the map.
    """
    image, mask = pictures.grey_or_rgb(example["image"]), example["mask"]
    out = {"image": pictures.png(image)}
    if attended is not None:
        three = image if image.ndim == 3 and image.shape[-1] == 3 else _three(image)
        marked = (mask > 0) & (mask != IGNORE)
        out["attention"] = pictures.png(pictures.attention(three, attended, marked))
    return out


def _three(image: np.ndarray) -> np.ndarray:
    return np.reshape(image, (*image.shape[:2], 1)).repeat(3, axis=-1)
