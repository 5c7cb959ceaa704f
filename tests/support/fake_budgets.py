"""Units of a comparison with a label budget, made of numbers alone."""

import itertools
import json

from support import fake_run

METRIC = "dice_pooled"
IMAGES, PIXELS = 60, 48 * 48


def labels(positive, negative, *, short=0, **options):
    """The `supervision` of run.json; in `short` images half of the object is there."""
    asked = {"name": "clicks", "seed": 0, "positive": positive, "negative": negative}
    asked |= {"strategy": "random", "annotators": 1} | options
    per_class = {"background": negative * IMAGES, "cell": positive * IMAGES}
    per_class["cell"] -= short * (positive // 2)
    total = sum(per_class.values())
    return {
        "options": asked,
        "images": IMAGES,
        "labelled_pixels": total,
        "share": total / IMAGES / PIXELS,
        "per_class": per_class,
        "per_image": {"mean": total / IMAGES, "min": 1, "max": positive + negative},
        "short_images": {"background": 0, "cell": short},
    }


def unit(name, value, budget=None, *, metric=METRIC, config=None, seeds=(0,)):
    """A unit of the comparison; `value` is of one run, or one a seed."""
    values = value if isinstance(value, tuple) else (value,) * len(seeds)
    runs = []
    for seed, score in zip(seeds, values, strict=True):
        row = {"name": metric, "value": score, "low": None, "high": None, "class": None}
        if score is not None:
            row |= {"low": score - 0.01, "high": score + 0.01}
        result = {"metrics": [row], "classes": ["background", "cell"], "images": 20}
        whole = {"loss": {"partial": {"weight": 1.0}}, "seed": seed} | (config or {})
        if budget:
            options = {k: v for k, v in budget["options"].items() if k != "seed"}
            whole["supervision"] = options
        runs.append(
            {
                "config": whole,
                "info": {"supervision": budget},
                "splits": {"test": {"name": "test", "result": result, "images": []}},
                "history": [{"epoch": 1, "loss": 0.5, f"validation/{metric}": 0.6}],
            }
        )
    names = [f"{name}-{seed}" for seed in seeds]
    return {"name": name, "runs": runs, "names": names, "images": ("test", "h")}


def study(scores, full=0.96):
    """Units of {P+N: score}, and the full masks."""
    units = [unit(n, v, labels(*map(int, n.split("+")))) for n, v in scores.items()]
    return units + ([unit("masks", full)] if full else [])


def test_of(first, second, p, seeds=None):
    answer = "yes" if max(p, seeds or 0) < 0.05 else "unclear"
    test = {"value": first - second, "low": 0.001, "high": 0.03, "p": p, "seeds": seeds}
    return test | {
        "groups": 20,
        "values": (first, second),
        "adjusted": p,
        "answer": answer,
    }


def pairs_of(scores, p, **more):
    pairs = itertools.combinations(scores, 2)
    return {
        METRIC: {(a, b): test_of(scores[a], scores[b], p, **more) for a, b in pairs}
    }


def sweep(root):
    """Writes runs of three budgets and of full masks, two seeds each; returns root."""
    noise = {"5+5": 2.0, "10+50": 0.9, "50+10": 1.5, "masks": 0.7}
    for (name, level), seed in itertools.product(noise.items(), (0, 1)):
        path = fake_run.make(root / f"{name}-seed{seed}", noise=level + 0.05 * seed)
        budget = None if name == "masks" else labels(*map(int, name.split("+")))
        kind = {"name": "full"} if budget is None else budget["options"]
        for file, more in (
            ("config.json", {"seed": seed, "supervision": kind}),
            ("run.json", {"supervision": budget}),
        ):
            value = json.loads((path / file).read_text())
            (path / file).write_text(json.dumps(value | more))
    return root
