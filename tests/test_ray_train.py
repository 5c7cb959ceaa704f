"""Ray's launcher starts again what stopped or was lost, without Ray itself."""

import json
import os
import signal
import subprocess
import sys

import pytest
from support import runs

SCRIPT = str(runs.ROOT / "launch" / "ray_train.py")

# the part of Ray's interface that the launcher uses: actors are objects of this
# process, and a call of theirs is a thread
RAY = """
import time
from concurrent import futures
from types import SimpleNamespace

class RayError(Exception):
    pass

exceptions = SimpleNamespace(RayError=RayError)
_pool = futures.ThreadPoolExecutor(8)

def init(address=None, log_to_driver=True):
    print("cluster", address)

def shutdown():
    print("shut down")

def available_resources():
    return {}

def kill(actor):
    pass

def get(future):
    return future.result()

def wait(waiting, timeout):
    done, rest = futures.wait(waiting, timeout, futures.FIRST_COMPLETED)
    return list(done)[:1], rest

class remote:
    def __init__(self, kind):
        self.kind = kind
    def options(self, **options):
        return self
    def remote(self):
        actor = self.kind()
        def method(name):
            call = lambda *words: _pool.submit(getattr(actor, name), *words)
            return SimpleNamespace(remote=call)
        return SimpleNamespace(**{n: method(n) for n in ("address", "run", "stop")})
"""
UTIL = """
from concurrent import futures

class Group:
    def ready(self):
        done = futures.Future()
        done.set_result(None)
        return done

def placement_group(bundles, strategy):
    return Group()

def remove_placement_group(group):
    pass

def get_node_ip_address():
    return "127.0.0.1"
"""
STRATEGIES = "def PlacementGroupSchedulingStrategy(*words, **more): pass\n"
# says what it was given, and ends with the next exit code of its own file
MAIN = """
import os, pathlib, signal, sys, time
process = os.environ.get("JAXSEG_PROCESS", "")
print(process, "of", os.environ.get("JAXSEG_PROCESSES"), *sys.argv[1:])
path = pathlib.Path("codes" + (process or sys.argv[-1].rpartition("/")[2]))
first, *rest = path.read_text().split() if path.exists() else ["0"]
path.write_text(" ".join(rest) or "0")
if first == "waits":
    signal.signal(signal.SIGTERM, lambda *why: sys.exit(75))
    print("waits", flush=True)
    time.sleep(100)
sys.stdout.flush()
if int(first) < 0:
    os.kill(os.getpid(), -int(first))
sys.exit(int(first))
"""


@pytest.fixture
def launch(tmp_path):
    """A function that runs the launcher in a folder with that Ray and that program."""
    (tmp_path / "jaxseg").mkdir()
    for package in ("ray", "ray/util"):
        (tmp_path / package).mkdir()
    (tmp_path / "jaxseg" / "__init__.py").write_text("")
    (tmp_path / "jaxseg" / "main.py").write_text(MAIN)
    (tmp_path / "ray" / "__init__.py").write_text(RAY)
    (tmp_path / "ray" / "util" / "__init__.py").write_text(UTIL)
    (tmp_path / "ray" / "util" / "scheduling_strategies.py").write_text(STRATEGIES)

    def start(*words, **codes):
        for process, text in codes.items():
            (tmp_path / f"codes{process.removeprefix('p')}").write_text(text)
        return subprocess.Popen(
            [sys.executable, SCRIPT, *words],
            cwd=tmp_path,
            env=os.environ | {"PYTHONPATH": str(tmp_path)},
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        )

    def launch(*words, **codes):
        process = start(*words, **codes)
        out, err = process.communicate(timeout=100)
        return subprocess.CompletedProcess(words, process.returncode, out, err)

    launch.start, launch.folder = start, tmp_path
    return launch


def test_workers_get_their_places_and_all_words(launch):
    done = launch("-n", "2", "--config=x", "--workdir=a b")
    assert done.returncode == 0, done.stderr
    for k in (0, 1):
        assert f"[{k}] {k} of 2 --config=x --workdir=a b\n" in done.stdout
    assert done.stdout.startswith("cluster None\n")
    assert done.stdout.endswith("shut down\n")


def test_what_stopped_or_was_lost_is_started_again_and_what_failed_is_not(launch):
    done = launch("-n", "2", p0="75 69 0", p1="75 -9 0")
    assert done.returncode == 0, done.stderr
    assert "restart 1 of 20, after exit code 75" in done.stdout
    assert "restart 2 of 20, after exit code 69" in done.stdout
    done = launch("-n", "2", p0="2", p1="2")
    assert done.returncode == 2 and "restart" not in done.stdout
    done = launch("-n", "1", "--restarts=1", p0="75 75 0")
    assert done.returncode == 75 and "restart 1 of 1" in done.stdout


def test_asked_to_stop_it_stops_the_workers_and_starts_nothing_again(launch):
    process = launch.start("-n", "2", p0="waits 0", p1="waits 0")
    lines = iter(process.stdout.readline, "")
    waiting = [line for _, line in zip("abcde", lines, strict=False)]
    assert sum("waits" in line for line in waiting) == 2, waiting
    process.send_signal(signal.SIGTERM)
    out, err = process.communicate(timeout=100)
    assert process.returncode == 75, err
    assert "restart" not in out


def test_members_of_a_sweep_are_trained_and_finished_ones_skipped(launch):
    lines = [f"python -m jaxseg.main --workdir=s/{name}" for name in "abc"]
    (launch.folder / "commands.txt").write_text("\n".join(lines) + "\n")
    (launch.folder / "s" / "a").mkdir(parents=True)
    record = launch.folder / "s" / "a" / "run.json"
    record.write_text(json.dumps({"status": "finished"}))
    done = launch("--commands=commands.txt", pb="69 0", pc="3")
    assert done.returncode == 3, done.stderr
    assert "2 of 3 members to train" in done.stdout
    assert "[a]" not in done.stdout and "s/c: exit code 3" in done.stdout
    assert "s/b is started again, after exit code 69" in done.stdout
    done = launch("--commands=commands.txt", "--config=x")
    assert done.returncode == 2 and "--commands takes no '--config=x'" in done.stderr
    (launch.folder / "commands.txt").write_text("rm -r runs\n")
    done = launch("--commands=commands.txt")
    assert done.returncode == 2 and "holds the line 'rm -r runs'" in done.stdout


def test_without_ray_it_says_what_to_install(launch):
    (launch.folder / "ray" / "__init__.py").write_text("raise ImportError('ray')")
    done = launch("-n", "2", "--config=x")
    assert done.returncode == 2
    assert done.stderr == "ray is not installed: pip install 'jaxseg[ray]'.\n"
