"""Scores of label maps by the written definitions, image by image, in numpy."""

import numpy as np
from sklearn.metrics import (
    auc,
    average_precision_score,
    precision_recall_curve,
    roc_auc_score,
)


def counts(truth, prediction, kind):
    """(tp, fp, fn, tn) of one class; pixels of 255 count nowhere."""
    labelled = truth != 255
    t, g = (truth == kind) & labelled, (prediction == kind) & labelled
    pairs = ((t & g), (g & ~t), (t & ~g), (labelled & ~t & ~g))
    return np.array([part.sum() for part in pairs])


def _ratio(top, bottom):
    return float(top / bottom) if bottom else None


def _mean(values):
    return float(np.mean(values)) if len(values) else None


def scores(table):
    """metric -> value of [images, 4] counts."""
    tp, fp, fn, _ = table.T
    a, b, c, d = table.sum(0)
    dice = 2 * tp / np.maximum(2 * tp + fp + fn, 1)
    has, touched = tp + fn > 0, tp + fp + fn > 0
    kaggle = np.where(touched, dice, 1.0)
    return {
        "dice_positives": _mean(dice[has]),
        "dice_pooled": _ratio(2 * a, 2 * a + b + c),
        "iou_pooled": _ratio(a, a + b + c),
        "precision_pooled": _ratio(a, a + b),
        "recall_pooled": _ratio(a, a + c),
        "specificity_pooled": _ratio(d, d + b),
        "dice_image_skip_empty": _mean(dice[touched]),
        "dice_kaggle": _mean(kaggle),
    }


def _table(truths, predictions, kind):
    pairs = zip(truths, predictions, strict=True)
    return np.stack([counts(t, p, kind) for t, p in pairs])


def metrics(truths, predictions, names):
    """A row a metric and class, foreground first; above them the mean of several."""
    rows, rng = [], np.random.default_rng(1)
    draws = [rng.integers(0, len(truths), len(truths)) for _ in range(120)]
    for kind in [*range(1, len(names)), 0]:
        table = _table(truths, predictions, kind)
        again = [scores(table[draw]) for draw in draws]
        for metric, value in scores(table).items():
            if kind or metric.endswith("pooled"):
                drawn = [s[metric] for s in again if s[metric] is not None]
                rows.append(_row(metric, names[kind], value, drawn, table))
    if len(names) == 2:
        return rows
    means = []
    for metric in dict.fromkeys(r["name"] for r in rows):
        some = [r for r in rows if r["name"] == metric and r["class"] != names[0]]
        some = [r for r in some if r["value"] is not None]
        ends = {key: _mean([r[key] for r in some]) for key in ("value", "low", "high")}
        support = {k: sum(r[k] for r in some) for k in rows[0] if "support" in k}
        means.append(some[0] | ends | support | {"class": "mean"})
    return means + rows


def _row(metric, name, value, drawn, table):
    present = int((table[:, 0] + table[:, 2] > 0).sum())
    inside = {"kaggle": len(table), "empty": int((table[:, :3].sum(1) > 0).sum())}
    shown = value is not None and present
    low, high = np.percentile(drawn, [2.5, 97.5]).tolist() if shown else (None, None)
    return {
        "name": metric,
        "class": name,
        "value": value if shown else None,
        "low": low,
        "high": high,
        "support_images": inside.get(metric.split("_")[-1], present) * bool(present),
        "support_pixels": int(table[:, [0, 2]].sum()),
        "policy": f"written policy of {metric.replace('_', ' ')}",
    }


def baselines(images, truths, names):
    """Answers that need no model; above two classes their rows hold each class too."""
    neighbours = [np.where(t == 255, 0, t) for t in truths[1:] + truths[:1]]
    copied = "the mask of another image is copied"
    rows = [_baseline("all_empty", "every pixel is background", truths, 0, names)]
    if len(names) == 2:
        detail = "every pixel is foreground"
        rows.append(_baseline("all_foreground", detail, truths, 1, names))
        by_cut = [
            _baseline(
                "best_global_threshold",
                f"foreground is at or above level {cut} of 256",
                truths,
                [(image >= cut).astype(np.uint8) for image in images],
                names,
            )
            for cut in range(0, 256, 16)
        ]
        rows.append(max(by_cut, key=lambda row: row["metrics"]["dice_pooled"] or 0))
    nearest = "nearest_training_image", copied
    return [*rows, _baseline(*nearest, truths, neighbours, names)]


def _baseline(name, detail, truths, predictions, names):
    if isinstance(predictions, int):
        predictions = [np.full_like(truth, predictions) for truth in truths]
    each = [scores(_table(truths, predictions, k)) for k in range(1, len(names))]
    there = [any((t == k).any() for t in truths) for k in range(1, len(names))]
    present = [scored for scored, here in zip(each, there, strict=True) if here]
    metrics = {
        metric: _mean([s[metric] for s in present if s[metric] is not None])
        for metric in each[0]
    }
    row = {"name": name, "detail": detail, "metrics": metrics}
    if len(names) > 2:
        row["classes"] = dict(zip(names[1:], each, strict=True))
    return row


def per_image(split, truths, predictions, foreground):
    """Rows of `<split>_per_image.csv`: foreground of any class against background."""
    rows = []
    for i, (truth, prediction, p) in enumerate(
        zip(truths, predictions, foreground, strict=True)
    ):
        t = np.where(truth == 255, 255, truth > 0)
        tp, fp, fn, tn = (int(n) for n in counts(t, prediction > 0, 1))
        touched = tp + fp + fn
        dice = 2 * tp / (2 * tp + fp + fn) if touched else ""
        rows.append(
            {
                "id": f"{split}_{i:03d}",
                "group": f"patient_{i:03d}",
                "positive": int(tp + fn > 0),
                "truth_pixels": tp + fn,
                "predicted_pixels": tp + fp,
                "tp": tp,
                "fp": fp,
                "fn": fn,
                "tn": tn,
                "dice": dice,
                "iou": tp / touched if touched else "",
                "kaggle_dice": dice if touched else 1.0,
                "max_probability": float(p[truth != 255].max()),
            }
        )
    return rows


def image_curve(rows, score):
    """The curve of one score of an image."""
    positive = [r["positive"] for r in rows]
    value = [r[score] for r in rows]
    return {
        "score": score,
        "average_precision": float(average_precision_score(positive, value)),
        "roc_auc": None if all(positive) else float(roc_auc_score(positive, value)),
        "prevalence": float(np.mean(positive)),
        "support_images": len(rows),
    }


def pixel_curve(truths, foreground):
    """(curves.pixel of eval/<split>.json, rows of <split>_pr.csv)."""
    truth = np.concatenate([t[t != 255] > 0 for t in truths])
    score = [p[t != 255] for p, t in zip(foreground, truths, strict=True)]
    score, table = np.concatenate(score), []
    for cut in np.linspace(0, 1, 51):
        tp, fp = int((score > cut)[truth].sum()), int((score > cut)[~truth].sum())
        row = (float(cut), _ratio(tp, tp + fp), tp / truth.sum(), fp / (~truth).sum())
        names = ("threshold", "precision", "recall", "fpr")
        table.append(dict(zip(names, row, strict=True)))

    def f1(row):
        p, r = row["precision"], row["recall"]
        return float(2 * p * r / (p + r)) if p and r else 0.0

    best = max(table, key=f1)
    precision, recall, _ = precision_recall_curve(truth, score)
    pixel = {
        "average_precision": float(average_precision_score(truth, score)),
        "average_precision_error_bound": 0.0005,
        "pr_auc_trapezoid": float(auc(recall, precision)),
        "roc_auc": float(roc_auc_score(truth, score)),
        "best_f1": f1(best),
        "best_f1_threshold": best["threshold"],
        "prevalence": float(truth.mean()),
        "support_pixels": int(truth.sum()),
    }
    return pixel, table
