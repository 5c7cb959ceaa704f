"""Tables of a report as plain data; the templates turn them into Markdown and HTML."""

from typing import Any

from jaxseg.report import derive, text
from jaxseg.report.read import Run, Split, pick
from jaxseg.report.text import number

Table = dict[str, Any]


def table(
    heads: list[str], rows: list[list[Any]], *, title: str = "", note: str = ""
) -> Table:
    """A table block; the first column is text, a (main, small) cell has two lines."""
    pairs = [[c if isinstance(c, tuple) else (c, "") for c in row] for row in rows]
    cells = [[{"main": main, "sub": sub} for main, sub in row] for row in pairs]
    return {
        "kind": "table",
        "title": title,
        "heads": heads,
        "rows": cells,
        "note": note,
    }


def metrics(run: Run, split: Split) -> Table:
    """Every metric with interval, baselines beside it, support and policy."""
    rows = derive.metric_rows(split)
    names = [b["name"] for b in split["result"].get("baselines") or []]
    many = len({r["class"] for r in rows}) > 1
    body = []
    for row in rows:
        known = derive.baselines(split, row)
        support = number(row["support_images"], "count") + " images"
        pixels = number(row["support_pixels"], "count") + " pixels"
        body.append(
            [
                (text.label(row["name"]), f"`{row['name']}`: {row['policy']}"),
                *([row["class"]] if many else []),
                text.scored(row),
                *(number(known[name]) for name in names),
                (support, pixels),
            ]
        )
    heads = ["Metric and policy", *(["Class"] if many else []), "Model [95 %]"]
    reasons = derive.optimistic(run, split)
    note = "Intervals: 95 % bootstrap over images. "
    if reasons:
        note += f"Optimistic: {' and '.join(reasons)}. "
    for base in split["result"].get("baselines") or []:
        if base.get("detail"):
            note += f"{text.label(base['name']).capitalize()}: {base['detail']}. "
    columns = [*heads, *(text.label(n) for n in names), "Support"]
    mark = " (optimistic)" if reasons else ""
    title = f"{split['name'].capitalize()}{mark}"
    return table(columns, body, title=title, note=note.replace(".. ", ". ").strip())


def precision_recall(run: Run) -> Table | None:
    """Average precision, prevalence and best F1 of every split with a pixel curve."""
    splits = [s for s in run["splits"].values() if pick(s["result"], "curves", "pixel")]
    if not splits:
        return None
    rows = []
    for split in splits:
        curve = split["result"]["curves"]["pixel"]
        best = derive.nearest(split["pr"], curve.get("best_f1_threshold"))
        ap, bound = curve.get("average_precision"), "average_precision_error_bound"
        rows.append(
            [
                split["name"],
                (number(ap), f"± {number(curve.get(bound))}"),
                number(curve.get("prevalence")),
                number(curve.get("pr_auc_trapezoid")),
                number(curve.get("roc_auc")),
                number(curve.get("best_f1")),
                number(best.get("precision")),
                number(best.get("recall")),
                number(curve.get("best_f1_threshold")),
                (number(curve.get("support_pixels"), "count"), "pixels"),
            ]
        )
    heads = ["Split", "Average precision", "Prevalence", "PR-AUC (trapezoid)"]
    heads += ["ROC-AUC", "Best F1", "its precision", "its recall", "its threshold"]
    note = (
        "Average precision is the step-wise sum; ± bounds the error of its histogram. "
        "Prevalence is what a constant score reaches. Best F1 is read off the curve of "
        "the same split: a limit, not a result."
    )
    return table([*heads, "Support"], rows, title="Pixel curves", note=note)


def operating_point(run: Run) -> Table | None:
    """Threshold and minimum area, what they were chosen for, and on which split."""
    rows = []
    for split in run["splits"].values():
        point = split["result"].get("operating_point")
        if point:
            rows.append(
                [
                    split["name"],
                    number(point.get("threshold")),
                    f"{number(point.get('min_area'), 'count')} pixels",
                    f"`{point.get('objective') or 'not recorded'}`",
                    number(point.get("value")),
                    point.get("source_split") or "not recorded",
                ]
            )
    heads = ["Applied to", "Threshold", "Minimum area", "Chosen to maximise"]
    heads += ["reaching there", "Chosen on"]
    return table(heads, rows, title="Operating point") if rows else None


def image_level(run: Run) -> Table:
    """Images found, missed and wrongly marked; curves over the image score."""
    rows = []
    for split in run["splits"].values():
        seen = derive.confusion(split)
        curve = pick(split["result"], "curves", "image") or {}
        positive = seen["hit"] + seen["missed"]
        negative = seen["false_alarm"] + seen["clean"]
        found = seen["hit"] / positive if positive else None
        spared = seen["clean"] / negative if negative else None
        rows.append(
            [
                split["name"],
                (number(found, "percent"), f"{seen['hit']} of {positive}"),
                (number(spared, "percent"), f"{seen['clean']} of {negative}"),
                number(seen["false_alarm"], "count"),
                number(curve.get("average_precision")),
                number(curve.get("prevalence")),
                number(curve.get("roc_auc")),
                f"{number(curve.get('support_images'), 'count')} images",
            ]
        )
    heads = ["Split", "Positive images found", "Empty images left clean"]
    heads += ["False positives", "Average precision", "Prevalence", "ROC-AUC"]
    note = "Found and clean: any predicted pixel at the operating point. "
    score = pick(derive.main_split(run)["result"], "curves", "image", "score")
    note += f"Score of the curves: {score}." if score else ""
    return table([*heads, "Support"], rows, title="Image level", note=note.strip())


def false_positives(split: Split, most: int = 8) -> Table | None:
    """The empty images with the largest wrong prediction."""
    rows = [r for r in split["images"] if r["positive"] != 1 and r["predicted_pixels"]]
    rows.sort(key=lambda r: (-r["predicted_pixels"], r["id"]))
    if not rows:
        return None
    body = [
        [
            f"`{r['id']}`",
            number(r["predicted_pixels"], "count"),
            number(r.get("max_probability")),
        ]
        for r in rows[:most]
    ]
    title = f"False positives on {split['name']}"
    note = f"The {len(body)} largest of {len(rows)}." if len(rows) > most else ""
    heads = ["Image", "Predicted pixels", "Highest probability"]
    return table(heads, body, title=title, note=note)


def progression(run: Run) -> Table | None:
    """Best validation value in each tenth of the run."""
    name = derive.selection_column(run)
    if name is None:
        return None
    rows = [
        [
            f"{r['first']:g} to {r['last']:g}",
            number(r["best"]),
            number(r["at"], "count"),
            number(r["loss"]),
            number(r["validated"], "count"),
        ]
        for r in derive.progression(run, name)
    ]
    heads = ["Epochs", f"Best `{name}`", "in epoch", "Mean training loss"]
    return table([*heads, "Times validated"], rows, title="Progression")


def pairs(title: str, rows: list[tuple[str, str]]) -> Table:
    """A two-column table of names and values."""
    return table(["Setting", "Value"], [list(r) for r in rows], title=title)
