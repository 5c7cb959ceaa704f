"""Ends a door in one line when it is asked to stop, from its first import on.

`train/stop.py` takes over while there is something to save.
"""

import atexit
import contextlib
import gc
import math
import os
import signal
import sys
import threading
import time
import weakref
from collections.abc import Callable, Iterator
from types import FrameType
from typing import NoReturn

# the process that started this one, and without which it shall not go on
PARENT = "JAXSEG_PARENT"
_EVERY = 1.0  # seconds between two looks at it
_PATIENCE = 15.0  # seconds for what must be cleaned
_TICK = 0.02  # seconds between two looks at what became of an exception
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
    """SIGTERM ends this process with exit code 75 and Ctrl-C with 130: no traceback.

    When its work is done and Python itself ends, neither does anything any more: the
    exit code is that of the work.
    """
    for number in _CODES:
        if signal.getsignal(number) != signal.SIG_IGN:  # as nohup asks for
            signal.signal(number, _end)
    atexit.register(_ignore)  # the first to be registered is the last to be called


def _ignore() -> None:
    for number in _CODES:
        signal.signal(number, signal.SIG_IGN)


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


class _Request:
    """That this process was asked to end."""

    at: float | None = None  # when
    code: int = 0
    can_unwind: bool = (
        False  # there is a block that ends the process: `leaving_at_once`
    )


_request = _Request()


def _end(number: int, frame: FrameType | None) -> None:
    """Unwinds once, so that what must be cleaned is; asked again, it ends at once.

    The same request often comes twice within a moment, from a launcher and to the whole
    group of processes: that is one. Where cleaning lasts too long, the process ends all
    the same; and at once, while it imports what it needs and has nothing to clean.
    """
    code = _CODES[signal.Signals(number)]
    if _request.at is not None:
        if time.monotonic() - _request.at > _EVERY:
            os._exit(code)
        return
    _request.at, _request.code = time.monotonic(), code
    name = signal.Signals(number).name
    text = f"jaxseg: stopped by {name}; start the same command again to go on.\n"
    try:
        os.write(2, text.encode())  # sys.stderr may be in the middle of a line
    except OSError:
        pass  # nobody listens any more
    if not _request.can_unwind:
        os._exit(code)
    raise_until_heard(lambda: _Stopped(code), frame, patience=_PATIENCE)


class _Stopped(SystemExit):
    """What unwinds; unlike SystemExit it can be watched by a weak reference."""


def raise_until_heard(
    make: Callable[[], BaseException],
    frame: FrameType | None,
    *,
    patience: float = math.inf,
) -> None:
    """Raises `make()` in the main thread, from the handler of a signal.

    Python throws an exception away that is raised in a finalizer or while it collects
    garbage, and an import that is interrupted may end in any other error: there it
    waits until they are through. Where the exception was swallowed all the same it is
    raised again, until `heard` is called; after `patience` seconds the process ends.
    """
    raised: list[weakref.ref] = []
    began = time.monotonic()

    def noted() -> BaseException:  # so that no frame of its traceback holds it
        error = make()
        raised.append(weakref.ref(error))
        return error

    def again(number: int, frame: FrameType | None) -> None:
        if time.monotonic() - began > patience:
            os._exit(_request.code)
        on_its_way = raised and raised[-1]() is not None
        if not on_its_way and _goes_up(frame):
            raise noted()

    signal.signal(signal.SIGALRM, again)
    signal.setitimer(signal.ITIMER_REAL, _TICK, _TICK)
    again(signal.SIGALRM, frame)


def heard() -> None:
    """Ends what `raise_until_heard` began."""
    signal.setitimer(signal.ITIMER_REAL, 0)


def _goes_up(frame: FrameType | None) -> bool:
    """Whether an exception that is raised in this frame gets to those that wait."""
    collecting = [getattr(function, "__code__", None) for function in gc.callbacks]
    while frame is not None:
        code = frame.f_code
        if code in collecting or code.co_name == "__del__":
            return False
        if code.co_filename.startswith("<frozen importlib"):
            return False
        frame = frame.f_back
    return True


@contextlib.contextmanager
def leaving_at_once() -> Iterator[None]:
    """Ends the process as soon as a request to stop has left the block.

    Python's own end would run while threads of XLA and of decoders still work on what
    it takes away, and could crash in one of them. What a library made of the exception
    that unwinds does not count.
    """
    _request.can_unwind = True
    try:
        yield
    finally:
        if _request.at is not None:
            _leave(_request.code)
        _request.can_unwind = False


def _leave(code: int) -> NoReturn:
    for stream in (sys.stdout, sys.stderr):
        with contextlib.suppress(OSError, ValueError):
            stream.flush()
    os._exit(code)
