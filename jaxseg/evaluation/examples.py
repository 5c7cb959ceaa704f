"""Chooses the images that a report shows, and draws their pictures."""

from collections.abc import Sequence
from typing import Any

import numpy as np
from jaxtyping import Float

from jaxseg import pictures
from jaxseg.evaluation import class_table, image_level, metric_table
from jaxseg.evaluation.tally import Tally
from jaxseg.labels import IGNORE
from jaxseg.postprocess import decision
from jaxseg.types import Example

_WORST = ("worst_class", "worst_dice")
_WRONG = 3  # images of each error of the decision


def choose(
    tally: Tally,
    ids: Sequence[str],
    *,
    classes: Sequence[str] = (),
    positives: int = 6,
    negatives: int = 4,
    image_threshold: float | None = None,
) -> list[dict[str, Any]]:
    """Lists images to show: {id, index, role, dice, truth_pixels, predicted_pixels}.

    Above two classes also {worst_class, worst_dice}, by the names in `classes`. Of the
    images with foreground a third each is "best", "median" and "worst" by Dice at the
    tally's counts, above two classes by that of the worst class; of those without, half
    has the most false positives ("false_positive") and half has none ("negative"). A
    role that runs short leaves its places to the others. No image comes twice; ties go
    to the lower index. With a decision head the images that it is surest of and wrong
    come first ("decision_false_positive", "decision_false_negative"), by the frozen
    `image_threshold`, and every row has its `image_score`.
    """
    rows = metric_table.per_image(tally, ids, ids)
    for row, index in zip(rows, tally.index.tolist(), strict=True):
        row["index"] = index
    kept = ("dice", "truth_pixels", "predicted_pixels")
    picked, by = _wrongly_decided(tally, rows, image_threshold), "dice"
    kept += ("image_score",) if image_level.has_decision(tally) else ()
    shown = {row["index"] for some in picked.values() for row in some}
    scored = tally.pixels > 0  # an image without a labelled pixel is neither kind
    rows = [row for row, there in zip(rows, scored, strict=True) if there]
    rows = [row for row in rows if row["index"] not in shown]
    if tally.num_classes > 2:
        by, titles = "worst_dice", classes or [*map(str, range(tally.num_classes))]
        worst = class_table.per_image(tally, titles)
        places = {index: i for i, index in enumerate(tally.index.tolist())}
        for row in [*rows, *(row for some in picked.values() for row in some)]:
            row |= {name: worst[name][places[row["index"]]] for name in _WORST}
    full = sorted((r for r in rows if r["positive"]), key=lambda r: -r[by])
    wrong = [r for r in rows if not r["positive"] and r["predicted_pixels"]]
    wrong.sort(key=lambda r: -r["predicted_pixels"])
    clean = [r for r in rows if not r["positive"] and not r["predicted_pixels"]]

    n = min(positives, len(full))
    ends = (n + 1) // 3  # of each end; the rest from the middle
    low = min(ends, n - ends)
    middle = n - ends - low
    start = min(max((len(full) - middle) // 2, ends), len(full) - low - middle)
    false = min(len(wrong), max(negatives // 2, negatives - len(clean)))
    picked |= {
        "best": full[:ends],
        "median": full[start : start + middle],
        "worst": full[len(full) - low :],
        "false_positive": wrong[:false],
        "negative": clean[: negatives - false],
    }
    kept += _WORST if tally.num_classes > 2 else ()
    return [
        {"id": row["id"], "index": row["index"], "role": role}
        | {key: row[key] for key in kept}
        for role, chosen in picked.items()
        for row in chosen
    ]


def _wrongly_decided(
    tally: Tally, rows: list[dict[str, Any]], threshold: float | None
) -> dict[str, list[dict[str, Any]]]:
    """role -> rows of images, the surest first; {} without a threshold or a head."""
    if not image_level.has_decision(tally):
        return {}
    score = image_level.scores_of(tally)[image_level.DECISION]
    for row, value in zip(rows, score.tolist(), strict=True):
        row["image_score"] = value
    if threshold is None:
        return {}
    truth, yes = tally.shows, score >= threshold
    out = {}
    for role, wrong, sign in (
        ("decision_false_positive", (truth == 0) & yes, -1),
        ("decision_false_negative", (truth == 1) & ~yes, 1),
    ):
        order = sorted(np.flatnonzero(wrong), key=lambda i: sign * score[i])
        out[role] = [rows[i] for i in order[:_WRONG]]
    return out


def draw(
    example: Example,
    probability: Float[np.ndarray, "h w k"],
    point: dict[str, Any] | None,
) -> dict[str, bytes]:
    """Draws PNG files of image, mask, probability of foreground and prediction.

    The image is 8-bit, grey or RGB (the first channel unless there are three; 16-bit
    images from their 0.5 to their 99.5 percentile); mask and prediction hold class ids;
    255 of the probability is 1.0.
    """
    k = probability.shape[-1]
    foreground = probability[..., 0] if k == 1 else 1 - probability[..., 0]
    prediction = decision.decide(probability, point, example["mask"] != IGNORE)
    return {
        "image": pictures.png(pictures.grey_or_rgb(example["image"])),
        "mask": pictures.png(example["mask"]),
        "probability": pictures.png(
            np.rint(foreground.clip(0, 1) * 255).astype(np.uint8)
        ),
        "prediction": pictures.png(prediction),
    }
