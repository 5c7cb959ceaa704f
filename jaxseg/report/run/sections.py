"""The sections of a report, each a title and its blocks, in reading order."""

import json
from typing import Any

from jaxseg.report import (
    blocks,
    class_numbers,
    derived_numbers,
    text,
)
from jaxseg.report.blocks import (
    Block,
    Card,
    code,
    columns,
    folded,
    pairs,
    paragraph,
    pictures,
    table,
)
from jaxseg.report.read import Run, pick
from jaxseg.report.run import (
    calibration,
    cases,
    class_curves,
    class_examples,
    class_plots,
    class_table,
    conformal,
    cost,
    data_card,
    evidence,
    image_classes,
    image_level,
    object_claims,
    objects,
    other_data,
    pixel_rules,
    plots,
    surfaces,
    tables,
    training_labels,
    two_stage,
)
from jaxseg.report.text import number, plain

_CONFIG = {  # blocks of the config that come first, in this order
    "model": "Model",
    "optim": "Training",
    "loss": "Loss",
    "sampler": "Sampling",
    "augment": "Augmentation",
    "data": "Data",
}
_UNTITLED = {"title": ""}  # a table whose title its fold has


# of pixels: a run that learned classes of whole images alone has none of them
_OF_PIXELS = ("results", "objects", "curves", "surfaces", "rules", "calibration")
_OF_PIXELS += ("images", "cases")


def sections(run: Run, examples: list[dict[str, Any]]) -> list[Block]:
    """[{"id", "title", "blocks"}] without blocks that the run has no numbers for."""
    split = derived_numbers.main_split(run)
    listed = [
        ("results", "Results", _results),
        ("two_stage", "Classify, then segment", two_stage.blocks),
        ("image_classes", "Image classes", image_classes.blocks),
        ("evidence", "What the answers rest on", evidence.blocks),
        ("class_cases", "Cases by class", _class_cases),
        ("objects", "Objects", objects.section),
        ("curves", "Precision and recall", _curves),
        ("surfaces", "Surfaces and detection", surfaces.blocks),
        ("rules", "By rule and threshold", _rules),
        ("calibration", "Calibration", _calibration),
        ("images", "Image level", _images),
        ("cases", "Cases", lambda run: _cases(run, examples)),
        ("other_data", "Other data", other_data.blocks_of),
        ("training", "Training", _training),
        ("labels", "Labels", training_labels.blocks),
        ("data", "Data and class balance", _data),
        ("config", "Configuration", _config),
        ("cost", "Cost of a prediction", cost.blocks),
        ("environment", "Environment", _environment),
    ]
    if not derived_numbers.pixels_trained(split):
        listed = [row for row in listed if row[0] not in _OF_PIXELS]
    return blocks.sections((key, title, made(run)) for key, title, made in listed)


def _results(run: Run) -> list[Block | None]:
    splits = list(run["splits"].values())
    policies = tables.policies(derived_numbers.main_split(run))
    metrics = [tables.metrics(run, split) for split in splits]
    if not class_numbers.several(derived_numbers.main_split(run)):
        return [*metrics, policies, tables.operating_point(run)]
    means = [tables.metrics(run, split, mean_only=True) for split in splits]
    each = [
        folded(f"{table['title']}: every metric of every class", [table | _UNTITLED])
        for table in metrics
    ]
    listed = folded(policies["title"], [policies | _UNTITLED])
    return [*class_table.blocks(run), *filter(None, means), *each, listed]


def _curves(run: Run) -> list[Block | None]:
    table = tables.precision_recall(run)
    if table is None:
        return class_curves.ranking(run)
    split = derived_numbers.main_split(run)
    return [table, pictures([plots.precision_recall(run), plots.thresholds(split)])]


def _rules(run: Run) -> list[Block | None]:
    return pixel_rules.blocks(derived_numbers.main_split(run))


def _calibration(run: Run) -> list[Block | None]:
    split = derived_numbers.main_split(run)
    if class_numbers.several(split):
        return class_curves.reliability(run)
    return [*calibration.blocks(run), conformal.words(split)]


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


def _cases(run: Run, examples: list[dict[str, Any]]) -> list[Block | None]:
    if not examples:
        return []
    split = derived_numbers.main_split(run)
    legend = blocks.legend(cases.legend(split))
    return [paragraph(cases.order_in_words(split)), legend, blocks.cases(examples)]


def _class_cases(run: Run) -> list[Block | None]:
    split = derived_numbers.main_split(run)
    return class_examples.section(split, class_examples.cases(split))


def _training(run: Run) -> list[Block | None]:
    facts = [
        ("parameters", number(run["info"].get("params"), "count")),
        ("images a step", number(run["info"].get("batch_size"), "count")),
        ("steps an epoch", number(run["info"].get("steps_per_epoch"), "count")),
        ("steps", number(run["info"].get("total_steps"), "count")),
        ("epochs", number(len(run["history"]), "count")),
        ("images seen", number(run["info"].get("images_seen"), "count")),
    ]
    best = run["info"].get("best")
    if best:
        value = f"`{best.get('metric')}` {number(best.get('value'))}"
        where = f"epoch {number(best.get('epoch'), 'count')}"
        value += " after the epoch, at threshold 0.5 or of the most probable class"
        facts.append(("best checkpoint", f"{where}: {value}"))
    if run["info"].get("early_stop"):
        facts.append(("ended", run["info"]["early_stop"]["words"]))
    for change in run["info"].get("changes") or []:
        words = f"`{change['key']}` from {change['before']} to {change['after']}"
        facts.append((f"changed at step {number(change['step'], 'count')}", words))
    drawn = [plots.progression(run), *plots.training(run), *class_plots.history(run)]
    words = pairs("The run", facts)
    return [words, tables.progression(run), pictures(drawn)]


def _data(run: Run) -> list[Block | None]:
    card = run["info"].get("dataset") or {}
    sizes = card.get("sizes") or {}
    smallest, largest = (
        " x ".join(number(s, "count") for s in sizes.get(key) or []) or text.UNDEFINED
        for key in ("min", "max")
    )
    distinct = number(sizes.get("distinct"), "count")
    keys = ("name", "version", "created", "source", "classes", "channels", "dtype")
    facts = [(k, plain(card[k])) for k in keys if k in card]
    span = f"{smallest} to {largest} (height x width), {distinct} distinct"
    facts += [("sizes", span), ("split rule", plain(card.get("split_rule")))]
    facts += text.flat(card["extra"]) if card.get("extra") else []
    refused = card.get("refused") or []
    facts.append(("refused files", number(len(refused), "count")))
    listed = "\n".join(f"{r.get('file')}: {r.get('reason')}" for r in refused)
    return [
        pairs("Data card", facts),
        folded("Refused files", [code(listed)]) if refused else None,
        data_card.splits(card),
        data_card.balance(run),
        data_card.class_balance(run),
        data_card.image_class_balance(run),
        image_classes.support(run),
        data_card.class_weights(card, run["config"]),
    ]


def _config(run: Run) -> list[Block | None]:
    """Shows the larger blocks first, then the rest, then all of it as JSON."""
    config, grouped = run["config"], {}
    for key in sorted(config, key=lambda k: (list(_CONFIG) + [k]).index(k)):
        nested = isinstance(config[key], dict)
        title = _CONFIG.get(key, key.capitalize()) if nested else "General"
        grouped.setdefault(title, []).extend(text.flat(config[key], key))
    general = grouped.pop("General", [])
    if general:
        grouped["General"] = general
    whole = json.dumps(config, indent=2, ensure_ascii=False)
    reasons = (config.get("auto") or {}).get("reasons") or []
    chosen = [
        [key, plain(pick(config, *key.split("."))), reason]
        for key, _, reason in (line.partition(": ") for line in reasons)
    ]
    heads = ["Setting", "Chosen", "Reason"]
    return [
        table(heads, chosen, title="Chosen from data and machine") if chosen else None,
        columns([pairs(title, rows) for title, rows in grouped.items()]),
        folded("Every setting that the run depends on", [code(whole)]),
    ]


def _environment(run: Run) -> list[Block | None]:
    info, history = run["info"], run["history"]
    seconds, images = info.get("seconds"), info.get("images_seen")
    speed = images / seconds if seconds and images is not None else None
    waits = [r["data_wait_share"] for r in history if r.get("data_wait_share")]
    facts = [(k, plain(info.get(k))) for k in ("recipe", "status", "git", "platform")]
    facts += [
        ("created", plain(info.get("created"))),
        ("finished", plain(info.get("finished"))),
        ("wall time", number(seconds, "seconds")),
        ("images per second", number(speed, "plain")),
        ("waiting for data", number(max(waits, default=None), "percent") + " at worst"),
        ("resumed", plain(info.get("resumed"))),
        *text.flat(info.get("devices") or {}, "devices"),
    ]
    command = info.get("command")
    if isinstance(command, list):
        command = " ".join(str(word) for word in command)
    parts = [pairs("Run", facts)]
    if info.get("versions"):
        parts.append(pairs("Versions", text.flat(info["versions"])))
    return [
        columns(parts),
        _sources(run),
        folded("Command", [code(command)]) if command else None,
    ]


def _sources(run: Run) -> Block | None:
    """The recipe and the modules of the user's own; None of runs of before."""
    words = {(True, False): "committed", (True, True): "changed since it was committed"}
    rows = [
        [
            (f"`{name}`", row["kind"]),
            f"`{row['sha256'][:12]}`",
            words.get((row["tracked"], row["changed"]), "not in git"),
        ]
        for name, row in (run["info"].get("sources") or {}).items()
    ]
    heads = ["File or module", "SHA-256", "State"]
    title = "Recipe, and parts that the revision does not tell"
    return table(heads, rows, title=title) if rows else None


def cards(run: Run) -> list[Card]:
    """The few numbers to remember, each with what it stands against."""
    split = derived_numbers.main_split(run)
    if not derived_numbers.pixels_trained(split):
        return image_classes.cards(split)
    rows, many = derived_numbers.headline(run, split), class_numbers.several(split)
    listed = class_table.cards(run, split) if many else []
    for row in [] if many else rows[:4]:
        listed.append(tables.score_card(text.label(row["name"]), split, row))
    listed += object_claims.cards(split)
    listed += image_level.cards(split)
    listed += image_classes.cards(split, 1)
    curve = pick(split["result"], "curves", "pixel") or {}
    precision = curve.get("average_precision")
    if precision is not None:
        against = f"prevalence: {number(curve.get('prevalence'))}"
        listed.append(Card("Average precision", number(precision), against))
    images = derived_numbers.confusion(split)
    if images["positive"] and images["negative"]:
        value = f"{images['hit']} / {images['positive']}"
        against = f"{images['false_alarm']} of {images['negative']} empty images"
        against = f"false positives: {against}"
        listed.append(Card("Positive images found", value, against))
    return listed
