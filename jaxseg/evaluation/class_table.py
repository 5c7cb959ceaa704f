"""The classes side by side: scores, support, and whether a class is ever predicted."""

from collections.abc import Sequence
from typing import Any

from jaxseg.evaluation import metric_table
from jaxseg.evaluation.tally import Tally
from jaxseg.metrics import overlap

_SCORES = ("dice", "iou", "precision", "recall")


def rows(tally: Tally, classes: Sequence[str]) -> list[dict[str, Any]]:
    """One row a class, in order of class ids, background included.

    Scores are pooled over the split, None where they are undefined. `never_predicted`
    is True for a class that the truth shows and the prediction never does.
    """
    out = []
    for c, title in enumerate(classes):
        counts = metric_table.of_class(tally, c)
        support, predicted = tally.truth[:, c], int(tally.predicted[:, c].sum())
        scores = {name: overlap.value(f"{name}_pooled", counts) for name in _SCORES}
        out.append(
            {
                "class": title,
                **scores,
                "support_images": int((support > 0).sum()),
                "support_pixels": int(support.sum()),
                "predicted_pixels": predicted,
                "never_predicted": bool(support.any()) and predicted == 0,
            }
        )
    return out


def without_offsets(tally: Tally, classes: Sequence[str]) -> dict[str, Any]:
    """The block "argmax" of a result: scores of the most probable class."""
    return {
        "metrics": metric_table.summary(tally),
        "class_table": rows(tally, classes),
        "confusion": tally.confusion.sum(axis=0).tolist(),
    }


def history(tally: Tally, classes: Sequence[str]) -> dict[str, float | None]:
    """Numbers of a row of history.csv by name, for more than two classes.

    Of every class the pooled Dice, and its share of the labelled pixels in the
    prediction and in the truth; and how many classes are never predicted.
    """
    table, pixels = rows(tally, classes), int(tally.pixels.sum())
    columns = {f"dice_pooled/{row['class']}": row["dice"] for row in table}
    for kind, key in (("predicted", "predicted_pixels"), ("truth", "support_pixels")):
        for row in table:
            share = row[key] / pixels if pixels else None
            columns[f"{kind}_share/{row['class']}"] = share
    columns["never_predicted"] = sum(row["never_predicted"] for row in table)
    return columns


def per_image(tally: Tally, classes: Sequence[str]) -> dict[str, list]:
    """Columns of <split>_per_image.csv for more than two classes, by name.

    The worst class of an image is the foreground class with the lowest Dice of those
    that its truth shows (the lower id of equal ones), None without foreground. Dice is
    None where a class is neither in the truth nor in the prediction.
    """
    n = len(tally.index)
    dice = {
        c: overlap.each("dice_pooled", metric_table.of_class(tally, c))
        for c in range(1, len(classes))
    }
    worst = [
        min((dice[c][i], c) for c in dice if tally.truth[i, c])
        if tally.positive[i]
        else None
        for i in range(n)
    ]
    columns = {
        "worst_class": [w and classes[w[1]] for w in worst],
        "worst_dice": [w and w[0] for w in worst],
    }
    for c in dice:
        columns[f"truth_pixels/{classes[c]}"] = tally.truth[:, c].tolist()
        columns[f"predicted_pixels/{classes[c]}"] = tally.predicted[:, c].tolist()
        columns[f"dice/{classes[c]}"] = dice[c]
    return columns
