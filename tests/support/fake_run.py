"""A small run directory as jaxseg writes it, every score computed from its pixels.

Pictures are noise with blobs; probabilities are smeared truths with misses and false
alarms. Nothing here is a typed result: counts become scores as they do in evaluation.
"""

import csv
import json

import numpy as np
from PIL import Image

from support import fake_classes
from support.fake_scores import baselines, image_curve, metrics, per_image, pixel_curve

SIDE = 48
THRESHOLD = 0.5


def make(
    root,
    *,
    classes: int = 2,
    epochs: int = 24,
    seed: int = 0,
    noise=0.7,
    silent=(),
    offsets=None,
    sizes=None,
):
    """Writes a run under `root`, returns it; class 3 is never there.

    Of one seed, images and truths are the same and answers are worse with more noise.
    `sizes` are the images of each split.
    Above two classes the decision is argmax, or has `offsets`; `silent` class ids get a
    probability of almost nothing.
    """
    rng = np.random.default_rng(seed)
    names = ["background", "pneumothorax", "effusion", "never seen", "nodule", "mass"]
    names = (names + [f"class {c}" for c in range(6, classes)])[:classes]
    sizes = sizes or {"train": 60, "validation": 24, "test": 30}
    data = {k: _images(rng, n, classes, noise, silent) for k, n in sizes.items()}
    (root / "eval").mkdir(parents=True)
    folder, results = root / "eval", {}
    for split in ("validation", "test"):
        before = results.get("validation")
        results[split] = _evaluate(folder, split, data[split], names, before, offsets)
    value = results["validation"]["metrics"][0]["value"]
    history = _history(rng, epochs, value, sizes["train"])
    if classes > 2:
        history = fake_classes.history(history, names, results["validation"])
    _csv(root / "history.csv", history)
    column = "validation/dice_positives"
    top = max((r for r in history if r[column] != ""), key=lambda r: r[column])
    _json(root / "config.json", _config(classes, epochs))
    info = {
        "name": root.name,
        "recipe": "configs/pneumothorax.py:demo",
        "command": "python -m jaxseg.main --config=configs/pneumothorax.py:demo",
        "created": "2026-01-02T03:04:05",
        "finished": "2026-01-02T03:14:05",
        "status": "finished",
        "git": {"revision": "0123abcd", "dirty": False},
        "versions": {"python": "3.11", "jax": "0.10.2"},
        "devices": {"kind": "cpu", "count": 2, "processes": 1},
        "batch_size": 4,
        "steps_per_epoch": 15,
        "total_steps": 15 * epochs,
        "epochs": epochs,
        "images_seen": history[-1]["images_seen"],
        "params": 123456,
        "seconds": history[-1]["seconds"],
        "best": {k: top[k] for k in ("step", "epoch")}
        | {"metric": column, "value": top[column]},
        "resumed": 0,
        "skipped_steps": 0,
        "dataset": (card := _card(data, names)),
        "class_weights": {"cross_entropy": [w or 1.0 for w in card["class_weights"]]},
        "sampler": {"name": "balanced"},
    }
    _json(root / "run.json", info)
    return root


def _images(rng, count, classes, noise, silent=()):
    """[(image u8 [h,w], mask u8 [h,w], probability f32 [k,h,w])], a third positive."""
    y, x = np.mgrid[:SIDE, :SIDE] / SIDE
    images = []
    for i in range(count):
        mask = np.zeros((SIDE, SIDE), np.uint8)
        logit = np.full((classes, SIDE, SIDE), -4.0)
        logit[0] = 0
        for kind in (c for c in range(1, classes) if c != 3):
            if (i + kind) % 3 == 0:
                at, size = rng.uniform(0.2, 0.8, 2), rng.uniform(0.05, 0.2)
                mask[np.hypot(y - at[0], x - at[1]) < size] = kind
                shift = at + rng.normal(0, 0.04, 2)
                grown = size * rng.uniform(0.7, 1.2)
                far = np.hypot(y - shift[0], x - shift[1]) - grown
                logit[kind] = np.maximum(logit[kind], -60 * far)
            elif rng.random() < 0.15:
                at = rng.uniform(0.2, 0.8, 2)
                far = np.hypot(y - at[0], x - at[1]) - 0.06
                logit[kind] = np.maximum(logit[kind], -40 * far)
        ribs = 110 + 40 * np.sin(18 * y + 3 * x) + 25 * (mask > 0)
        image = np.clip(ribs + rng.normal(0, 18, mask.shape), 0, 255).astype(np.uint8)
        logit += rng.normal(0, noise, logit.shape)
        logit[list(silent)] = -60.0
        power = np.exp(logit - logit.max(0))
        probability = (power / power.sum(0)).astype(np.float32)
        mask[:2, :2] = 255
        images.append((image, mask, probability))
    return images


def _evaluate(folder, split, images, names, chosen=None, offsets=None):
    binary = len(names) == 2
    predictions = [
        (p[1] > THRESHOLD).astype(np.uint8)
        if binary
        else fake_classes.decide(p, offsets)
        for _, _, p in images
    ]
    truths = [m for _, m, _ in images]
    foreground = [1 - p[0] for _, _, p in images]
    rows = per_image(split, truths, predictions, foreground)
    labelled = [t != 255 for t in truths]
    result = {
        "split": split,
        "split_hash": f"{split}-hash-0123456789",
        "step": 300,
        "images": len(images),
        "positive_images": sum(r["positive"] for r in rows),
        "pixels": int(sum(k.sum() for k in labelled)),
        "positive_pixels": int(sum(r["truth_pixels"] for r in rows)),
        "ignored_pixels": int(sum((~k).sum() for k in labelled)),
        "classes": names,
        "metrics": metrics(truths, predictions, names),
        "baselines": baselines([i for i, _, _ in images], truths, names),
        "operating_point": None,
        "curves": {"pixel": None, "image": image_curve(rows, "max_probability")},
    }
    if binary:
        result["operating_point"] = {
            "threshold": THRESHOLD,
            "min_area": 0,
            "objective": "dice_positives",
            "optimistic": split == "validation",
            "value": (chosen or result)["metrics"][0]["value"],
            "source_split": "validation",
            "split_hash": "validation-hash-0123456789",
        }
        result["curves"]["pixel"], pr = pixel_curve(truths, foreground)
        _csv(folder / f"{split}_pr.csv", pr)
    else:
        parts = truths, [p for _, _, p in images], predictions, names
        fake_classes.complete(result, rows, *parts, offsets=offsets, chosen=chosen)
    _json(folder / f"{split}.json", result)
    _csv(folder / f"{split}_per_image.csv", rows)
    _examples(folder, split, images, predictions, rows, binary)
    return result


def _examples(folder, split, images, predictions, rows, binary):
    ranked = [i for i, r in enumerate(rows) if r["positive"]]
    key = "dice" if binary else "worst_dice"
    ranked.sort(key=lambda i: -rows[i][key])
    roles = {"best": ranked[0], "median": ranked[len(ranked) // 2], "worst": ranked[-1]}
    empty = [i for i, r in enumerate(rows) if not r["positive"]]
    if empty:
        roles["negative"] = min(empty, key=lambda i: rows[i]["predicted_pixels"])
        roles["false_positive"] = max(empty, key=lambda i: rows[i]["predicted_pixels"])
    listed = []
    (folder / f"{split}_examples").mkdir()
    for role, i in roles.items():
        image, mask, probability = images[i]
        parts = {"image": image, "mask": mask, "probability": 1 - probability[0]}
        if role != "worst" or not binary:  # a picture that older runs do not have
            parts["prediction"] = predictions[i]
        files = {key: f"{i}_{key}.png" for key in parts}
        for key, array in parts.items():
            if array.dtype != np.uint8:
                array = np.rint(255 * array).astype(np.uint8)
            Image.fromarray(array).save(folder / f"{split}_examples" / files[key])
        copied = {k: rows[i][k] for k in ("id", "truth_pixels", "predicted_pixels")}
        if not binary:
            copied |= {k: rows[i][k] or None for k in ("worst_class",)}
        for key in ("dice",) if binary else ("dice", "worst_dice"):
            copied[key] = None if rows[i][key] == "" else rows[i][key]
        listed.append(copied | {"role": role} | files)
    _json(folder / f"{split}_examples.json", listed)


def _history(rng, epochs, value, train):
    rows = []
    for epoch in range(1, epochs + 1):
        done = epoch / epochs
        validated = epoch % 2 == 0 or epoch == epochs
        rise = value * (1 - np.exp(-5 * done)) - 0.02 * rng.random()
        target = 0.8 - 0.4 * (epoch - 1) / max(1, epochs - 1)
        rows.append(
            {
                "epoch": epoch,
                "step": 15 * epoch,
                "images_seen": train * epoch,
                "seconds": 2.5 * epoch,
                "images_per_second": 24 + rng.normal(),
                "data_wait_share": 0.02,
                "learning_rate": 5e-4 * (1 + np.cos(np.pi * done)),
                "share_target": target,
                "share_realised": target + rng.uniform(-0.004, 0.004),
                "loss": 1.2 * np.exp(-3 * done) + 0.2,
                "loss/dice": 0.9 * np.exp(-3 * done) + 0.1,
                "loss/cross_entropy": 0.3 * np.exp(-3 * done) + 0.1,
                "grad_norm": 1 + rng.random(),
                "skipped_steps": 0,
                "dice_positives": value * (1 - np.exp(-6 * done)),
                "validation/dice_positives": rise if validated else "",
                "validation/loss": 1.2 * np.exp(-2 * done) + 0.3 if validated else "",
            }
        )
    return rows


def _card(data, names):
    splits = {}
    for name, images in data.items():
        pixels = [
            int(sum((m == c).sum() for _, m, _ in images)) for c in range(len(names))
        ]
        splits[name] = {
            "images": len(images),
            "positives": int(sum(((m > 0) & (m < 255)).any() for _, m, _ in images)),
            "groups": len(images),
            "pixels": pixels,
            "ignored_pixels": int(sum((m == 255).sum() for _, m, _ in images)),
            "unlabelled_images": 0,
        }
    pixels = splits["train"]["pixels"]
    total = sum(pixels)
    return {
        "name": "phantom",
        "version": "1.0.0",
        "source": "synthetic",
        "classes": names,
        "channels": 1,
        "dtype": "uint8",
        "splits": splits,
        "class_weights": [total / (len(names) * n) if n else None for n in pixels],
        "sizes": {"min": [SIDE, SIDE], "max": [SIDE, SIDE], "distinct": 1},
        "split_rule": "by patient, stratified by label and area",
        "split_hash": {name: f"{name}-hash-0123456789" for name in splits},
        "refused": [{"file": "a<b>.dcm", "reason": "constant image | blank"}],
        "extra": {},
    }


def _config(classes, epochs):
    return {
        "seed": 0,
        "epochs": epochs,
        "batch_size": 4,
        "data": {"name": "siim_acr", "dir": None},
        "model": {"name": "swin_upernet", "swin_upernet": {"width": 24}},
        "loss": {
            "dice": {"weight": 1.0},
            "cross_entropy": {"weight": 1.0, "class_weights": "inverse"},
        },
        "optim": {"learning_rate": 1e-3, "clip": None, "betas": [0.9, 0.999]},
        "sampler": {"name": "balanced", "share": [0.8, 0.4]},
        "augment": {"flip": True, "rotate": 10.0},
    }


def _json(path, value):
    path.write_text(json.dumps(value, indent=1))


def _csv(path, rows):
    with open(path, "w", newline="") as file:
        writer = csv.DictWriter(file, list(rows[0]))
        writer.writeheader()
        writer.writerows(rows)
