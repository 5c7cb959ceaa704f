"""Scores answers about classes of whole images that need no model."""

from collections.abc import Sequence
from typing import Any

import numpy as np
from jaxtyping import Int

from jaxseg.metrics import classification, image_classification


def rows(
    truth: Int[np.ndarray, "n m"], names: Sequence[str], *, exclusive: bool
) -> list[dict[str, Any]]:
    """`always_positive`, and of exclusive classes `majority_class`: ClassBaseline."""
    every = [_always_positive(truth, names)]
    return every + ([_majority_class(truth, names)] if exclusive else [])


def _always_positive(
    truth: Int[np.ndarray, "n m"], names: Sequence[str]
) -> dict[str, Any]:
    classes = {}
    for name, label in zip(names, truth.T, strict=True):
        constant = np.ones(len(label))
        ranked = classification.ranking(constant, label)
        counts = classification.counts(constant, label, 1.0)
        classes[name] = {
            "roc_auc": ranked["roc_auc"],
            "average_precision": ranked["average_precision"],
            "f1": classification.rates(counts)["f1"],
        }
    metrics = {
        f"{key}_mean": image_classification.mean([row[key] for row in classes.values()])
        for key in ("roc_auc", "average_precision")
    }
    return {
        "name": "always_positive",
        "detail": "every image is said to show every class, with one score for all: "
        "the average precision is the share of images that show the class",
        "metrics": metrics,
        "classes": classes,
    }


def _majority_class(
    truth: Int[np.ndarray, "n m"], names: Sequence[str]
) -> dict[str, Any]:
    shown = (truth == 1).sum(axis=0)
    first = int(shown.argmax())  # of equal ones the first
    answer = np.zeros(truth.shape)
    answer[:, first] = 1
    counts = image_classification.confusion(answer, truth)
    values = {
        "accuracy": image_classification.accuracy(counts),
        "balanced_accuracy": image_classification.balanced_accuracy(counts),
        "f1_macro": image_classification.f1_macro(
            **image_classification.one_against_rest(counts)
        ),
    }
    return {
        "name": "majority_class",
        "detail": f"every image is said to be {names[first]}, the commonest class of "
        "these very images: no constant answer is right more often",
        "metrics": {
            name: image_classification.defined(value) for name, value in values.items()
        },
        "classes": {},
    }
