"""Calibration: how far a probability can be taken at its word, with proven bounds.

Brier score (Brier 1950), negative log-likelihood in nats, and the reliability diagram
of DeGroot and Fienberg 1983: mean probability beside the observed share, in rows of
equal width, with the expected and the maximum calibration error of Naeini et al. 2015,
https://doi.org/10.1609/aaai.v29i1.9602, in the rows of Guo et al. 2017,
https://arxiv.org/abs/1706.04599. Everything comes from the pooled histogram: a cell of
it knows its scores up to an interval (which may lie across the edge of two rows), every
figure is computed in the middle of what that allows, and its `_error_bound` is no less
than the distance to the ends.
"""

import math
from typing import Any, NamedTuple

import numpy as np
from jaxtyping import Bool, Float, Int
from scipy.special import expit

from jaxseg.metrics import histograms

# Logits are taken of probabilities inside these: the smallest normal float32, and the
# largest float32 below 1. Only 0 and 1 themselves (and denormals) lie outside.
CLIP = (2.0**-126, 1 - 2.0**-24)
ROWS = 15  # open below and closed above, as scikit-learn's; 0 is in the first
_EDGES = np.arange(1, ROWS) / ROWS
FIGURES = ("ece", "ece_confidence", "maximum_calibration_error", "brier", "nll")
VARIANT = (
    f"probability of foreground against the share of foreground, {ROWS} "
    "rows of equal width; ece_confidence: max(p, 1 - p) against the share of right "
    "answers of p > 0.5"
)
_ROUNDING = 1e-12  # of the float64 arithmetic, added to every bound
_SHOWN = ("from", "to", "mean", "observed", "count")


class Cells(NamedTuple):
    """Scores known up to an interval each, and how many there are by truth.

    Those of `histograms.bins` never lie across 1/2, where the answer changes.
    """

    low: Float[np.ndarray, "n"]  # probability of foreground
    high: Float[np.ndarray, "n"]
    logit_low: Float[np.ndarray, "n"]
    logit_high: Float[np.ndarray, "n"]
    negatives: Int[np.ndarray, "n"]
    positives: Int[np.ndarray, "n"]

    @property
    def count(self) -> np.ndarray:
        """Scores in each cell, i64 [n]."""
        return self.negatives + self.positives


def cells_between(
    low: Float[np.ndarray, "n"],
    high: Float[np.ndarray, "n"],
    negatives: Int[np.ndarray, "n"],
    positives: Int[np.ndarray, "n"],
) -> Cells:
    """Cells of probabilities from `low` to `high`; those without a score are left out.

    Scores a rounding error outside [0, 1] count as 0 and 1.
    """
    counts = [np.asarray(x, np.int64) for x in (negatives, positives)]
    keep = np.flatnonzero(counts[0] + counts[1])
    ends = [np.clip(np.asarray(x, np.float64)[keep], 0, 1) for x in (low, high)]
    return Cells(*ends, *(_logit(p) for p in ends), *(x[keep] for x in counts))


def _logit(p: np.ndarray) -> np.ndarray:
    p = np.clip(p, *CLIP)
    return np.log(p) - np.log1p(-p)


def pixel_cells(
    pooled: Int[np.ndarray, "2 bins"], only_value: Int[np.ndarray, "bins"]
) -> Cells:
    """Cells of a pooled histogram over `histograms.BINS` bins, rows by truth.

    A bin with one value only (`histograms.only_values`) is known exactly.
    """
    low = np.nextafter(histograms.LOWER.astype(np.float32), np.float32(2))
    high = np.append(histograms.LOWER[1:], 1.0)
    exact = only_value >= 0
    value = np.where(exact, only_value, 0).astype(np.int32).view(np.float32)
    return cells_between(*(np.where(exact, value, end) for end in (low, high)), *pooled)


def exact_cells(
    score: Float[np.ndarray, "n"], positive: Bool[np.ndarray, "n"]
) -> Cells:
    """Cells of single scores, with no binning; for one score an image."""
    level, at = np.unique(score, return_inverse=True)
    neg = np.bincount(at[~positive], minlength=len(level))
    pos = np.bincount(at[positive], minlength=len(level))
    return cells_between(level, level, neg, pos)


def scaled(cells: Cells, temperature: float) -> Cells:
    """The cells after p -> sigmoid(logit(p) / temperature), with p inside CLIP."""
    logits = cells.logit_low / temperature, cells.logit_high / temperature
    return Cells(*(expit(z) for z in logits), *logits, *cells[4:])


def figures(cells: Cells) -> dict[str, Any]:
    """Every figure with its `_error_bound`; None, with support 0, without a score.

    `variant` says what `ece`, `ece_confidence` and `maximum_calibration_error` (with
    the support of its row) compare. `brier` is the mean of (p - y)^2, `nll` that of
    -log of the probability of the truth, with p inside `clip`: of `certain` scores
    (exactly 0 or 1), `certain_wrong` would make it infinite. `of_prevalence` has both
    of a constant score, the prevalence of these very scores. `rows` draw the diagram.
    """
    n, positive = int(cells.count.sum()), int(cells.positives.sum())
    table = reliability_rows(cells.low, cells.high, cells.negatives, cells.positives)
    names = [key for name in FIGURES for key in (name, f"{name}_error_bound")]
    out: dict[str, Any] = {"variant": VARIANT} | dict.fromkeys(names)
    out |= {"maximum_calibration_error_support": 0, "of_prevalence": None}
    if n:
        out |= _bounded("ece", *expected_error(table))
        right = reliability_rows(*_confidence(cells))
        out |= _bounded("ece_confidence", *expected_error(right))
        *worst, support = maximum_error(table)
        out |= _bounded("maximum_calibration_error", *worst)
        out["maximum_calibration_error_support"] = support
        out |= _bounded("brier", *_brier(cells)) | _bounded("nll", *nll(cells))
        out["of_prevalence"] = _constant(positive / n)
    zero, one = cells.high == 0, cells.low == 1
    wrong = cells.positives[zero].sum() + cells.negatives[one].sum()
    out |= {"support": n, "support_positives": positive, "clip": list(CLIP)}
    out["certain"] = int(cells.count[zero | one].sum())
    out["certain_wrong"] = int(wrong)
    return out | {"rows": [{key: row[key] for key in _SHOWN} for row in table]}


def _bounded(name: str, figure: float, bound: float) -> dict[str, float]:
    return {name: float(figure), f"{name}_error_bound": float(bound) + _ROUNDING}


def _constant(p: float) -> dict[str, float]:
    entropy = math.fsum(q * -math.log(q) for q in (p, 1 - p) if q)
    return {"brier": p * (1 - p), "nll": entropy}


def _brier(cells: Cells) -> tuple[float, float]:
    missing = 1 - cells.low, 1 - cells.high
    sides = (cells.negatives, cells.low, cells.high), (cells.positives, *missing)
    return _mean((n, a * a, b * b) for n, a, b in sides)


def nll(cells: Cells) -> tuple[float, float]:
    """(mean negative log-likelihood, its bound) of at least one score, in nats."""
    low, high = cells.logit_low, cells.logit_high
    sides = (cells.negatives, low, high), (cells.positives, -low, -high)
    return _mean((n, np.logaddexp(0, a), np.logaddexp(0, b)) for n, a, b in sides)


def _mean(sides) -> tuple[float, float]:
    """Mean and bound of penalties between a and b: monotone in p, so the ends do."""
    middle, half, total = [], [], 0
    for count, a, b in sides:
        middle += (count * ((a + b) / 2)).tolist()
        half += (count * (np.abs(b - a) / 2)).tolist()
        total += int(count.sum())
    return math.fsum(middle) / total, math.fsum(half) / total


def _confidence(cells: Cells) -> tuple[np.ndarray, ...]:
    """(low, high, wrong, right) of max(p, 1 - p)."""
    yes = cells.high > 0.5
    low = np.where(yes, cells.low, 1 - cells.high)
    high = np.where(yes, cells.high, 1 - cells.low)
    wrong = np.where(yes, cells.negatives, cells.positives)
    return low, high, wrong, cells.count - wrong


def reliability_rows(
    low: Float[np.ndarray, "n"],
    high: Float[np.ndarray, "n"],
    negatives: Int[np.ndarray, "n"],
    positives: Int[np.ndarray, "n"],
) -> list[dict[str, Any]]:
    """Rows {from, to, mean, observed, count} and what is not known of each.

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
    rows = []
    for i in range(ROWS):
        own, sure = at == i, (at == i) & ~across
        stray, edge = own & across, across & (first <= i) & (i <= last)
        count, positive = int(n[own].sum()), int(positives[own].sum())
        total = math.fsum(n[own] * middle[own])
        rows.append(
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
    return rows


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


def expected_error(rows: list[dict[str, Any]]) -> tuple[float, float]:
    """(expected calibration error, its bound) of `rows` with at least one score.

    A score that changes rows changes the gap of both by no more than its own |p - y|;
    and their sum not at all where both rows err to the same side whatever they hold.
    """
    n = sum(row["count"] for row in rows)
    value = math.fsum(row["gap"] for row in rows) / n
    side = [_side(row) for row in rows]
    loose = [
        2 * amount
        for row in rows
        for first, last, amount in zip(*row["loose"], strict=True)
        if set(side[first : last + 1]) not in ({1}, {-1})
    ]
    return value, math.fsum([*loose, *(row["blur"] for row in rows)]) / n


def _side(row: dict[str, Any]) -> int:
    """1 where the mean p is too high for certain, -1 where it is too low, else 0."""
    if row["most"] is None:
        return 0
    return 1 if row["least"] >= 0 else -1 if row["most"] <= 0 else 0


def maximum_error(rows: list[dict[str, Any]]) -> tuple[float, float, int]:
    """(largest gap of a row, its bound, how many scores that row has)."""
    gaps = [row["gap"] / max(row["count"], 1) for row in rows]
    value = max(gaps)
    ends = [row for row in rows if row["most"] is not None]
    high = max(max(row["most"], -row["least"]) for row in ends)
    low = max(max(row["least"], -row["most"], 0.0) * (row["sure"] > 0) for row in ends)
    bound = max(high - value, value - low)
    return value, bound, rows[gaps.index(value)]["count"]
