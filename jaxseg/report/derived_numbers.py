"""Computes numbers that follow from the files of a run but do not stand in them."""

from typing import Any

import numpy as np

from jaxseg.report import text
from jaxseg.report.read import Row, Run, Split, pick

MEAN = "mean"  # the class of a row that averages over foreground classes
DICE = ("dice_positives", "dice_pooled", "dice_kaggle")


def main_split(run: Run) -> Split:
    """The split a reader should believe: test where it was scored."""
    return next(iter(run["splits"].values()))


def pixels_trained(split: Split) -> bool:
    """Whether the run learned pixels; where not, nothing of them is reported."""
    return split["result"].get("pixels_trained", True)


def shows_foreground(split: Split) -> bool:
    """Whether a mask of the split shows any class but background.

    Where none does, as in data labelled by whole images alone, scores of pixels say
    nothing: an empty answer has all of them right.
    """
    return split["result"].get("positive_images") != 0


def classes(split: Split) -> list[str]:
    """Class names, background first; [] where evaluation named none."""
    return [str(name) for name in split["result"].get("classes") or []]


def metric_rows(split: Split) -> list[Row]:
    """A row for each metric and class, with every key and the name of the class."""
    names, rows = classes(split), []
    for metric in split["result"]["metrics"]:
        keys = ("value", "low", "high", "support_images", "support_pixels")
        row = {key: metric.get(key) for key in keys} | {"name": metric["name"]}
        kind = metric.get("class")
        if isinstance(kind, int) and kind < len(names):
            kind = names[kind]
        row["class"] = "all" if kind is None else str(kind)
        row["policy"] = metric.get("policy") or text.policy(row["name"])
        rows.append(row)
    return [row | _support_of_mean(row, rows) for row in rows]


def _support_of_mean(row: Row, rows: list[Row]) -> Row:
    """The images of a mean over classes that counts them all, by the Kaggle rule.

    Evaluation writes the images with foreground, as for every mean over classes.
    """
    if row["class"] != MEAN or not row["name"].endswith("kaggle"):
        return {}
    classes = [r for r in rows if r["name"] == row["name"] and r["class"] != MEAN]
    counts = [r["support_images"] for r in classes]
    return {"support_images": max(filter(None, counts), default=row["support_images"])}


def foreground_rows(split: Split) -> list[Row]:
    """`metric_rows` without those of background where there is one other class.

    An empty answer gets background right: beside one class it says nothing.
    """
    rows, names = metric_rows(split), classes(split)
    return [r for r in rows if len(names) > 2 or r["class"] not in names[:1]]


def headline(run: Run, split: Split) -> list[Row]:
    """Rows of the metric that selected the run, one for each foreground class."""
    rows, names = metric_rows(split), classes(split)
    rows = [r for r in rows if not names or r["class"] != names[0]] or rows
    for name in (selection(run), *DICE, *(r["name"] for r in rows)):
        of_metric = [r for r in rows if r["name"] == name]
        if any(r["value"] is not None for r in of_metric):
            return of_metric
    return rows[:1]


def selection(run: Run) -> str | None:
    """The metric that chose the best checkpoint, without `validation/`."""
    name = pick(run["info"], "best", "metric")
    return name.removeprefix("validation/").split("/")[0] if name else None


def baselines(split: Split, row: Row) -> dict[str, float | None]:
    """baseline -> its value of this metric (None: undefined, or of other classes).

    Baselines are scored on the foreground: its one class, or the mean over several; of
    several, each class has its own scores where evaluation wrote them.
    """
    names = classes(split)
    mean = row["class"] == MEAN if len(names) > 2 else row["class"] not in names[:1]
    each = len(names) > 2 and not mean
    return {
        base["name"]: pick(base, "metrics", row["name"])
        if mean
        else pick(base, "classes", row["class"], row["name"])
        if each
        else None
        for base in split["result"].get("baselines") or []
    }


def known_baselines(split: Split, row: Row) -> dict[str, float]:
    """baseline -> its value of this metric, of those that have one."""
    values = baselines(split, row).items()
    return {name: value for name, value in values if value is not None}


def above(row: Row, bar: float) -> str:
    """Is a score above `bar`: yes, no, or unclear when its interval reaches below?"""
    if row["value"] <= bar:
        return "no"
    return "yes" if row["low"] is not None and row["low"] > bar else "unclear"


def optimistic(run: Run, split: Split) -> list[str]:
    """Why figures of this split flatter the model; [] when nothing says so."""
    point, reasons = split["result"].get("operating_point") or {}, []
    chosen_on, scored_on = point.get("split_hash"), split["result"].get("split_hash")
    same = chosen_on is not None and chosen_on == scored_on
    if point.get("source_split") == split["name"] or same or point.get("optimistic"):
        reasons.append("the operating point was chosen on these images")
    return reasons + checkpoint_chosen(run, split)


def checkpoint_chosen(run: Run, split: Split) -> list[str]:
    """That the best checkpoint was chosen on this split; [] of any other split."""
    if split["name"] == "validation" and selection(run):
        return [f"the checkpoint was chosen on it by `{selection(run)}`"]
    return []


def column(run: Run, name: str) -> tuple[np.ndarray, np.ndarray]:
    """(epochs [n], values [n]) of a history column where it is defined."""
    pairs = [(r["epoch"], r[name]) for r in run["history"] if r.get(name) is not None]
    array = np.array(pairs, np.float64).reshape(-1, 2)
    return array[:, 0], array[:, 1]


def selection_column(run: Run) -> str | None:
    """The history column that progression is measured by."""
    metric = pick(run["info"], "best", "metric") or ""
    names = [metric, f"validation/{metric}", *(f"validation/{name}" for name in DICE)]
    return next((n for n in names if column(run, n)[0].size), None)


def best_index(name: str, values: Any) -> int:
    """Index of the best value: the lowest of a loss, the highest of anything else."""
    return int(np.argmin(values) if "loss" in name else np.argmax(values))


def progression(run: Run, name: str, parts: int = 10) -> list[Row]:
    """A row for each tenth of the run with its best value of a column."""
    history = run["history"]
    ranges = []
    for index in np.array_split(np.arange(len(history)), min(parts, len(history))):
        rows = [history[i] for i in index]
        valid = [r for r in rows if r.get(name) is not None]
        best = valid[best_index(name, [r[name] for r in valid])] if valid else {}
        losses = [r["loss"] for r in rows if r.get("loss") is not None]
        ranges.append(
            {
                "first": rows[0]["epoch"],
                "last": rows[-1]["epoch"],
                "best": best.get(name),
                "at": best.get("epoch"),
                "loss": float(np.mean(losses)) if losses else None,
                "validated": len(valid),
            }
        )
    return ranges


def shares(run: Run) -> Row | None:
    """Target share first and last, realised share overall; None when not logged.

    No gap is computed for fit "crop": its target is of images, what was fed of windows.
    """
    rows = [r for r in run["history"] if r.get("share_realised") is not None]
    if not rows:
        return None
    images = np.array([r.get("images_seen") or np.nan for r in rows])
    size = np.diff(images, prepend=0.0) if np.isfinite(images).all() else 1.0
    size = np.broadcast_to(size, len(rows))
    realised = np.array([r["share_realised"] for r in rows])
    target = [r.get("share_target") for r in rows]
    gaps = [abs(r - t) for r, t in zip(realised, target, strict=True) if t is not None]
    if (run["info"] or {}).get("fit") == "crop":
        gaps = []
    return {
        "first": target[0],
        "last": target[-1],
        "realised": float(np.average(realised, weights=np.maximum(size, 1e-9))),
        "worst_gap": float(max(gaps)) if gaps else None,
        "epochs": len(rows),
    }


def sampler(run: Run) -> str | None:
    """The name of the sampler that fed the run."""
    return pick(run["config"], "sampler", "name") or pick(
        run["info"], "sampler", "name"
    )


def has_mask(row: Row) -> bool:
    """Whether any pixel of an image is labelled; tables without counts have masks."""
    counts = [row.get(key) for key in ("tp", "fp", "fn", "tn")]
    return None in counts or any(counts)


def shows(row: Row) -> bool | None:
    """Whether an image shows foreground: by its label, else its mask; None: unknown."""
    if row.get("image_positive") is not None:
        return row["image_positive"] == 1
    return row["positive"] == 1 if has_mask(row) else None


def confusion(split: Split) -> dict[str, int]:
    """Images by foreground and by prediction, at the operating point.

    Images without a labelled pixel are left out.
    {"hit", "missed", "positive"} of those with foreground, {"false_alarm", "clean",
    "negative"} of those without; any predicted pixel is a prediction.
    """
    keys = {(1, 1): "hit", (1, 0): "missed", (0, 1): "false_alarm", (0, 0): "clean"}
    counts = dict.fromkeys(keys.values(), 0)
    for row in filter(has_mask, split["images"]):
        kind = int(row["positive"] == 1), int((row["predicted_pixels"] or 0) > 0)
        counts[keys[kind]] += 1
    totals = {"positive": counts["hit"] + counts["missed"]}
    totals |= {"negative": counts["false_alarm"] + counts["clean"]}
    return counts | totals


def image_curves(
    split: Split, name: str = "max_probability"
) -> dict[str, np.ndarray] | None:
    """ROC and PR of a score of images; None where it is not there, or of one kind.

    `name` is its column, the highest probability or `image_score`.
    """
    rows = [r for r in split["images"] if r.get(name) is not None]
    rows = [r for r in rows if shows(r) is not None]
    score = np.array([r[name] for r in rows])
    truth = np.array([shows(r) for r in rows], bool)
    if not truth.any() or truth.all():
        return None
    order = np.argsort(-score, kind="stable")
    score, truth = score[order], truth[order]
    last = np.append(np.flatnonzero(np.diff(score)), len(score) - 1)  # ties together
    tp, fp = np.cumsum(truth)[last], np.cumsum(~truth)[last]
    return {
        "recall": np.append(0.0, tp / truth.sum()),
        "fpr": np.append(0.0, fp / (~truth).sum()),
        "precision": np.append(1.0, tp / (tp + fp)),
    }


def nearest(rows: list[Row], threshold: float | None) -> Row:
    """The row of a PR table at a threshold; {} when there is none."""
    rows = [r for r in rows if r["threshold"] is not None]
    if threshold is None or not rows:
        return {}
    return min(rows, key=lambda r: abs(r["threshold"] - threshold))


def class_weights(run: Run) -> list[Row]:
    """A row for each class: its pixels, their share, N / (K n_c), and the weights used.

    "used" is {term of the loss: weight}, of terms that weigh as many classes. A run
    from before they were recorded has those that its config gives as numbers.
    """
    card = pick(run["info"], "dataset") or {}
    pixels = pick(card, "splits", "train", "pixels") or []
    names, total = card.get("classes") or [], sum(pixels)
    used = {n: w for n, w in _weights_used(run).items() if len(w) == len(pixels)}
    return [
        {
            "class": str(names[i]) if i < len(names) else f"class {i}",
            "pixels": count,
            "share": count / total if total else None,
            "used": {name: weights[i] for name, weights in used.items()},
            "expected": total / (len(pixels) * count) if count else None,
        }
        for i, count in enumerate(pixels)
    ]


def _weights_used(run: Run) -> dict[str, list[float]]:
    recorded = run["info"].get("class_weights")
    if recorded is not None:
        return recorded
    given = {n: pick(b, "class_weights") for n, b in weighing(run).items()}
    return {name: list(w) for name, w in given.items() if not isinstance(w, str)}


def weighing(run: Run) -> dict[str, Row]:
    """{term of the loss: its block} of the terms that count and weigh classes."""
    terms = run["config"].get("loss") or {}
    counting = {n: b for n, b in terms.items() if pick(b, "weight")}
    chosen = {n: pick(b, "class_weights") for n, b in counting.items()}
    return {n: counting[n] for n, w in chosen.items() if w not in (None, "none")}
