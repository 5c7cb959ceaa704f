"""The commands a user types, in processes of their own."""

import json
import os
import pathlib
import random
import signal
import subprocess
import sys
import time

import pytest
from support import runs

from jaxseg.experiment import score_again

MAIN = [sys.executable, "-W", "error::FutureWarning", "-m", "jaxseg.main"]
SMOKE = "--config=configs/pneumothorax.py:smoke"


def _environment(**more) -> dict:
    own = {"JAX_PLATFORMS": "cpu", "JAXSEG_CACHE": os.environ["JAXSEG_CACHE"]}
    return {**runs.OUTSIDE, **own, **more}


def _start(*arguments, command=MAIN, **environment) -> subprocess.Popen:
    return subprocess.Popen(
        [*command, *map(str, arguments)],
        cwd=runs.ROOT,
        env=_environment(**environment),
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )


def _run(*arguments, **kwargs) -> subprocess.CompletedProcess:
    process = _start(*arguments, **kwargs)
    out, err = process.communicate(timeout=500)
    return subprocess.CompletedProcess(arguments, process.returncode, out, err)


@pytest.mark.parametrize(
    "arguments,message",
    [
        ((), "--config=configs/pneumothorax.py"),
        (("--workdir=runs/no thing",), "no run in runs/no thing to go on with: name a"),
        (("--config=configs/pneumotorax.py",), "Did you mean configs/pneumothorax.py"),
        (("--config=configs/pneumothorax.py:dmo",), "did you mean 'demo'"),
        ((SMOKE, "--config.optim.learning_rat=1"), "config.optim.learning_rate"),
        ((SMOKE, "--config.optim.learning_rate=fast"), "fast"),
        ((SMOKE, "--config.model.name=swin_upernett"), "did you mean 'swin_upernet'"),
        ((SMOKE, "--config.sampler.name=balance"), "did you mean 'balanced'"),
        ((SMOKE, "--config.epochs=0"), "at least 1"),
        ((SMOKE, "--config.eval.metric=dice_poled"), "did you mean 'dice_pooled'"),
        ((SMOKE, "--config.operating_point.objective=dice_kagle"), "'dice_kaggle'"),
        ((SMOKE, "--config.data.fit=strech"), "did you mean 'stretch'"),
        ((SMOKE, "--config.data.dir=/nowhere"), "name the recipe for real data"),
        (("--config=configs/pneumothorax.py:full",), "JAXSEG_DATA"),
        ((SMOKE, "--work_dir=x"), "workdir"),
        ((SMOKE, "--profile=5:4"), "--profile=10:14"),
        ((SMOKE, "oops"), "oops"),
    ],
)
def test_a_mistake_is_one_line_and_exit_code_2_before_jax_starts(arguments, message):
    quick = "import sys; sys.modules['jax'] = None; import runpy; "
    quick += "runpy.run_module('jaxseg.main', run_name='__main__', alter_sys=True)"
    done = _run(*arguments, command=[sys.executable, "-c", quick], JAXSEG_DATA="")
    lines = [line for line in done.stderr.splitlines() if line.startswith("jaxseg:")]
    assert done.returncode == 2, done.stderr
    assert len(lines) == 1 and message in lines[0], done.stderr
    assert "Traceback" not in done.stderr


def test_a_schedule_can_be_typed(tmp_path):
    knots = "--config.sampler.balanced.share=((0.0,0.8),(1.0,0.4))"
    wrong = "--config.loss.dice_batch.weight=((0.5,1.0),(0.5,2.0))"
    done = _run(SMOKE, knots, wrong, f"--workdir={tmp_path}/run")
    assert done.returncode == 2, done.stderr
    assert "loss.dice_batch.weight" in done.stderr and "share" not in done.stderr


def test_missing_data_is_exit_code_3(tmp_path):
    full = "--config=configs/pneumothorax.py:full"
    done = _run(full, f"--config.data.dir={tmp_path}", f"--workdir={tmp_path}/run")
    assert done.returncode == 3, done.stderr
    assert "jaxseg.prepare --dataset=siim_acr" in done.stderr


def test_killed_at_random_and_started_again_equals_never_killed(tmp_path):
    longer = (SMOKE, *runs.SMALL_FLAGS, "--config.epochs=4")
    straight = _run(*longer, f"--workdir={tmp_path}/straight")
    assert straight.returncode == 0, straight.stderr
    assert "report.html" in straight.stdout
    rng = random.Random(0)
    for _ in range(2):
        newest = _steps(tmp_path / "killed")[-1:]
        process = _start(*longer, f"--workdir={tmp_path}/killed")
        while process.poll() is None and _steps(tmp_path / "killed")[-1:] == newest:
            time.sleep(0.05)
        time.sleep(rng.uniform(0, 1))
        process.send_signal(signal.SIGKILL)
        process.communicate()
    done = _run(*longer, f"--workdir={tmp_path}/killed")
    assert done.returncode == 0, done.stderr
    a, b = tmp_path / "straight", tmp_path / "killed"
    assert runs.history(a) == runs.history(b)
    assert runs.scores(a) == runs.scores(b)
    again = _run(*longer, f"--workdir={tmp_path}/killed")
    assert again.returncode == 0 and "finished" in again.stdout
    assert len(runs.history(b)) == 4
    scored = _run(
        f"--run={b}",
        "--split=test",
        command=[sys.executable, "-m", "jaxseg.evaluate"],
        XLA_FLAGS=f"{runs.FAST} --xla_force_host_platform_device_count=8",
    )
    assert scored.returncode == 0, scored.stderr
    # eight devices add up in another order, and every count is the same
    assert "there: yes" in scored.stdout or score_again.ROUNDED in scored.stdout
    assert runs.scores(a) == runs.scores(b)


def _steps(workdir: pathlib.Path) -> list[int]:
    """The steps that have a checkpoint."""
    found = (workdir / "checkpoints").glob("*")
    return sorted(int(p.name) for p in found if p.name.isdigit())


def test_a_dry_run_writes_nothing(tmp_path):
    done = _run(SMOKE, *runs.SMALL_FLAGS, "--dry_run", f"--workdir={tmp_path}/run")
    assert done.returncode == 0, done.stderr
    for word in ("parameters", "memory per device", "one step", "steps per epoch"):
        assert word in done.stdout
    assert not (tmp_path / "run").exists()


def test_tensorflow_is_never_imported():
    code = (
        "import sys; from jaxseg.experiment import score_again; "
        "from jaxseg.train import dry_run, loop; from jaxseg.report.run import build; "
        "sys.exit(any(m.split('.')[0] == 'tensorflow' for m in sys.modules))"
    )
    assert _run("-c", code, command=[sys.executable]).returncode == 0


def test_sigterm_saves_and_says_start_again(tmp_path):
    longer = (SMOKE, *runs.SMALL_FLAGS, "--config.epochs=400")
    # compiled as a user's program is, with all that XLA does by default
    process = _start(*longer, f"--workdir={tmp_path}/run", XLA_FLAGS="")
    while process.poll() is None and not (tmp_path / "run/history.csv").exists():
        time.sleep(0.1)
    process.send_signal(signal.SIGTERM)
    _, err = process.communicate(timeout=120)
    assert process.returncode == 75, err
    assert "start the same command again" in err
    record = json.loads((tmp_path / "run/run.json").read_text())
    assert record["status"] == "running"
