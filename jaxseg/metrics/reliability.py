"""Reliability: mean probability beside the observed share, in rows of equal width.

The diagram of DeGroot and Fienberg 1983; expected and maximum calibration error of
Naeini et al. 2015, https://doi.org/10.1609/aaai.v29i1.9602, in the rows of Guo et al.
2017, https://arxiv.org/abs/1706.04599. Scores come as cells that know them up to an
interval, so a cell may lie across the edge of two rows; the bounds count that.
"""

import math
from typing import Any

import numpy as np
from jaxtyping import Float, Int

ROWS = 15  # open below and closed above, as scikit-learn's; 0 is in the first
_EDGES = np.arange(1, ROWS) / ROWS


def rows(
    low: Float[np.ndarray, "n"],
    high: Float[np.ndarray, "n"],
    negatives: Int[np.ndarray, "n"],
    positives: Int[np.ndarray, "n"],
) -> list[dict[str, Any]]:
    """The rows {from, to, mean, observed, count} and what is not known of each.

    A cell belongs to the row of its middle. Of scores y in {0, 1} with probability p
    the row has `gap` |sum of p - y|; `blur` bounds how far the sum of p is off, `loose`
    lists its cells that may belong to other rows: (first row, last row, sum of |p - y|
    in the cell). The mean of p - y lies between `least` and `most` (None: no score can
    be in the row) and `sure` scores are in it at any rate. mean and observed are None
    when the row is empty.
    """
    n, middle = negatives + positives, (low + high) / 2
    first, at, last = (np.searchsorted(_EDGES, x) for x in (low, middle, high))
    across = first < last
    loose = negatives * middle + positives * (1 - middle)
    found = []
    for i in range(ROWS):
        own, sure = at == i, (at == i) & ~across
        stray, edge = own & across, across & (first <= i) & (i <= last)
        count, positive = int(n[own].sum()), int(positives[own].sum())
        total = math.fsum(n[own] * middle[own])
        found.append(
            {
                "from": i / ROWS,
                "to": (i + 1) / ROWS,
                "mean": total / count if count else None,
                "observed": positive / count if count else None,
                "count": count,
                "gap": abs(total - positive),
                "blur": math.fsum(n[own] * (high - low)[own] / 2),
                "loose": [x[stray].tolist() for x in (first, last, loose)],
                "sure": int(n[sure].sum()),
                "least": _extreme(low, negatives, positives, sure, edge, -1),
                "most": _extreme(high, negatives, positives, sure, edge, 1),
            }
        )
    return found


def _extreme(p, neg, pos, sure, edge, sign: int) -> float | None:
    """The mean of p - y over the sure cells and whatever part of the others helps.

    The largest for sign 1, the smallest for -1. Scores help as long as they exceed the
    mean so far, so they are taken in order.
    """
    gaps = sign * np.concatenate([p[edge], p[edge] - 1])
    counts = np.concatenate([neg[edge], pos[edge]])
    order = np.argsort(-gaps, kind="stable")
    start = sign * (math.fsum((neg + pos)[sure] * p[sure]) - int(pos[sure].sum()))
    sums = np.concatenate([[start], start + np.cumsum((gaps * counts)[order])])
    sizes = np.cumsum(np.concatenate([[(neg + pos)[sure].sum()], counts[order]]))
    real = sizes > 0
    return sign * float((sums[real] / sizes[real]).max()) if real.any() else None


def expected(found: list[dict[str, Any]]) -> tuple[float, float]:
    """(expected calibration error, its bound) of `rows` with at least one score.

    A score that changes rows changes the gap of both by no more than its own |p - y|;
    and their sum not at all where both rows err to the same side whatever they hold.
    """
    n = sum(row["count"] for row in found)
    value = math.fsum(row["gap"] for row in found) / n
    side = [_side(row) for row in found]
    loose = [
        2 * amount
        for row in found
        for first, last, amount in zip(*row["loose"], strict=True)
        if set(side[first : last + 1]) not in ({1}, {-1})
    ]
    return value, math.fsum([*loose, *(row["blur"] for row in found)]) / n


def _side(row: dict[str, Any]) -> int:
    """1 where the mean p is too high for certain, -1 where it is too low, else 0."""
    if row["most"] is None:
        return 0
    return 1 if row["least"] >= 0 else -1 if row["most"] <= 0 else 0


def maximum(found: list[dict[str, Any]]) -> tuple[float, float, int]:
    """(largest gap of a row, its bound, how many scores that row has)."""
    gaps = [row["gap"] / max(row["count"], 1) for row in found]
    value = max(gaps)
    ends = [row for row in found if row["most"] is not None]
    high = max(max(row["most"], -row["least"]) for row in ends)
    low = max(max(row["least"], -row["most"], 0.0) * (row["sure"] > 0) for row in ends)
    bound = max(high - value, value - low)
    return value, bound, found[gaps.index(value)]["count"]
