"""Scores yes or no of whole images: by a decision head, and by the segmentation alone.

The segmentation says yes by its highest probability of foreground; what the head brings
is the difference of the two. A threshold comes from validation and is frozen, as that
of pixels is; one that is chosen on the reported images has a name that says so.
"""

from collections.abc import Mapping
from typing import Any

import numpy as np
from absl import logging
from jaxtyping import Float

from jaxseg.evaluation import operating_point
from jaxseg.evaluation.tally import Tally
from jaxseg.metrics import bootstrap, classification, paired_test

DECISION, SEGMENTATION = "decision", "segmentation"
OBJECTIVE = "f1"
OPTIMISTIC = "threshold chosen on these very images: optimistic"
TRUTH = "the label of the image; where it has none, whether its mask has foreground"
_DETAIL = {
    DECISION: "the probability that the decision head gives to foreground",
    SEGMENTATION: "the highest probability of foreground of a pixel",
}
_BOOTSTRAP = "95 % bootstrap over groups of images"
_WILSON = "95 % interval of a share (Wilson, 1927), images taken as independent"
_POLICY = {
    "roc_auc": f"area under the ROC curve, ties half; {_BOOTSTRAP}",
    "average_precision": f"step-wise, ties as one step; {_BOOTSTRAP}",
    "average_precision_trapezoid": "straight lines between the points, from (recall 0, "
    f"precision 1), as papers on defects have it; {_BOOTSTRAP}",
    "f1": f"2 TP / (2 TP + FP + FN) of images at the frozen threshold; {_BOOTSTRAP}",
    "precision": f"TP / (TP + FP) of images; {_WILSON}",
    "sensitivity": f"TP / (TP + FN) of images; {_WILSON}",
    "specificity": f"TN / (TN + FP) of images; {_WILSON}",
    "false_positive_rate": f"FP / (TN + FP) of images; {_WILSON}",
}


def has_decision(tally: Tally) -> bool:
    """Whether a decision head scored every image of the tally."""
    return len(tally.index) > 0 and not np.isnan(tally.image_score).any()


def scores_of(tally: Tally) -> dict[str, Float[np.ndarray, "n"]]:
    """The scores f64 of the images by name, that of the decision head first."""
    decision = {DECISION: tally.image_score} if has_decision(tally) else {}
    every = decision | {SEGMENTATION: tally.max_probability}
    return {name: score.astype(np.float64) for name, score in every.items()}


def history(tally: Tally) -> dict[str, float | None]:
    """The names of `classification.HISTORY` of the decision head; {} without one.

    The F1 is the best one of any threshold: it may choose an epoch, not be reported.
    """
    if not has_decision(tally):
        return {}
    row = classification.ranking(scores_of(tally)[DECISION], tally.shows)
    names = ("roc_auc", "average_precision", "best_f1")
    pairs = zip(classification.HISTORY, names, strict=True)
    return {ours: row[name] for ours, name in pairs}


def choose(tally: Tally, split: Any) -> dict[str, Any]:
    """The thresholds of best F1 on `split`, to be frozen: schemas.ImageChoice.

    They are None, and a warning is logged where a decision head waits for one, when the
    split has images of one kind alone.
    """
    chosen = {}
    for name, score in scores_of(tally).items():
        row = classification.ranking(score, tally.shows)
        keys = {"threshold": "best_f1_threshold", "value": "best_f1"}
        chosen[name] = {ours: row[key] for ours, key in keys.items()}
    first = next(iter(chosen))
    if first == DECISION and chosen[first]["threshold"] is None:
        logging.warning(
            "all images of %s are of one kind: no threshold of the decision head can "
            "be chosen on them.",
            split.name,
        )
    return {
        "score": first,
        **chosen[first],
        "objective": OBJECTIVE,
        SEGMENTATION: chosen[SEGMENTATION],
        **operating_point.source(split),
    }


def threshold_of(frozen: Mapping[str, Any], score: str) -> float | None:
    """The frozen threshold of a score; None where there is none."""
    if score == SEGMENTATION:
        return frozen[SEGMENTATION]["threshold"]
    return frozen["threshold"] if frozen["score"] == score else None


def assemble(
    tally: Tally,
    frozen: Mapping[str, Any],
    split: Any,
    *,
    seed: int = 0,
    resamples: int = bootstrap.RESAMPLES,
) -> dict[str, Any] | None:
    """Assembles "image_level" of eval/<split>.json; None of images of one kind alone.

    Raises ConfigError where the thresholds were chosen on these images under another
    name.
    """
    optimistic = operating_point.is_optimistic(frozen, split, "image threshold was set")
    label, scores = tally.shows, scores_of(tally)
    positives, negatives = (int(np.count_nonzero(label == c)) for c in (1, 0))
    if not positives or not negatives:
        return None
    thresholds = {name: threshold_of(frozen, name) for name in scores}
    drawn = _drawn(tally, split, scores, thresholds, seed=seed, resamples=resamples)
    rows = [
        _score(name, score, label, thresholds[name], drawn.get(name, {}))
        | {"source_split": frozen["source_split"], "optimistic": optimistic}
        for name, score in scores.items()
    ]
    return {
        "truth": TRUTH,
        "images": positives + negatives,
        "positives": positives,
        "negatives": negatives,
        "unknown": int(np.count_nonzero(label < 0)),
        "without_mask": int(np.count_nonzero(tally.pixels == 0)),
        "scores": rows,
        "gain": _gain(rows, drawn, len({split.groups[i] for i in tally.index})),
        "baselines": [_always_positive(label)],
    }


def _score(
    name: str,
    score: Float[np.ndarray, "n"],
    label: np.ndarray,
    threshold: float | None,
    drawn: Mapping[str, np.ndarray],
) -> dict[str, Any]:
    """The row of one score, but for where its threshold comes from."""
    best = classification.ranking(score, label)
    support = best["positives"] + best["negatives"]
    metrics = []
    for key in classification.RANKING:
        metrics.append(_metric(key, best[key], _ends(drawn.get(key)), support))
    counts = None
    if threshold is not None:
        counts = classification.counts(score, label, threshold)
        for key, value in classification.rates(counts).items():
            above, below = classification.parts(key, **counts)
            ends = classification.wilson(above, below)
            if key == "f1":
                ends, below = _ends(drawn.get(key)), support
            metrics.append(_metric(key, value, ends, below))
    at = best["best_f1_threshold"]
    return {
        "score": name,
        "detail": _DETAIL[name],
        "threshold": threshold,
        "counts": counts,
        "metrics": metrics,
        "on_these_images": {
            "detail": OPTIMISTIC,
            "threshold": at,
            "f1": best["best_f1"],
            "counts": classification.counts(score, label, at),
        },
    }


def _metric(
    name: str, value: float | None, ends: tuple, support: int
) -> dict[str, Any]:
    low, high = ends if value is not None else (None, None)
    row = {"name": name, "value": value, "low": low, "high": high}
    return row | {"support_images": support, "policy": _POLICY[name]}


def _ends(drawn: np.ndarray | None) -> tuple[float | None, float | None]:
    return (None, None) if drawn is None else bootstrap.interval(drawn)


def _drawn(
    tally: Tally,
    split: Any,
    scores: Mapping[str, np.ndarray],
    thresholds: Mapping[str, float | None],
    *,
    seed: int,
    resamples: int,
) -> dict[str, dict[str, np.ndarray]]:
    """score -> metric -> [resamples]; all on the same ones, {} of a single group."""
    known = tally.shows >= 0
    positive = tally.shows[known] > 0
    groups = np.array([split.groups[i] for i in tally.index[known]], str)
    names, code = np.unique(groups, return_inverse=True)
    if len(names) < 2:
        return {}
    parts: dict[str, list[dict[str, np.ndarray]]] = {name: [] for name in scores}
    for taken in bootstrap.draws(len(names), seed=seed, resamples=resamples):
        times = taken[:, code]
        for name, score in scores.items():
            row = classification.resampled(score[known], positive, times)
            if thresholds[name] is not None:
                yes = score[known] >= thresholds[name]
                hits, marked, all_of = (
                    times @ part.astype(np.int64)
                    for part in (yes & positive, yes, positive)
                )
                below = np.where(all_of > 0, marked + all_of, 1)
                row["f1"] = np.where(all_of > 0, 2 * hits / below, np.nan)
            parts[name].append(row)
    return {
        name: {key: np.concatenate([row[key] for row in rows]) for key in rows[0]}
        for name, rows in parts.items()
    }


def _gain(
    rows: list[dict[str, Any]], drawn: Mapping[str, Any], groups: int
) -> list[dict[str, Any]]:
    """What the decision head has more than the segmentation alone."""
    if rows[0]["score"] != DECISION or not drawn:
        return []
    values = [{m["name"]: m["value"] for m in row["metrics"]} for row in rows]
    out = []
    for name in (*classification.RANKING, "f1"):
        pair = [value.get(name) for value in values]
        if None in pair:
            continue
        samples = drawn[DECISION][name], drawn[SEGMENTATION][name]
        test = paired_test.difference(tuple(pair), samples, groups)
        out.append({"name": name} | {k: test[k] for k in ("value", "low", "high", "p")})
    return out


def _always_positive(label: np.ndarray) -> dict[str, Any]:
    constant = np.ones(len(label))
    ranked = classification.ranking(constant, label)
    counts = classification.counts(constant, label, 1.0)
    metrics = {name: ranked[name] for name in classification.RANKING}
    return {
        "name": "always_positive",
        "detail": "every image is called positive, with one score for all",
        "metrics": metrics | classification.rates(counts),
        "counts": counts,
    }


def columns(tally: Tally, frozen: Mapping[str, Any] | None) -> dict[str, list]:
    """Columns of <split>_per_image.csv of a run with a decision head, else {}.

    `image_positive` is the truth, None where it is unknown; `image_decision` is 1 at or
    above the frozen threshold.
    """
    if not has_decision(tally):
        return {}
    score, cut = scores_of(tally)[DECISION], frozen and threshold_of(frozen, DECISION)
    yes = [None] * len(score) if cut is None else (score >= cut).astype(int).tolist()
    return {
        "image_positive": [None if v < 0 else v for v in tally.shows.tolist()],
        "image_score": score.tolist(),
        "image_decision": yes,
    }
