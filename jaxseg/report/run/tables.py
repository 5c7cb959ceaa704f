"""The tables of a report of a run: metrics, curves, operating point, images."""

from typing import Any

from jaxseg.report import derived_numbers, text
from jaxseg.report.blocks import Block, Card, table
from jaxseg.report.read import Run, Split, pick
from jaxseg.report.text import number

_RULES = {
    "top threshold": "An image stays empty when fewer pixels than the minimum area are "
    "above the top threshold.",
    "gate": "An image stays empty when its highest probability is not above the gate.",
}
# what they count is all labelled pixels, not those of a class alone
_OF_EVERY_PIXEL = ("accuracy_pooled", "balanced_accuracy_pooled", "matthews_pooled")


def metrics(run: Run, split: Split, *, mean_only: bool = False) -> Block | None:
    """Every metric with its interval, baselines beside it, and its support.

    `mean_only` leaves out the rows of single classes; None where no others are left.
    """
    rows = derived_numbers.foreground_rows(split)
    if mean_only:
        rows = [row for row in rows if row["class"] == derived_numbers.MEAN]
        if not rows:
            return None
    names = [b["name"] for b in split["result"].get("baselines") or []]
    body = []
    for row in rows:
        bars = derived_numbers.baselines(split, row)
        support = number(row["support_images"], "count") + " images"
        counted = row["support_pixels"]
        if row["name"] in _OF_EVERY_PIXEL:
            counted = split["result"].get("pixels") or counted
        pixels = number(counted, "count") + " pixels"
        body.append(
            [
                (text.label(row["name"]), f"`{row['name']}`, {row['class']}"),
                scored_cell(row),
                *(number(bars[name]) for name in names),
                (support, pixels),
            ]
        )
    heads = ["Metric, class", "Model, 95 %"]
    reasons = derived_numbers.optimistic(run, split)
    note = "Intervals: 95 % bootstrap over images. "
    if reasons:
        note += f"Optimistic: {' and '.join(reasons)}. "
    for base in split["result"].get("baselines") or []:
        if base.get("detail"):
            note += f"{text.label(base['name']).capitalize()}: {base['detail']}. "
    columns = [*heads, *(text.label(n) for n in names), "Support"]
    mark = " (optimistic)" if reasons else ""
    mark += ", mean over classes" if mean_only else ""
    title = f"{split['name'].capitalize()}{mark}"
    note = note.replace(".. ", ". ").strip()
    return table(columns, body, title=title, lead=scored_on(split), note=note)


def support(split: Split, row: dict[str, Any]) -> str:
    """The images behind a metric of pixels, in words that say which these are."""
    images, name, result = row["support_images"], row["name"], split["result"]
    if images is None:
        return ""
    of_one = row["class"] not in (derived_numbers.MEAN, "all")
    of_one &= len(derived_numbers.classes(split)) > 2
    kind = f"`{row['class']}`" if of_one else "foreground"
    if name.endswith("_positives"):
        return f"{text.plural(images, 'image')} with {kind}"
    if name.endswith("_skip_empty"):
        return f"{text.plural(images, 'image')} with {kind} in truth or prediction"
    if name.endswith("_kaggle"):
        shown = _images_with(split, row) if of_one else result.get("positive_images")
        if shown is None:
            return text.plural(images, "image")
        return f"{text.plural(images, 'image')}, {number(shown, 'count')} with {kind}"
    if name.endswith("_pooled"):  # the counts of all images are summed
        every = text.plural(result["images"], "image")
        return f"{every}, {number(images, 'count')} with {kind}"
    return text.plural(images, "image")


def _images_with(split: Split, row: dict[str, Any]) -> int | None:
    """How many images show the class of a row."""
    rows = derived_numbers.metric_rows(split)
    named = (
        r for r in rows if (r["name"], r["class"]) == ("dice_pooled", row["class"])
    )
    return next((r["support_images"] for r in named), None)


def score_card(name: str, split: Split, row: dict[str, Any]) -> Card:
    """A metric with its interval, its support and the best baseline."""
    value = text.scored(row) if row["value"] is None else number(row["value"])
    against = support(split, row).replace("`", "")  # a card is plain text
    bars = derived_numbers.known_baselines(split, row)
    if bars:
        best = max(bars, key=lambda base: bars[base])
        against += f"; {text.label(best)}: {number(bars[best])}"
    if row["value"] is not None and text.span(row):
        against = f"95 %: {text.span(row)}. {against}"
    return Card(name, value, against)


def policies(split: Split) -> Block:
    """What every metric is and does with empty masks, as evaluation wrote it."""
    rows = derived_numbers.foreground_rows(split)
    policies = dict.fromkeys((row["name"], row["policy"]) for row in rows)
    body = [[f"`{name}`", policy] for name, policy in policies]
    return table(["Metric", "Policy"], body, title="What each metric counts")


def scored_cell(row: dict[str, Any]) -> tuple[str, str]:
    """The value of a metric, and its interval on a second line."""
    value = text.scored(row) if row["value"] is None else number(row["value"])
    return value, text.span(row)


def scored_on(split: Split) -> str:
    """How much was scored: images, positives, pixels, checkpoint."""
    result = split["result"]
    pixels, positive = result.get("pixels"), result.get("positive_pixels")
    words = text.plural(result["images"], "image")
    if result.get("positive_images") is not None:
        words += f", {number(result['positive_images'], 'count')} with foreground"
    if pixels and positive is not None:
        share = number(positive / pixels, "percent")
        words += f"; foreground is {share} of {text.plural(pixels, 'pixel')}"
    if result.get("ignored_pixels"):
        words += f"; {text.plural(result['ignored_pixels'], 'pixel')} not labelled"
    step = result.get("step")
    return words + (f". Checkpoint of step {number(step, 'count')}." if step else ".")


def precision_recall(run: Run) -> Block | None:
    """Average precision, prevalence and best F1 of every split with a pixel curve."""
    splits = [s for s in run["splits"].values() if pick(s["result"], "curves", "pixel")]
    if not splits:
        return None
    rows = []
    for split in splits:
        curve = split["result"]["curves"]["pixel"]
        best = derived_numbers.nearest(split["pr"], curve.get("best_f1_threshold"))
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


def operating_point(run: Run) -> Block | None:
    """Threshold and minimum area, what they were chosen for, and on which split."""
    rows = []
    points = [s["result"].get("operating_point") or {} for s in run["splits"].values()]
    extra = list(dict.fromkeys(name for point in points for name in text.rule(point)))
    for split, point in zip(run["splits"].values(), points, strict=True):
        if point and "offsets" not in point:  # of classes: `class_decision`
            rows.append(
                [
                    split["name"],
                    number(point.get("threshold")),
                    *(text.rule(point).get(name, text.UNDEFINED) for name in extra),
                    text.area(point.get("min_area")),
                    f"`{point.get('objective') or 'not recorded'}`",
                    number(point.get("value")),
                    point.get("source_split") or "not recorded",
                ]
            )
    heads = ["Applied to", "Threshold", *(name.capitalize() for name in extra)]
    heads += ["Minimum area", "Chosen to maximise", "its value there", "Chosen on"]
    note = " ".join(_RULES[name] for name in extra if name in _RULES)
    return table(heads, rows, title="Operating point", note=note) if rows else None


def image_level(run: Run) -> Block:
    """Images found, missed and wrongly marked at the operating point."""
    rows = []
    for split in run["splits"].values():
        images = derived_numbers.confusion(split)
        positive, negative = images["positive"], images["negative"]
        hits = images["hit"] / positive if positive else None
        spared = images["clean"] / negative if negative else None
        rows.append(
            [
                split["name"],
                (number(hits, "percent"), f"{images['hit']} of {positive}"),
                (number(spared, "percent"), f"{images['clean']} of {negative}"),
                number(images["false_alarm"], "count"),
                f"{number(positive + negative, 'count')} images",
            ]
        )
    heads = ["Split", "Positive images found", "Empty images left clean"]
    heads += ["False positives", "Support"]
    note = "Any predicted pixel at the operating point marks an image."
    return table(heads, rows, title="Images found and missed", note=note)


def image_curves(run: Run) -> Block | None:
    """Average precision and ROC-AUC of every score of an image.

    The highest probability is left to `image_level` where that has it.
    """
    rows = []
    for split in run["splits"].values():
        for key in ("image", "image_area"):
            curve = pick(split["result"], "curves", key)
            listed = key == "image" and split["result"].get("image_level")
            if curve and not listed:
                score = f"`{curve.get('score') or key}`"
                support = f"{number(curve.get('support_images'), 'count')} images"
                names = ("average_precision", "prevalence", "roc_auc")
                numbers = [number(curve.get(name)) for name in names]
                if curve.get("prevalence") in (0, 1):  # any order of them is perfect
                    numbers[0] = text.UNDEFINED
                rows.append([(split["name"], score), *numbers, support])
    heads = ["Split and score", "Average precision", "Prevalence", "ROC-AUC"]
    title = "Images ranked by a score"
    return table([*heads, "Support"], rows, title=title) if rows else None


def false_positives(split: Split, most: int = 8) -> Block | None:
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


def progression(run: Run) -> Block | None:
    """Best validation value in each tenth of the run."""
    name = derived_numbers.selection_column(run)
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
        for r in derived_numbers.progression(run, name)
    ]
    heads = ["Epochs", f"Best `{name}`", "in epoch", "Mean training loss"]
    return table([*heads, "Times validated"], rows, title="Progression")
