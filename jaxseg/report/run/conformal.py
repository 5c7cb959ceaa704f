"""Says at which threshold little enough is missed, and whether that came true.

Conformal risk control (Angelopoulos et al., 2022, https://arxiv.org/abs/2208.02814)
promises a mean over new images like those that chose the threshold, not the number of
any single set of them. So a set in which more is missed speaks against the threshold
only where that is too improbable: by the bound of Hoeffding, 1963,
https://doi.org/10.1080/01621459.1963.10500830, theorem 1.
"""

import math
from collections.abc import Iterator, Mapping
from typing import Any

from jaxseg.report import text
from jaxseg.report.blocks import Block, Claim, paragraph
from jaxseg.report.read import Split
from jaxseg.report.text import number

_LEVEL = 0.05


def claims(split: Split) -> Iterator[Claim]:
    """One claim; nothing for a run that was scored without it."""
    record = split["result"].get("conformal")
    if record is None:
        return
    source = f"{record['source_split']} images with foreground"
    share = f"{100 * record['alpha']:.4g} %"
    if record["threshold"] is None:
        images = f"{number(record['images'], 'count')} {source}"
        why = f"even the lowest misses too much on {images}"
        if record["images"] < record["needed"]:
            needed = number(record["needed"], "count")
            why = f"it rests on {images} and needs {needed}"
        words = (
            f"No threshold can promise that at most {share} of the foreground pixels "
            f"of a new image are missed on average: {why} (conformal risk control)."
        )
        yield Claim(answer="unclear", text=words)
        return
    answer, words = _realised(record, split)
    words = (
        f"At threshold {number(record['threshold'])} at most {share} of the foreground "
        "pixels of a new image are missed on average (conformal risk control on "
        f"{number(record['images'], 'count')} {source}); {words}."
    )
    yield Claim(answer=answer, text=words)


def _realised(record: Mapping[str, Any], split: Split) -> tuple[str, str]:
    """The answer, and what was missed on the images of a split."""
    keys, name = ("realised", "realised_images", "alpha"), split["name"]
    missed, n, alpha = (record.get(key) for key in keys)
    if missed is None:
        return "unclear", f"no image of {name} has foreground, so it was not tried"
    words = (
        f"on the {text.plural(n, 'image')} of {name} with foreground it was "
        f"{number(missed, 'percent')}"
    )
    if record.get("optimistic"):
        return "unclear", f"{words}, but OPTIMISTIC: these images chose the threshold"
    if missed <= alpha:
        return "yes", words
    positive = [row for row in split["images"] if row["positive"] == 1]
    groups = {row.get("group") or row["id"] for row in positive}  # of one: not alone
    if chance(missed, min(n, len(groups)), alpha) < _LEVEL:
        return "no", (
            f"{words}, MORE than promised and too much for chance: these images are "
            f"not like those of {record['source_split']}, or those were unlucky"
        )
    return "unclear", (
        f"{words}, MORE than promised, which so few images may do by chance: the "
        "promise is of the mean over many"
    )


def words(split: Split) -> Block | None:
    """How evaluation describes the threshold; None where it wrote none."""
    record = split["result"].get("conformal")
    if record is None or not record.get("detail"):
        return None
    return paragraph(f"Conformal risk control. {record['detail'].rstrip('.')}.")


def chance(missed: float, images: int, alpha: float) -> float:
    """Bound of the probability that a mean of `alpha` or less comes out so high.

    The share missed of each image lies between 0 and 1; images are independent, so of
    one patient only one is counted.
    """
    if missed <= alpha or alpha <= 0:
        return 1.0 if missed <= alpha else 0.0
    gap = missed * math.log(missed / alpha)
    if missed < 1:
        gap += (1 - missed) * math.log((1 - missed) / (1 - alpha))
    return math.exp(-images * gap)
