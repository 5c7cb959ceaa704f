"""Tested sentences about classes of whole images, and the verdict of a classifier."""

from collections.abc import Iterator

from jaxseg.report import derived_numbers, image_class_numbers, text
from jaxseg.report.blocks import Claim
from jaxseg.report.image_class_numbers import MEANS, of_split
from jaxseg.report.read import Run, Split
from jaxseg.report.run import class_claims, image_classes
from jaxseg.report.text import number


def verdict(run: Run, split: Split) -> Claim:
    """Is the classifier above every answer without a model, by what chose the run?"""
    chosen = (derived_numbers.selection(run) or "").removeprefix(
        image_class_numbers.PREFIX
    )
    names = (chosen, "accuracy", "average_precision_mean", *MEANS)
    for name in names:
        for claim in _above(split, name):
            return claim
    words = "No class of whole images has images of both kinds: nothing is claimed."
    return Claim(answer="unclear", text=words)


def claims(split: Split) -> Iterator[Claim]:
    """Sentences about the answers of a split; none where it has no such answers."""
    if not of_split(split):
        return
    for name in MEANS:
        yield from _above(split, name)
    yield from _ranked(split)
    yield from _absent(split)
    yield from _never(split)
    yield from _threshold(split)
    yield from _temperature(split)


def _above(split: Split, name: str) -> Iterator[Claim]:
    """Is the whole interval of a mean above the best answer without a model?"""
    row = image_class_numbers.mean(split, name)
    if row is None or row["value"] is None:
        return
    bar = image_class_numbers.baseline(split, name)
    if bar is None:
        return
    answer = derived_numbers.above(row, bar[1])
    words = {
        "yes": "is above every answer without a model",
        "no": "is NOT above every answer without a model",
        "unclear": "is above the answers without a model, but not by its whole "
        "interval,",
    }[answer]
    shown = text.interval(row["value"], row["low"], row["high"])
    words = (
        f"The classifier of whole images {words} by `{name}` ({split['name']}, "
        f"{text.plural(row['support_images'], 'image')}, {row['support_classes']} of "
        f"{len(of_split(split)['names'])} classes): {shown} against {number(bar[1])} "
        f"({image_classes.BASELINES[bar[0]]})."
    )
    yield Claim(answer=answer, text=words)


def _ranked(split: Split) -> Iterator[Claim]:
    """Is each class ranked better than by chance?"""
    each: class_claims.Each = {}
    for row in of_split(split)["classes"]:
        metric = image_class_numbers.metric(row, "roc_auc")
        if metric["value"] is None:
            continue
        shown = text.interval(metric["value"], metric["low"], metric["high"])
        answer = derived_numbers.above(metric, 0.5)
        each[row["name"]] = answer, f"{shown}, support {row['support']['shows']}"
    yield from class_claims.in_each(
        f"Whole images of {split['name']} are ranked better than by chance (an AUROC "
        "of 0.5)",
        {"no": "NOT better", "unclear": "not by the whole interval"},
        each,
    )


def _absent(split: Split) -> Iterator[Claim]:
    rows = of_split(split)["classes"]
    absent = [row["name"] for row in rows if not row["support"]["shows"]]
    if absent:
        names = ", ".join(f"`{name}`" for name in absent)
        one = len(absent) == 1
        words = (
            f"No image of {split['name']} shows {names}: "
            f"{'its numbers are' if one else 'their numbers are'} n/a (support 0), and "
            f"means leave {'it' if one else 'them'} out."
        )
        yield Claim(answer="no", text=words)


def _never(split: Split) -> Iterator[Claim]:
    """Is every class that images show ever the answer?"""
    record = of_split(split)
    if record["confusion"] is not None:
        given = [sum(column) for column in zip(*record["confusion"], strict=True)]
    else:
        cells = [row["counts"] for row in record["classes"]]
        given = [None if c is None else c["tp"] + c["fp"] for c in cells]
    shown = [row["support"]["shows"] for row in record["classes"]]
    listed = [*zip(record["names"], given, shown, strict=True)]
    dead = [f"`{name}` (support {n})" for name, g, n in listed if g == 0 and n]
    counted = sum(g is not None and n > 0 for _, g, n in listed)
    if dead:
        words = (
            f"NEVER the answer on {split['name']}, of {counted} classes that images "
            f"show: {', '.join(dead)}."
        )
        yield Claim(answer="no", text=words)
    elif counted:
        words = (
            f"Each of the {counted} classes that images of {split['name']} show is the "
            "answer for some image."
        )
        yield Claim(answer="yes", text=words)


def _threshold(split: Split) -> Iterator[Claim]:
    rows = [row for row in of_split(split)["classes"] if row["threshold"] is not None]
    if not rows:
        return
    at = ", ".join(f"{row['name']} {number(row['threshold'])}" for row in rows)
    source = rows[0]["source_split"]
    if any(row["optimistic"] for row in rows):
        answer = "no"
        words = f"were chosen on the {split['name']} images themselves: optimistic"
    else:
        answer, words = "yes", f"were chosen on {source} and applied to {split['name']}"
    yield Claim(answer=answer, text=f"The thresholds of the classes ({at}) {words}.")


def _temperature(split: Split) -> Iterator[Claim]:
    block = of_split(split)["calibration"]
    before, after = block["before"], block["after"]
    if after is None or None in (before["log_loss"], after["log_loss"]):
        return
    lower = after["log_loss"] < before["log_loss"]
    answer = "yes" if lower else "no"
    where = f"{split['name']} (it was fitted on {block['source_split']})"
    if block["optimistic"]:
        answer, where = "unclear", f"{split['name']}, the images it was fitted on"
    words = (
        f"The temperature {number(block['temperature'])} "
        f"{'lowers' if lower else 'does NOT lower'} the log loss of the classes on "
        f"{where}: {number(before['log_loss'], 'plain')} becomes "
        f"{number(after['log_loss'], 'plain')}, ECE {number(before['ece'], 'plain')} "
        f"becomes {number(after['ece'], 'plain')}."
    )
    yield Claim(answer=answer, text=words)
