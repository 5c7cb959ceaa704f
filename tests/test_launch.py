"""Two processes on one machine read and score what one does."""

import json
import os
import signal
import subprocess
import sys
import time

import numpy as np
import pytest
from support import runs

LOCAL = [sys.executable, "launch/local.py", "-n", "2"]
ALONE = [sys.executable, "-m", "jaxseg.main"]
RECIPE = ["--config=configs/pneumothorax.py:smoke", *runs.SMALL_FLAGS]
SMOKE = [*RECIPE, "--config.epochs=2"]


def _start(command, *arguments):
    own = {"JAX_PLATFORMS": "cpu", "JAXSEG_CACHE": os.environ["JAXSEG_CACHE"]}
    return subprocess.Popen(
        [*command, *arguments],
        cwd=runs.ROOT,
        env={**runs.OUTSIDE, **own},
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
    )


def _run(command, *arguments) -> str:
    process = _start(command, *arguments)
    out, _ = process.communicate(timeout=500)
    assert process.returncode == 0, out
    return out


@pytest.fixture(scope="module")
def two(tmp_path_factory):
    workdir = tmp_path_factory.mktemp("two") / "run"
    _run(LOCAL, *SMOKE, f"--workdir={workdir}")
    return workdir


def test_two_processes_equal_one(two, tmp_path):
    _run(ALONE, *SMOKE, f"--workdir={tmp_path}/one")
    record = json.loads((two / "run.json").read_text())
    assert record["devices"]["processes"] == 2
    # the batch size is fixed in the recipe, so two processes read the same examples
    for a, b in zip(runs.history(two), runs.history(tmp_path / "one"), strict=True):
        for exact in ("images_seen", "share_realised", "step"):
            assert a[exact] == b[exact]
        np.testing.assert_allclose(float(a["loss"]), float(b["loss"]), rtol=1e-4)


def test_two_processes_score_a_run_to_the_same_bytes(two):
    """The run was scored by two processes; one gives the same, and two again."""
    before = runs.scores(two)
    for command in ([sys.executable, "-m"], [*LOCAL, "--module"]):
        out = _run([*command, "jaxseg.evaluate"], f"--run={two}", "--split=test")
        assert "equal to the scores that were there: yes" in out
        assert runs.scores(two) == before


def test_a_failing_process_ends_all_with_its_code(tmp_path):
    process = _start(LOCAL, "--config=configs/pneumothorax.py:nonsense")
    out, _ = process.communicate(timeout=120)
    assert process.returncode == 2, out
    assert "choose one of" in out


def test_sigterm_saves_at_one_step_and_the_same_command_goes_on(tmp_path):
    longer = [*RECIPE, "--config.epochs=300", f"--workdir={tmp_path}/run"]
    process = _start(LOCAL, *longer)
    history = tmp_path / "run" / "history.csv"
    while process.poll() is None and not history.exists():
        time.sleep(0.1)
    process.send_signal(signal.SIGTERM)
    out, _ = process.communicate(timeout=200)
    assert process.returncode == 75, out
    assert "start the same command again" in out
