"""Names the numbers of a run for TensorBoard, so that what is asked first comes first.

TensorBoard sorts groups, which are the part of a name before its first slash, by
letter, and cannot pin one; the columns of its HPARAMS are in the same order. The
columns of history.csv keep their names.
"""

from collections.abc import Mapping

# best, loss, step, train, validation stand before it in the alphabet
WATCH = "watch"  # clocks, counters and what else is looked at when something is wrong
BEST = "best"  # the scores of the best step: one point, at the end
_GROUPS = ("loss", "step", "train", "validation")


def of_epoch(row: Mapping[str, float | None]) -> dict[str, float]:
    """The numbers of a row of history.csv that are defined, by their names here."""
    return {
        name if name.split("/")[0] in _GROUPS else f"{WATCH}/{name}": value
        for name, value in row.items()
        if value is not None
    }


def of_test(scores: Mapping[str, float | None]) -> dict[str, float]:
    """The scores of test that are defined, which HPARAMS shows as its first columns."""
    return {f"{BEST}/test/{k}": v for k, v in scores.items() if v is not None}
