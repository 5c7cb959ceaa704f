"""Ends a door in one line when it is asked to stop, from its first import on.

`train/stop.py` takes over while there is something to save.
"""

import contextlib
import os
import signal
import sys
import threading
import time
from collections.abc import Iterator
from types import FrameType
from typing import NoReturn

# the process that started this one, and without which it shall not go on
PARENT = "JAXSEG_PARENT"
_EVERY = 1.0  # seconds between two looks at it
_PATIENCE = 15.0  # seconds for what must be cleaned
TERMINATED, INTERRUPTED = 75, 130  # exit codes; 75 as errors.Preempted
_CODES = {signal.SIGTERM: TERMINATED, signal.SIGINT: INTERRUPTED}


def is_door() -> bool:
    """Whether Python was started as `python -m jaxseg.NAME`, and is importing it."""
    words = sys.orig_argv
    named = any(
        flag == "-m" and name.startswith("jaxseg.")
        for flag, name in zip(words, words[1:], strict=False)
    )
    return named and sys.argv[0] == "-m"  # Python's own, until it has the file


def end_in_one_line() -> None:
    """SIGTERM ends this process with exit code 75 and Ctrl-C with 130: no traceback."""
    for number in _CODES:
        if signal.getsignal(number) != signal.SIG_IGN:  # as nohup asks for
            signal.signal(number, _end)


def end_with_parent() -> None:
    """A SIGTERM comes when the process that $JAXSEG_PARENT names has ended.

    A member of a sweep, or a process of a distributed run, is started with it: it then
    saves and stops instead of going on alone.
    """
    # of this process alone: those that it starts have it for their own parent
    parent = os.environ.pop(PARENT, "")
    if parent.isdigit():
        threading.Thread(target=_watch, args=(int(parent),), daemon=True).start()


def _watch(parent: int) -> None:
    while os.getppid() == parent:
        time.sleep(_EVERY)
    os.kill(os.getpid(), signal.SIGTERM)


_asked: list[float] = []  # when this process was first asked to end


def _end(number: int, frame: FrameType | None) -> None:
    """Unwinds once, so that what must be cleaned is; asked again, it ends at once.

    The same request often comes twice within a moment, from a launcher and to the whole
    group of processes: that is one. Where a library swallows the exception that
    unwinds, or cleaning lasts too long, the process ends all the same.
    """
    code = _CODES[signal.Signals(number)]
    if _asked:
        if time.monotonic() - _asked[0] > _EVERY:
            os._exit(code)
        return
    _asked.append(time.monotonic())
    signal.signal(signal.SIGALRM, lambda *_: os._exit(code))
    signal.setitimer(signal.ITIMER_REAL, _PATIENCE)
    name = signal.Signals(number).name
    text = f"jaxseg: stopped by {name}; start the same command again to go on.\n"
    try:
        os.write(2, text.encode())  # sys.stderr may be in the middle of a line
    except OSError:
        pass  # nobody listens any more
    raise SystemExit(code)


@contextlib.contextmanager
def leaving_at_once() -> Iterator[None]:
    """Ends the process as soon as a request to stop has left the block.

    Python's own end would run while threads of XLA and of decoders still work on what
    it takes away, and could crash in one of them.
    """
    try:
        yield
    except SystemExit as end:
        if not _asked:
            raise
        _leave(end.code)


def _leave(code: int) -> NoReturn:
    for stream in (sys.stdout, sys.stderr):
        with contextlib.suppress(OSError, ValueError):
            stream.flush()
    os._exit(code)
