"""Says how far masks of other tools and raters agree with those of the data."""

from collections.abc import Sequence

from jaxseg.report.blocks import Block, paragraph, table
from jaxseg.report.comparison import wording
from jaxseg.report.comparison.group_runs import Unit, members, split_of
from jaxseg.report.text import number


def blocks(units: Sequence[Unit]) -> list[Block]:
    """A row for each class of each set of masks; [] where all units are runs."""
    rows, policy = [], ""
    for unit in members(units):
        agreed = split_of(unit)["result"].get("agreement")
        if agreed is None:
            continue
        policy = agreed["policy"]
        rows += [
            [
                (unit["name"], row["class"]),
                wording.value(row["dice"]),
                wording.value(row["kappa"]),
                wording.value(row["object_f1"]),
                number(row["matched_objects"], "count"),
                number(row["objects"], "count"),
                number(row["other_objects"], "count"),
            ]
            for row in agreed["classes"]
        ]
    if not rows:
        return []
    words = (
        "Two raters who agree no better than this set a limit to what a network that "
        f"learns from one of them can be shown to reach. Here {policy}."
    )
    heads = ["Masks, class", "Dice", "Cohen's kappa", "F1 of objects", "Matched"]
    return [paragraph(words), table([*heads, "Objects of the data", "Theirs"], rows)]
