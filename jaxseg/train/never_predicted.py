"""Says when a class that validation shows is predicted nowhere.

A rare class can die at the start of training and stay dead while the loss falls: no
mean shows it. So it is said aloud once a class has had time to be learned, and again
when it is lost after it was predicted.
"""

from collections.abc import Sequence

from absl import logging

from jaxseg.evaluation import class_table
from jaxseg.evaluation.tally import Tally

PATIENCE = 0.25  # of the steps of training, before anything is said


def warn(
    tally: Tally,
    classes: Sequence[str],
    *,
    progress: float,
    said: Sequence[str],
    log: bool = True,
) -> list[str]:
    """The classes that are never predicted and have been named in a warning.

    `progress` is the share of the steps that are done, `said` what the last call
    returned: a class is named once, until it is predicted again. Without `log` nothing
    is written (processes but the first).
    """
    if progress < PATIENCE:
        return []
    rows = class_table.rows(tally, classes)
    silent = [row for row in rows if row["never_predicted"]]
    new = [row for row in silent if row["class"] not in said]
    if new and log:
        named = ", ".join(
            f"{row['class']!r} (in {row['support_images']} images, "
            f"{row['support_pixels']:,} pixels)"
            for row in new
        )
        logging.warning(
            "after %.0f %% of training validation never predicts %s: weigh its pixels "
            "more (config.loss.cross_entropy.class_weights), show it more often "
            "(config.sampler), or train longer.",
            100 * progress,
            named,
        )
    return [row["class"] for row in silent]
