"""Tables of surfaces and of detected objects, and what each of their rows counts."""

from fractions import Fraction

from jaxseg.report import text
from jaxseg.report.blocks import Block, table
from jaxseg.report.read import Run, Split
from jaxseg.report.run.tables import scored_cell
from jaxseg.report.text import number


def blocks(run: Run) -> list[Block | None]:
    """Tables of borders and of objects; [] for a run that was scored without these."""
    splits = run["splits"].values()
    measured = [split for split in splits if split["result"].get("surface")]
    tables = [_surface(split) for split in measured]
    if measured:
        policies = {r["name"]: r["policy"] for r in measured[0]["result"]["surface"]}
        body = [[f"`{name}`", policy] for name, policy in policies.items()]
        title = "What each surface metric counts"
        tables.append(table(["Metric", "Policy"], body, title=title))
    return [*tables, _froc([s for s in splits if s["result"].get("froc")])]


def _surface(split: Split) -> Block:
    rows = [
        [
            (text.label(row["name"]), f"`{row['name']}`, {row['class']}"),
            scored_cell(row),
            number(row["median"]),
            number(row["missed"], "count"),
            number(row["invented"], "count"),
            text.plural(row["support_images"], "image"),
        ]
        for row in split["result"]["surface"]
    ]
    heads = ["Metric, class", "Model, 95 %", "Median", "Missed", "Invented", "Support"]
    note = (
        "Distances in pixels of the native image, lower is better; everything else is "
        "a share. Borders are foreground pixels with one of four neighbours outside, "
        "beyond the frame included; HD95, ASSD and surface Dice are defined as in "
        "MONAI. Missed and invented: images in which only the truth or only the "
        "prediction has the class. Intervals are those of the mean: 95 % bootstrap "
        "over images, by group."
    )
    title = f"Surfaces on {split['name']}"
    return table(heads, rows, title=title, note=note)


def _froc(splits: list[Split]) -> Block | None:
    if not splits:
        return None
    first, rows = splits[0]["result"]["froc"], []
    rates = [str(Fraction(rate)) for rate in first["false_positives_per_image"]]
    for split in splits:
        for row in split["result"]["froc"]["classes"]:
            sensitivity = row["sensitivity"] or [None] * len(rates)
            rows.append(
                [
                    (split["name"], row["class"]),
                    *map(number, sensitivity),
                    (number(row["mean"]), text.span(row)),
                    (
                        text.plural(row["support_components"], "object"),
                        f"{number(row['found'], 'count')} found",
                    ),
                    (
                        text.plural(row["support_images"], "image"),
                        f"{number(row['false_positives'])} false positives each",
                    ),
                ]
            )
    heads = ["Split, class", *rates, "Mean, 95 %", "Objects", "Support"]
    note = "Columns: false positives per image. " + first["policy"].capitalize() + "."
    title = "Objects found against false positives (FROC)"
    return table(heads, rows, title=title, note=note)
