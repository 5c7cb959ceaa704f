"""Sections on data that a run was not made with, each beside the test set."""

from jaxseg.report import blocks, derived_numbers, other_data_numbers, text
from jaxseg.report.blocks import Block, folded, pairs, paragraph, table
from jaxseg.report.read import Run, Split
from jaxseg.report.run import cases, data_card, image_classes, tables
from jaxseg.report.text import number


def blocks_of(run: Run) -> list[Block | None]:
    """What was scored elsewhere, how far that is from the test set, and examples."""
    return [block for split in run["others"].values() for block in _one(run, split)]


def lines(run: Run, name: str) -> list[str]:
    """How far the scores under a name are from the test set, for a console."""
    test, split = run["splits"].get("test"), run["others"].get(name)
    if test is None or split is None:
        return []
    return [
        f"{row['name']} {number(row['there'])}, test {number(row['test'])}: "
        f"difference {_signed(row)}"
        for row in other_data_numbers.gaps(test, split)
    ]


def _one(run: Run, split: Split) -> list[Block | None]:
    about, name = split["result"]["other_data"], split["name"]
    card = about["card"]
    sizes = [" x ".join(map(str, card["sizes"][end])) for end in ("min", "max")]
    facts = [
        ("data set", f"{card['name']} {card['version']}"),
        ("its splits, scored together", ", ".join(about["splits"])),
        ("classes", ", ".join(card["classes"])),
        ("form", f"{card['channels']} x {card['dtype']}, {' to '.join(sizes)} pixels"),
        ("images of the test set too", f"{len(about['shared'])}; {about['detail']}"),
    ]
    if about["reordered"]:
        facts.append(("its own order of classes", ", ".join(about["reordered"])))
    words = (
        f"`{name}` is data that the run was not made with, scored at the operating "
        "point that validation of the run froze. Nothing was chosen on it."
    )
    shown = cases.cases(split)
    alone = run | {"splits": {name: split}}
    examples = [blocks.legend(cases.legend(split)), blocks.cases(shown)]
    return [
        paragraph(words),
        *_against_test(run, split),
        _metrics(run, split),
        *image_classes.blocks(alone),
        pairs(f"Data card of {name}", facts),
        data_card.splits(card),
        folded(f"Cases of {name}", examples) if shown else None,
    ]


def _metrics(run: Run, split: Split) -> Block | None:
    """Every metric of pixels, folded; None where no pixel was learned."""
    if not derived_numbers.pixels_trained(split):
        return None
    table_of_all = tables.metrics(run, split) | {"title": ""}
    return folded(f"Every metric on {split['name']}", [table_of_all])


def _against_test(run: Run, split: Split) -> list[Block]:
    """The differences from the test set: of all images, and of those both have."""
    test = run["splits"].get("test")
    if test is None:
        return []
    shared = split["result"]["other_data"]["shared"]
    listed = [_table(split, other_data_numbers.gaps(test, split), paired=0)]
    if shared:
        rows = other_data_numbers.gaps(test, split, shared)
        listed.append(_table(split, rows, paired=len(shared)))
    return [one for one in listed if one is not None]


def _table(split: Split, rows: list[dict], *, paired: int) -> Block | None:
    if not rows:
        return None
    body = [
        [
            (text.label(row["name"]), f"`{row['name']}`"),
            number(row["there"]),
            number(row["test"]),
            _signed(row),
            "n/a" if row["p"] is None else f"{row['p']:.2g}",
        ]
        for row in rows
    ]
    title = f"{split['name']} minus test"
    note = (
        "95 % percentile bootstrap; the groups of either set are drawn on their own, "
        "so a difference is one of images and of how hard they are."
    )
    if paired:
        title += f", on {text.plural(paired, 'image')} that both have"
        note = (
            "95 % percentile bootstrap over the groups of the images that both sets "
            "have, drawn together: how hard an image is cancels."
        )
    heads = ["Metric", split["name"], "Test", "Difference, 95 %", "p"]
    return table(heads, body, title=title, note=note)


def _signed(row: dict) -> str:
    """`-0.120 [-0.200, -0.030]`, a difference with its interval."""
    if row["value"] is None:
        return text.UNDEFINED
    words = f"{row['value']:+.3f}"
    if row["low"] is not None:
        words += f" [{row['low']:+.3f}, {row['high']:+.3f}]"
    return words
