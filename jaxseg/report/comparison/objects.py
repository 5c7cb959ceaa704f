"""Holds runs that look for objects against each other, and against both baselines."""

from collections.abc import Iterator, Sequence
from typing import Any

from jaxseg.report import object_numbers, text
from jaxseg.report.blocks import Block, Claim, paragraph, table
from jaxseg.report.comparison import scores, wording
from jaxseg.report.comparison.group_runs import (
    Unit,
    images_of,
    several,
    title,
)
from jaxseg.report.object_numbers import BIAS, F1, MAE, Answer
from jaxseg.report.read import Row, Split

METRICS = {  # in the order of the columns -> which is the best of a column
    F1: "higher",
    "object_accuracy_mean": "higher",
    "object_aji": "higher",
    MAE: "lower",
    "count_relative_error": "lower",
    BIAS: "zero",
}


def blocks(rankings: list[list[Unit]]) -> list[Block]:
    """Objects and counts of every unit, with baselines below; [] where none looks.

    A run that looks for no objects has `n/a` there.
    """
    units = [unit for ranking in rankings for unit in ranking]
    if not any(_looks(unit) for unit in units):
        return []
    rows = []
    for ranking in rankings:
        for unit in ranking:
            other = ranking is not rankings[0]
            mark = f"other images ({images_of(unit)})" if other else ""
            values = [score(unit, name) for name in METRICS]
            cells = [(_value(row), _span(row)) for row in values]
            rows.append([(title(unit), _marks(unit, mark)), *cells])
        rows += _baselines(ranking)
    block = table(["Run", *(f"`{name}`" for name in METRICS)], rows, note=_note(units))
    _mark_best(block, rankings[0])
    split = rankings[0][0]["images"][0]
    words = "; ".join(f"`{name}`: {text.label(name)}" for name in METRICS)
    return [paragraph(f"On {split}. {words}."), block]


def _looks(unit: Unit) -> bool:
    return any(object_numbers.of_split(split) for split in _splits(unit))


def _splits(unit: Unit) -> list[Split]:
    """The split that the unit is judged on, of each of its runs that has it."""
    splits = [run["splits"].get(unit["images"][0]) for run in unit["runs"]]
    return [split for split in splits if split is not None]


def _marks(unit: Unit, mark: str) -> str:
    flattered = any(object_numbers.optimistic(split) for split in _splits(unit))
    return "; ".join(filter(None, [mark, "OPTIMISTIC" if flattered else ""]))


def _note(units: Sequence[Unit]) -> str:
    note = (
        "Higher is better of the first three, lower of the errors of the count, of its "
        "bias what is near zero. A single run: 95 % bootstrap interval over images. "
    )
    if any(map(several, units)):
        note += "A group of seeds: mean, and 95 % interval over seeds by Student's t. "
    if any(_marks(unit, "") for unit in units):
        note += "OPTIMISTIC: the rule of objects was chosen on these very images. "
    return note + (
        "Bold: the best value of a column among runs on the same images, which is not "
        "yet a decided difference."
    )


def score(unit: Unit, name: str) -> Row:
    """Value and interval of a unit: over images of one run, over seeds of several.

    A group has its mean, and is undefined where one of its members is.
    """
    scored = [run["splits"].get(unit["images"][0]) for run in unit["runs"]]
    rows = [object_numbers.row(split, name) if split else {} for split in scored]
    values = [row.get("value") for row in rows]
    ends = {key: rows[0].get(key) for key in ("value", "low", "high")}
    support = {"support_images": rows[0].get("support_images")}
    if several(unit):
        ends = dict(zip(ends, scores.t_interval(values), strict=True))
        support = {}  # of an absent value: it may be that of one seed alone
    return {"name": name, "values": values, "better": METRICS[name]} | ends | support


def _value(row: Row) -> str:
    if row["value"] is None or row["name"] != BIAS:
        return wording.scored(row)
    return wording.signed(row["value"])


def _span(row: Row) -> str:
    if None in (row["low"], row["high"]) or row["name"] != BIAS:
        return wording.span(row)
    return f"[{wording.signed(row['low'])}, {wording.signed(row['high'])}]"


def _baselines(ranking: list[Unit]) -> list[list[Any]]:
    """A row for each baseline on the images of a ranking, of the first that has it."""
    records = [object_numbers.of_split(s) for unit in ranking for s in _splits(unit)]
    first = next(filter(None, records), None)
    return [
        [
            (f"baseline: {text.label(base['name'])}", ""),
            *(_value({"name": n, "value": base["metrics"].get(n)}) for n in METRICS),
        ]
        for base in (first["baselines"] if first else [])
    ]


def _mark_best(block: dict[str, Any], ranking: list[Unit]) -> None:
    for column, (name, better) in enumerate(METRICS.items(), start=1):
        values = {i: score(unit, name)["value"] for i, unit in enumerate(ranking)}
        if better == "zero":
            values = {i: v if v is None else abs(v) for i, v in values.items()}
        ends = scores.extremes(values, more=better == "higher")
        for row in ends["best"] if ends and ends["difference"] else []:
            block["rows"][row][column]["best"] = True


def claims(units: Sequence[Unit]) -> Iterator[Claim]:
    """Is each unit above both baselines by F1, and below both by its count error?"""
    for unit in units:
        parts = [part for name in (F1, MAE) if (part := _against(unit, name))]
        if not parts:
            continue
        answers = [answer for answer, _ in parts]
        worst = next(a for a in ("no", "unclear", "yes") if a in answers)
        words = "; ".join(words for _, words in parts)
        over = "seeds" if several(unit) else "images"
        words = f"Objects of `{title(unit)}` on {unit['images'][0]}: {words}"
        optimistic = " OPTIMISTIC: the rule of objects was chosen on these images."
        words += f" (95 % over {over})." + (optimistic if _marks(unit, "") else "")
        yield Claim(answer=worst, text=words)


def _against(unit: Unit, name: str) -> tuple[Answer, str] | None:
    """The answer by one metric, and the numbers behind it; None without numbers."""
    row, bars = score(unit, name), _bars(unit, name)
    if row["value"] is None or not bars:
        return None
    side = "above" if row["better"] == "higher" else "below"
    answers = {base: object_numbers.beats(row, bar) for base, bar in bars.items()}
    answer = next(a for a in ("no", "unclear", "yes") if a in answers.values())
    left = " and ".join(text.label(b) for b, own in answers.items() if own == answer)
    which = "both baselines" if len(bars) == 2 else "every baseline"
    words = {
        "yes": f"{side} {which}",
        "no": f"NOT {side} {left}",
        "unclear": f"{side} {which}, but NOT CLEARLY {side} {left}",
    }[answer]
    listed = " and ".join(
        f"{wording.value(bar)} ({text.label(base)})" for base, bar in bars.items()
    )
    spanned = f"{wording.value(row['value'])} {wording.span(row)}".strip()
    return answer, f"{words} by `{name}`, {spanned} against {listed}"


def _bars(unit: Unit, name: str) -> dict[str, float]:
    """baseline -> its value; of seeds that were scored differently the hardest."""
    bars: dict[str, float] = {}
    hardest = max if METRICS[name] == "higher" else min
    for split in _splits(unit):
        for base, value in object_numbers.baselines(split, name).items():
            bars[base] = hardest(bars.get(base, value), value)
    return bars
