"""Processes come together, and end together with one sentence when one is lost."""

import json
import signal
import socket
import subprocess
import sys
import time

import pytest
from support import runs

from jaxseg.devices import cluster, peers
from jaxseg.errors import ConfigError

# a door that joins the others as `experiment/processes.py` does, but without JAX
PROGRAM = """
import os, sys, time
from jaxseg.config import command_line
from jaxseg.devices import cluster, peers
from jaxseg.errors import DataError
def main(argv):
    place = cluster.place(os.environ)
    seconds = cluster.timeout(os.environ)
    peers.join(place, timeout=seconds, silence=cluster.silence(os.environ))
    print("joined", flush=True)
    exec(os.environ["THEN"])
command_line.run(main)
"""
WAIT = "time.sleep(600)"


class Door:
    """A process that was started."""

    def __init__(self, port, process, processes, then, timeout, silence):
        own = {
            "JAXSEG_COORDINATOR": f"127.0.0.1:{port}",
            "JAXSEG_PROCESS": str(process),
            "JAXSEG_PROCESSES": str(processes),
            "JAXSEG_COORDINATOR_TIMEOUT": str(timeout),
            "JAXSEG_PEER_TIMEOUT": str(silence),
            "THEN": then,
        }
        self.process = subprocess.Popen(
            [sys.executable, "-c", PROGRAM],
            env=runs.OUTSIDE | own | {"PYTHONPATH": str(runs.ROOT)},
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        )

    def joined(self):
        assert self.process.stdout.readline() == "joined\n", self.end()
        return self

    def kill(self, number=signal.SIGKILL):
        self.process.send_signal(number)

    def end(self):
        """(exit code, what it wrote to stderr)."""
        _, err = self.process.communicate(timeout=200)
        return self.process.returncode, err


@pytest.fixture
def start():
    port, doors = peers.free_port(), []

    def start(process, processes=2, *, then=WAIT, timeout=120, silence=60):
        doors.append(Door(port, process, processes, then, timeout, silence))
        return doors[-1]

    start.port = port
    yield start
    for door in doors:
        door.kill()
        door.process.communicate()


def test_those_that_came_and_those_that_did_not_are_named(start):
    doors = [start(k, 4, timeout=2) for k in (0, 2)]
    host = socket.gethostname()
    for door in doors:
        code, err = door.end()
        assert code == 69
        assert err.count("\n") == 1, err
        assert f"only 2 of 4 processes came in time: 0 on {host}, 2 on {host}" in err
        assert "missing: 1, 3." in err


def test_a_coordinator_that_never_answers_is_named(start):
    code, err = start(1, timeout=1).end()
    assert code == 69
    assert err.count("\n") == 1, err
    assert (
        f"the coordinator 127.0.0.1:{start.port} did not answer process 1 of 2" in err
    )


def test_numbers_that_contradict_one_another_are_refused(start):
    first, second = start(0, 3), start(1, 3)
    code, err = start(1, 2).end()
    assert code == 2 and "process 1 on" in err and "was told of 2 processes" in err
    twin = start(1, 3)
    ends = []
    while not ends:  # the one that comes later is refused
        ends = [d for d in (second, twin) if d.process.poll() is not None]
        time.sleep(0.05)
    code, err = ends[0].end()
    assert code == 2 and "two processes are number 1" in err
    assert first.process.poll() is None


def test_a_process_that_fails_ends_the_others_with_its_code_and_sentence(start):
    fails = "raise DataError('image 7 is broken.')"
    doors = [start(0, 3), start(1, 3, then=fails), start(2, 3)]
    assert doors[1].end() == (3, "jaxseg: image 7 is broken.\n")
    for k in (0, 2):
        code, err = doors[k].end()
        host = socket.gethostname()
        want = f"jaxseg: process {k} ends because process 1 of 3 on {host} ended with "
        assert (code, err) == (3, want + "exit code 3: image 7 is broken.\n")


def test_what_comes_together_with_the_roll_call_is_heard():
    """Where all have come and one has failed before this process looks again."""
    near, far = socket.socketpair()
    with near, far:
        link = peers._Link(near, cluster.place({}), silence=60)
        ended = {"ended": 3, "text": "broken", "process": 1, "host": "there"}
        lines = [json.dumps(m) for m in ({}, {"go": True}, {}, ended)]
        far.sendall(("\n".join(lines) + "\n").encode())
        peers._roll_call(link)
        assert ended in link.receive(1.0) and link.receive(0.01) == []


def test_a_crash_is_shown_where_it_happened_and_named_elsewhere(start):
    first, second = start(0), start(1, then="raise KeyError('x')")
    code, err = second.end()
    assert code == 1 and "Traceback" in err and "KeyError: 'x'" in err
    code, err = first.end()
    assert code == 1 and err.endswith("ended with exit code 1: KeyError\n")


@pytest.mark.parametrize("victim", [0, 1])
def test_a_killed_process_ends_the_others(start, victim):
    doors = [start(0), start(1)]
    for door in doors:
        door.joined()
    doors[victim].kill()
    code, err = doors[1 - victim].end()
    assert code == 69
    assert err.count("\n") == 1, err
    assert f"process {victim} of 2 on {socket.gethostname()} vanished" in err
    assert "start the same command again" in err


def test_a_process_that_falls_silent_ends_the_others(start):
    doors = [start(0, silence=2), start(1, silence=2)]
    for door in doors:
        door.joined()
    doors[1].kill(signal.SIGSTOP)
    code, err = doors[0].end()
    assert code == 69 and "process 1 of 2" in err and "no sign of life for 2 s" in err


def test_the_first_to_end_in_order_disturbs_nobody(start):
    doors = [start(0, then="time.sleep(2)"), start(1, then="pass")]
    assert [door.end() for door in doors[::-1]] == [(0, ""), (0, "")]


def test_a_port_in_use_is_one_sentence(start):
    with socket.socket() as other:
        other.bind(("127.0.0.1", start.port))
        other.listen()
        code, err = start(0, timeout=1).end()
    assert code == 2
    assert f"cannot listen on port {start.port}" in err and err.count("\n") == 1


def test_a_name_that_does_not_resolve_is_named_at_once(monkeypatch):
    def unknown(*arguments, **options):
        raise socket.gaierror(socket.EAI_NONAME, "Name or service not known")

    monkeypatch.setattr(socket, "getaddrinfo", unknown)
    place = cluster.Place(2, 1, "nowhere:7777", "Slurm")
    with pytest.raises(
        ConfigError, match="name 'nowhere' .from Slurm. does not resolve"
    ):
        peers.join(place, timeout=1, silence=1)
    peers._resolve(place._replace(name_comes_late=True))  # a pod is waited for


def test_one_process_alone_ends_as_ever():
    with pytest.raises(SystemExit) as end, peers.farewell():
        sys.exit(3)
    assert end.value.code == 3
