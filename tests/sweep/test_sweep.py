"""`python -m jaxseg.sweep`, as a user types it."""

import json
import os
import re
import shlex
import shutil
import subprocess
import sys

import pytest
from support import runs

SWEEP = [sys.executable, "-m", "jaxseg.sweep"]
CLICKS = "--config=configs/clicks.py:smoke"
RECIPE = """
import importlib.util

spec = importlib.util.spec_from_file_location("clicks", {clicks!r})
clicks = importlib.util.module_from_spec(spec)
spec.loader.exec_module(clicks)

def get_config(arg=""):
    config = clicks.get_config("smoke")
    config.name = "pair"
    config.eval.surface = False
    config.model.unet.widths = (4, 6)
    return config

def get_sweep(seeds=1):
    return {{
        f"{{p}}-seed{{s}}": {{"supervision.positive": p, "seed": s}}
        for p in (3, 6)
        for s in range(seeds)
    }}
"""


def start(*arguments, cwd=runs.ROOT, command=SWEEP) -> subprocess.Popen:
    own = {"JAX_PLATFORMS": "cpu", "JAXSEG_CACHE": os.environ["JAXSEG_CACHE"]}
    own |= {"JAXSEG_DATA": "", "PYTHONPATH": str(runs.ROOT)}
    return subprocess.Popen(
        [*command, *map(str, arguments)],
        cwd=cwd,
        env=runs.OUTSIDE | own,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )


def run(*arguments, **options) -> subprocess.CompletedProcess:
    process = start(*arguments, **options)
    out, err = process.communicate(timeout=500)
    return subprocess.CompletedProcess(arguments, process.returncode, out, err)


def without_jax(*arguments) -> subprocess.CompletedProcess:
    quick = "import sys; sys.modules['jax'] = None; import runpy; "
    quick += "runpy.run_module('jaxseg.sweep', run_name='__main__', alter_sys=True)"
    return run(*arguments, command=[sys.executable, "-c", quick])


@pytest.fixture
def recipe(tmp_path):
    path = tmp_path / "pair.py"
    path.write_text(RECIPE.format(clicks=str(runs.ROOT / "configs" / "clicks.py")))
    return path


def test_commands_are_a_line_for_each_member_and_need_no_jax():
    done = without_jax(CLICKS, "--commands", "--workdir=some where", "--together", "3")
    assert done.returncode == 0, done.stderr
    lines = done.stdout.splitlines()
    assert len(lines) == 30
    words = [shlex.split(line) for line in lines]
    assert all(w[:4] == ["python", "-m", "jaxseg.main", CLICKS] for w in words)
    assert words[3][-1] == "--workdir=some where/10+50-seed0"
    assert words[3][4:6] == [
        "--config.supervision.name=clicks",
        "--config.supervision.positive=10",
    ]
    assert not any("together" in line or "--commands" in line for line in lines)
    two = without_jax(CLICKS, "--commands", "--seeds=2")
    assert len(two.stdout.splitlines()) == 20
    assert "--workdir=runs/clicks-sweep/5+5-seed0" in two.stdout


@pytest.mark.parametrize(
    "arguments,message",
    [
        ((), "name a recipe"),
        (("--workdir=runs/nothing",), "there is no run in runs/nothing"),
        (("--config=configs/click.py",), "Did you mean configs/clicks.py"),
        ((CLICKS, "--seeds=-2"), "--seeds is -2; it must be from 1 to 10,000"),
        ((CLICKS, "--together=0"), "together"),
        ((CLICKS, "--together=-1"), "together"),
        ((CLICKS, "--parallel=0"), "parallel"),
        ((CLICKS, "--parallel=many"), "parallel"),
        ((CLICKS, "--config.model.name=unett"), "did you mean 'unet'"),
        ((CLICKS, "--worksdir=x"), "worksdir"),
    ],
)
def test_a_mistake_is_one_line_and_exit_code_2(arguments, message):
    done = without_jax(*arguments)
    lines = [line for line in done.stderr.splitlines() if line.startswith("jaxseg:")]
    assert done.returncode == 2, done.stderr
    assert len(lines) == 1 and message in lines[0], done.stderr
    assert "Traceback" not in done.stderr


@pytest.mark.parametrize(
    "sweep,message",
    [
        ("return {'a': {'epoch': 3}}", "member 'a' sets config.epoch: "),
        ("return {'a': {'model.name': 'unett'}}", "did you mean 'unet'"),
        ("return {'a': {'epochs': 0}}", "config.epochs is 0"),
        ("return {'a': {'seed': undefined}}", "NameError: name 'undefined'"),
    ],
)
def test_a_wrong_member_is_named_before_anything_trains(
    recipe, tmp_path, sweep, message
):
    recipe.write_text(f"{recipe.read_text()}\ndef get_sweep(seeds=1): {sweep}\n")
    done = without_jax(f"--config={recipe}", f"--workdir={tmp_path}/runs")
    assert done.returncode == 2 and message in done.stderr, done.stderr
    assert "Traceback" not in done.stderr and not (tmp_path / "runs").exists()


def files(folder) -> dict:
    found = [p for p in folder.rglob("*") if p.is_file() and p.suffix != ".lock"]
    return {p: p.stat().st_mtime_ns for p in found}


def test_a_sweep_trains_reports_and_goes_on(recipe, tmp_path):
    arguments = (f"--config={recipe}", "--workdir=runs/pair")
    done = run(*arguments, cwd=tmp_path)
    assert done.returncode == 0, done.stderr
    root = tmp_path / "runs" / "pair"
    assert "training 2 runs together" in done.stderr
    assert done.stdout.startswith("2 of 2 members finished in runs/pair\n")
    assert "html       runs/pair/report/report.html" in done.stdout
    warned = re.findall(r"doctor \(warning\) (\w+):", done.stderr)
    assert len(warned) == len(set(warned)) >= 1  # and not once a member
    for clicks in (3, 6):
        record = json.loads((root / f"{clicks}-seed0/run.json").read_text())
        assert record["status"] == "finished"
        config = json.loads((root / f"{clicks}-seed0/config.json").read_text())
        assert config["supervision"]["positive"] == clicks
    page = (root / "report" / "report.md").read_text()
    assert "3-seed0" in page and "6-seed0" in page
    assert json.loads((root / "sweep.json").read_text())["failed"] == {}

    before, rows = files(root / "3-seed0"), runs.history(root / "6-seed0")
    shutil.rmtree(root / "6-seed0")
    again = run(*arguments, "--parallel=2", cwd=tmp_path)
    logs = {p.name: p.read_text() for p in root.glob("*.log")}
    assert again.returncode == 0, (again.stderr, logs)
    assert "2 of 2 members finished" in again.stdout
    assert "run        runs/pair/6-seed0  (finished" in logs["6-seed0.log"]
    after = files(root / "3-seed0")
    for path in before:
        if not {"figures", "report.md", "report.html"} & {*path.parts}:
            assert after[path] == before[path], path
    alone = runs.history(root / "6-seed0")
    assert float(alone[0]["loss"]) == pytest.approx(float(rows[0]["loss"]), rel=2e-3)
