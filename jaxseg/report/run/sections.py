"""The sections of a report, each a title and its blocks, in reading order.

What a reader asks first stands open: how training went, the numbers that matter, cases,
calibration, data. Everything else is closed until it is opened.
"""

from collections.abc import Sequence
from typing import Any

from jaxseg.report import blocks, class_numbers, derived_numbers, text
from jaxseg.report.blocks import Block, Card, Claim, folded, paragraph, pictures
from jaxseg.report.read import Run, Split, pick
from jaxseg.report.run import (
    calibration,
    cases,
    class_curves,
    class_examples,
    class_table,
    conformal,
    cost,
    data_card,
    evidence,
    image_classes,
    image_level,
    key_metrics,
    object_claims,
    objects,
    other_data,
    pixel_rules,
    plots,
    settings,
    surfaces,
    tables,
    training,
    training_labels,
    two_stage,
)
from jaxseg.report.text import number

_UNTITLED = {"title": ""}  # a table whose title its fold has
_OPEN = ("training", "metrics", "cases", "calibration", "data")
_CASES = 6  # that stand open
_CARDS = 3

# of a run that learned pixels: one of whole images alone shows their cases as such
_OF_PIXELS = ("results", "objects", "curves", "surfaces", "rules")
_OF_PIXELS += ("calibration_more", "images", "class_cases")


def sections(
    run: Run, examples: list[dict[str, Any]], tested: Sequence[Claim] = ()
) -> list[Block]:
    """[{"id", "title", "blocks", "closed"}] without what the run has no numbers for.

    `examples` are those of `cases`, or of `class_examples` for a run that learned no
    pixels; `tested` are the claims.
    """
    split = derived_numbers.main_split(run)
    made = [
        ("training", "Training", training.curves),
        ("metrics", "Results", _metrics),
        ("cases", "Cases", lambda _: _cases(split, examples)),
        ("calibration", "Calibration", _calibration),
        ("data", "Data and class balance", _data),
        ("claims", _tested_in_words(tested), lambda _: _claims(tested)),
        ("results", "Every metric, validation too", _results),
        ("two_stage", "Classify, then segment", two_stage.blocks),
        ("image_classes", "Image classes", image_classes.blocks),
        ("evidence", "What the answers rest on", evidence.blocks),
        ("class_cases", "Cases by class", _class_cases),
        ("objects", "Objects", objects.section),
        ("curves", "Precision and recall", _curves),
        ("surfaces", "Surfaces and detection", surfaces.blocks),
        ("rules", "By rule and threshold", _rules),
        ("calibration_more", "Calibration on other splits", _more_calibration),
        ("images", "Image level", _images),
        ("cases_more", "More cases", lambda _: _more_cases(split, examples)),
        ("other_data", "Other data", other_data.blocks_of),
        ("training_more", "Training in detail", training.details),
        ("labels", "Labels", training_labels.blocks),
        ("config", "Configuration", settings.config),
        ("cost", "Cost of a prediction", cost.blocks),
        ("environment", "Environment", settings.environment),
    ]
    if not derived_numbers.pixels_trained(split):
        made = [row for row in made if row[0] not in _OF_PIXELS]
    closed = [key for key, *_ in made if key not in _OPEN]
    listed = ((key, title, make(run)) for key, title, make in made)
    return blocks.sections(listed, closed=closed)


def _metrics(run: Run) -> list[Block | None]:
    """One table of the metrics that matter; of several classes each of them first."""
    split = derived_numbers.main_split(run)
    each = [class_table.of_split(run, split)] if class_numbers.several(split) else []
    if not derived_numbers.pixels_trained(split):
        each = image_classes.each_class([split])
    return [*each, key_metrics.table_of(run, split)]


def _cases(split: Split, examples: list[dict[str, Any]]) -> list[Block | None]:
    """The first of each kind of case."""
    if not examples:
        return []
    shown = _first_of_each(examples)
    if not derived_numbers.pixels_trained(split):
        return class_examples.section(split, shown)
    legend = blocks.legend(cases.legend(split))
    return [paragraph(cases.order_in_words(split)), legend, blocks.cases(shown)]


def _first_of_each(examples: list[dict[str, Any]]) -> list[dict[str, Any]]:
    """At most _CASES examples in their order: the end of each role, then the next.

    Of the worst the last is the end, of all other roles the first.
    """
    roles = list(dict.fromkeys(case["role"] for case in examples))
    queues = {role: [c for c in examples if c["role"] == role] for role in roles}
    if "worst" in queues:
        queues["worst"].reverse()
    deepest = max(map(len, queues.values()))
    turns = (q[i] for i in range(deepest) for q in queues.values() if i < len(q))
    chosen = [case["title"] for case, _ in zip(turns, range(_CASES), strict=False)]
    return [case for case in examples if case["title"] in chosen]


def _more_cases(split: Split, examples: list[dict[str, Any]]) -> list[Block | None]:
    if len(examples) <= _CASES:
        return []
    shown = _first_of_each(examples)
    rest = [case for case in examples if case not in shown]
    if not derived_numbers.pixels_trained(split):
        return [blocks.cases(rest)]
    return [blocks.legend(cases.legend(split)), blocks.cases(rest)]


def _calibration(run: Run) -> list[Block | None]:
    split = derived_numbers.main_split(run)
    if not derived_numbers.pixels_trained(split):
        return image_classes.calibration([split])
    if class_numbers.several(split):
        return class_curves.reliability([split])
    return [*calibration.blocks([split]), conformal.words(split)]


def _more_calibration(run: Run) -> list[Block | None]:
    split, *others = run["splits"].values()
    if class_numbers.several(split):
        return class_curves.reliability(others, drawn=False)
    return calibration.blocks(others, drawn=False)


def _data(run: Run) -> list[Block | None]:
    return [*data_card.blocks(run), image_classes.support(run)]


def _tested_in_words(tested: Sequence[Claim]) -> str:
    """How many sentences were tested, and with which answer."""
    given = [claim["answer"] for claim in tested]
    words = {"yes": "passed", "unclear": "open", "no": "failed"}
    parts = (f"{given.count(key)} {word}" for key, word in words.items())
    return f"What was tested: {', '.join(parts)}"


def _claims(tested: Sequence[Claim]) -> list[Block | None]:
    return [blocks.claims(tested)] if tested else []


def _results(run: Run) -> list[Block | None]:
    splits = list(run["splits"].values())
    split = derived_numbers.main_split(run)
    policies = tables.policies(split)
    metrics = [tables.metrics(run, each) for each in splits]
    if not class_numbers.several(split):
        point = tables.operating_point(run)
        return [*metrics, policies, point]
    means = [tables.metrics(run, each, mean_only=True) for each in splits]
    listed = [
        folded(f"{table['title']}: every metric of every class", [table | _UNTITLED])
        for table in metrics
    ]
    counted = folded(policies["title"], [policies | _UNTITLED])
    return [*class_table.blocks(run), *filter(None, means), *listed, counted]


def _curves(run: Run) -> list[Block | None]:
    table = tables.precision_recall(run)
    if table is None:
        return class_curves.ranking(run)
    split = derived_numbers.main_split(run)
    return [table, pictures([plots.precision_recall(run), plots.thresholds(split)])]


def _rules(run: Run) -> list[Block | None]:
    return pixel_rules.blocks(derived_numbers.main_split(run))


def _images(run: Run) -> list[Block | None]:
    split = derived_numbers.main_split(run)
    splits = run["splits"].values()
    negatives = (derived_numbers.confusion(s)["negative"] for s in splits)
    if not any(negatives) and not any(map(image_level.of_split, splits)):
        images = text.plural(len(split["images"]), "image")
        words = (
            f"Each of the {images} of {split['name']} has foreground: no image should "
            "be left empty, so images found, false alarms and the ranking of images "
            "are not reported."
        )
        return [paragraph(words), pictures(plots.images(split))]
    return [
        *image_level.blocks(run),
        tables.image_level(run),
        tables.image_curves(run),
        pictures(plots.images(split)),
        tables.false_positives(split),
    ]


def _class_cases(run: Run) -> list[Block | None]:
    split = derived_numbers.main_split(run)
    return class_examples.section(split, class_examples.cases(split))


def cards(run: Run) -> list[Card]:
    """The three numbers to remember, each with what it stands against."""
    split = derived_numbers.main_split(run)
    if not derived_numbers.pixels_trained(split):
        return image_classes.cards(split, _CARDS)
    if image_level.alone(split):
        return image_level.cards_alone(split)
    if class_numbers.several(split):
        pixels = class_table.cards(run, split)
    else:
        rows = derived_numbers.headline(run, split)[:1]
        names = (text.label(row["name"]) for row in rows)
        pixels = [
            tables.score_card(name, split, row)
            for name, row in zip(names, rows, strict=True)
        ]
    listed = [*object_claims.cards(split), *pixels, *image_level.cards(split)]
    listed += image_classes.cards(split, 1)
    curve = pick(split["result"], "curves", "pixel") or {}
    precision, base = curve.get("average_precision"), curve.get("prevalence")
    if precision is not None and base not in (0, 1):
        against = f"prevalence: {number(base)}"
        listed.append(Card("Average precision", number(precision), against))
    images = derived_numbers.confusion(split)
    if images["positive"] and images["negative"]:
        value = f"{images['hit']} / {images['positive']}"
        against = f"{images['false_alarm']} of {images['negative']} empty images"
        against = f"false positives: {against}"
        listed.append(Card("Positive images found", value, against))
    return [*listed, *_filling(split)][:_CARDS]


def _filling(split: Split) -> list[Card]:
    """Numbers of pixels for a run that has fewer than three of its own."""
    wanted = class_numbers.several(split)
    rows = derived_numbers.foreground_rows(split)
    rows = [r for r in rows if not wanted or r["class"] == derived_numbers.MEAN]
    rows = [r for r in rows if r["name"] in ("iou_pooled", "recall_pooled")]
    return [tables.score_card(text.label(r["name"]), split, r) for r in rows]
