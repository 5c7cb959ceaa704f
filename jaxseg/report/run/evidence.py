"""Shows what answers on whole images rest on: with and without the object, and where.

Each part is there where the run was asked for it (config.eval.shortcut, .localise).
"""

from collections.abc import Iterator

from jaxseg.report import text
from jaxseg.report.blocks import Block, Claim, table
from jaxseg.report.read import Run, Split
from jaxseg.report.text import number
from jaxseg.run_directory.evidence_schemas import Localisation, Shortcut, ShortcutRow

_INPUTS = {
    "as_is": "as they are",
    "erased": "without the object",
    "only": "with nothing but the object",
}


def blocks(run: Run) -> list[Block | None]:
    """The tables of all splits; [] of a run that was not asked."""
    return [_shortcut(run), _localisation(run)]


def _shortcut(run: Run) -> Block | None:
    rows, notes = [], []
    for split in run["splits"].values():
        record: Shortcut | None = split["result"].get("shortcut")
        if record is None:
            continue
        for row in record["rows"]:
            each = [number(c["roc_auc"]) for c in row["classes"]]
            mean = (number(row["roc_auc_mean"]), text.span(row))
            support = text.plural(record["images"], "image")
            rows.append([(_INPUTS[row["input"]], split["name"]), mean, *each, support])
        names = [c["name"] for c in record["rows"][0]["classes"]]
        out = ""
        if record["left_out"]:
            left = text.plural(record["left_out"], "image")
            out = f"; {left} in which none of it, or all, is marked left out"
        erased = ", ".join(record["erased"])
        notes.append(f"{split['name']}: the object is {erased}{out}")
        rule = record["rule"]
    if not rows:
        return None
    note = (
        f"{'; '.join(notes)}. What is covered, and 3 % of the longer side around the "
        "object, has the mean grey of what stays. Intervals: 95 % bootstrap over "
        f"groups of images. Rule: {rule}."
    )
    heads = ["Images, split", "AUROC, mean", *names, "Support"]
    return table(heads, rows, title="Whole images without their object", note=note)


def _localisation(run: Run) -> Block | None:
    rows, policy = [], ""
    for split in run["splits"].values():
        record: Localisation | None = split["result"].get("localisation")
        if record is None:
            continue
        policy = record["policy"]
        span = text.span(record)
        rows.append(
            [
                (f"{record['image_class']} in {record['mask_class']}", split["name"]),
                (number(record["value"]), span),
                number(record["chance"]),
                f"{record['hits']} of {record['images']}",
                number(record["flat"], "count"),
                f"{number(record['tolerance'], 'plain')} px",
            ]
        )
    heads = ["Class in mask, split", "Hits, share", "By chance", "Hits", "No maximum"]
    note = f"Pointing game (Zhang et al., 2016) with Grad-CAM: {policy}."
    title = "Where the classifier looks"
    return table([*heads, "Tolerance"], rows, title=title, note=note) if rows else None


def claims(split: Split) -> Iterator[Claim]:
    """Does the score need the object, and does the map lie on it?"""
    if record := split["result"].get("shortcut"):
        yield _needs_object(split, record)
    record = split["result"].get("localisation")
    if record and record["value"] is not None:
        yield _looks(split, record)


def _needs_object(split: Split, record: Shortcut) -> Claim:
    whole, without = record["rows"][:2]
    answer, words = {
        "kept": ("no", "KEEPS its score without the object"),
        "lost": ("yes", "loses its score without the object"),
        "unclear": ("unclear", "may keep its score without the object"),
        "no_score": ("unclear", "has no score that it could keep without the object"),
        "undefined": ("unclear", "has no interval to be judged by without the object"),
    }[record["verdict"]]
    erased = ", ".join(f"`{name}`" for name in record["erased"])
    words = (
        f"The classifier of whole images {words} ({erased} covered): AUROC "
        f"{_area(without)} against {_area(whole)} as they are "
        f"({split['name']}, {text.plural(record['images'], 'image')})."
    )
    if record["verdict"] == "kept":
        words += " It has learned something else than the object: look for a shortcut."
    return Claim(answer=answer, text=words)


def _area(row: ShortcutRow) -> str:
    return text.interval(row["roc_auc_mean"], row["low"], row["high"])


def _looks(split: Split, record: Localisation) -> Claim:
    above = record["low"] > record["chance"]
    answer = "yes" if above else "no" if record["value"] <= record["chance"] else ""
    words = {
        "yes": "looks more often than by chance",
        "no": "looks NOT more often than by chance",
        "": "may look more often than by chance",
    }[answer]
    shown = text.interval(record["value"], record["low"], record["high"])
    words = (
        f"For `{record['image_class']}` the classifier {words} at "
        f"`{record['mask_class']}`: in {record['hits']} of {record['images']} images "
        f"of {split['name']}, {shown} against {number(record['chance'])}."
    )
    return Claim(answer=answer or "unclear", text=words)
