"""Runs one training as several processes on this machine.

    python launch/local.py -n 2 --config=configs/pneumothorax.py --workdir=runs/ptx

Everything after `-n N` goes to `python -m jaxseg.main`. Lines of the others than
process 0 carry their number. SIGTERM and SIGINT reach every process; when one fails,
the rest are ended. With `--restarts=N` they are started again, at most N times, when
all have stopped after saving (exit code 75) and when one was killed or lost (69): the
run goes on from its last checkpoint.
"""

import argparse
import os
import signal
import socket
import subprocess
import sys
import threading
import time

PREEMPTED = 75  # exit codes of README's table
LOST = 69
_GRACE = 20.0  # seconds the others get after one has failed


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("-n", type=int, required=True, help="number of processes")
    parser.add_argument("--restarts", type=int, default=0, help="after 75 and 69")
    parser.add_argument("--module", default="jaxseg.main", help="what to run")
    options, rest = parser.parse_known_args()
    if options.n < 1:
        parser.error(f"-n is {options.n}; it must be at least 1")
    for restart in range(options.restarts + 1):
        code, asked = run(options.n, options.module, rest)
        if code not in (PREEMPTED, LOST) or asked or restart == options.restarts:
            return code
        count = f"{restart + 1} of {options.restarts}"
        print(f"restart {count}, after exit code {code}", flush=True)
    return code


def run(count: int, module: str, rest: list[str]) -> tuple[int, bool]:
    """(exit code of the first process that fails, else 0; whether we were stopped)."""
    asked = []
    port = _free_port()
    processes = [_start(k, count, port, module, rest) for k in range(count)]

    def forward(number, frame):  # both mean: save, then stop
        asked.append(number)
        for process in processes:
            if process.poll() is None:
                process.send_signal(signal.SIGTERM)

    for name in (signal.SIGTERM, signal.SIGINT):
        signal.signal(name, forward)
    threads = [
        threading.Thread(target=_relay, args=(k, p), daemon=True)
        for k, p in enumerate(processes)
    ]
    for thread in threads:
        thread.start()
    code = _wait(processes)
    for thread in threads:
        thread.join(timeout=5)
    return code, bool(asked)


def _start(
    k: int, count: int, port: int, module: str, rest: list[str]
) -> subprocess.Popen:
    where = {
        "JAXSEG_COORDINATOR": f"127.0.0.1:{port}",
        "JAXSEG_PROCESSES": str(count),
        "JAXSEG_PROCESS": str(k),
        "JAXSEG_PARENT": str(os.getpid()),  # ends with us, however we end
    }
    return subprocess.Popen(
        [sys.executable, "-m", module, *rest],
        env=os.environ | where,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        start_new_session=True,  # Ctrl-C reaches them through us alone
    )


def _relay(k: int, process: subprocess.Popen) -> None:
    for line in process.stdout:
        sys.stdout.write(line if k == 0 else f"[{k}] {line}")
        sys.stdout.flush()


def _wait(processes: list[subprocess.Popen]) -> int:
    """The exit code of the first process that fails, once all have ended; else 0.

    69 when a signal ended it. One that lost its peers fails in its own way: the cause
    comes first.
    """
    first, deadline = 0, 0.0
    while True:
        codes = [p.poll() for p in processes]
        failed = [code for code in codes if code]
        if failed and not first:
            first, deadline = failed[0], time.monotonic() + _GRACE
        if None not in codes:
            return LOST if first < 0 else first
        if first and time.monotonic() > deadline:
            for process in processes:
                if process.poll() is None:
                    process.kill()
        time.sleep(0.1)


def _free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return probe.getsockname()[1]


if __name__ == "__main__":
    sys.exit(main())
