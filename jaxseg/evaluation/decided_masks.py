"""Lets the decision on an image change its mask: blackening and whitening.

Blackening empties the mask where the decision says no. Whitening lowers the threshold
of pixels where the decision says yes and the mask is empty. Both are counted from
histograms, with thresholds that validation chose, and stand beside the plain mask: in
the frozen rule they are not.
"""

from collections.abc import Iterator, Mapping
from typing import Any

import numpy as np
from jaxtyping import Bool

from jaxseg.evaluation import image_level, metric_table, operating_point, overlap_rows
from jaxseg.evaluation.tally import Decided, Tally, at, with_foreground
from jaxseg.metrics import overlap
from jaxseg.postprocess import decision

PLAIN, BLACKENED, WHITENED = "plain", "blackened", "whitened"
BOTH, OPTIMISTIC = "blackened_whitened", "optimistic_threshold"


def choose(
    plain: Decided, tally: Tally, frozen: Mapping[str, Any], *, objective: str
) -> dict[str, Any] | None:
    """The threshold of whitening with the highest objective: schemas.Whitening.

    `plain` is `tally` at the operating point, both of validation. The thresholds are
    those of decision.COARSE below that of the point; ties go to the highest. None
    where no image asks for one.
    """
    cut = image_level.threshold_of(frozen, image_level.DECISION)
    if cut is None:
        return None
    top = (plain.point or {}).get("threshold", 0.5)
    lower = [float(t) for t in decision.COARSE[::-1] if t < top]
    if not lower or not _empty(plain.tally)[_yes(tally, cut)].any():
        return None
    values = []
    for t in lower:
        counts = metric_table.of_class(_whiten(plain.tally, tally, cut, t), 1)
        value = overlap.value(objective, counts)
        values.append(-np.inf if value is None else value)
    best = int(np.argmax(values))
    value = None if np.isinf(values[best]) else float(values[best])
    return {"threshold": lower[best], "objective": objective, "value": value}


def assemble(
    plain: Decided, tally: Tally, frozen: Mapping[str, Any]
) -> dict[str, Any] | None:
    """Assembles "post_processing" of eval/<split>.json; None without a decision head.

    `plain` is `tally` at the operating point. Its optimistic row has the threshold of
    the highest pooled F1 on the scored images, as papers are used to choose it.
    """
    if not image_level.has_decision(tally):
        return None
    rows = []
    for name, detail, ruled in _rules(plain, tally, frozen):
        changed = ruled.predicted[:, 1] != plain.tally.predicted[:, 1]
        changed |= ruled.hits[:, 1] != plain.tally.hits[:, 1]
        row = {"name": name, "detail": detail, "changed_images": int(changed.sum())}
        rows.append(row | overlap_rows.row(ruled))
    support = overlap_rows.support(tally)
    return {"policy": overlap_rows.POLICY, **support, "rows": rows}


def _rules(
    plain: Decided, tally: Tally, frozen: Mapping[str, Any]
) -> Iterator[tuple[str, str, Tally]]:
    """(name, what it does, the counts) of each rule that is defined."""
    yield PLAIN, "the frozen operating point", plain.tally
    cut = image_level.threshold_of(frozen, image_level.DECISION)
    white, source = frozen.get("whitening"), frozen["source_split"]
    if cut is not None:
        emptied = _blacken(plain.tally, _yes(tally, cut))
        words = f"emptied where the decision is below {cut:.4g}, chosen on {source}"
        yield BLACKENED, words, emptied
        if white is not None:
            low = white["threshold"]
            words = f"threshold {low:.4g}, chosen on {source}, where the decision says "
            words += "yes and the plain mask is empty"
            filled = _whiten(plain.tally, tally, cut, low)
            yield WHITENED, words, filled
            both = _blacken(filled, _yes(tally, cut))
            yield BOTH, "emptied and filled by both rules", both
    best = operating_point.best_threshold(tally, "dice_pooled")
    if best is not None:
        words = f"threshold {best:.4g} of pooled F1, no other rule; "
        words += image_level.OPTIMISTIC
        yield OPTIMISTIC, words, at(tally, threshold=best)


def _yes(tally: Tally, cut: float) -> Bool[np.ndarray, "n"]:
    return image_level.scores_of(tally)[image_level.DECISION] >= cut


def _empty(tally: Tally) -> Bool[np.ndarray, "n"]:
    return tally.predicted[:, 1] == 0


def _blacken(tally: Tally, yes: Bool[np.ndarray, "n"]) -> Tally:
    right = tally.hits[:, 1]
    wrong = tally.predicted[:, 1] - right
    return with_foreground(tally, wrong * yes, right * yes)


def _whiten(plain: Tally, tally: Tally, cut: float, threshold: float) -> Tally:
    lower = at(tally, threshold=threshold)
    filled = _yes(tally, cut) & _empty(plain)
    right = np.where(filled, lower.hits[:, 1], plain.hits[:, 1])
    predicted = np.where(filled, lower.predicted[:, 1], plain.predicted[:, 1])
    return with_foreground(plain, predicted - right, right)
