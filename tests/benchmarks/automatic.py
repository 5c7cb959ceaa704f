"""How well `configs/folder.py:auto` learns, beside the recipe that was set by hand.

    python tests/benchmarks/automatic.py               # about an hour on two cores
    python tests/benchmarks/automatic.py --table

Four sets of `learning_sets`: radiographs of two classes, microscopy of 16 bits, three
classes in colour and three sizes, and five imbalanced classes. Each is trained by
`configs/folder.py` (a Swin-UPerNet and settings for a few dozen images) and by its
variant `auto`, with equally many steps, and every other setting their own. Both are
scored on test at the native size, with the weights and the decision that validation
chose, by one function (`learning_sides.judged`).

Finished runs are lines of `--out`/automatic.jsonl, so the same command goes on where it
was interrupted. `--table` prints what is there, as `learning.py` does.
"""

import argparse
import datetime
import json
import os
import pathlib
import shutil
import subprocess
import sys
import time
from collections.abc import Sequence
from typing import Any

ROOT = pathlib.Path(__file__).parents[2]
sys.path[:0] = [str(ROOT), str(ROOT / "tests")]

import learning
import learning_sets

SETS = ("radiographs", "nuclei", "regions", "tissue")
RECIPES = {"by hand": "folder", "auto": "folder:auto"}


def one(job: dict[str, Any], out: pathlib.Path) -> dict[str, Any]:
    """Train one recipe on one set and judge it; the row for the table."""
    import learning_sides as sides

    from jaxseg.config import check, recipe_file
    from jaxseg.experiment import finished_run, processes, self_configuration
    from jaxseg.run_directory import older_configs
    from jaxseg.train import loop

    processes.start()
    config = recipe_file.load(RECIPES[job["recipe"]])
    config.data.dir = str(learning_sets.write(job["set"], out / "sets" / job["set"]))
    config.seed, config.steps = job["seed"], job["steps"]
    config.steps_per_epoch = job["steps"] // 10  # validated ten times
    config.eval.every_epochs = 1
    config.optim.warmup_steps = job["steps"] // 20
    config.eval.update(surface=False, bootstrap=10)
    if config.auto.on:
        config.auto.keep = ("steps", "steps_per_epoch", "optim.warmup_steps")
    config = older_configs.complete(config)
    workdir = out / "runs" / _label(job).replace(" ", "_")
    shutil.rmtree(workdir, ignore_errors=True)
    began = time.monotonic()
    config = self_configuration.resolve(config, workdir)
    check.check(config)
    record = loop.train_and_evaluate(config, workdir)
    seconds = time.monotonic() - began
    run, test = finished_run.load(workdir), sides.split(config, "test")

    def predict(split, index):
        return {"point": run.predict(split[index]["image"]).classes}

    result = sides.judged(predict, test)["point"]
    shutil.rmtree(workdir, ignore_errors=True)
    return job | {
        "classes": list(test.card["classes"]),
        "dice": result["dice"],
        "never": result["never"],
        "chosen": _chosen(config),
        "parameters": record["params"],
        "seconds": round(seconds, 1),
        "date": datetime.date.today().isoformat(),
        "versions": learning.versions(),
        "processor": learning.processor(),
    }


def _chosen(config: Any) -> str:
    """What tells the two recipes apart, in a few words."""
    model, data = config.model.name, config.data
    size = "x".join(str(side) for side in data.image_size)
    return f"{model}, {data.fit} {size}, batch {config.batch_size}"


def _label(job: dict[str, Any]) -> str:
    return f"{job['set']}-{job['recipe']}-{job['steps']}-seed{job['seed']}"


def read(out: pathlib.Path) -> list[dict[str, Any]]:
    """The rows of all finished jobs."""
    path = out / "automatic.jsonl"
    lines = path.read_text().splitlines() if path.exists() else []
    return [json.loads(line) for line in lines]


def table(rows: Sequence[dict[str, Any]]) -> list[str]:
    """Lines of the table: a row a set, with mean Dice of its foreground classes."""
    lines = [
        "| set | by hand | auto | difference | by hand is | auto is | "
        "seconds, by hand and auto | seeds |",
        "|---|---|---|---|---|---|---|--:|",
    ]
    for name in SETS:
        sides = [
            [r for r in rows if (r["set"], r["recipe"]) == (name, recipe)]
            for recipe in RECIPES
        ]
        if not all(sides):
            continue
        means = [[_mean(row) for row in side] for side in sides]
        cells = [name, *(learning.shown(*learning.interval(m)) for m in means)]
        cells += [learning.shown(*learning.difference(*means[::-1]), sign="+")]
        cells += ["; ".join(sorted({r["chosen"] for r in side})) for side in sides]
        cells += [" and ".join(f"{max(r['seconds'] for r in s):.0f}" for s in sides)]
        cells += [" and ".join(sorted({str(len(side)) for side in sides}))]
        lines.append(f"| {' | '.join(cells)} |")
    return lines + ["", learning.footnote(rows)] if rows else []


def _mean(row: dict[str, Any]) -> float:
    """Mean Dice of the foreground classes of a row, each pooled over the split."""
    dice = [row["dice"][name] for name in row["classes"][1:]]
    return sum(dice) / len(dice)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--sets", default=",".join(SETS))
    parser.add_argument("--seeds", type=int, default=3)
    parser.add_argument("--steps", type=int, default=300)
    parser.add_argument("--out", type=pathlib.Path, default="runs/automatic")
    parser.add_argument("--table", action="store_true", help="print, train nothing")
    parser.add_argument("--one", default="", help=argparse.SUPPRESS)
    args = parser.parse_args()
    out = args.out.absolute()
    if args.one:
        row = one(json.loads(args.one), out)
        with open(out / "automatic.jsonl", "a") as file:
            file.write(json.dumps(row) + "\n")
        return
    done = {_label(row) for row in read(out)}
    for seed in range(0 if args.table else args.seeds):
        for name in args.sets.split(","):
            for recipe in RECIPES:
                job = {"set": name, "recipe": recipe, "seed": seed, "steps": args.steps}
                if _label(job) in done:
                    continue
                print(_label(job), flush=True)
                command = [sys.executable, __file__, f"--out={out}"]
                command.append(f"--one={json.dumps(job)}")
                # threads that wait shall not take the processor from others
                environment = {**os.environ, "OMP_WAIT_POLICY": "PASSIVE"}
                subprocess.run(command, check=True, env=environment)
    print("\n".join(table(read(out))))


if __name__ == "__main__":
    main()
