"""What needs no model: the baselines that a model has to beat, on the same images."""

import dataclasses
from collections.abc import Sequence
from typing import Any

import numpy as np
from jaxtyping import Int

from jaxseg.metrics import counts, table
from jaxseg.metrics.tally import Tally


def all_of(
    tally: Tally, c: int, name: str, why: str, classes: Sequence[str]
) -> dict[str, Any]:
    """Row of the rule that every pixel is of class c."""
    predicted, hits = np.zeros_like(tally.truth), np.zeros_like(tally.truth)
    predicted[:, c], hits[:, c] = tally.pixels, tally.truth[:, c]
    return row(tally, predicted, hits, name, f"every pixel is {why}", classes)


def majority(tally: Tally, classes: Sequence[str]) -> dict[str, Any]:
    """Row of the most frequent class of these images; the lower class wins a tie."""
    c, why = _most(tally, 0, classes, "class")
    return all_of(tally, c, "majority_class", why, classes)


def one_class(tally: Tally, classes: Sequence[str]) -> dict[str, Any]:
    """Row of the most frequent foreground class; the lower class wins a tie."""
    c, why = _most(tally, 1, classes, "foreground class")
    return all_of(tally, c, "all_one_class", why, classes)


def _most(tally: Tally, first: int, classes, kind: str) -> tuple[int, str]:
    total = tally.truth.sum(axis=0)
    c = first + int(np.argmax(total[first:]))
    share = total[c] / max(total.sum(), 1)
    why = f"{classes[c]!r}, the most frequent {kind} of these images"
    return c, f"{why} ({share:.2%} of their pixels)"


def row(
    tally: Tally,
    predicted: Int[np.ndarray, "n k"],
    hits: Int[np.ndarray, "n k"],
    name: str,
    detail: str,
    classes: Sequence[str],
) -> dict[str, Any]:
    """{name, detail, metrics} of a rule with these counts; for k > 2 also {classes}.

    `metrics` are of the foreground, averaged over its present classes; `classes` holds
    those of each class by its name, of background the pooled ones.
    """
    guess = dataclasses.replace(tally, predicted=predicted, hits=hits)
    found = {"name": name, "detail": detail, "metrics": table.summary(guess)}
    if len(classes) == 2:
        return found
    return found | {"classes": {t: _each(guess, c) for c, t in enumerate(classes)}}


def _each(guess: Tally, c: int) -> dict[str, float | None]:
    each = table.of_class(guess, c)
    names = counts.METRICS if c else counts.POOLED
    return {name: counts.value(name, each) for name in names}
