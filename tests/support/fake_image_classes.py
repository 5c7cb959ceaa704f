"""What a run with classes of whole images writes, beside a run of `fake_run`.

The head's probabilities are noise about the truth; every number is computed from them
by `evaluation.image_classes`, as for a real run.
"""

import csv
import json
import shutil
import types

import numpy as np
from scipy.special import softmax

from jaxseg.evaluation.evidence import cases
from jaxseg.evaluation.image_classes import choose, score

NAMES = ("normal", "covid19", "non_covid")
HASH = "{}-hash-0123456789"  # of a split, as fake_run has it
ALONE = {  # what the result of a run without pixels holds in place of their scores
    "pixels_trained": False,
    "operating_point": None,
    "metrics": [],
    "baselines": [],
    "curves": {},
}


def add(
    root,
    *,
    seed=0,
    noise=0.5,
    alone=False,
    exclusive=True,
    absent=(),
    never=(),
    names=NAMES,
    attention=False,
):
    """Adds classes of images to a run, returns it; worse with more noise.

    Of one seed the truths are the same whatever the noise. Test shows none of the
    classes `absent`; classes `never` get a probability of almost nothing. `alone`
    leaves a run that learned no pixels.
    """
    frozen, best = None, None
    for split in ("validation", "test"):
        path = root / f"eval/{split}.json"
        rows = _rows(root / f"eval/{split}_per_image.csv")
        rng = np.random.default_rng([seed, len(split)])
        missing = absent if split == "test" else ()
        truth = _truth(len(rows), names, exclusive, missing)
        said = _said(np.random.default_rng([7, len(split)]), truth, noise, exclusive)
        said[:, [names.index(name) for name in never]] = 1e-6
        unsure = rng.permutation(len(rows))[:1]
        truth[unsure] = -1
        tally = types.SimpleNamespace(
            index=np.arange(len(rows)), class_probability=said, class_truth=truth
        )
        facts = types.SimpleNamespace(
            name=split,
            hash=HASH.format(split),
            groups=[row["group"] for row in rows],
            ids=[row["id"] for row in rows],
            image_class_names=list(names),
            image_classes_exclusive=exclusive,
        )
        frozen = frozen or choose.choose(tally, facts)
        block = score.assemble(tally, frozen, facts, seed=0, resamples=60)
        best = best or score.history(tally, facts)
        result = json.loads(path.read_text()) | {"image_classes": block}
        for name in ("class_table", "confusion", "argmax") if alone else ():
            result.pop(name, None)
        path.write_text(json.dumps(result | (ALONE if alone else {}), indent=1))
        columns = score.columns(tally, frozen)
        if alone:
            kept = ("id", "group", "positive", "truth_pixels", "predicted_pixels")
            rows = [{key: row[key] for key in kept} for row in rows]
            rows = [row | {"predicted_pixels": ""} for row in rows]
        for name, values in columns.items():
            for row, value in zip(rows, values, strict=True):
                row[name] = "" if value is None else value
        _write(root / f"eval/{split}_per_image.csv", rows)
        cuts = [row["threshold"] for row in frozen["classes"]]
        _examples(root, split, facts, said, truth, None if exclusive else cuts, alone)
        if attention:
            _attention(root, split)
    _finish(root, alone, best)
    return root


def _truth(count, names, exclusive, absent):
    index = np.arange(count)
    if exclusive:
        there = [k for k, name in enumerate(names) if name not in absent]
        return np.eye(len(names), dtype=int)[np.array(there)[index % len(there)]]
    columns = [(index // (k + 1)) % (k + 2) == 0 for k in range(len(names))]
    shown = np.stack(columns, 1).astype(int)
    shown[:, [names.index(name) for name in absent]] = 0
    return shown


def _said(rng, truth, noise, exclusive):
    logits = 2.0 * truth + noise * 3 * rng.normal(size=truth.shape)
    said = softmax(logits, 1) if exclusive else 1 / (1 + np.exp(1 - logits))
    return said.astype(np.float32)


def _examples(root, split, facts, said, truth, cuts, alone):
    rows = cases.choose(
        said.astype(float), truth, facts.ids, facts.image_class_names, thresholds=cuts
    )
    folder = root / f"eval/{split}_class_examples"
    folder.mkdir(exist_ok=True)
    image = next((root / f"eval/{split}_examples").glob("*_image.png"))
    for row in rows:
        row["image"] = f"{row['index']:06d}_image.png"
        shutil.copy(image, folder / row["image"])
    (root / f"eval/{split}_class_examples.json").write_text(json.dumps(rows))
    if alone:
        (root / f"eval/{split}_examples.json").write_text("[]")


def _attention(root, split):
    path = root / f"eval/{split}_class_examples.json"
    rows = json.loads(path.read_text())
    for row in rows:
        row["attention"] = row["image"]
    path.write_text(json.dumps(rows))


def _finish(root, alone, best):
    """history.csv, run.json and config.json say by what the run was chosen."""
    history = _rows(root / "history.csv")
    for i, row in enumerate(history, 1):
        for name, value in best.items():
            row[f"validation/{name}"] = value * (1 - 0.5**i)
        if alone:
            for name in [key for key in row if "dice" in key]:
                del row[name]
    _write(root / "history.csv", history)
    record = json.loads((root / "run.json").read_text())
    record["dataset"]["image_classes"] = {
        "names": list(NAMES),
        "exclusive": True,
        "images": {"train": [[20, 40, 0], [20, 40, 0], [19, 40, 1]]},
    }
    if alone:
        name = "validation/class_f1_macro"
        last = history[-1]
        record["best"] = {"metric": name, "value": last[name]}
        record["best"] |= {key: int(last[key]) for key in ("step", "epoch")}
    (root / "run.json").write_text(json.dumps(record))


def shortcut(verdict="kept", erased=(0.88, 0.81, 0.94)):
    """A block "shortcut" of eval/<split>.json."""
    areas = {"as_is": (0.9, 0.85, 0.95), "erased": erased, "only": (0.6, 0.5, 0.7)}
    rows = [
        {
            "input": name,
            "detail": name,
            "roc_auc_mean": values[0],
            "low": values[1],
            "high": values[2],
            "classes": [{"name": "covid19", "roc_auc": values[0]}],
        }
        for name, values in areas.items()
    ]
    facts = {"erased": ["lung"], "images": 27, "left_out": 3, "groups": 27}
    return facts | {"rows": rows, "verdict": verdict, "rule": "as it says"}


def localisation(hits=18, images=20, chance=0.1):
    """A block "localisation" of eval/<split>.json."""
    from jaxseg.metrics import classification

    low, high = classification.wilson(hits, images)
    return {
        "image_class": "covid19",
        "mask_class": "infection",
        "images": images,
        "hits": hits,
        "flat": 0,
        "value": hits / images if images else None,
        "low": low,
        "high": high,
        "chance": chance,
        "tolerance": 2.0,
        "policy": "as it says",
    }


def _rows(path):
    with open(path, newline="") as file:
        return list(csv.DictReader(file))


def _write(path, rows):
    with open(path, "w", newline="") as file:
        writer = csv.DictWriter(file, list(rows[0]))
        writer.writeheader()
        writer.writerows(rows)
