"""One worker process, seen from its parent: asked, heard, ended, kept for a moment.

The other side is `worker_process.py`. Items travel as pickles; what comes back is read
as JSON and raw bytes, so that nothing a file made of a worker can run anything here.
"""

import atexit
import contextlib
import importlib
import json
import os
import select
import signal
import subprocess
import sys
import threading
import time
from typing import Any, NamedTuple

import numpy as np

from jaxseg.errors import ConfigError, DataError, NotWritten

_PATIENCE = 20  # times its seconds without an answer, on a machine with other work
_REST = 5.0  # seconds that a worker without work waits for the next call


_OF_USERS = (ConfigError, DataError, NotWritten)


class Limits(NamedTuple):
    """What one item may cost."""

    seconds: float = 120.0  # of processor time
    memory: int = 4 * 2**30  # bytes beside what the worker started with


class Died(Exception):
    """What became of a worker that ended or gave no answer."""

    def __init__(self, text: str, *, started: bool):
        super().__init__(text)
        self.started = started  # else it was no item that ended it


class Worker:
    """One process, its two pipes, and what came of it when it ended."""

    def __init__(self):
        self._limits, self._started, self._asked = Limits(), False, 0
        single = ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "TIFFFILE_NUM_THREADS")
        path = os.pathsep.join(folder or os.getcwd() for folder in sys.path)
        self._process = subprocess.Popen(
            [sys.executable, "-P", "-m", "jaxseg.data.preparation.worker_process"],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            bufsize=0,
            env=os.environ | dict.fromkeys(single, "1") | {"PYTHONPATH": path},
        )
        self._poll = select.poll()
        self._poll.register(self._process.stdout, select.POLLIN)

    def begin(self, start: bytes, limits: Limits) -> None:
        """Tells the process its function, and waits until it has imported that."""
        self._limits, self._started = limits, False
        self.ask(start, answers=1)
        answer = self.receive()
        if isinstance(answer, Exception):
            raise answer
        self._started = True

    def waits(self) -> bool:
        """Whether the process lives and has answered everything."""
        return not self._asked and self._process.poll() is None

    def ask(self, message: bytes, *, answers: int) -> None:
        """Writes a message whole: the process reads one before it answers."""
        self._asked += answers
        content = memoryview(len(message).to_bytes(8, "little") + message)
        try:
            while content:
                content = content[self._process.stdin.write(content) :]
        except OSError:
            raise self._died() from None

    def receive(self) -> Any:
        """The next result, or the exception that was raised instead."""
        deadline = time.monotonic() + _PATIENCE * self._limits.seconds
        size = int.from_bytes(self._read(8, deadline), "little")
        answer = json.loads(self._read(size, deadline))
        blobs = [self._read(size, deadline) for size in answer["blobs"]]
        self._asked -= 1
        if "error" in answer:
            return _exception(*answer["error"])
        return _restore(answer["value"], blobs)

    def _read(self, size: int, deadline: float) -> bytes:
        content = bytearray()
        while len(content) < size:
            left = max(deadline - time.monotonic(), 0)
            if not self._poll.poll(1000 * left):
                self._process.kill()
                raise self._died(silent=True)
            part = os.read(
                self._process.stdout.fileno(), min(size - len(content), 2**20)
            )
            if not part:
                raise self._died()
            content += part
        return bytes(content)

    def _died(self, *, silent: bool = False) -> Died:
        code = self._process.wait()
        seconds, memory = self._limits.seconds, self._limits.memory / 2**30
        if not self._started:
            text = f"the worker process that reads it did not start (code {code})."
            return Died(text, started=False)
        if silent:
            what = f"reading it gave no answer for {_PATIENCE * seconds:g} s"
        elif code == -signal.SIGXCPU:
            what = f"reading it took more than {seconds:g} s of processor time"
        else:
            how = f"code {code}" if code >= 0 else signal.Signals(-code).name
            what = (
                f"reading it ended the process of the decoder ({how}): it crashed, or "
                f"needed more than {memory:.3g} GiB of memory"
            )
        return Died(f"{what}; the file is damaged, save it anew.", started=True)

    def kill(self) -> None:
        """Ends the process; who waits for its answer learns of it."""
        self._process.kill()

    def end(self) -> None:
        """Ends the process, and waits for it."""
        self._process.kill()
        self._process.wait()
        for pipe in (self._process.stdin, self._process.stdout):
            with contextlib.suppress(OSError):
                pipe.close()


_resting: list["Worker"] = []  # of the call before: the next one begins at once
_resting_lock = threading.Lock()


def rested() -> "Worker | None":
    """A worker of a call that ended a moment ago."""
    with _resting_lock:
        while _resting:
            worker = _resting.pop()
            if worker.waits():
                return worker
            worker.end()
    return None


def rest(worker: "Worker") -> None:
    """Keeps a worker that waits for the next call, for a moment."""
    with _resting_lock:
        _resting.append(worker)
    timer = threading.Timer(_REST, _dismiss, [worker])
    timer.daemon = True
    timer.start()


def _dismiss(worker: "Worker") -> None:
    with _resting_lock:
        if worker not in _resting:
            return
        _resting.remove(worker)
    worker.end()


@atexit.register
def _dismiss_all() -> None:
    for worker in list(_resting):
        _dismiss(worker)


def _exception(module: str, name: str, text: str, trace: str) -> Exception:
    """The error of a user that was raised, or a RuntimeError for a mistake."""
    kind = getattr(importlib.import_module(module), name, None)
    if isinstance(kind, type) and issubclass(kind, _OF_USERS):
        return kind(text)
    return RuntimeError(f"in a worker process:\n{trace}")


def _restore(value: Any, blobs: list[bytes]) -> Any:
    """The value with its arrays and bytes again: see `worker_process.flatten`."""
    if isinstance(value, list):
        return [_restore(part, blobs) for part in value]
    if not isinstance(value, dict):
        return value
    if value.keys() == {"blob"}:
        return blobs[value["blob"]]
    if value.keys() == {"array", "dtype", "shape"}:
        flat = np.frombuffer(bytearray(blobs[value["array"]]), value["dtype"])
        return flat.reshape(value["shape"])
    return {key: _restore(part, blobs) for key, part in value.items()}
