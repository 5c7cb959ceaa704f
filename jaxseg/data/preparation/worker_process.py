"""The worker process of `workers.py`: python -m jaxseg.data.preparation.worker_process.

Reads a function and then lists of items from its input, and answers every item with
one result. It ends with its parent, however that ends, and at its limits: those of
memory let an allocation fail, that of processor time ends the process.
"""

import json
import os
import pickle
import resource
import signal
import sys
import threading
import time
import traceback
from typing import Any, BinaryIO

BEGIN, ITEMS = b"B", b"I"  # the first byte of a message: what follows


def main() -> None:
    """Answers until the input ends."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # the parent says what happens then
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
    answers = os.fdopen(os.dup(1), "wb")
    os.dup2(2, 1)  # what a library prints is no answer
    threading.Thread(target=_watch, args=[os.getppid()], daemon=True).start()
    function, seconds = None, 0.0
    while message := _message(sys.stdin.buffer):
        if message[:1] == BEGIN:
            try:
                function, seconds, memory = pickle.loads(message[1:])
                _limit_memory(memory)
                _answer(answers, {"value": None})
            except Exception as error:  # a module that cannot be imported
                _answer(answers, _error(error))
            continue
        for item in pickle.loads(message[1:]):
            _limit_seconds(seconds)
            try:
                answer = {"value": function(item)}
            except Exception as error:  # the parent decides what it means
                answer = _error(error)
            _answer(answers, answer)


def flatten(value: Any, blobs: list[bytes]) -> Any:
    """The value as JSON has it; arrays and bytes move to `blobs`."""
    if isinstance(value, dict):
        return {str(key): flatten(part, blobs) for key, part in value.items()}
    if isinstance(value, list | tuple):
        return [flatten(part, blobs) for part in value]
    if isinstance(value, bytes):
        blobs.append(value)
        return {"blob": len(blobs) - 1}
    if hasattr(value, "dtype") and getattr(value, "shape", ()):
        blobs.append(value.tobytes())
        place = len(blobs) - 1
        return {"array": place, "dtype": value.dtype.str, "shape": [*value.shape]}
    return value.item() if hasattr(value, "dtype") else value


def _message(tasks: BinaryIO) -> bytes:
    size = int.from_bytes(tasks.read(8), "little")
    return tasks.read(size)


def _answer(answers: BinaryIO, answer: dict[str, Any]) -> None:
    blobs: list[bytes] = []
    head = flatten(answer, blobs) | {"blobs": [len(blob) for blob in blobs]}
    text = json.dumps(head).encode()
    try:
        answers.write(len(text).to_bytes(8, "little") + text)
        answers.writelines(blobs)
        answers.flush()
    except BrokenPipeError:  # the parent has ended, and nobody waits for an answer
        os._exit(0)


def _error(error: Exception) -> dict[str, Any]:
    kind, trace = type(error), "".join(traceback.format_exception(error))
    return {"error": [kind.__module__, kind.__qualname__, str(error), trace]}


def _watch(parent: int) -> None:
    """Ends this process soon after its parent, whatever it is at."""
    while os.getppid() == parent:
        time.sleep(0.5)
    os._exit(0)


def _limit_memory(memory: int) -> None:
    """Lets this process take so many bytes beside what it has, where that is told."""
    try:
        with open("/proc/self/statm") as file:
            size = int(file.read().split()[0]) * resource.getpagesize()
    except OSError:  # not on macOS
        return
    _set(resource.RLIMIT_AS, size + memory)


def _limit_seconds(seconds: float) -> None:
    """Lets this process take so much more processor time, rounded up."""
    usage = resource.getrusage(resource.RUSAGE_SELF)
    _set(resource.RLIMIT_CPU, int(usage.ru_utime + usage.ru_stime + seconds) + 1)


def _set(kind: int, soft: int) -> None:
    hard = resource.getrlimit(kind)[1]
    if hard != resource.RLIM_INFINITY:
        soft = min(soft, hard)
    resource.setrlimit(kind, (soft, hard))


if __name__ == "__main__":
    main()
