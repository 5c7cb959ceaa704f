"""Shows overlap by rule and by threshold, with a tolerance, and that of regions."""

from typing import Any

from jaxseg.report import text
from jaxseg.report.blocks import Block, folded, paragraph, table
from jaxseg.report.read import Split
from jaxseg.report.text import number

_MEANS = {
    "dice_positives": "Dice, positives",
    "iou_positives": "IoU, positives",
    "dice_all": "Dice, all (empty = 1)",
    "iou_all": "IoU, all (empty = 1)",
}
_POOLED = {"precision": "Precision", "recall": "Recall", "f1": "F1", "iou": "IoU"}
_RULES = {
    "plain": "as frozen",
    "blackened": "blackened",
    "whitened": "whitened",
    "blackened_whitened": "blackened and whitened",
    "optimistic_threshold": "OPTIMISTIC: best pooled F1",
}


def blocks(split: Split) -> list[Block | None]:
    """What a split has of these; [] of a run that was scored before there were any."""
    result = split["result"]
    return [
        _by_rule(split),
        _by_threshold(split, "by_threshold", "Overlap by threshold"),
        _by_threshold(
            split, "by_threshold_dilated", "Overlap by threshold, tolerance of 2 pixels"
        ),
        _regions(split) if result.get("region_overlap") else None,
    ]


def _cells(row: dict[str, Any]) -> list[Any]:
    pooled = [number(row[name]) for name in _POOLED]
    means = [
        (number(row[name]), _deviation(row[f"{name}_deviation"])) for name in _MEANS
    ]
    return pooled + means


def _deviation(value: float | None) -> str:
    return "" if value is None else f"± {number(value)}"


def _heads(first: str) -> list[str]:
    pooled = [f"{name}, pooled" for name in _POOLED.values()]
    return [first, *pooled, *_MEANS.values()]


def _sentence(words: str) -> str:
    return words[:1].upper() + words[1:]


def _support(block: dict[str, Any], split: Split) -> str:
    images = text.plural(block["images"], "image")
    positives = number(block["positives"], "count")
    return f"{images} of {split['name']} with a mask, {positives} with foreground."


def _by_rule(split: Split) -> Block | None:
    block = split["result"].get("post_processing")
    if block is None:
        return None
    rows = []
    for row in block["rows"]:
        detail = row["detail"]
        if row["name"] not in ("plain", "optimistic_threshold"):
            detail += f"; changes {text.plural(row['changed_images'], 'mask')}"
        rows.append([(_RULES.get(row["name"], row["name"]), detail), *_cells(row)])
    note = f"{_sentence(block['policy'])}. ±: deviation over images."
    title = "Masks changed by the decision"
    lead = _support(block, split)
    return table(_heads("Rule"), rows, title=title, lead=lead, note=note)


def _by_threshold(split: Split, key: str, title: str) -> Block | None:
    block = split["result"].get(key)
    if block is None:
        return None
    rows = [[number(row["threshold"]), *_cells(row)] for row in block["rows"]]
    note = (
        f"{_sentence(block['policy'])}. A pixel is foreground above the threshold, and "
        "no image is emptied. Read, do not choose: a threshold picked from this table "
        "is optimistic on these images."
    )
    lead = _support(block, split)
    inside = table(_heads("Threshold"), rows, lead=lead, note=note)
    return folded(f"{title} on {split['name']}", [inside])


def _regions(split: Split) -> Block:
    block = split["result"]["region_overlap"]
    shown = text.interval(block["value"], block["low"], block["high"])
    return paragraph(
        f"AUPRO on {split['name']}, up to a false-positive rate of {block['limit']:g}: "
        f"{shown}, {text.plural(block['regions'], 'region')} in "
        f"{text.plural(block['images'], 'image')} ({block['policy']})."
    )
