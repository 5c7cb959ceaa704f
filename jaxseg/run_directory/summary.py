"""Writes the lines a user sees when a run has ended: scores, and where files are."""

import pathlib

from jaxseg.run_directory import files

MAIN = ("dice_pooled", "dice_positives", "dice_kaggle")  # where defined
# what tells the two kinds of scores apart, wherever they are printed
AFTER_AN_EPOCH = "(after the epoch: threshold 0.5, or the most probable class)"
FINAL = "final scores, at the operating point that validation chose"


def headline_class(result: dict) -> str:
    """The class that a result is told by: the foreground, or the mean of several."""
    classes = result["classes"]
    return classes[1] if len(classes) == 2 else "mean"


def main_scores(result: dict) -> dict[str, float | None]:
    """{metric: value} of foreground, its mean over classes where there are several."""
    wanted = headline_class(result)
    out = {
        row["name"]: row["value"]
        for row in result["metrics"]
        if row["name"] in MAIN and row["class"] == wanted
    }
    for row in (result.get("image_classes") or {}).get("means", []):
        out[row["name"]] = row["value"]
    return out


def _repeats(row: dict, result: dict) -> bool:
    """Whether this is the Kaggle rule where no mask is empty: Dice over positives."""
    kept = ("class", "value", "support_images")
    return row["name"] == "dice_kaggle" and any(
        other["name"] == "dice_positives" and all(other[k] == row[k] for k in kept)
        for other in result["metrics"]
    )


def score_lines(result: dict) -> str:
    """The main scores of a split, each with its support.

    `dice_kaggle` is left out where no mask is empty: it equals `dice_positives`.
    """
    lines = []
    for row in result["metrics"]:
        if row["class"] == result["classes"][0] and len(result["classes"]) > 1:
            continue
        if row["name"] in MAIN and not _repeats(row, result):
            value = "n/a" if row["value"] is None else f"{row['value']:.4f}"
            lines.append(
                f"{result['split']:<10} {row['name']:<14} {value}  ({row['class']}, "
                f"images of support: {row['support_images']})"
            )
    whole = result.get("image_classes") or {"means": [], "classes": []}
    for row in whole["means"]:
        value = "n/a" if row["value"] is None else f"{row['value']:.4f}"
        lines.append(
            f"{result['split']:<10} {row['name']:<22} {value}  (classes of whole "
            f"images: {row['support_classes']} of {len(whole['classes'])}, images of "
            f"support: {row['support_images']})"
        )
    for row in result.get("class_table", []):
        if row["never_predicted"]:
            lines.append(
                f"{result['split']:<10} never predicted: {row['class']} (images of "
                f"support: {row['support_images']}, pixels: {row['support_pixels']:,})"
            )
    return "\n".join(lines)


def _point(workdir: pathlib.Path) -> str:
    """The threshold of the operating point in brackets, where it is one number."""
    result = files.read_json(workdir / "eval" / "test.json")
    threshold = (result.get("operating_point") or {}).get("threshold")
    return "" if threshold is None else f" (threshold {threshold:.3g})"


def of_run(record: dict, workdir: pathlib.Path, paths: dict) -> str:
    """The last lines a user sees: the result, and where everything is."""
    lines = [f"run        {workdir}  ({record['status']} {record['finished']})"]
    best = record.get("best")
    if best:
        lines.append(
            f"best       epoch {best['epoch']}: {best['metric']} {best['value']:.4f} "
            f"{AFTER_AN_EPOCH}"
        )
    if record.get("early_stop"):
        lines.append(f"ended      {record['early_stop']['words']}")
    lines.append(f"scores     {FINAL}{_point(workdir)}:")
    for name in ("validation", "test"):
        lines.append(score_lines(files.read_json(workdir / "eval" / f"{name}.json")))
    lines += [f"{kind:<10} {path}" for kind, path in paths.items()]
    lines.append(f"curves     tensorboard --logdir {workdir.parent}")
    return "\n".join(lines)
