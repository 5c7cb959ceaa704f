"""Writes the page of all folds: what they were, the pooled scores, fold by fold."""

import math
import os
import pathlib
from typing import Any

from jaxseg.report import blocks, page, text
from jaxseg.report.blocks import Block, Card, Claim
from jaxseg.report.text import number
from jaxseg.run_directory import files, fold_schemas, summary
from jaxseg.run_directory.fold_schemas import FoldMember, OutOfFold

_GENERATOR = "jaxseg folds"
_OTHERS = "Single classes, and what is not defined"
_SHOWN = 4  # cards, and columns of scores in the table of folds


def result_path(workdir: str | os.PathLike) -> pathlib.Path:
    """The file of the pooled scores below the directory of all folds."""
    return pathlib.Path(workdir) / "eval" / "out_of_fold.json"


def is_root(workdir: str | os.PathLike) -> bool:
    """Whether a directory is that of folds whose scores were pooled."""
    return result_path(workdir).is_file()


def build(workdir: str | os.PathLike) -> dict[str, pathlib.Path]:
    """Writes report.md and report.html; returns {"markdown", "html"} -> path.

    The same files give the same bytes. Raises DataError naming a file that is missing
    or cannot be used.
    """
    path = result_path(workdir)
    pooled = files.read(path, fold_schemas.OutOfFold)
    written = page.write(content(pooled), pathlib.Path(workdir))
    return {kind: written[kind] for kind in ("markdown", "html")}


def content(pooled: OutOfFold) -> page.Page:
    """Collects what the page says, as plain data without an undefined value."""
    verdict = _verdict(pooled)
    return page.Page(
        generator=_GENERATOR,
        title=f"{pooled['name'] or 'run'}: {pooled['folds']} folds",
        facts=[
            fact
            for fact in (pooled["recipe"], pooled["dataset"])
            + (text.plural(pooled["images"], "image"), f"finished {pooled['finished']}")
            if fact
        ],
        verdict=verdict,
        warning="",
        cards=_cards(pooled),
        lead=[],
        claims=_claims(pooled),
        sections=blocks.sections(
            [
                ("results", "Results, all folds pooled", _results(pooled)),
                ("folds", "Fold by fold", _folds(pooled)),
                ("classes", "Classes", _classes(pooled)),
                ("how", "How it was done", _how(pooled)),
            ]
        ),
    )


def _metric(pooled: OutOfFold) -> str:
    """The metric that chose the members' steps, if folds have it, or pooled Dice."""
    has = any(row["name"] == pooled["metric"] for row in pooled["metrics"])
    return pooled["metric"] if has else "dice_pooled"


def _row(pooled: OutOfFold, name: str) -> dict[str, Any]:
    heads = summary.headline_class(pooled)
    pairs = ((r["name"], r["class"]) for r in pooled["metrics"])
    return pooled["metrics"][list(pairs).index((name, heads))]


def _own(member: FoldMember, metric: str) -> dict[str, Any]:
    """The row of a metric of one member; without a value where it has none."""
    nothing = {"name": metric, "value": None, "low": None, "high": None}
    return next((r for r in member["metrics"] if r["name"] == metric), nothing)


def _best_baseline(member: FoldMember, metric: str) -> tuple[str, float] | None:
    """(name, value) of the best rule without a model on the fold of a member."""
    values = {b["name"]: b["metrics"].get(metric) for b in member["baselines"]}
    defined = {name: value for name, value in values.items() if value is not None}
    best = max(defined, key=lambda name: defined[name], default=None)
    return None if best is None else (best, defined[best])


def _above(pooled: OutOfFold, metric: str) -> tuple[int, int]:
    """(folds whose member is above the best baseline there, folds that can say so)."""
    pairs = [
        (_own(member, metric)["value"], _best_baseline(member, metric))
        for member in pooled["members"]
    ]
    decided = [(v, best[1]) for v, best in pairs if v is not None and best is not None]
    return sum(value > best for value, best in decided), len(decided)


def _verdict(pooled: OutOfFold) -> Claim:
    metric = _metric(pooled)
    row, (above, decided) = _row(pooled, metric), _above(pooled, metric)
    words = (
        f"`{metric}` over all {number(pooled['images'], 'count')} images, each scored "
        f"by the member that never saw it, is {text.scored(row)}; "
    )
    if not decided:
        return Claim(answer="unclear", text=words + "no fold has a baseline of it.")
    words += (
        f"the member is above the best baseline of its own fold in {above} of "
        f"{text.plural(decided, 'fold')}."
    )
    answer = "yes" if above == decided else "unclear" if 2 * above > decided else "no"
    return Claim(answer=answer, text=words)


def _claims(pooled: OutOfFold) -> list[Claim]:
    """Do the folds agree with the pooled score, and has each something to find?"""
    metric = _metric(pooled)
    value, claims = _row(pooled, metric)["value"], []
    own = [_own(member, metric) for member in pooled["members"]]
    bounded = [row for row in own if None not in (row["low"], row["high"])]
    if value is not None and bounded:
        inside = sum(row["low"] <= value <= row["high"] for row in bounded)
        words = (
            f"The pooled `{metric}` lies within the interval of {inside} of "
            f"{text.plural(len(bounded), 'fold')}"
        )
        if inside == len(bounded):
            claims.append(Claim(answer="yes", text=f"{words}: the folds agree."))
        else:
            words += "; look at the images of the others first."
            claims.append(Claim(answer="unclear", text=words))
    empty = [m["name"] for m in pooled["members"] if not m["positive_images"]]
    claims.append(
        Claim(
            answer="no" if empty else "yes",
            text="Every fold has images with foreground."
            if not empty
            else f"NOT every fold has images with foreground: {', '.join(empty)}.",
        )
    )
    return claims


def _values(pooled: OutOfFold, metric: str) -> list[float]:
    values = (_own(member, metric)["value"] for member in pooled["members"])
    return [value for value in values if value is not None]


def _spread(pooled: OutOfFold, metric: str) -> str:
    """`0.612 ± 0.034, from 0.570 to 0.655` over folds; `n/a` without any value."""
    values = _values(pooled, metric)
    if not values:
        return text.UNDEFINED
    mean = math.fsum(values) / len(values)
    words = number(mean)
    if len(values) > 1:
        variance = math.fsum((v - mean) ** 2 for v in values) / (len(values) - 1)
        words += f" ± {number(math.sqrt(variance))}"
    return f"{words}, from {number(min(values))} to {number(max(values))}"


def _headlines(pooled: OutOfFold) -> list[str]:
    """The metrics that are shown of each fold, the selecting one first."""
    heads = summary.headline_class(pooled)
    there = [r["name"] for r in pooled["metrics"] if r["class"] == heads]
    wanted = dict.fromkeys((_metric(pooled), *summary.MAIN, "iou_pooled"))
    return [name for name in wanted if name in there][:_SHOWN]


def _cards(pooled: OutOfFold) -> list[Card]:
    cards = []
    for name in _headlines(pooled):
        row = _row(pooled, name)
        value = text.scored(row) if row["value"] is None else number(row["value"])
        against = f"folds: {_spread(pooled, name)}"
        if row["value"] is not None and text.span(row):
            against = f"95 %: {text.span(row)}. {against}"
        cards.append(Card(text.label(name), value, against))
    return cards


def _results(pooled: OutOfFold) -> list[Block | None]:
    bars = [b["name"] for b in pooled["baselines"]]
    heads = summary.headline_class(pooled)
    rows, others = [], []
    for row in pooled["metrics"]:
        name = text.label(row["name"]), f"`{row['name']}`, {row['class']}"
        value = text.scored(row) if row["value"] is None else number(row["value"])
        score, support = (value, text.span(row)), _images(row)
        if row["class"] != heads or row["value"] is None:
            others.append([name, score, support])
            continue
        against = (number(b["metrics"].get(row["name"])) for b in pooled["baselines"])
        rows.append([name, score, _spread(pooled, row["name"]), *against, support])
    share = pooled["positive_pixels"] / max(pooled["pixels"], 1)
    lead = (
        f"{text.plural(pooled['images'], 'image')} of "
        f"{text.plural(pooled['groups'], 'group')}, "
        f"{number(pooled['positive_images'], 'count')} with foreground, which is "
        f"{number(share, 'percent')} of {text.plural(pooled['pixels'], 'pixel')}."
    )
    note = (
        "Pooled: the counts of all images, each at the operating point of the member "
        "that tested it, scored as one set. Below it the 95 % bootstrap interval over "
        "groups of all images. Folds: mean ± standard deviation over members and their "
        "range; folds share training images, so no interval follows from it."
    )
    columns = ["Metric, class", "Pooled, 95 %", "Folds", *map(text.label, bars)]
    table = blocks.table([*columns, "Support"], rows, lead=lead, note=note)
    rest = blocks.table(["Metric, class", "Pooled, 95 %", "Support"], others)
    folded = [blocks.folded(_OTHERS, [rest])] if others else []
    policies = dict.fromkeys((r["name"], r["policy"]) for r in pooled["metrics"])
    body = [[f"`{name}`", policy] for name, policy in policies]
    listed = blocks.table(["Metric", "Policy"], body)
    return [table, *folded, blocks.folded("What each metric counts", [listed])]


def _images(row: dict[str, Any]) -> str:
    return text.plural(row["support_images"], "image")


def _folds(pooled: OutOfFold) -> list[Block | None]:
    metric, names = _metric(pooled), _headlines(pooled)
    rows = []
    for member in pooled["members"]:
        best = _best_baseline(member, metric)
        against = (number(best[1]), text.label(best[0])) if best else text.UNDEFINED
        rows.append(
            [
                (
                    f"`{member['name']}`",
                    f"validation: fold {member['validation_fold']}",
                ),
                (text.plural(member["images"], "image"), _tested(member)),
                (_point(member), f"step {number(member['step'], 'count')}"),
                *(_cell(_own(member, name)) for name in names),
                against,
            ]
        )
    heads = ["Member", "Tests", "Operating point"]
    heads += [text.label(name) for name in names]
    note = (
        f"The best baseline by `{metric}` of those scored without a model on the same "
        "fold; its name stands below. Each member has a report of its own."
    )
    links = [
        blocks.link(f"Report of {m['name']}", f"{m['name']}/report.html")
        for m in pooled["members"]
    ]
    return [blocks.table([*heads, "Best baseline"], rows, note=note), *links]


def _tested(member: FoldMember) -> str:
    groups = text.plural(member["groups"], "group")
    return f"{groups}, {number(member['positive_images'], 'count')} positive"


def _cell(row: dict[str, Any]) -> tuple[str, str]:
    return number(row["value"]), text.span(row) if row["value"] is not None else ""


def _point(member: FoldMember) -> str:
    point = member["operating_point"]
    if point is None:
        return "most probable class"
    if "threshold" in point:
        return f"threshold {number(point['threshold'])}"
    return str(point.get("rule") or "own rule")


def _classes(pooled: OutOfFold) -> list[Block | None]:
    if len(pooled["classes"]) == 2:
        return []
    rows = [
        [
            (row["class"], "NEVER PREDICTED" if row["never_predicted"] else ""),
            *(number(row[score]) for score in ("dice", "iou", "precision", "recall")),
            text.plural(row["support_images"], "image"),
            text.plural(row["support_pixels"], "pixel"),
        ]
        for row in pooled["class_table"]
    ]
    heads = ["Class", "Dice", "IoU", "Precision", "Recall", "Images", "Pixels"]
    return [blocks.table(heads, rows, note="Counts of all folds, divided once.")]


def _how(pooled: OutOfFold) -> list[Block | None]:
    n = pooled["folds"]
    rest = "the one other" if n == 3 else f"the {n - 2} others"
    words = (
        f"Dealt as {pooled['rule']}. Member k tests fold k, chooses its best step and "
        f"its operating point on fold (k + 1) mod {n}, and trains on {rest}: "
        "no image has a part in the model that scores it. Curves, calibration, borders "
        "and objects need the scores of one model: the reports of members have them."
    )
    if pooled["unlabelled"]:
        count = text.plural(len(pooled["unlabelled"]), "image")
        words += f" {count} without any label are tested in no fold."
    facts = [
        ("split", pooled["split"]),
        ("split hash", pooled["split_hash"]),
        ("seed of the dealing", number(pooled["seed"], "count")),
        ("scores of each image", "`eval/out_of_fold_per_image.csv`"),
    ]
    return [blocks.paragraph(words), blocks.pairs("Facts", facts)]
