"""Tests what a run says of objects: against baselines, its bias, a study's target."""

from collections.abc import Iterator

from jaxseg.report import derived_numbers, object_numbers, text
from jaxseg.report.blocks import Card, Claim
from jaxseg.report.object_numbers import BIAS, F1, MAE, Answer, interval, value
from jaxseg.report.read import Row, Split
from jaxseg.report.text import number

_CARDS = {F1: "F1 of objects at IoU 0.5", MAE: "Count error, objects an image"}
TARGET = 0.50  # of the foreground IoU, the success criterion of the study on beads


def claims(split: Split) -> Iterator[Claim]:
    """Claims about the objects of a split; nothing for a run that looks for none."""
    if object_numbers.of_split(split) is None:
        return
    yield from against_baselines(split, F1)
    yield from against_baselines(split, MAE)
    yield from unbiased(split)
    yield from target(split)
    yield from rule(split)


def against_baselines(split: Split, name: str) -> Iterator[Claim]:
    """Is the whole interval of a score better than every baseline?"""
    row, bars = object_numbers.row(split, name), object_numbers.baselines(split, name)
    if row.get("value") is None or not bars:
        return
    answers = {base: object_numbers.beats(row, bar) for base, bar in bars.items()}
    answer = next(a for a in ("no", "unclear", "yes") if a in answers.values())
    left = " and ".join(text.label(b) for b, own in answers.items() if own == answer)
    why = "as the interval reaches it"
    if None in (row["low"], row["high"]):
        why = "as no interval is known"
    side = "above" if row["better"] == "higher" else "below"
    which = "both baselines" if len(bars) == 2 else "every baseline"
    words = {
        "yes": f"is {side} {which} by its whole interval",
        "no": f"is NOT {side} the baseline {left}",
        "unclear": f"is {side} {which}, but NOT CLEARLY {side} {left}, {why},",
    }[answer]
    listed = " and ".join(
        f"{value(name, bar)} ({text.label(base)})" for base, bar in bars.items()
    )
    words = (
        f"The model {words} on `{name}` ({_on(split, row)}): {interval(row)} against "
        f"{listed}."
    )
    if row["support_images"] == 1:
        answer, words = "unclear", f"{words} One image decides nothing."
    yield Claim(answer=answer, text=words + _flattering(split))


def _on(split: Split, row: Row) -> str:
    return f"{split['name']}, {text.plural(row['support_images'], 'image')}"


def _flattering(split: Split) -> str:
    reasons = object_numbers.optimistic(split)
    return f" OPTIMISTIC: {' and '.join(reasons)}." if reasons else ""


def unbiased(split: Split) -> Iterator[Claim]:
    """Does the interval of the bias of the count contain zero?"""
    row = object_numbers.row(split, BIAS)
    if row.get("value") is None:
        return
    where = f"{interval(row)} objects an image (predicted - true, {_on(split, row)})"
    answer: Answer = "unclear"
    words = "Whether counts are biased is not known, no interval was computed"
    if None not in (row["low"], row["high"]):
        inside = row["low"] <= 0 <= row["high"]
        answer = "yes" if inside else "no"
        few = "too few" if row["value"] < 0 else "too many"
        words = (
            "No bias of the count can be told from zero"
            if inside
            else f"Counts ARE biased: {few} objects are predicted"
        )
    yield Claim(answer=answer, text=f"{words}: {where}.")


def target(split: Split) -> Iterator[Claim]:
    """Does the foreground reach the IoU that the study asked for, or any baseline?"""
    row = object_numbers.foreground_iou(split)
    if row is None:
        return
    answer = _reaches(row)
    words = {
        "yes": "is MET by the whole interval",
        "no": "is NOT met",
        "unclear": "is met, but not by the whole interval,"
        if row["low"] is not None
        else "is met, but no interval is known,",
    }[answer]
    words = (
        f"The target of the study, a foreground IoU of {TARGET:.2f}, {words} on "
        f"{split['name']}: "
        f"{text.interval(row['value'], row['low'], row['high'])}"
    )
    yield Claim(answer=answer, text=f"{words}. {_baseline_in_words(split, row)}")


def _reaches(row: Row) -> Answer:
    if row["value"] < TARGET:
        return "no"
    return "yes" if row["low"] is not None and row["low"] >= TARGET else "unclear"


def _baseline_in_words(split: Split, row: Row) -> str:
    bars = derived_numbers.known_baselines(split, row)
    if not bars:
        return "No baseline was scored by it."
    best = max(bars, key=lambda base: bars[base])
    which = f"The best trivial baseline ({text.label(best)}, {number(bars[best])})"
    if bars[best] >= TARGET:
        return f"{which} meets it TOO, so meeting it shows no skill of the model."
    return f"{which} does not meet it."


def rule(split: Split) -> Iterator[Claim]:
    """Were the settings of the rule of objects chosen on other images?"""
    record = object_numbers.of_split(split)
    settings = text.plain(record["settings"])
    settings = "" if settings == "empty" else f" ({settings})"
    words = f"The rule of objects `{record['rule']}`{settings}"
    if object_numbers.optimistic(split):
        words += f" was chosen on the {split['name']} images themselves: OPTIMISTIC."
        yield Claim(answer="no", text=words)
        return
    words += (
        f" was chosen on {record['source_split']} (`{record['objective']}` "
        f"{number(record['value'])} there) and then applied to {split['name']}."
    )
    yield Claim(answer="yes", text=words)


def cards(split: Split) -> list[Card]:
    """F1 and count error with the best baseline, and the target: met or not."""
    listed = []
    for name, words in _CARDS.items():
        row = object_numbers.row(split, name)
        if row.get("value") is None:
            continue
        sub = f"{number(row['support_images'], 'count')} images"
        bars = object_numbers.baselines(split, name)
        if bars:
            best = object_numbers.best(bars, row["better"])
            sub += f"; {text.label(best)}: {value(name, bars[best])}"
        if object_numbers.span(row):
            sub = f"95 %: {object_numbers.span(row)}. {sub}"
        listed.append(Card(words, value(name, row["value"]), sub))
    row = object_numbers.foreground_iou(split)
    if object_numbers.of_split(split) is not None and row is not None:
        words = {"yes": "met", "no": "NOT met", "unclear": "not clearly met"}
        sub = f"IoU {number(row['value'])}"
        sub += f", 95 %: {text.span(row)}" if text.span(row) else ""
        listed.append(
            Card(
                f"Jaccard target {TARGET:.2f}",
                words[_reaches(row)],
                f"{sub}. {_baseline_in_words(split, row)}",
            )
        )
    return listed
