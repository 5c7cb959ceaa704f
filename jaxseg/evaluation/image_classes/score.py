"""Scores a split by classes of whole images, at what validation froze.

Assembles "image_classes" of eval/<split>.json: each class against the rest, means over
the classes, the confusion of exclusive ones, what answers without a model score, how
far probabilities can be taken at their word, and curves.
"""

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from jaxseg.evaluation import operating_point
from jaxseg.evaluation.image_classes import baselines, choose, resample
from jaxseg.evaluation.tally import Tally
from jaxseg.metrics import bootstrap, classification, image_classification

_BOOTSTRAP = "95 % bootstrap over groups of images"
_WILSON = "95 % interval of a share (Wilson, 1927), images taken as independent"
_POLICY = {
    "roc_auc": f"area under the ROC curve against the rest, ties half; {_BOOTSTRAP}",
    "average_precision": f"step-wise, ties as one step; {_BOOTSTRAP}",
    "sensitivity": f"TP / (TP + FN) at the frozen threshold of the class; {_WILSON}",
    "specificity": f"TN / (TN + FP) at the frozen threshold of the class; {_WILSON}",
    "precision": f"TP / (TP + FP) at the frozen threshold of the class; {_WILSON}",
    "f1": f"2 TP / (2 TP + FP + FN) at the frozen threshold; {_BOOTSTRAP}",
}
_CALIBRATION = {
    True: "the highest probability of an image against whether that class is right; "
    "log loss and Brier score of all classes of an image",
    False: "every probability of a class against whether the image shows it",
}


def history(tally: Tally, split: Any) -> dict[str, float | None]:
    """The names of `image_classification.HISTORY` that there are; {} without a head."""
    if not has_classes(tally):
        return {}
    return image_classification.history(
        tally.class_probability.astype(np.float64),
        tally.class_truth,
        exclusive=split.image_classes_exclusive,
    )


def has_classes(tally: Tally) -> bool:
    """Whether the network answered classes of whole images."""
    return tally.class_truth.shape[1] > 0


def assemble(
    tally: Tally,
    frozen: Mapping[str, Any],
    split: Any,
    *,
    seed: int = 0,
    resamples: int = bootstrap.RESAMPLES,
) -> dict[str, Any]:
    """The block of eval/<split>.json: image_class_schemas.ImageClassResult.

    Raises ConfigError where the thresholds were chosen on these images under another
    name.
    """
    what = "thresholds of classes of images were chosen"
    optimistic = operating_point.is_optimistic(frozen, split, what)
    source = {"source_split": frozen["source_split"], "optimistic": optimistic}
    probability, truth = tally.class_probability.astype(np.float64), tally.class_truth
    exclusive, names = frozen["exclusive"], list(frozen["names"])
    cuts = [row["threshold"] for row in frozen["classes"]]
    groups = [split.groups[i] for i in tally.index]
    drawn = resample.resample(
        probability,
        truth,
        cuts,
        groups,
        exclusive=exclusive,
        seed=seed,
        resamples=resamples,
    )
    counts = image_classification.at_thresholds(probability, truth, cuts)
    of_classes = [
        _of_class(probability[:, c], truth[:, c], cuts[c], counts[c], drawn, c)
        for c in range(len(names))
    ]
    support = image_classification.support(truth)
    confusion = None
    if exclusive:
        confusion = image_classification.confusion(probability, truth)
    return {
        "names": names,
        "exclusive": exclusive,
        "images": int(image_classification.known(truth).sum()),
        "unknown": [row["unknown"] for row in support],
        "classes": [
            {"name": name, "support": row, "threshold": cut, **source} | scores
            for name, row, cut, scores in zip(
                names, support, cuts, of_classes, strict=True
            )
        ],
        "means": _means(of_classes, confusion, truth, drawn),
        "confusion": None if confusion is None else confusion.tolist(),
        "baselines": baselines.rows(truth, names, exclusive=exclusive),
        "calibration": _calibration(probability, truth, frozen, source),
        "curves": [
            {"name": name} | image_classification.curves(score, label)
            for name, score, label in zip(names, probability.T, truth.T, strict=True)
        ],
    }


def blocks(
    tally: Tally,
    frozen: Mapping[str, Any],
    split: Any,
    *,
    seed: int,
    resamples: int,
) -> dict[str, Any]:
    """The blocks of eval/<split>.json of classes of whole images; {} without them.

    `frozen` is the content of operating_point.json.
    """
    if "image_classes" not in frozen:
        return {}
    options = {"seed": seed, "resamples": resamples}
    block = assemble(tally, frozen["image_classes"], split, **options)
    return {"image_classes": block}


def _of_class(
    score: np.ndarray,
    label: np.ndarray,
    cut: float | None,
    counts: dict[str, int] | None,
    drawn: resample.Drawn,
    c: int,
) -> dict[str, Any]:
    """{"counts", "metrics"} of one class against the rest."""
    ranked = classification.ranking(score, label)
    support, metrics = ranked["positives"] + ranked["negatives"], []
    for name in resample.RANKED:
        metrics.append(_row(name, ranked[name], drawn.ends(name, c), support))
    rates = classification.rates(counts) if counts else {}
    for name in ("sensitivity", "specificity", "precision", "f1"):
        ends, below = (None, None), 0
        if counts:
            above, below = classification.parts(name, **counts)
            ends = classification.wilson(above, below)
        if name == "f1":
            ends, below = drawn.ends(name, c), support
        metrics.append(_row(name, rates.get(name), ends, below))
    return {"counts": counts, "metrics": metrics}


def _row(name: str, value: float | None, ends: tuple, support: int) -> dict[str, Any]:
    low, high = ends if value is not None else (None, None)
    row = {"name": name, "value": value, "low": low, "high": high}
    return row | {"support_images": support, "policy": _POLICY[name]}


def _means(
    of_classes: Sequence[Mapping[str, Any]],
    confusion: np.ndarray | None,
    truth: np.ndarray,
    drawn: resample.Drawn,
) -> list[dict[str, Any]]:
    """The rows of "means": over the classes that have a value."""
    m, images = len(of_classes), int(image_classification.known(truth).sum())

    def row(name: str, value: float | None, over: int, text: str) -> dict[str, Any]:
        low, high = drawn.ends(name) if value is not None else (None, None)
        out = {"name": name, "value": value, "low": low, "high": high}
        out |= {"support_classes": over, "support_images": images}
        return out | {"policy": f"{text}; {_BOOTSTRAP}"}

    rows = []
    for name in resample.RANKED:
        values = [_value(scores, name) for scores in of_classes]
        over = sum(value is not None for value in values)
        text = f"mean over {over} of {m} classes, those with images of both kinds"
        value = image_classification.mean(values)
        rows.append(row(f"{name}_mean", value, over, text))
    if confusion is None:
        values = [_value(scores, "f1") for scores in of_classes]
        over = sum(value is not None for value in values)
        text = f"mean F1 over {over} of {m} classes, at their frozen thresholds"
        value = image_classification.mean(values)
        return [*rows, row("f1_macro", value, over, text)]
    counts = image_classification.one_against_rest(confusion)
    shown = int(np.count_nonzero(confusion.sum(axis=1)))
    values = {
        "f1_macro": image_classification.f1_macro(**counts),
        "accuracy": image_classification.accuracy(confusion),
        "balanced_accuracy": image_classification.balanced_accuracy(confusion),
    }
    texts = {
        "f1_macro": f"mean F1 over {shown} of {m} classes, those that images show, of "
        "the most probable class",
        "accuracy": "share of images whose most probable class is right; beside it "
        "stands that of the commonest class (baselines)",
        "balanced_accuracy": f"mean sensitivity over {shown} of {m} classes, those "
        "that images show, of the most probable class",
    }
    return rows + [
        row(name, image_classification.defined(value), shown, texts[name])
        for name, value in values.items()
    ]


def _value(scores: Mapping[str, Any], name: str) -> float | None:
    return next(row["value"] for row in scores["metrics"] if row["name"] == name)


def _calibration(
    probability: np.ndarray,
    truth: np.ndarray,
    frozen: Mapping[str, Any],
    source: Mapping[str, Any],
) -> dict[str, Any]:
    exclusive, fitted = frozen["exclusive"], frozen["temperature"]
    value, after = fitted["value"], None
    if value is not None:
        soft = choose.soften(probability, value, exclusive=exclusive)
        after = image_classification.calibrated(soft, truth, exclusive=exclusive)
    return {
        "policy": _CALIBRATION[exclusive],
        "before": image_classification.calibrated(
            probability, truth, exclusive=exclusive
        ),
        "after": after,
        "temperature": value,
        "at_limit": fitted["at_limit"],
        **source,
    }


def columns(tally: Tally, frozen: Mapping[str, Any] | None) -> dict[str, list]:
    """Columns of <split>_per_image.csv for each class; {} without a frozen choice.

    `class_<name>` is the probability, `class_<name>_truth` 1, 0 or None, unknown, and
    `class_<name>_decided` the answer: of exclusive classes 1 for the most probable one,
    else 1 from the frozen threshold on, None where there is none.
    """
    if not frozen or not has_classes(tally):
        return {}
    cuts = [row["threshold"] for row in frozen["classes"]]
    yes = decided(tally.class_probability, cuts, exclusive=frozen["exclusive"])
    out = {}
    for c, name in enumerate(frozen["names"]):
        truth = tally.class_truth[:, c].tolist()
        out[f"class_{name}"] = tally.class_probability[:, c].tolist()
        out[f"class_{name}_truth"] = [None if value < 0 else value for value in truth]
        out[f"class_{name}_decided"] = yes[c]
    return out


def decided(
    probability: np.ndarray, cuts: Sequence[float | None], *, exclusive: bool
) -> list[list[int | None]]:
    """For each class the answers of n images: 1, 0, or None without a threshold."""
    if exclusive:
        answer = probability.argmax(axis=1)
        return [(answer == c).astype(int).tolist() for c in range(len(cuts))]
    return [
        [None] * len(score)
        if cut is None
        else (score.astype(np.float64) >= cut).astype(int).tolist()
        for score, cut in zip(probability.T, cuts, strict=True)
    ]
