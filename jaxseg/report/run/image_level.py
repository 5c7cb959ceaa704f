"""Shows how whole images are told apart: by the decision head, and by the segmentation.

Nothing is shown of a split whose images are all of one kind.
"""

from collections.abc import Iterator, Sequence
from typing import Any

from jaxseg.report import derived_numbers, text
from jaxseg.report.blocks import Block, Card, Claim, table
from jaxseg.report.read import Run, Split
from jaxseg.report.text import number
from jaxseg.run_directory.image_schemas import ImageLevel, ImageScore

_LEVEL = 0.05
DECISION, SEGMENTATION = "decision", "segmentation"
COLUMNS = {
    "roc_auc": "ROC-AUC",
    "average_precision": "AP (step-wise)",
    "average_precision_trapezoid": "AP (trapezoid)",
    "f1": "F1",
    "precision": "Precision",
    "sensitivity": "Recall",
    "false_positive_rate": "False-positive rate",
}
_NAMES = {DECISION: "decision head", SEGMENTATION: "segmentation alone"}
_BASELINES = {"always_positive": "baseline: always positive"}


def of_split(split: Split) -> ImageLevel | None:
    """What was scored of whole images; None where nothing was."""
    return split["result"].get("image_level")


def has_decision(split: Split) -> bool:
    """Whether a decision head was scored on the split."""
    record = of_split(split)
    return bool(record) and record["scores"][0]["score"] == DECISION


def alone(split: Split) -> bool:
    """Whether a head decided on images of which no mask shows anything.

    Then scores of pixels say nothing, and those of whole images are all there is.
    """
    return has_decision(split) and not derived_numbers.shows_foreground(split)


def value(row: ImageScore, name: str) -> dict[str, Any]:
    """The metric of a score; an undefined one where it has none."""
    blank = {"name": name, "value": None, "low": None, "high": None}
    return next((m for m in row["metrics"] if m["name"] == name), blank)


def blocks(run: Run) -> list[Block | None]:
    """Tables of all splits that have an image level."""
    splits = [split for split in run["splits"].values() if of_split(split)]
    if not splits:
        return []
    return [_scores(splits), _optimistic(splits), _gain(splits)]


def _scores(splits: Sequence[Split]) -> Block:
    body, notes = [], {}
    for split in splits:
        record = of_split(split)
        support = f"{number(record['images'], 'count')} images"
        kinds = f"{record['positives']} positive, {record['negatives']} negative"
        for row in record["scores"]:
            body.append(_row(split, row, (support, kinds)))
            optimistic = ", these very images: OPTIMISTIC" * row["optimistic"]
            notes[f"{split['name']}: {row['source_split']}{optimistic}"] = None
        for base in record["baselines"]:
            name = _BASELINES.get(base["name"], text.label(base["name"]))
            cells = [number(base["metrics"].get(key)) for key in COLUMNS]
            at = [number(base["counts"][key], "count") for key in ("fp", "fn")]
            start = (name, split["name"])
            body.append([start, *cells[:3], "-", *cells[3:], *at, (support, kinds)])
    heads = ["Score", *list(COLUMNS.values())[:3], "Threshold"]
    heads += [*list(COLUMNS.values())[3:], "FP", "FN", "Support"]
    note = (
        "An image is called positive at or above the threshold of the best F1, chosen "
        f"on ({'; '.join(notes)}). Intervals at 95 %: bootstrap over groups of images; "
        "of precision, recall and false-positive rate Wilson, 1927. Truth: "
        f"{of_split(splits[0])['truth']}."
    )
    for split in splits:
        record = of_split(split)
        if record["without_mask"]:
            images = text.plural(record["without_mask"], "image")
            note += f" {images} of {split['name']} without a labelled pixel: no part in"
            note += " scores of pixels."
        if record["unknown"]:
            images = text.plural(record["unknown"], "image")
            note += f" {images} of {split['name']} of unknown truth: left out."
    title = "Whole images: foreground or not"
    return table(heads, body, title=title, note=note)


def _row(split: Split, row: ImageScore, support: tuple[str, str]) -> list[Any]:
    metrics = [value(row, name) for name in COLUMNS]
    cells = [(number(m["value"]), text.span(m)) for m in metrics]
    counts = row["counts"] or {}
    at = [number(counts.get(key), "count") for key in ("fp", "fn")]
    start = (_NAMES[row["score"]], split["name"])
    return [start, *cells[:3], number(row["threshold"]), *cells[3:], *at, support]


def _optimistic(splits: Sequence[Split]) -> Block:
    body, detail = [], ""
    for split in splits:
        for row in of_split(split)["scores"]:
            here = row["on_these_images"]
            detail, counts = here["detail"], here["counts"] or {}
            at = [number(counts.get(key), "count") for key in ("fp", "fn")]
            start = (_NAMES[row["score"]], split["name"])
            body.append([start, number(here["threshold"]), number(here["f1"]), *at])
    heads = ["Score", "Threshold", "F1", "FP", "FN"]
    title = f"As papers have it: {detail}"
    return table(heads, body, title=title)


def _gain(splits: Sequence[Split]) -> Block | None:
    body = []
    for split in splits:
        for row in of_split(split)["gain"]:
            shown = (_signed(row["value"]), _signed_span(row))
            name = COLUMNS.get(row["name"], row["name"])
            body.append([(name, split["name"]), shown, _p(row["p"])])
    note = (
        "Both scores on the same resamples of the images; p is two-sided, not "
        "corrected for the number of rows."
    )
    title = "What the decision head brings: decision minus segmentation"
    heads = ["Metric", "Difference, 95 %", "p"]
    return table(heads, body, title=title, note=note) if body else None


def _signed(gap: float | None) -> str:
    return text.UNDEFINED if gap is None else "0" if gap == 0 else f"{gap:+.3g}"


def _signed_span(row: dict[str, Any]) -> str:
    if None in (row["low"], row["high"]):
        return ""
    return f"{_signed(row['low'])} to {_signed(row['high'])}"


def _p(p: float | None) -> str:
    return text.UNDEFINED if p is None else f"{p:.2g}"


def claims(split: Split) -> Iterator[Claim]:
    """Does the head rank above always positive, and above the segmentation alone?"""
    if not has_decision(split):
        return
    record = of_split(split)
    row, other = record["scores"][:2]
    metric = value(row, "average_precision")
    base = record["baselines"][0]["metrics"]["average_precision"]
    low = metric["low"]
    answer = "no" if metric["value"] <= base else "unclear"
    answer = "yes" if answer == "unclear" and low is not None and low > base else answer
    words = {
        "yes": "better than one score for all",
        "no": "NOT better than one score for all",
        "unclear": "better than one score for all, but not by its whole interval",
    }[answer]
    if 1 in (record["positives"], record["negatives"]):
        answer, words = "unclear", f"{words}, but of one kind there is one image"
    shown = text.interval(metric["value"], low, metric["high"])
    support = (
        f"{record['positives']} positive and {record['negatives']} negative images"
    )
    words = (
        f"The decision head ranks the images of {split['name']} {words}: average "
        f"precision {shown} against {number(base)} ({support})."
    )
    yield Claim(answer=answer, text=words)
    gain = next((g for g in record["gain"] if g["name"] == "average_precision"), None)
    if gain is None or gain["p"] is None:
        return
    decided = gain["p"] < _LEVEL
    answer = "unclear" if not decided else "yes" if gain["value"] > 0 else "no"
    side = "above" if gain["value"] > 0 else "NOT above"
    more = "" if decided else ", but the images do not decide,"
    alone = number(value(other, "average_precision")["value"])
    words = (
        f"The decision head is {side} the segmentation alone{more} by average "
        f"precision on {split['name']}: {number(metric['value'])} against {alone}, "
        f"difference {_signed(gain['value'])} [{_signed(gain['low'])}, "
        f"{_signed(gain['high'])}], p = {_p(gain['p'])} ({support})."
    )
    yield Claim(answer=answer, text=words)


def cards_alone(split: Split) -> list[Card]:
    """The numbers of the decision head, where no mask shows anything."""
    record = of_split(split)
    base = record["baselines"][0]["metrics"]
    listed = []
    for name, words in (
        ("average_precision", "Image AP of the decision"),
        ("roc_auc", "ROC-AUC of the decision"),
        ("f1", "F1 of the decision"),
    ):
        metric = value(record["scores"][0], name)
        against = f"95 %: {text.span(metric)}. " if text.span(metric) else ""
        if base.get(name) is not None:
            against += f"always positive: {number(base[name])}"
        listed.append(Card(words, number(metric["value"]), against))
    return listed


def cards(split: Split) -> list[Card]:
    """The average precision of the decision head, and what it stands against."""
    if not has_decision(split):
        return []
    record = of_split(split)
    row, other = record["scores"][:2]
    metric, alone = (value(r, "average_precision") for r in (row, other))
    against = f"95 %: {text.span(metric)}. " if text.span(metric) else ""
    against += f"segmentation alone: {number(alone['value'])}"
    return [Card("Image AP of the decision", number(metric["value"]), against)]
