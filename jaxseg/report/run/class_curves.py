"""Shows ranking and calibration of each class against the rest."""

from collections.abc import Iterator, Sequence
from typing import Any

from jaxseg.report import text
from jaxseg.report.blocks import Block, Claim, pictures, table
from jaxseg.report.read import Row, Run, Split, pick
from jaxseg.report.run import class_plots
from jaxseg.report.text import number

_SCORES = ("ece", "ece_confidence", "maximum_calibration_error", "brier", "nll")


def curves(split: Split) -> list[Row]:
    """Figures of the pixel curve of each foreground class; [] where not scored."""
    return pick(split["result"], "curves", "pixel_by_class") or []


def calibrations(split: Split, *path: str) -> dict[str, dict[str, Any]]:
    """class -> calibration figures of its pixels, below `path`; {} where not scored."""
    rows = pick(split["result"], "calibration", *path, "by_class") or []
    return {row["class"]: row["pixel"] for row in rows}


def ranking(run: Run) -> list[Block | None]:
    """Average precision, prevalence and best F1 of each class against the rest."""
    splits = [split for split in run["splits"].values() if curves(split)]
    if not splits:
        return []
    rows = [_ranked(split, row) for split in splits for row in curves(split)]
    heads = ["Class, split", "Average precision", "Prevalence", "PR-AUC (trapezoid)"]
    heads += ["ROC-AUC", "Best F1", "its threshold", "Support"]
    note = (
        "The probability of one class against all others, over all labelled pixels. "
        "Average precision is the step-wise sum; ± bounds the error of its histogram. "
        "Prevalence is what a constant score reaches. Best F1 is read off the curve of "
        "the same split: a limit, not a result, and no class was decided this way."
    )
    title = "Pixel curves, one class against the rest"
    drawn = pictures([class_plots.average_precision(splits[0], curves(splits[0]))])
    return [table(heads, rows, title=title, note=note), drawn]


def _ranked(split: Split, row: Row) -> list[Any]:
    bound = row.get("average_precision_error_bound")
    figures = ("prevalence", "pr_auc_trapezoid", "roc_auc", "best_f1")
    return [
        (row["class"], split["name"]),
        (
            number(row.get("average_precision")),
            "" if bound is None else f"± {number(bound)}",
        ),
        *(number(row.get(name)) for name in (*figures, "best_f1_threshold")),
        _support(row.get("support_pixels"), row.get("support_positives")),
    ]


def _support(pixels: float | None, of_class: float | None) -> tuple[str, str]:
    words = f"{number(of_class, 'count')} of the class"
    return f"{number(pixels, 'count')} pixels", "" if of_class is None else words


def reliability(splits: Sequence[Split], *, drawn: bool = True) -> list[Block | None]:
    """Calibration figures of each class against the rest, and the diagram of one."""
    splits = [split for split in splits if calibrations(split)]
    if not splits:
        return []
    split = splits[0]
    rows = [row for split in splits for row in _calibrated(split)]
    figures = list(calibrations(split).values())
    low, high = figures[0]["clip"]
    note = (
        "The probability of one class against all others. ECE: the gap between mean "
        "probability and observed share of the class, in "
        f"{len(figures[0]['rows'])} rows of equal width weighted by their counts; of "
        "confidence: the same of the probability of the answer. ± bounds the error of "
        "the histogram. NLL in nats, with probabilities kept "
        f"{number(low, 'plain')} from 0 and {number(1 - high, 'plain')} from 1. "
        "Prevalence alone: a constant score that knows the share of the class in these "
        "very images."
    )
    heads = ["Class, split", "ECE", "ECE of confidence", "Worst row", "Brier", "NLL"]
    heads += ["NLL of prevalence alone", "Support"]
    title = "How far probabilities can be believed, one class against the rest"
    return [
        table(heads, rows, title=title, note=note),
        _temperatures(splits),
        pictures([class_plots.reliability(split, calibrations(split))] * drawn),
    ]


def _calibrated(split: Split) -> Iterator[list[Any]]:
    after = calibrations(split, "after_temperature")
    fitted = pick(split["result"], "calibration", "temperature") or {}
    for name, figures in calibrations(split).items():
        yield [(name, split["name"]), *_cells(figures)]
        if name in after:
            words = f"{split['name']}, temperature {number(fitted.get('value'))}"
            words += " (optimistic)" if fitted.get("optimistic") else ""
            yield [(name, words), *_cells(after[name])]


def _cells(figures: dict[str, Any]) -> list[Any]:
    cells: list[Any] = []
    for name in _SCORES:
        bound = figures.get(f"{name}_error_bound")
        small = f"± {number(bound)}" if bound is not None else ""
        if name == "maximum_calibration_error" and figures.get(name) is not None:
            small = text.plural(figures["maximum_calibration_error_support"], "pixel")
        cells.append((number(figures.get(name), "plain"), small))
    cells.append(number(pick(figures, "of_prevalence", "nll"), "plain"))
    return [*cells, _support(figures.get("support"), figures.get("support_positives"))]


def _temperatures(splits: list[Split]) -> Block | None:
    fitted = [
        (split["name"], pick(split["result"], "calibration", "temperature"))
        for split in splits
    ]
    rows = [
        [
            name + (" (optimistic)" if each.get("optimistic") else ""),
            (
                number(each.get("value")),
                "at its limit" if each.get("at_limit") else "",
            ),
            each.get("source_split") or "not recorded",
            number(each.get("nll_before"), "plain"),
            number(each.get("nll_after"), "plain"),
        ]
        for name, each in fitted
        if each
    ]
    heads = ["Applied to", "Temperature", "Fitted on", "NLL there before", "and after"]
    note = (
        "Log probabilities are divided by the temperature and normalised again, for "
        "the rows that say so and nowhere else: no mask changes."
    )
    return table(heads, rows, title="Temperature", note=note) if rows else None


def claims(split: Split) -> Iterator[Claim]:
    """Are the pixels of each class ranked better than by chance?"""
    rows = [
        row
        for row in curves(split)
        if row.get("average_precision") is not None
        and row.get("prevalence") not in (None, 0, 1)  # of one kind any order is right
    ]
    if not rows:
        return
    words = []
    for row in rows:
        bound = row.get("average_precision_error_bound") or 0.0
        if row["average_precision"] - bound <= row["prevalence"]:
            words.append(
                f"`{row['class']}` (average precision "
                f"{number(row['average_precision'])} ± {number(bound)}, prevalence "
                f"{number(row['prevalence'])})"
            )
    if words:
        listed = ", ".join(words)
        words = f"Pixels are NOT ranked better than by chance on {split['name']} for "
        yield Claim(answer="no", text=f"{words}{listed}.")
    else:
        each = text.plural(len(rows), "class", "classes")
        low = min(rows, key=lambda row: row["average_precision"])
        words = (
            f"Pixels of each of {each} are ranked better than by chance on "
            f"{split['name']}; the lowest average precision, of `{low['class']}`: "
            f"{number(low['average_precision'])} against a prevalence of "
            f"{number(low['prevalence'])}."
        )
        yield Claim(answer="yes", text=words)
