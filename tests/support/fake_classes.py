"""What a run of more than two classes says of each, computed from its pixels."""

import numpy as np

from jaxseg.metrics import calibration
from support.fake_scores import counts, pixel_curve


def decide(probability, offsets):
    """Class ids u8 [h, w] of probabilities [k, h, w]: argmax of log p + offset."""
    if offsets is None:
        return probability.argmax(0).astype(np.uint8)
    with np.errstate(divide="ignore"):
        logits = np.log(probability.astype(np.float64))
    return (logits + np.reshape(offsets, (-1, 1, 1))).argmax(0).astype(np.uint8)


def confusion(truths, predictions, k):
    """Pixels by truth and prediction, as lists [k][k]."""
    total = np.zeros(k * k, np.int64)
    for truth, prediction in zip(truths, predictions, strict=True):
        kept = truth != 255
        code = truth[kept].astype(np.int64) * k + prediction[kept]
        total += np.bincount(code, minlength=k * k)
    return total.reshape(k, k).tolist()


def class_table(truths, predictions, names):
    """The field `class_table` of eval/<split>.json."""
    rows = []
    for kind, name in enumerate(names):
        pairs = zip(truths, predictions, strict=True)
        each = np.stack([counts(t, p, kind) for t, p in pairs])
        tp, fp, fn, _ = (int(n) for n in each.sum(0))
        row = {
            "class": name,
            "dice": _ratio(2 * tp, 2 * tp + fp + fn),
            "iou": _ratio(tp, tp + fp + fn),
            "precision": _ratio(tp, tp + fp),
            "recall": _ratio(tp, tp + fn),
        }
        if not tp + fn:
            row |= dict.fromkeys(("dice", "iou", "precision", "recall"))
        rows.append(
            row
            | {
                "support_images": int((each[:, 0] + each[:, 2] > 0).sum()),
                "support_pixels": tp + fn,
                "predicted_pixels": tp + fp,
                "never_predicted": tp + fn > 0 and tp + fp == 0,
            }
        )
    return rows


def _ratio(top, bottom):
    return top / bottom if bottom else None


def _mean(table, score):
    values = [row[score] for row in table[1:] if row[score] is not None]
    return float(np.mean(values)) if values else None


def complete(
    result, rows, truths, probabilities, predictions, names, *, offsets, chosen
):
    """Adds to a result, and to the rows of its images, what several classes have."""
    k = len(names)
    result["confusion"] = confusion(truths, predictions, k)
    result["class_table"] = class_table(truths, predictions, names)
    if offsets is not None:
        alone = [decide(p, None) for p in probabilities]
        table = class_table(truths, alone, names)
        scores = ("dice", "iou", "precision", "recall")
        metrics = {f"{score}_pooled": _mean(table, score) for score in scores}
        result["argmax"] = {
            "metrics": metrics,
            "class_table": table,
            "confusion": confusion(truths, alone, k),
        }
        own = _mean(result["class_table"], "dice"), metrics["dice_pooled"]
        point = (chosen or {}).get("operating_point")
        result["operating_point"] = {
            "rule": "offsets",
            "offsets": list(offsets),
            "objective": "dice_pooled",
            "value": point["value"] if point else own[0],
            "value_argmax": point["value_argmax"] if point else own[1],
            "source_split": "validation",
            "split_hash": "validation-hash-0123456789",
            "optimistic": result["split"] == "validation",
        }
    curves, figures = [], []
    for kind in range(1, k):
        one = [np.where(t == 255, 255, t == kind) for t in truths]
        curve, block = _against_rest(one, [p[kind] for p in probabilities])
        curves.append({"class": names[kind]} | curve)
        figures.append({"class": names[kind], "pixel": block})
    result["curves"]["pixel_by_class"] = curves
    result["calibration"] = {
        "by_class": figures,
        "temperature": None,
        "after_temperature": None,
    }
    for row, truth, prediction in zip(rows, truths, predictions, strict=True):
        row.update(_of_image(truth, prediction, names))


def _against_rest(truths, probabilities):
    kept = [t != 255 for t in truths]
    truth = np.concatenate([t[k] == 1 for t, k in zip(truths, kept, strict=True)])
    p = np.concatenate([p[k] for p, k in zip(probabilities, kept, strict=True)])
    figures = calibration.figures(calibration.exact_cells(p, truth))
    names = ("average_precision", "pr_auc_trapezoid", "roc_auc", "best_f1")
    curve = dict.fromkeys(names) | {"best_f1_threshold": None}
    if truth.any():
        curve, _ = pixel_curve(truths, probabilities)
    support = {"support_pixels": len(truth), "support_positives": int(truth.sum())}
    return curve | {"prevalence": float(truth.mean())} | support, figures


def _of_image(truth, prediction, names):
    """The columns of `<split>_per_image.csv` that speak of classes."""
    row, dice = {"worst_class": "", "worst_dice": ""}, {}
    for kind, name in enumerate(names[1:], start=1):
        tp, fp, fn, _ = (int(n) for n in counts(truth, prediction, kind))
        row[f"truth_pixels/{name}"] = tp + fn
        row[f"predicted_pixels/{name}"] = tp + fp
        dice[name] = 2 * tp / (2 * tp + fp + fn) if tp + fp + fn else ""
    there = {name: dice[name] for name in dice if row[f"truth_pixels/{name}"]}
    if there:
        row["worst_class"] = min(there, key=there.get)
        row["worst_dice"] = there[row["worst_class"]]
    return row | {f"dice/{name}": value for name, value in dice.items()}


def history(rows, names, validation):
    """The rows of history.csv with the columns of each class."""
    table, total = validation["class_table"], validation["pixels"]
    for row in rows:
        done, validated = row["epoch"] / len(rows), row["validation/loss"] != ""
        for i, (name, of_class) in enumerate(zip(names, table, strict=True)):
            grown = 1 - np.exp(-(2 + 2 * i) * done)
            values = {
                "predicted_share": of_class["predicted_pixels"] / total * grown,
                "truth_share": of_class["support_pixels"] / total,
            }
            dice = of_class["dice"]
            values["dice_pooled"] = "" if dice is None else dice * grown
            if i:
                row[f"share_realised/{name}"] = 0.3 + 0.01 * i
            for column, value in values.items():
                row[f"validation/{column}/{name}"] = value if validated else ""
        never = sum(of_class["never_predicted"] for of_class in table)
        row["validation/never_predicted"] = never if validated else ""
    return rows
