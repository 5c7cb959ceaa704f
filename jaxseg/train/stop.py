"""Catches SIGTERM and Ctrl-C, so that training saves before it stops."""

import os
import signal
import time

import jax

from jaxseg import interrupts
from jaxseg.errors import Preempted

_BOTH = (signal.SIGTERM, signal.SIGINT)
_SAME = 1.0  # seconds within which two signals are one request


class Stop:
    """Whether the run was asked to stop, by SIGTERM or a first SIGINT."""

    def __init__(self):
        self._alone = jax.process_count() == 1
        self._signalled = False
        self._left = None  # when a signal ended the scoring
        self._before = {}  # the handlers that come back in the end
        if self._alone:
            self._before = {n: signal.signal(n, self._note) for n in _BOTH}

    def _note(self, number, frame) -> None:
        self._signalled = True
        signal.signal(signal.SIGINT, self._before[signal.SIGINT])

    def __enter__(self):
        return self

    def __exit__(self, *error):
        if self._left is not None:
            interrupts.heard()
        for number, handler in self._before.items():
            signal.signal(number, handler)

    def now(self) -> None:
        """From here on a signal stops at once, by raising Preempted."""
        if self._signalled:
            self._leave(signal.SIGTERM, None)
        for number in self._before:
            signal.signal(number, self._leave)

    def _leave(self, number, frame) -> None:
        if self._left is not None:  # within a second it is the same request
            if time.monotonic() - self._left > _SAME:
                os._exit(Preempted.exit_code)
            return
        self._left = time.monotonic()
        words = "stopped while scoring the trained model; start the same command again."
        interrupts.raise_until_heard(lambda: Preempted(words), frame)

    def by(self, manager, step: int) -> bool:
        """True on all processes at the same step."""
        if self._alone:
            return self._signalled
        return manager.orbax.reached_preemption(step)  # needs jax.distributed
