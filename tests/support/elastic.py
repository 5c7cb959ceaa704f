"""Trains on four devices, and goes on from the middle on others.

    python -m support.elastic FOLDER

The folder that is named gets a run directory for each case, and `seen.json`: for each
case the examples of every step, history.csv, the largest difference of a parameter
from the run that stayed on four devices, and how many arrays were sharded.
"""

import contextlib
import json
import pathlib
import shutil
import sys

import jax
import numpy as np

from jaxseg.devices import sharding
from jaxseg.run_directory import checkpoint
from jaxseg.train import loop, open_run
from jaxseg.train.epoch_sums import EpochSums
from support import runs

AT = 2  # the step of the checkpoint that the cases go on from
WRITTEN = (4, 1)
CASES = {"1": (1, 1), "2 fsdp": (2, 2), "8": (8, 1)}
CHANGES = runs.SMALL | {"epochs": 2, "steps": 5, "batch_size": 8, "log_every": 1}
CHANGES |= {"checkpoint.every_steps": AT, "checkpoint.keep": 9, "optim.ema": 0.9}


@contextlib.contextmanager
def replaced(owner, name: str, value):
    """The attribute is `value` for a while."""
    before = getattr(owner, name)
    setattr(owner, name, value)
    try:
        yield
    finally:
        setattr(owner, name, before)


def train(workdir: pathlib.Path, devices: int, fsdp: int) -> tuple[dict, list]:
    """(what the run showed, its last parameters); goes on where something lies."""
    seen = {"index": {}, "sharded": 0, "step": None}
    last = []
    add, restore, save = EpochSums.add, open_run.restore, checkpoint.save

    def noted_add(self, numbers, index, waited, *, step):
        seen["index"][step] = np.asarray(index).tolist()
        add(self, numbers, index, waited, step=step)

    def noted_restore(run):
        state, metadata, seen["step"] = restore(run)
        leaves = jax.tree.leaves(state)
        seen["sharded"] = sum("fsdp" in leaf.sharding.spec for leaf in leaves)
        return state, metadata, seen["step"]

    def noted_save(manager, state, **options):
        last[:] = runs.leaves(state.params)
        save(manager, state, **options)

    config = runs.config("pneumothorax", **CHANGES, **{"mesh.fsdp": fsdp})
    with contextlib.ExitStack() as stack:
        for owner, name, value in (
            (jax, "device_count", lambda: devices),
            (sharding, "_MIN_SIZE", 64),  # the model is small
            (EpochSums, "add", noted_add),
            (open_run, "restore", noted_restore),
            (checkpoint, "save", noted_save),
            (loop, "finish", lambda run, stop_request: run.record),
        ):
            stack.enter_context(replaced(owner, name, value))
        loop.train_and_evaluate(config, workdir)
    return seen | {"history": runs.history(workdir)}, last


def main() -> None:
    place = pathlib.Path(sys.argv[1])
    everything = {}
    everything["4"], straight = train(place / "4", *WRITTEN)
    for name, mesh in CASES.items():
        workdir = place / name.replace(" ", "-")
        shutil.copytree(place / "4", workdir)
        for step in (workdir / "checkpoints").glob("[0-9]*"):
            if int(step.name) != AT:
                shutil.rmtree(step)
        seen, last = train(workdir, *mesh)
        gaps = [np.abs(a - b).max() for a, b in zip(last, straight, strict=True)]
        everything[name] = seen | {"gap": float(max(gaps))}
    (place / "seen.json").write_text(json.dumps(everything))


if __name__ == "__main__":
    main()
