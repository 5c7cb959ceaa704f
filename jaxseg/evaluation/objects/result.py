"""Makes the numbers of a split of its counted objects, with intervals and policies."""

import math
from collections.abc import Iterator, Mapping, Sequence
from typing import Any, NamedTuple

import numpy as np
from jaxtyping import Float

from jaxseg.data import objects as ids
from jaxseg.evaluation import object_baselines, operating_point
from jaxseg.evaluation.objects.count import BASELINES, MODEL, SIDES, Counted
from jaxseg.metrics import (
    bootstrap,
    counting_frame,
    instances,
    object_counts,
    point_pattern,
)

WORST = 6  # images that are named
_BINS = 24  # of the histogram of sizes
_AT = {round(100 * t): k for k, t in enumerate(instances.THRESHOLDS)}
_UM2_PER_MM2, _PX_PER_MEGAPIXEL = 1e6, 1e6


class _Metric(NamedTuple):
    """A ratio of sums over images."""

    name: str
    better: str  # "higher", "lower" or "zero"
    policy: str
    above: Float[np.ndarray, "n"]
    below: Float[np.ndarray, "n"]


def assemble(
    counted: Counted,
    split: Any,
    frozen: Mapping[str, Any],
    *,
    seed: int,
    resamples: int,
) -> dict[str, Any]:
    """Assembles "objects" of eval/<split>.json.

    Intervals resample the groups of the split, as those of all other metrics do. Raises
    ConfigError where the settings were chosen on these images under another name.
    """
    optimistic = operating_point.is_optimistic(frozen, split, "objects were chosen")
    rows = counted.rows[MODEL]
    true, predicted = instances.counts(rows)
    exact = split.has_instances
    keys = ("rule", "settings", "cleaning", "objective", "value")
    out = {key: frozen[key] for key in (*keys, "source_split", "split_hash")}
    return out | {
        "optimistic": optimistic,
        "truth": "object ids" if exact else ids.STAND_IN,
        "unit": counted.unit,
        "support": instances.support(rows, family="pooled"),
        "metrics": _intervals(counted, split, seed=seed, resamples=resamples),
        "thresholds": [*instances.THRESHOLDS],
        "by_threshold": {
            name: _numbers(values)
            for name, values in instances.scores(instances.total(rows)).items()
            if name != "aji"
        },
        "agreement": {
            **object_counts.agreement(true, predicted),
            "policy": object_counts.POLICY,
        },
        "sizes": _sizes(counted),
        "density": _density(counted, frozen),
        "neighbours": {
            **{s: point_pattern.scores(counted.patterns[s])._asdict() for s in SIDES},
            "policy": point_pattern.POLICY,
        },
        "baselines": _baselines(counted, frozen, optimistic),
        "worst": worst(counted, split),
    }


def _numbers(values: np.ndarray) -> list[float | None]:
    return [None if math.isnan(value) else float(value) for value in values]


def _metrics(rows: Float[np.ndarray, "n 42"]) -> Iterator[_Metric]:
    shape = (len(rows), 4, len(instances.THRESHOLDS))
    tp, fp, fn, iou = np.moveaxis(rows[:, :-2].reshape(shape), 1, 0)
    ratios = {
        "f1": (2 * tp, 2 * tp + fp + fn),
        "precision": (tp, tp + fp),
        "recall": (tp, tp + fn),
        "accuracy": (tp, tp + fp + fn),
        "panoptic_quality": (iou, tp + fp / 2 + fn / 2),
        "mean_true_score": (iou, tp + fn),
        "mean_matched_score": (iou, tp),
    }
    wanted = (("f1", 50), ("f1", 75), ("precision", 50), ("recall", 50))
    wanted += (("accuracy", 50), ("accuracy", 75), ("panoptic_quality", 50))
    wanted += (("mean_true_score", 50), ("mean_matched_score", 50))
    for name, percent in wanted:
        above, below = (part[:, _AT[percent]] for part in ratios[name])
        policy = instances.policy(name, family="pooled")
        yield _Metric(f"object_{name}_{percent}", "higher", policy, above, below)
    policy = instances.policy("aji", family="pooled")
    yield _Metric("object_aji", "higher", policy, rows[:, -2], rows[:, -1])
    each = instances.scores(rows)["f1"][:, _AT[50]]
    there = ~np.isnan(each)
    policy = instances.policy("f1", family="image_skip_empty")
    each = np.where(there, each, 0.0)
    yield _Metric("object_f1_50_images", "higher", policy, each, there.astype(float))
    true, predicted = (side.astype(float) for side in instances.counts(rows))
    gap, images = predicted - true, np.ones(len(rows))
    words = object_counts.POLICY
    yield _Metric("count_mae", "lower", words["mae"], abs(gap), images)
    relative = np.divide(abs(gap), true, out=np.zeros(len(rows)), where=true > 0)
    policy = words["mean_relative_error_positives"]
    yield _Metric(
        "count_relative_error", "lower", policy, relative, (true > 0).astype(float)
    )
    yield _Metric("count_bias", "zero", words["bias"], gap, images)


def _divide(name: str, terms: np.ndarray) -> np.ndarray:
    above, below = terms[0], terms[1]
    return np.where(below > 0, above / np.where(below > 0, below, 1), np.nan)


def _value(metric: _Metric) -> float | None:
    below = math.fsum(metric.below)
    return math.fsum(metric.above) / below if below > 0 else None


def _mean_accuracy(rows: Float[np.ndarray, "n 42"]) -> Float[np.ndarray, "n 20"]:
    """TP at each threshold, then TP + FP + FN, of each image."""
    shape = (len(rows), 4, len(instances.THRESHOLDS))
    tp, fp, fn, _ = np.moveaxis(rows[:, :-2].reshape(shape), 1, 0)
    return np.concatenate([tp, tp + fp + fn], axis=1)


_MEAN_ACCURACY = "object_accuracy_mean"


def _mean_of_ratios(summed: Float[np.ndarray, "20 *r"]) -> Float[np.ndarray, "*r"]:
    above, below = np.split(summed, 2)
    ratio = np.where(below > 0, above / np.where(below > 0, below, 1), np.nan)
    return ratio.mean(axis=0)


def _intervals(
    counted: Counted, split: Any, *, seed: int, resamples: int
) -> list[dict[str, Any]]:
    rows = counted.rows[MODEL]
    groups = [split.groups[i] for i in counted.index]
    support = instances.support(rows, family="pooled")["images"]
    metrics = [*_metrics(rows)]
    terms = np.stack([np.stack([m.above, m.below]) for m in metrics])
    names = [metric.name for metric in metrics]
    options = {"seed": seed, "resamples": resamples}
    drawn = bootstrap.resample(names, terms, groups, divide=_divide, **options)
    out = []
    for metric, resampled in zip(metrics, drawn, strict=True):
        images = int(np.count_nonzero(metric.below))
        out.append(_row(metric, _value(metric), resampled, images))
    each = _mean_accuracy(rows)
    (resampled,) = bootstrap.resample(
        [_MEAN_ACCURACY],
        each.T[None],
        groups,
        divide=lambda _, summed: _mean_of_ratios(summed),
        **options,
    )
    mean = float(_mean_of_ratios(np.array([math.fsum(c) for c in each.T])))
    words = "mean over the thresholds 0.5 to 0.95 in steps of 0.05 of: "
    words += instances.policy("accuracy", family="pooled")
    metric = _Metric(_MEAN_ACCURACY, "higher", words, each[0], each[0])
    value = None if math.isnan(mean) else mean
    out.insert(6, _row(metric, value, resampled, support))
    return out


def _row(
    metric: _Metric, value: float | None, resampled: np.ndarray, images: int
) -> dict[str, Any]:
    low, high = bootstrap.interval(resampled)
    return {
        "name": metric.name,
        "value": value,
        "low": low,
        "high": high,
        "support_images": images,
        "policy": metric.policy,
        "better": metric.better,
    }


def _baselines(
    counted: Counted, frozen: Mapping[str, Any], optimistic: bool
) -> list[dict[str, Any]]:
    chosen = frozen["baseline"]["settings"]
    settings = ", ".join(f"{key}={value}" for key, value in chosen.items())
    details = {
        "all_foreground": "the whole image is one object",
        "otsu_watershed": f"{object_baselines.DETAIL}; {settings}, chosen on "
        f"{frozen['source_split']} as the settings of the model were"
        + ", these very images: optimistic"
        * optimistic,
    }
    out = []
    for name in BASELINES:
        rows = counted.rows[name]
        metrics = {metric.name: _value(metric) for metric in _metrics(rows)}
        summed = np.array([math.fsum(c) for c in _mean_accuracy(rows).T])
        (mean,) = _numbers(_mean_of_ratios(summed)[None])
        metrics[_MEAN_ACCURACY] = mean
        out.append({"name": name, "detail": details[name], "metrics": metrics})
    return out


def _sizes(counted: Counted) -> dict[str, Any]:
    """Histograms of the equivalent diameters, and how far apart they are."""
    pooled = {s: np.concatenate([[], *counted.diameters[s]]) for s in SIDES}
    largest = max((float(v.max(initial=0)) for v in pooled.values()), default=0.0)
    edges = np.linspace(0, largest or 1.0, _BINS + 1)
    out: dict[str, Any] = {"edges": edges.tolist()}
    for side in SIDES:
        out[side] = np.histogram(pooled[side], edges)[0].tolist()
        mean = (
            math.fsum(pooled[side]) / len(pooled[side]) if len(pooled[side]) else None
        )
        out[f"mean_{side}"] = mean
    sizes = (counted.diameters[side] for side in SIDES)
    out["distance"] = object_counts.size_distance(*sizes)
    return out


def _density(counted: Counted, frozen: Mapping[str, Any]) -> dict[str, Any]:
    """Objects an area: naive, by the counting frame, and weighted."""
    physical = counted.unit == "um"
    scale = counted.pixel_area / (_UM2_PER_MM2 if physical else _PX_PER_MEGAPIXEL)
    columns = [counting_frame.FIELDS.index(n) for n in ("area_px", "frame_area_px")]
    undecided = counting_frame.FIELDS.index("undecided")
    out: dict[str, Any] = {
        "unit": "mm2" if physical else "megapixel",
        "margin_px": int(frozen["margin_px"]),
        "images": int(np.count_nonzero(counted.frames["true"][:, columns[1]])),
        "undecided": {
            s: int(math.fsum(counted.frames[s][:, undecided])) for s in SIDES
        },
    }
    for side in SIDES:
        rows = counted.frames[side].copy()
        rows[:, columns] *= scale[:, None]
        out[side] = counting_frame.densities(rows)._asdict()
    return out


def per_image(counted: Counted) -> dict[str, list]:
    """Columns of <split>_per_image.csv: counts, F1 at an IoU of 0.5, and AJI."""
    rows = counted.rows[MODEL]
    true, predicted = instances.counts(rows)
    scores = instances.scores(rows)
    return {
        "true_objects": true.tolist(),
        "predicted_objects": predicted.tolist(),
        "object_f1_50": _numbers(scores["f1"][:, _AT[50]]),
        "object_aji": _numbers(scores["aji"]),
    }


def worst(counted: Counted, split: Any) -> list[dict[str, Any]]:
    """The images of the lowest F1 at an IoU of 0.5, the lowest first."""
    columns = per_image(counted)
    f1: Sequence[float | None] = columns["object_f1_50"]
    order = [k for k, value in enumerate(f1) if value is not None]
    order.sort(key=lambda k: (f1[k], int(counted.index[k])))
    return [
        {
            "id": split.ids[int(counted.index[k])],
            "true": columns["true_objects"][k],
            "predicted": columns["predicted_objects"][k],
            "f1_50": f1[k],
            "aji": columns["object_aji"][k],
        }
        for k in order[:WORST]
    ]
