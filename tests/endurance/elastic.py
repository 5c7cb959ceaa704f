"""Goes on with a run of four processes on one, two or eight devices.

The run is trained by four processes of one device each; one that was stopped on the
way (SIGTERM, which saves at one step) is copied, and each case goes on with its copy:
on so many virtual devices of one process, data-parallel or with parameters and
optimizer state sharded. It reads the same images in the same order, and its numbers are
those of the run that stayed on four processes, within the tolerances of
`tests/experiment/test_elastic.py`, which says where they come from.
"""

import itertools
import pathlib
import shutil
import signal
import subprocess
import sys
import time

import numpy as np
from support import runs

from endurance import doors, twins
from endurance.ledger import Outcome

RECIPE = ("--config=pneumothorax:smoke", "--config.batch_size=8", "--config.epochs=6")
# wide enough to have parameters that are sharded
RECIPE += ("--config.model.name=unet", "--config.model.unet.widths=(16, 32, 64)")
RECIPE += ("--config.checkpoint.every_steps=1", "--config.log_every=1")
MESHES = ("devices=1 fsdp=1", "devices=2 fsdp=1", "devices=2 fsdp=2")
MESHES += ("devices=8 fsdp=1", "devices=8 fsdp=2", "devices=8 fsdp=8")
LOSS = 1e-3  # relative, of the mean loss of an epoch
SCORE = 0.03  # of a score of validation


def cases(count: int, seed: int) -> list[str]:
    """The meshes, in turn."""
    return list(itertools.islice(MESHES, count))


def run(case: str, twin: twins.Twin, place: pathlib.Path) -> Outcome:
    """What the run came to on the mesh of the case."""
    whole, stopped = _four_processes(place.parent / "elastic")
    workdir = place / "run"
    shutil.copytree(stopped, workdir)
    devices, fsdp = (int(word.split("=")[1]) for word in case.split())
    end = doors.run(
        "main",
        *RECIPE,
        f"--config.mesh.fsdp={fsdp}",
        f"--workdir={workdir}",
        cache=place.parent / "elastic" / "cache",
        mark=case,
        XLA_FLAGS=f"--xla_force_host_platform_device_count={devices} {doors.XLA}",
    )
    wrong = [end.fault or end.sentence] if end.code else _differences(workdir, whole)
    return Outcome("equal", "; ".join(wrong[:8]))


def _four_processes(place: pathlib.Path) -> tuple[pathlib.Path, pathlib.Path]:
    """(the run that stayed on four processes, a copy of it as it was on the way)."""
    whole, stopped = place / "whole", place / "stopped"
    if not (whole / "report.md").exists():
        shutil.rmtree(place, ignore_errors=True)
        door = _start(whole, place / "cache")
        while len(list(whole.glob("checkpoints/[0-9]*"))) < 2 and door.poll() is None:
            time.sleep(0.05)
        door.send_signal(signal.SIGTERM)
        if door.wait() != 75:
            raise RuntimeError(f"four processes ended with {door.returncode}, not 75")
        shutil.copytree(whole, stopped)
        if code := _start(whole, place / "cache").wait():
            raise RuntimeError(f"four processes ended with exit code {code}")
    return whole, stopped


def _start(workdir: pathlib.Path, cache: pathlib.Path) -> subprocess.Popen:
    command = [sys.executable, "launch/local.py", "-n", "4", *RECIPE]
    own = {"JAX_PLATFORMS": "cpu", "XLA_FLAGS": doors.XLA, "JAXSEG_DATA": ""}
    own |= {"JAXSEG_CACHE": str(cache), "PYTHONPATH": str(runs.ROOT)}
    return subprocess.Popen(
        [*command, f"--workdir={workdir}"], cwd=runs.ROOT, env=runs.OUTSIDE | own
    )


def _differences(workdir: pathlib.Path, whole: pathlib.Path) -> list[str]:
    """What of a run is not as in the one that stayed on four processes, in words."""
    out = []
    for mine, its in zip(runs.history(workdir), runs.history(whole), strict=True):
        for name, value in its.items():
            if name in ("step", "images_seen", "share_realised"):
                same = mine[name] == value
            elif name == "loss":
                same = np.isclose(float(mine[name]), float(value), rtol=LOSS, atol=0)
            elif name.startswith("validation/") and value:
                same = abs(float(mine[name]) - float(value)) <= SCORE
            else:
                continue
            if not same:
                out.append(f"{name} of step {its['step']}: {mine[name]}, not {value}")
    return out
