"""`num_seeds` repeats a run: three real runs, and one report that compares them."""

import csv
import json
import os
import re
import shutil
import subprocess
import sys

import pytest
from scipy import stats
from support import runs

SMOKE = ("--config=configs/clicks.py:smoke", "--config.num_seeds=3", "--config.seed=4")
SMOKE += (*runs.SMALL_FLAGS, "--config.eval.surface=False")
NAMES = ("seed4", "seed5", "seed6")


def run(workdir, words=SMOKE) -> subprocess.CompletedProcess:
    own = {"JAX_PLATFORMS": "cpu", "JAXSEG_CACHE": os.environ["JAXSEG_CACHE"]}
    return subprocess.run(
        [sys.executable, "-m", "jaxseg.main", *words, f"--workdir={workdir}"],
        cwd=runs.ROOT,
        env=runs.OUTSIDE | own | {"JAXSEG_DATA": ""},
        capture_output=True,
        text=True,
    )


@pytest.fixture(scope="module")
def repeated(tmp_path_factory):
    """(workdir, the finished process). Do not change it."""
    workdir = tmp_path_factory.mktemp("repeated") / "runs"
    return workdir, run(workdir)


def test_there_are_three_runs_that_differ_in_their_seed(repeated):
    workdir, done = repeated
    assert done.returncode == 0, done.stderr
    configs = [json.loads((workdir / n / "config.json").read_text()) for n in NAMES]
    assert [config.pop("seed") for config in configs] == [4, 5, 6]
    assert configs[0] == configs[1] == configs[2] and configs[0]["num_seeds"] == 1
    losses = [runs.history(workdir / name)[-1]["loss"] for name in NAMES]
    assert len(set(losses)) == 3
    assert done.stdout.startswith(f"3 of 3 members finished in {workdir}\n")
    table = done.stdout.split("operating point of its member:\n")[1].splitlines()
    assert [line.split()[0] for line in table[1:5]] == [*NAMES, "mean"]
    record = json.loads((workdir / "sweep.json").read_text())
    assert record == {"members": list(NAMES), "failed": {}}


def scores(workdir) -> list[float]:
    """Pooled Dice of test, of each run, as its own evaluation wrote it."""
    found = []
    for name in NAMES:
        result = json.loads((workdir / name / "eval" / "test.json").read_text())
        found += [
            row["value"]
            for row in result["metrics"]
            if (row["name"], row["class"]) == ("dice_pooled", result["classes"][1])
        ]
    assert len(found) == 3
    return found


def test_one_report_has_their_mean_and_its_interval(repeated):
    workdir, _ = repeated
    values = scores(workdir)
    mean = sum(values) / 3
    low, high = stats.t.interval(0.95, 2, mean, stats.sem(values))
    for kind in ("md", "html"):
        page = (workdir / "report" / f"report.{kind}").read_text()
        plain = re.sub(r"<[^>]*>", " ", page).replace("\u2013", " to ")
        assert "3 seeds" in plain, kind
        for number in (mean, max(low, 0.0), min(high, 1.0), *values):
            assert f"{number:.3f}" in plain, (kind, number)
        for name in NAMES:
            assert name in plain


def test_the_directory_alone_runs_what_is_missing(repeated, tmp_path):
    workdir = tmp_path / "runs"
    shutil.copytree(repeated[0], workdir)
    shutil.rmtree(workdir / "seed5")
    kept = {
        path: (path.stat().st_mtime_ns, path.read_bytes())
        for name in ("seed4", "seed6")
        for path in (workdir / name).rglob("*")
        if path.is_file() and path.suffix != ".lock"
    }
    done = run(workdir, words=())
    assert done.returncode == 0, done.stderr
    assert "1 of 3 members to train" in done.stderr
    for path, (when, content) in kept.items():
        assert (path.stat().st_mtime_ns, path.read_bytes()) == (when, content), path
    with open(workdir / "seed5" / "history.csv", newline="") as file:
        assert len(list(csv.DictReader(file))) == 1
    assert runs.history(workdir / "seed5") == runs.history(repeated[0] / "seed5")
    assert scores(workdir) == scores(repeated[0])
