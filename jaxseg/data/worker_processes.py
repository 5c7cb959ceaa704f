"""Worker processes that read data: they end with their parent, and not in silence.

A worker whose parent was killed would wait for ever for somebody to take its batch; and
a worker that was killed itself is told by grain as an error of the program.
"""

import contextlib
import multiprocessing
import multiprocessing.connection
import os
import re
import signal
import sys
import threading
from collections.abc import Iterator
from multiprocessing import resource_tracker
from typing import Any

import grain

from jaxseg.errors import DataError

# Python removes the shared memory of a process that was killed; it need not tell so
_QUIET = "ignore:resource_tracker:UserWarning"
_SIGNALS = {signal.SIGINT, signal.SIGTERM}
_NOTHING = object()
_PATIENCE = 30.0  # seconds that a worker goes on after SIGTERM
_ENDED = re.compile(r"terminated unexpectedly with exit code (-?\d+)")


def batches(data: grain.IterDataset, workers: int) -> Iterator[Any]:
    """The elements of `data`, made in `workers` processes; in this one for 0.

    Raises DataError when a worker was ended from outside.
    """
    if workers:
        if _QUIET not in sys.warnoptions:  # handed on when Python starts a process
            sys.warnoptions.append(_QUIET)
        options = grain.MultiprocessingOptions(num_workers=workers)
        data = data.mp_prefetch(options, worker_init_fn=_end_with_parent)
    iterator = iter(data)
    try:
        with _signals_blocked() if workers else contextlib.nullcontext():
            first = next(iterator, _NOTHING)  # the workers start here
        if first is _NOTHING:
            return
        yield first
        yield from iterator
    except RuntimeError as error:
        if not (match := _ENDED.search(str(error))):
            raise
        raise DataError(_ended(int(match[1]), workers)) from error
    finally:
        if hasattr(iterator, "close"):
            iterator.close()


@contextlib.contextmanager
def _signals_blocked() -> Iterator[None]:
    """Keeps signals from the processes that start meanwhile, until they are ready.

    Ctrl-C and the SIGTERM of a scheduler reach the whole group of processes.
    """
    resource_tracker.ensure_running()  # it would unblock them when it starts
    before = signal.pthread_sigmask(signal.SIG_BLOCK, _SIGNALS)
    try:
        yield
    finally:
        signal.pthread_sigmask(signal.SIG_SETMASK, before)


def _ended(code: int, workers: int) -> str:
    """Why a worker is no more, and what to do."""
    if code < 0:
        how = f"was ended by {signal.Signals(-code).name}"
        how += ", as the system does when memory is short" * (code == -signal.SIGKILL)
    else:
        how = f"ended with exit code {code}"
    return (
        f"one of the {workers} processes that read the data {how}: free memory, or "
        "lower config.data.workers; then start the same command again."
    )


def _end_with_parent(worker: int, workers: int) -> None:
    """Runs first in a worker: it will end at once when its parent has ended.

    A signal that reaches the whole group of processes is for the parent, which takes
    some more batches until it has saved.
    """
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    signal.signal(signal.SIGTERM, _end_later)
    signal.pthread_sigmask(signal.SIG_UNBLOCK, _SIGNALS)
    parent = multiprocessing.parent_process()
    thread = threading.Thread(target=_wait_and_end, args=(parent,), daemon=True)
    thread.start()


def _end_later(number: int, frame: Any) -> None:
    timer = threading.Timer(_PATIENCE, os._exit, (1,))
    timer.daemon = True
    timer.start()


def _wait_and_end(parent: Any) -> None:
    multiprocessing.connection.wait([parent.sentinel])
    os._exit(1)  # nobody is left who could be told
