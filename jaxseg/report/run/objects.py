"""Shows how objects were found and counted, in the order in which they are read."""

from typing import Any

from jaxseg.report import blocks, object_numbers, text
from jaxseg.report.blocks import Block, folded, pairs, paragraph, table
from jaxseg.report.object_numbers import amount, span, value
from jaxseg.report.read import Run, Split
from jaxseg.report.run import object_density, object_plots, worst_objects
from jaxseg.report.text import number
from jaxseg.run_directory.object_schemas import ObjectResult

_NOT_BEATEN = "NOT BEATEN"
_UNTITLED = {"title": ""}  # a table whose title its fold has
_BETTER = {"higher": "higher is better", "lower": "lower is better"}
_BETTER |= {"zero": "zero is best"}
_AGREEMENT = {
    "mae": "Mean absolute error, objects an image",
    "mean_relative_error_positives": "Mean relative error",
    "bias": "Bias (predicted - true), objects an image",
    "sd": "Standard deviation of predicted - true",
    "low": "Lower limit of agreement",
    "high": "Upper limit of agreement",
    "r2": "R²",
}
_SIGNED = ("bias", "low", "high")
_SHARES = {"mean_relative_error_positives": "percent", "r2": "score"}


def section(run: Run) -> list[Block | None]:
    """Everything about objects; [] for a run that looks for none.

    Raises DataError naming a picture of a worst image that cannot be read.
    """
    splits = [s for s in run["splits"].values() if object_numbers.of_split(s)]
    if not splits:
        return []
    split, *others = splits
    record = object_numbers.of_split(split)
    hidden = [_metrics(run, other) for other in others] + [_policies(record)]
    return [
        paragraph(_what_counts(split, record)),
        _metrics(run, split),
        *(folded(b["title"], [b | _UNTITLED]) for b in hidden),
        _rule(split, record),
        blocks.pictures(object_plots.drawn(split)),
        _agreement(split, record),
        _folded_thresholds(split, record),
        object_density.density(split, record),
        object_density.neighbours(split, record),
        *worst_objects.blocks_of(run, split, record),
    ]


def _what_counts(split: Split, record: ObjectResult) -> str:
    reasons = object_numbers.optimistic(split)
    words = f"Of {split['name']}. True objects: {record['truth']}"
    if record["truth"] != "object ids" and "touch" not in record["truth"]:
        words += ", so those that touch count as one"
    words += f". Predicted ones come from the rule `{record['rule']}`."
    return words + (f" OPTIMISTIC: {' and '.join(reasons)}." if reasons else "")


def _metrics(run: Run, split: Split) -> Block:
    """Every metric with its interval, support, and both baselines beside it."""
    record = object_numbers.of_split(split)
    names = [base["name"] for base in record["baselines"]]
    rows = []
    for metric in object_numbers.rows(split):
        name, cells = metric["name"], []
        bars = object_numbers.baselines(split, name)
        for base in names:
            bar = bars.get(base)
            cells.append((value(name, bar), _mark(metric, bar)))
        support = text.plural(metric["support_images"], "image")
        words = (text.label(name), f"`{name}`, {_BETTER[metric['better']]}")
        rows.append([words, _scored(metric), *cells, support])
    reasons = object_numbers.flattered(run, split)
    title = f"Objects on {split['name']}{' (OPTIMISTIC)' if reasons else ''}"
    heads = ["Metric", "Model, 95 %", *(_capital(text.label(n)) for n in names)]
    lead = _support(record)
    block = table([*heads, "Support"], rows, title=title, lead=lead)
    for cell in (cell for row in block["rows"] for cell in row):
        if cell["sub"] == _NOT_BEATEN:
            cell["bad"] = True
    return block | {"note": _metrics_note(record, reasons)}


def _mark(metric: dict[str, Any], bar: float | None) -> str:
    """What a baseline does to the claim that the model is better, in a word."""
    if bar is None or metric["value"] is None or metric["better"] == "zero":
        return ""
    words = {"yes": "", "unclear": "within the interval", "no": _NOT_BEATEN}
    return words[object_numbers.beats(metric, bar)]


def _scored(metric: dict[str, Any]) -> tuple[str, str]:
    if metric["value"] is None:
        return f"{text.UNDEFINED} (support {metric['support_images']:,})", ""
    return value(metric["name"], metric["value"]), span(metric)


def _capital(words: str) -> str:
    return words[:1].upper() + words[1:]


def _support(record: ObjectResult) -> str:
    support = record["support"]
    return (
        f"{text.plural(support['images'], 'image')} with an object in truth or "
        f"prediction; {text.plural(support['true_objects'], 'true object')}, "
        f"{number(support['predicted_objects'], 'count')} predicted."
    )


def _metrics_note(record: ObjectResult, reasons: list[str]) -> str:
    note = "Intervals: 95 % bootstrap over images. NOT BEATEN: the baseline is at "
    note += "least as good as the model; within the interval: the model is better, but "
    note += "not by its whole interval. One image alone has no interval. "
    if reasons:
        note += f"Optimistic: {' and '.join(reasons)}. "
    for base in record["baselines"]:
        if base["detail"]:
            note += f"{_capital(text.label(base['name']))}: {base['detail']}. "
    return note.replace(".. ", ". ").strip()


def _policies(record: ObjectResult) -> Block:
    body = [[f"`{row['name']}`", row["policy"]] for row in record["metrics"]]
    title = "What each metric of objects counts"
    return table(["Metric", "Policy"], body, title=title)


def _rule(split: Split, record: ObjectResult) -> Block:
    """The settings of the rule, what they were chosen for, and on which split."""
    reasons = object_numbers.optimistic(split)
    source = record["source_split"]
    rows = [
        ("rule", record["rule"]),
        *(text.flat(record["settings"]) if record["settings"] else []),
        *(text.flat(record["cleaning"], "cleaning") if record["cleaning"] else []),
        ("chosen to maximise", f"`{record['objective']}`"),
        ("its value there", number(record["value"])),
        ("chosen on", f"{source} (OPTIMISTIC: these images)" if reasons else source),
        ("applied to", split["name"]),
    ]
    return pairs("The rule of objects", rows)


def _agreement(split: Split, record: ObjectResult) -> Block:
    agreed = record["agreement"]
    rows = []
    for name, words in _AGREEMENT.items():
        shown = amount(agreed[name], sign=name in _SIGNED)
        if name in _SHARES:
            shown = number(agreed[name], _SHARES[name])
        rows.append([(words, agreed["policy"].get(name, "")), shown])
    lead = (
        f"{text.plural(agreed['images'], 'image')}, "
        f"{number(agreed['images_positive'], 'count')} of them with an object in the "
        f"truth; {text.plural(agreed['true_objects'], 'object')} there, "
        f"{number(agreed['predicted_objects'], 'count')} predicted."
    )
    title = f"Agreement of counts on {split['name']}"
    return table(["Measure", "Value"], rows, title=title, lead=lead)


def _folded_thresholds(split: Split, record: ObjectResult) -> Block:
    rows = [
        [f"`{name}`", *map(number, values)]
        for name, values in record["by_threshold"].items()
    ]
    heads = ["Score at IoU", *(f"{at:g}" for at in record["thresholds"])]
    title = f"Every score of objects over IoU thresholds on {split['name']}"
    return folded(title, [table(heads, rows)])
