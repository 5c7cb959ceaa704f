"""Catches SIGTERM and Ctrl-C, so that training saves before it stops."""

import signal

import jax

from jaxseg.errors import Preempted


class Stop:
    """Whether the run was asked to stop, by SIGTERM or a first SIGINT."""

    def __init__(self):
        self._alone = jax.process_count() == 1
        self._signalled = False
        if self._alone:
            signal.signal(signal.SIGTERM, self._note)
            signal.signal(signal.SIGINT, self._note)

    def _note(self, number, frame) -> None:
        self._signalled = True
        signal.signal(signal.SIGINT, signal.default_int_handler)

    def __enter__(self):
        return self

    def __exit__(self, *error):
        if self._alone:
            signal.signal(signal.SIGTERM, signal.SIG_DFL)
            signal.signal(signal.SIGINT, signal.default_int_handler)

    def now(self) -> None:
        """From here on a signal stops at once, by raising Preempted."""
        if self._signalled:
            self._leave(signal.SIGTERM, None)
        if self._alone:
            signal.signal(signal.SIGTERM, self._leave)
            signal.signal(signal.SIGINT, self._leave)

    def _leave(self, number, frame) -> None:
        raise Preempted(
            "stopped while scoring the trained model; start the same command again."
        )

    def by(self, manager, step: int) -> bool:
        """True on all processes at the same step."""
        if self._alone:
            return self._signalled
        return manager.orbax.reached_preemption(step)  # needs jax.distributed
