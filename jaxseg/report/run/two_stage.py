"""Shows a joined run: which images are segmented, what that gains, what it costs."""

from collections.abc import Iterator

from jaxseg.report import text
from jaxseg.report.blocks import Block, Claim, table
from jaxseg.report.read import Run, Split
from jaxseg.report.text import number
from jaxseg.run_directory.two_stage_schemas import TwoStageResult

_WAYS = {
    "segmentation": "Every image",
    "true_class": "Those truly of the class",
    "end_to_end": "Those that the first stage calls for",
}


def blocks(run: Run) -> list[Block | None]:
    """The tables of all splits; [] of a run of one stage."""
    out: list[Block | None] = []
    for split in run["splits"].values():
        record = split["result"].get("two_stage")
        if record is not None:
            out += [_ways(split, record), _flow(split, record)]
    return out


def _ways(split: Split, record: TwoStageResult) -> Block:
    names = [metric["name"] for metric in record["ways"][0]["metrics"]]
    rows = []
    for way in record["ways"]:
        cells = [(number(m["value"]), text.span(m)) for m in way["metrics"]]
        rows.append(
            [
                (_WAYS[way["way"]], way["detail"]),
                number(way["segmented"], "count"),
                *cells,
                number(way["false_pixels"], "count"),
            ]
        )
    heads = ["Segmented", "Images", *(f"`{name}`" for name in names)]
    heads.append("Pixels in images that are not of the class")
    note = (
        f"Of {record['pixel_class']}. An image is segmented from a probability of "
        f"{record['image_class']} of {number(record['threshold'])} on, which "
        f"{record['source_split']} chose for `{record['objective']}`; any other has an "
        "empty mask. Intervals: 95 % bootstrap over groups of images."
    )
    return table(heads, rows, title=f"Two stages on {split['name']}", note=note)


def _flow(split: Split, record: TwoStageResult) -> Block:
    flow, compute = record["flow"], record["compute"]
    named = {
        "of_the_class": f"truly {record['image_class']}",
        "others": "of another class",
        "unknown": "of unknown class",
    }
    rows = [
        [words, *(number(n, "count") for n in flow[key])]
        for key, words in named.items()
        if any(flow[key])
    ]
    share = number(compute["relative_to_segmenting_all"])
    note = (
        f"{compute['share_segmented']:.0%} of the images are segmented; both stages "
        f"compute {share} times what segmenting every image does "
        f"({compute['classify_flops'] / 1e6:.3g} and "
        f"{compute['segment_flops'] / 1e6:.3g} million operations an image)."
    )
    heads = ["Images", "Segmented", "Not segmented"]
    title = f"Which way images of {split['name']} go"
    return table(heads, rows, title=title, note=note)


def claims(split: Split) -> Iterator[Claim]:
    """Is segmenting only what the first stage calls for better than segmenting all?"""
    record = split["result"].get("two_stage")
    for row in (record or {"gain": []})["gain"]:
        decided = row["p"] is not None and row["p"] < 0.05
        better = row["value"] > 0
        answer = ("yes" if better else "no") if decided else "unclear"
        words = {
            "yes": "is better than segmenting every image",
            "no": "is WORSE than segmenting every image",
            "unclear": "and segmenting every image are NOT told apart",
        }[answer]
        value = text.interval(row["value"], row["low"], row["high"])
        yield Claim(
            answer=answer,
            text=f"Classifying first {words} by `{row['name']}` of "
            f"{record['pixel_class']} on {split['name']}: difference {value}, "
            f"p = {number(row['p'])}.",
        )
