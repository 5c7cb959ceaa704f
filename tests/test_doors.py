"""Every door works with data workers, which start Python again beside it.

A spawned worker must not run the door's own module again: its flags would be defined
twice, or the training start once more in each worker.
"""

import os
import subprocess
import sys

import pytest
from support import runs

RECIPE = """
import importlib.util

spec = importlib.util.spec_from_file_location("clicks", {clicks!r})
clicks = importlib.util.module_from_spec(spec)
spec.loader.exec_module(clicks)

def get_config(arg=""):
    config = clicks.get_config("smoke")
    config.name = "doors"
    config.data.workers = 2
    config.model.unet.widths = (4, 6)
    config.eval.surface = False
    return config

def get_sweep(seeds=1):
    return {{"a": {{"seed": 0}}}}
"""


def door(name, *arguments, cwd) -> str:
    """What `python -m jaxseg.NAME` prints; it must end well."""
    own = {"JAX_PLATFORMS": "cpu", "JAXSEG_CACHE": os.environ["JAXSEG_CACHE"]}
    own |= {"JAXSEG_DATA": "", "PYTHONPATH": str(runs.ROOT)}
    done = subprocess.run(
        [sys.executable, "-m", f"jaxseg.{name}", *map(str, arguments)],
        cwd=cwd,
        env=runs.OUTSIDE | own,
        capture_output=True,
        text=True,
        timeout=400,
    )
    assert done.returncode == 0, done.stderr
    assert "Traceback" not in done.stderr
    return done.stdout + done.stderr


@pytest.fixture(scope="module")
def place(tmp_path_factory):
    """A folder with a recipe whose data is read by two workers, and a sweep of it."""
    folder = tmp_path_factory.mktemp("doors")
    clicks = str(runs.ROOT / "configs/clicks.py")
    (folder / "doors.py").write_text(RECIPE.format(clicks=clicks))
    focal = "--config.loss.focal.gamma=1.0"
    out = door("sweep", "--config=doors.py", focal, "--workdir=sweep", cwd=folder)
    assert out.count("config.loss.focal.gamma has no effect") == 1
    return folder


def test_sweep_trained_its_member_with_workers(place):
    assert (place / "sweep/a/report.html").is_file()
    assert len(runs.history(place / "sweep/a")) == 1


def test_doctor_examines_with_workers(place):
    out = door("doctor", "--config=doors.py", cwd=place)
    assert "gradients" in out


def test_the_doors_to_a_finished_run(place):
    run = "--run=sweep/a"
    assert ": yes" in door("evaluate", run, "--split=test", cwd=place)
    assert "images a second" in door("evaluate", run, "--cost", cwd=place)
    door("click", run, "--positive=1", "--negative=1", cwd=place)
    assert (place / "clicks.npz").is_file()
    door("export", run, "--format=jaxseg", "--output=a.safetensors", cwd=place)
    assert (place / "a.safetensors").is_file()
    door("report", "sweep/a", cwd=place)
