"""Members in processes of their own: shares, logs, and an end that leaves none."""

import os
import signal
import subprocess
import sys
import threading
import time

import pytest

from jaxseg import errors
from jaxseg.sweep import run_members


def script(text: str) -> list[str]:
    return ["python", "-c", f"import os, pathlib, signal, sys, time\n{text}"]


def test_processes_run_two_at_a_time_and_one_may_fail(tmp_path):
    other = {"a": "b", "b": "a"}
    meet = (
        "pathlib.Path({0!r}).touch()\nwhile not os.path.exists({1!r}): time.sleep(.01)"
    )
    commands = {
        name: script(meet.format(str(tmp_path / name), str(tmp_path / other[name])))
        for name in other  # each waits for the other: they are there at one time
    }
    commands["bad"] = script("print('begun')\nsys.exit('jaxseg: no such thing')")
    commands["shot"] = script("print('half', flush=True)\nos.kill(os.getpid(), 9)")
    commands["mute"] = script("sys.exit(3)")
    commands["last"] = script("print(len(os.sched_getaffinity(0)))")
    runs_in = tmp_path / "runs"
    failed = run_members.in_processes(commands, runs_in, at_a_time=2)
    assert failed == {
        "bad": "no such thing",
        "shot": "ended by SIGKILL; its log ends: half",
        "mute": "it said nothing",
    }
    cores = len(os.sched_getaffinity(0))
    assert int((runs_in / "last.log").read_text()) in (cores // 2, cores - cores // 2)
    assert (runs_in / "bad.log").read_text().startswith("begun\n")


WAITS = """
def stop(number, frame):
    pathlib.Path({place!r} + ".saved").touch()
    sys.exit(75)
signal.signal(signal.SIGTERM, stop)
pathlib.Path({place!r} + ".pid").write_text(str(os.getpid()))
time.sleep(60)
"""


def waiting(tmp_path, *names):
    return {n: script(WAITS.format(place=str(tmp_path / n))) for n in names}


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_a_signal_lets_all_save_and_starts_no_other(tmp_path, monkeypatch, number):
    def unhandled(*_):
        raise AssertionError("the sweep did not mind the signal")

    before = signal.signal(number, unhandled)

    def when_both_run():
        while len(list(tmp_path.glob("*.pid"))) < 2:
            time.sleep(0.01)
        time.sleep(0.05)  # the number is in the file
        os.kill(os.getpid(), number)

    thread = threading.Thread(target=when_both_run)
    thread.start()
    try:
        with pytest.raises(errors.Preempted, match="start the same command again"):
            run_members.in_processes(
                waiting(tmp_path, "a", "b", "c"), tmp_path / "runs", at_a_time=2
            )
    finally:
        thread.join()
        assert signal.signal(number, before) is unhandled  # as it was before
    assert sorted(p.stem for p in tmp_path.glob("*.saved")) == ["a", "b"]
    for path in tmp_path.glob("*.pid"):
        with pytest.raises(ProcessLookupError):
            os.kill(int(path.read_text()), 0)


def test_a_member_that_is_stopped_stops_the_others(tmp_path):
    commands = waiting(tmp_path, "a")
    commands["b"] = script(
        f"while not os.path.exists({str(tmp_path / 'a.pid')!r}): time.sleep(.01)\n"
        "sys.exit(75)"
    )
    with pytest.raises(errors.Preempted):
        run_members.in_processes(commands, tmp_path / "runs", at_a_time=2)
    assert (tmp_path / "a.saved").exists()


def test_asked_twice_the_children_are_killed(tmp_path):
    deaf = "signal.signal(signal.SIGTERM, signal.SIG_IGN)\nprint(1, flush=True)\n"
    process = subprocess.Popen(
        script(deaf + "time.sleep(60)"), executable=sys.executable, stdout=-1
    )
    process.stdout.readline()
    asked = [1]
    timer = threading.Timer(0.3, asked.append, [1])
    timer.start()
    run_members._end([process], asked)
    timer.join()
    process.stdout.close()
    assert process.returncode == -signal.SIGKILL
