"""The decision head on real solar cells, beside logistic regression on intensities.

    python -m jaxseg.sweep --config=tests/benchmarks/elpv.py --workdir=runs/elpv
    python tests/benchmarks/elpv.py runs/elpv

The first needs the images (pip install 'jaxseg[elpv]': NON-COMMERCIAL use). It trains a
small ResNet-18 with a pooled decision head on labels of whole images alone, with three
seeds, ten minutes each on one core. The second fits logistic regression on global
intensity features of the same training cells, its strength chosen on validation, and
prints ranking metrics of the test cells of both, with the paired difference on the same
resamples of groups.
"""

import csv
import json
import pathlib
import sys

import numpy as np

from jaxseg.config import base

SEEDS = 3
METRICS = ("average_precision", "roc_auc")
_PERCENTILES = (1, 5, 25, 50, 75, 95, 99)


def get_config(arg: str = ""):
    """The recipe; the cells come from the installed package elpv-dataset."""
    c = base.base()
    c.name, c.epochs, c.batch_size = "elpv", 15, 16
    c.data.update(name="elpv", dir="package", image_size=(128, 128), fit="stretch")
    c.data.workers = 0
    c.augment.update(flip_horizontal=0.5, flip_vertical=0.5, rotate_degrees=5.0)
    c.augment.update(brightness=0.1, contrast=0.2, shift=0.03)
    c.model.name, c.decision.name = "resnet_classifier", "pooled"
    c.model.resnet_classifier.update(depth=18, width=32)
    c.decision.pooled.update(pool="both", dropout=0.2)
    c.loss.image_cross_entropy.weight = 1.0
    c.optim.update(learning_rate=1e-3, warmup_epochs=1.0)
    c.eval.update(metric="image_average_precision", per_device_batch=16)
    return base.variant(c, arg, {"full": {}, "smoke": {"epochs": 1}})


def get_sweep(seeds: int = SEEDS) -> dict[str, dict]:
    """{member: what it changes}: the seeds."""
    return {f"seed{seed}": {"seed": seed} for seed in range(seeds)}


def features(image: np.ndarray) -> np.ndarray:
    """Global intensities of one image u8 [h, w, c]: moments, percentiles, histogram."""
    grey = image[..., 0].astype(np.float64) / 255
    moments = [grey.mean(), grey.std(), ((grey - grey.mean()) ** 3).mean()]
    counts, _ = np.histogram(grey, 16, (0, 1))
    return np.array([*moments, *np.percentile(grey, _PERCENTILES), *counts / grey.size])


def baseline(directory: str) -> dict[str, float]:
    """{id: score of defect} of the test cells, by logistic regression."""
    from sklearn.linear_model import LogisticRegression
    from sklearn.metrics import average_precision_score
    from sklearn.pipeline import make_pipeline
    from sklearn.preprocessing import StandardScaler

    from jaxseg.data import prepared

    parts = {}
    for name in ("train", "validation", "test"):
        split = prepared.open_split(directory, name)
        x = np.stack([features(split[i]["image"]) for i in range(len(split))])
        parts[name] = x, split.labels > 0, split.ids
    best = None
    for strength in 10.0 ** np.arange(-3, 3):
        model = make_pipeline(
            StandardScaler(), LogisticRegression(C=strength, max_iter=5000)
        )
        model.fit(*parts["train"][:2])
        x, y, _ = parts["validation"]
        value = average_precision_score(y, model.predict_proba(x)[:, 1])
        if best is None or value > best[0]:
            best = value, model
    x, _, ids = parts["test"]
    return dict(zip(ids, best[1].predict_proba(x)[:, 1].tolist(), strict=True))


def table(root: pathlib.Path) -> list[str]:
    """The lines of a table of the runs below `root`, and of the baseline."""
    from jaxseg.metrics import bootstrap, classification, paired_test

    runs = sorted(path for path in root.glob("seed*") if (path / "eval").is_dir())
    directory = json.loads((runs[0] / "run.json").read_text())["data_directory"]
    simple = baseline(directory)
    lines = ["| score | average precision | ROC AUC | less the regression, p |"]
    lines += ["|---|---|---|---|"]
    for number, run in enumerate(runs):
        with open(run / "eval" / "test_per_image.csv", newline="") as file:
            rows = list(csv.DictReader(file))
        truth = np.array([int(float(row["image_positive"])) for row in rows]) > 0
        groups = np.array([row["group"] for row in rows])
        scores = {
            "regression": np.array([simple[row["id"]] for row in rows]),
            run.name: np.array([float(row["image_score"]) for row in rows]),
        }
        names, code = np.unique(groups, return_inverse=True)
        drawn = {name: [] for name in scores}
        for taken in bootstrap.draws(len(names), seed=0, resamples=2000):
            for name, score in scores.items():
                times = taken[:, code]
                drawn[name].append(classification.resampled(score, truth, times))
        values = {
            n: classification.ranking(s, truth.astype(int)) for n, s in scores.items()
        }
        samples = {
            n: {m: np.concatenate([part[m] for part in drawn[n]]) for m in METRICS}
            for n in scores
        }
        for name in list(scores)[number > 0 :]:
            cells = []
            for metric in METRICS:
                low, high = bootstrap.interval(samples[name][metric])
                cells.append(f"{values[name][metric]:.3f} [{low:.3f}, {high:.3f}]")
            apart = ""
            if name != "regression":
                metric = METRICS[0]
                pair = values[name][metric], values["regression"][metric]
                both = samples[name][metric], samples["regression"][metric]
                test = paired_test.difference(pair, both, len(names))
                apart = (
                    f"{test['value']:+.3f} [{test['low']:+.3f}, {test['high']:+.3f}]"
                )
                apart += f", {test['p']:.4f}"
            lines.append(f"| {name} | {' | '.join(cells)} | {apart} |")
    return lines


if __name__ == "__main__":
    print("\n".join(table(pathlib.Path(sys.argv[1]))))
