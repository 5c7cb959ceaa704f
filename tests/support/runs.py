"""Small runs, and what of them must be equal bit for bit."""

import csv
import importlib.util
import json
import os
import pathlib

import jax
import numpy as np
from ml_collections import ConfigDict

from jaxseg.experiment import build
from jaxseg.run_directory import checkpoint

ROOT = pathlib.Path(__file__).parents[2]
# of conftest.py, what makes compiling fast, without its four devices
_FLAGS = os.environ.get("XLA_FLAGS", "").split()
FAST = " ".join(flag for flag in _FLAGS if "device_count" not in flag)
# what a user's own process would see, but for that
OUTSIDE = os.environ | {"XLA_FLAGS": FAST}
# a model that is traced and compiled in a second, where the model does not matter
SMALL = {"model.name": "unet", "model.unet.widths": (4, 6)}
SMALL_FLAGS = [f"--config.{key}={value}" for key, value in SMALL.items()]
CLOCK = {"seconds", "images_per_second", "data_wait_share"}


def config(name: str, recipe: str = "smoke", **changes) -> ConfigDict:
    """The recipe of configs/<name>.py; changes as {"optim.ema": 0.9}."""
    spec = importlib.util.spec_from_file_location(name, ROOT / f"configs/{name}.py")
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    out = module.get_config(recipe)
    out.update_from_flattened_dict(changes)
    return out


def edit_record(workdir, **changes) -> None:
    """Changes run.json as if it had been written so: without its own digest."""
    path = pathlib.Path(workdir) / "run.json"
    record = json.loads(path.read_text()) | changes
    record.pop("sha256", None)
    path.write_text(json.dumps(record))


def history(workdir) -> list[dict]:
    """The rows of history.csv without what a clock measured."""
    with open(pathlib.Path(workdir) / "history.csv", newline="") as file:
        rows = list(csv.DictReader(file))
    return [{k: v for k, v in row.items() if k not in CLOCK} for row in rows]


def scores(workdir) -> dict:
    """What evaluation wrote, by file name."""
    folder = pathlib.Path(workdir) / "eval"
    files = [p for p in sorted(folder.rglob("*")) if p.is_file()]
    return {str(p.relative_to(folder)): p.read_bytes() for p in files}


def point(workdir) -> dict:
    path = pathlib.Path(workdir) / "checkpoints" / "operating_point.json"
    return json.loads(path.read_text())


def last_state(workdir, config: ConfigDict):
    """The state of the newest checkpoint, on the host."""
    record = json.loads((pathlib.Path(workdir) / "run.json").read_text())
    experiment = build.load(config, batch_size=record["batch_size"])
    manager = checkpoint.open_manager(
        pathlib.Path(workdir) / "checkpoints", read_only=True
    )
    state, _, _ = checkpoint.restore(manager, experiment.abstract)
    checkpoint.close(manager)
    return jax.tree.map(np.asarray, state)


def leaves(tree) -> list[np.ndarray]:
    return [np.asarray(leaf) for leaf in jax.tree.leaves(tree)]
