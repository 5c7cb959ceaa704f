"""A process of JAX that is killed ends the others in a sentence, not in an abort."""

import socket
import subprocess
import sys

import pytest
from support import runs

from jaxseg.devices import peers

PROGRAM = """
import os
from jaxseg.config import command_line
def main(argv):
    import jax.numpy as jnp
    from jax.experimental import multihost_utils
    from jaxseg.experiment import processes
    processes.start()
    processes.start()  # a door may ask twice
    step = 0
    while True:
        total = multihost_utils.process_allgather(jnp.ones(4)).sum()
        step += 1
        if step == 3:
            print("total", int(total), flush=True)
command_line.run(main)
"""


@pytest.mark.parametrize("victim", [0, 1])
def test_a_killed_process_ends_the_other_without_a_dump(victim, tmp_path):
    port = peers.free_port()
    doors = []
    for k in (0, 1):
        own = {
            "JAXSEG_COORDINATOR": f"127.0.0.1:{port}",
            "JAXSEG_PROCESSES": "2",
            "JAXSEG_PROCESS": str(k),
            "JAXSEG_CACHE": str(tmp_path),
            "JAX_PLATFORMS": "cpu",
            "PYTHONPATH": str(runs.ROOT),
        }
        with open(tmp_path / f"{k}.err", "w") as err:
            doors.append(
                subprocess.Popen(
                    [sys.executable, "-c", PROGRAM],
                    env=runs.OUTSIDE | own,
                    stdout=subprocess.PIPE,
                    stderr=err,
                    text=True,
                )
            )
    try:
        for k, door in enumerate(doors):
            lines = iter(door.stdout.readline, "")  # gloo writes its own first
            assert "total 8\n" in lines, (tmp_path / f"{k}.err").read_text()
        doors[victim].kill()
        assert doors[1 - victim].wait(timeout=200) == 69
    finally:
        for door in doors:
            door.kill()
            door.communicate()
    decision, err = (tmp_path / f"{1 - victim}.err").read_text().split("\n", 1)
    coordinator = f"coordinator 127.0.0.1:{port} (from the environment)"
    assert decision.endswith(f"process {1 - victim} of 2, {coordinator}")
    host = socket.gethostname()
    want = f"jaxseg: process {victim} of 2 on {host} vanished: it was killed, or its "
    assert err == (
        f"{want}host is gone; process {1 - victim} ends: start the same command again "
        "to go on from the last checkpoint.\n"
    )
