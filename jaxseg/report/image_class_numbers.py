"""Reads what a run scored of classes of whole images, for its page and comparisons."""

from typing import Any

from jaxseg.report.read import Run, Split
from jaxseg.run_directory.image_class_schemas import ClassScore, ImageClassResult

LABELS = {
    "roc_auc": "AUROC",
    "average_precision": "AP",
    "sensitivity": "Sensitivity",
    "specificity": "Specificity",
    "precision": "Precision",
    "f1": "F1",
}
MEANS = {
    "roc_auc_mean": "AUROC, mean over classes",
    "average_precision_mean": "AP, mean over classes",
    "f1_macro": "F1, mean over classes",
    "accuracy": "Accuracy",
    "balanced_accuracy": "Balanced accuracy",
}
PREFIX = "class_"  # of a mean where it stands beside metrics of pixels


def of_split(split: Split) -> ImageClassResult | None:
    """What was scored of classes of whole images; None where nothing was."""
    return split["result"].get("image_classes")


def splits(run: Run) -> list[Split]:
    """The splits of a run that were scored by classes of whole images."""
    return [split for split in run["splits"].values() if of_split(split)]


def metric(row: ClassScore, name: str) -> dict[str, Any]:
    """One metric of a class; an undefined one where it has none."""
    blank = {"name": name, "value": None, "low": None, "high": None}
    return next((m for m in row["metrics"] if m["name"] == name), blank)


def mean(split: Split, name: str) -> dict[str, Any] | None:
    """A number of all classes together; None where the split has none of that name."""
    record = of_split(split)
    rows = record["means"] if record else []
    return next((row for row in rows if row["name"] == name), None)


def baseline(split: Split, name: str) -> tuple[str, float] | None:
    """The best answer without a model by one of the means, and what it scores."""
    values = baselines(split, f"{PREFIX}{name}")
    if not values:
        return None
    best = max(values, key=lambda base: values[base])
    return best, values[best]


def baselines(split: Split, metric: str) -> dict[str, float]:
    """answer without a model -> what it scores by a metric of `score_rows`."""
    record = of_split(split)
    if record is None or not metric.startswith(PREFIX):
        return {}
    name = metric.removeprefix(PREFIX)
    return {
        base["name"]: base["metrics"][name]
        for base in record["baselines"]
        if base["metrics"].get(name) is not None
    }


def optimistic(split: Split) -> list[str]:
    """Why the numbers of classes flatter the model; [] when nothing says so."""
    record = of_split(split)
    if record and any(row["optimistic"] for row in record["classes"]):
        return ["the thresholds of the classes were chosen on these images"]
    return []


def score_rows(split: Split) -> list[dict[str, Any]]:
    """The means as rows of metrics, named as config.eval.metric names them."""
    record = of_split(split)
    return [
        {
            "name": f"{PREFIX}{row['name']}",
            "class": "images",
            "support_pixels": None,
        }
        | {key: row[key] for key in ("value", "low", "high", "support_images")}
        for row in (record["means"] if record else [])
    ]
