"""Workers that read data end with their parent; one that is killed is one sentence."""

import os
import pathlib
import signal
import subprocess
import sys
import time

import pytest

ROOT = pathlib.Path(__file__).parents[2]
READS = """
import sys, time
import numpy as np
from absl import flags

def make(number):
    time.sleep(0.02)
    return np.full((64, 64), number, np.int32)

def read():
    import grain
    from jaxseg.data import worker_processes
    data = grain.MapDataset.range(10**6).map(make).batch(4).to_iter_dataset()
    for batch in worker_processes.batches(data, 1):
        print("batch", flush=True)

if __name__ == "__main__":
    flags.FLAGS.mark_as_parsed()
    from jaxseg.errors import DataError
    try:
        read()
    except DataError as error:
        print(error, flush=True)
        sys.exit(error.exit_code)
"""


@pytest.fixture
def reader(tmp_path):
    """A process that reads batches which another one makes, and that other's id."""
    (tmp_path / "reads.py").write_text(READS)
    process = subprocess.Popen(
        [sys.executable, str(tmp_path / "reads.py")],
        env=os.environ | {"PYTHONPATH": str(ROOT)},
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
    )
    with process:
        line = process.stdout.readline()
        assert line == "batch\n", line + process.stdout.read()
        children = pathlib.Path(f"/proc/{process.pid}/task").glob("*/children")
        ids = [int(child) for path in children for child in path.read_text().split()]
        (worker,) = [child for child in ids if "spawn_main" in _command(child)]
        yield process, worker
        process.kill()


def _command(process: int) -> str:
    """The command line of a process; "" where it has ended."""
    try:
        return pathlib.Path(f"/proc/{process}/cmdline").read_text()
    except (FileNotFoundError, ProcessLookupError):
        return ""


def test_a_worker_ends_when_its_parent_is_killed(reader):
    process, worker = reader
    process.kill()
    process.wait()
    deadline = time.monotonic() + 120
    while _command(worker) and time.monotonic() < deadline:
        time.sleep(0.05)
    assert not _command(worker)


def test_a_killed_worker_is_one_sentence(reader):
    process, worker = reader
    os.kill(worker, signal.SIGKILL)
    out, _ = process.communicate(timeout=300)
    assert process.returncode == 3, out
    lines = [line for line in out.splitlines() if line != "batch"]
    assert len(lines) == 1 and "ended by SIGKILL" in lines[0], out
    assert "lower config.data.workers" in lines[0]
