"""Rows of metrics in a result: value, interval, support and policy of each."""

from collections.abc import Sequence
from typing import Any

import numpy as np

from jaxseg.evaluation.tally import Tally
from jaxseg.metrics import bootstrap, overlap

MEAN = "mean"  # the "class" of rows that average over foreground classes


def of_class(tally: Tally, c: int) -> dict[str, np.ndarray]:
    """tp, fp, fn and tn of class c in each image, int64 [n]."""
    return overlap.split_counts(
        tally.truth[:, c], tally.predicted[:, c], tally.hits[:, c], tally.pixels
    )


def rows(
    tally: Tally,
    classes: Sequence[str],
    groups: Sequence[str],
    *,
    seed: int = 0,
    resamples: int = bootstrap.RESAMPLES,
) -> list[dict[str, Any]]:
    """One row for each class and metric: foreground first, then background.

    `groups` names the group of every image of the tally, in its order. Background has
    pooled metrics only. With several foreground classes the first rows, of class
    "mean", average over those that are present in the truth. Of the tally only truth,
    predicted, hits, pixels and positive are read. `low` and `high` end the
    95 % bootstrap interval over groups; they are None for fewer than two groups.
    """
    foreground = range(1, len(classes))
    wanted = [(c, name) for c in foreground for name in overlap.METRICS]
    wanted += [(0, name) for name in overlap.POOLED]
    each = {c: of_class(tally, c) for c in range(len(classes))}
    terms = np.stack([overlap.terms(name, **each[c]) for c, name in wanted])
    samples = np.full((len(wanted), 1), np.nan)
    if len(set(groups)) > 1:
        names = [name for _, name in wanted]
        draw = {"seed": seed, "resamples": resamples}
        samples = bootstrap.resample(names, terms, groups, **draw)
    table = {
        (c, name): _row(name, classes[c], each[c], drawn)
        for (c, name), drawn in zip(wanted, samples, strict=True)
    }
    means = []
    if len(foreground) > 1:
        present = [c for c in foreground if tally.truth[:, c].any()]
        drawn = dict(zip(wanted, samples, strict=True))
        for name in overlap.METRICS:
            some = [(table[c, name], drawn[c, name]) for c in present]
            means.append(_mean_row(name, some, len(foreground), tally))
    return means + list(table.values())


def _row(
    name: str, title: str, counts: dict[str, np.ndarray], drawn: np.ndarray
) -> dict[str, Any]:
    value = overlap.value(name, counts)
    images, pixels = overlap.support(name, counts)
    low, high = bootstrap.interval(drawn) if value is not None else (None, None)
    return {
        "name": name,
        "class": title,
        "value": value,
        "low": low,
        "high": high,
        "support_images": images,
        "support_pixels": pixels,
        "policy": overlap.policy(name),
    }


def _mean_row(
    name: str, some: list[tuple[dict, np.ndarray]], of: int, tally: Tally
) -> dict[str, Any]:
    value = overlap.mean_of_present([row["value"] for row, _ in some])
    low = high = None
    if value is not None:
        drawn = np.stack([d for row, d in some if row["value"] is not None])
        defined = ~np.isnan(drawn)
        total = np.where(defined, drawn, 0).sum(axis=0)
        number = defined.sum(axis=0)
        mean = np.where(number > 0, total / np.maximum(number, 1), np.nan)
        low, high = bootstrap.interval(mean)
    return {
        "name": name,
        "class": MEAN,
        "value": value,
        "low": low,
        "high": high,
        "support_images": int(tally.positive.sum()),
        "support_pixels": int(tally.truth[:, 1:].sum()),
        "policy": f"mean over the {len(some)} of {of} foreground classes present in "
        f"the truth{_left_out(some)}; {overlap.policy(name)}",
    }


def _left_out(some: list[tuple[dict, np.ndarray]]) -> str:
    """Says how many present classes leave the mean, because theirs is 0/0."""
    without = sum(row["value"] is None for row, _ in some)
    return f", without {without} of them that are n/a" if without else ""


def summary(tally: Tally) -> dict[str, float | None]:
    """Every metric of the foreground by name; None where it is undefined.

    With several foreground classes: the mean over those present in the truth.
    """
    present = [1]
    if tally.num_classes > 2:
        present = np.flatnonzero(tally.truth[:, 1:].any(axis=0)) + 1
    each = [of_class(tally, c) for c in present]
    return {
        name: overlap.mean_of_present([overlap.value(name, e) for e in each])
        for name in overlap.METRICS
    }


def per_image(
    tally: Tally, ids: Sequence[str], groups: Sequence[str]
) -> list[dict[str, Any]]:
    """One row an image, in order; Dice and IoU are None for empty against empty.

    With several foreground classes the counts of them are added; tn is of background.
    """
    truth, predicted, hits = (
        x[:, 1:].sum(axis=1) for x in (tally.truth, tally.predicted, tally.hits)
    )
    each = overlap.split_counts(truth, predicted, hits, tally.pixels)
    each["tn"] = tally.hits[:, 0]
    dice, iou = (overlap.each(f"{n}_pooled", each) for n in ("dice", "iou"))
    columns = {
        "id": [ids[i] for i in tally.index],
        "group": [groups[i] for i in tally.index],
        "positive": tally.positive.astype(int).tolist(),
        "truth_pixels": truth.tolist(),
        "predicted_pixels": predicted.tolist(),
        **{key: value.tolist() for key, value in each.items()},
        "dice": dice,
        "iou": iou,
        "kaggle_dice": [1.0 if d is None else d for d in dice],
        "max_probability": tally.max_probability.tolist(),
    }
    return [
        dict(zip(columns, row, strict=True))
        for row in zip(*columns.values(), strict=True)
    ]
