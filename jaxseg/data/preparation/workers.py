"""Runs a function on many files in worker processes, each with a limit of its own.

A decoder that crashes, never ends or takes all memory ends its worker and nothing else:
the file is named in one sentence, and another worker goes on with the next one. The
results come in the order of the items, whatever the number of workers.
"""

import collections
import functools
import pathlib
import pickle
import threading
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import Any

from jaxseg import cores
from jaxseg.data.preparation import worker
from jaxseg.data.preparation.worker import Limits
from jaxseg.data.preparation.worker_process import BEGIN, ITEMS
from jaxseg.errors import ConfigError, DataError

_CHUNK = 16  # items sent at once
_CHUNK_BYTES = 4 * 2**20  # of their files
_WORKER_BYTES = 16 * 2**20  # fewer are not worth one more worker
_WORKER_ITEMS = 128


def in_order(
    function: Callable[[Any], Any],
    items: Sequence[Any],
    *,
    name: Callable[[Any], str],
    sizes: Sequence[int] | None = None,
    broken: Callable[[Any, DataError], Any] | None = None,
    workers: int | None = None,
    limits: Limits | None = None,
) -> Iterator[Any]:
    """function(item) for every item, in order; few results wait in memory at a time.

    `function` must be one of a module (or a functools.partial of it), because the
    workers import it. Its result holds what JSON has, arrays and bytes; tuples come
    back as lists. What it raises is raised here. An item that ended its worker gives
    broken(item, error); without `broken` the error, a DataError that begins with
    name(item), is raised. `sizes` are the bytes of the files behind the items, by which
    the work is dealt out; `workers` is the most processes. Raises ConfigError for a
    function that cannot be imported.
    """
    sizes = [0] * len(items) if sizes is None else sizes
    chunks = _chunks(items, sizes)
    useful = max(sum(sizes) // _WORKER_BYTES, len(items) // _WORKER_ITEMS) + 1
    count = min(workers or most(), len(chunks), useful)
    limits = limits or Limits()
    crew = _Crew(_message(function, limits), limits, name, broken)
    waiting: collections.deque = collections.deque()
    pool = ThreadPoolExecutor(max(count, 1))
    try:
        for chunk in chunks:
            waiting.append(pool.submit(crew.run, chunk))
            if len(waiting) > 2 * count:
                yield from _opened(waiting.popleft().result())
        while waiting:
            yield from _opened(waiting.popleft().result())
    finally:
        crew.stop()
        pool.shutdown(cancel_futures=True)
        crew.release()


def file_size(path: pathlib.Path) -> int:
    """The bytes of a file, 0 for one that is not there: the reader says so."""
    return path.stat().st_size if path.is_file() else 0


def for_pixels(most: int) -> Limits:
    """The limits for images of so many pixels: 64 bytes of memory for each."""
    usual = Limits()
    return usual._replace(memory=max(usual.memory, 64 * most))


def most() -> int:
    """How many work at once where nobody says it: one a core, at most 32."""
    return min(cores.usable(), 32)


def _chunks(items: Sequence[Any], sizes: Sequence[int]) -> list[list[Any]]:
    chunks: list[list[Any]] = []
    full = 0
    for item, size in zip(items, sizes, strict=True):
        if not chunks or len(chunks[-1]) == _CHUNK or full + size > _CHUNK_BYTES:
            chunks.append([])
            full = 0
        chunks[-1].append(item)
        full += size
    return chunks


def _message(function: Callable[[Any], Any], limits: Limits) -> bytes:
    """What a worker is told first; ConfigError for a function it cannot import."""
    inner = function.func if isinstance(function, functools.partial) else function
    try:
        if inner.__module__ == "__main__":
            raise AttributeError("it is in __main__")
        return BEGIN + pickle.dumps((function, *limits))
    except (AttributeError, TypeError, pickle.PicklingError) as error:
        raise ConfigError(
            f"{inner} cannot be imported by worker processes ({error}); make it a "
            "function of a module."
        ) from error


def _opened(results: list[Any]) -> Iterator[Any]:
    """The results of a chunk up to the first error, which is raised."""
    for result in results:
        if isinstance(result, Exception):
            raise result
        yield result


class _Crew:
    """The workers of one call, one a thread, started when they are first needed."""

    def __init__(
        self,
        start: bytes,
        limits: Limits,
        name: Callable[[Any], str],
        broken: Callable[[Any, DataError], Any] | None,
    ):
        self._start, self._limits, self._name = start, limits, name
        self._broken = broken
        self._mine, self._all = threading.local(), []
        self._lock, self._ended = threading.Lock(), False

    def run(self, chunk: list[Any]) -> list[Any]:
        """The results of a chunk; an exception that stops everything is the last."""
        results: list[Any] = []
        while len(results) < len(chunk) and not self._ended:
            left = chunk[len(results) :]
            try:
                mine = self._worker()
                mine.ask(ITEMS + pickle.dumps(left), answers=len(left))
                for _ in left:
                    results.append(mine.receive())
                    if isinstance(results[-1], Exception):
                        return results
            except worker.Died as reason:
                self._mine.worker = None
                if self._ended:
                    return results
                item = chunk[len(results)]
                error = DataError(f"{self._name(item)}: {reason}")
                if self._broken is None or not reason.started:
                    return [*results, error]
                results.append(self._broken(item, error))
        return results

    def _worker(self) -> worker.Worker:
        if getattr(self._mine, "worker", None) is None:
            with self._lock:
                if self._ended:
                    raise worker.Died("the preparation ended.", started=False)
                self._mine.worker = worker.rested() or worker.Worker()
                self._all.append(self._mine.worker)
            self._mine.worker.begin(self._start, self._limits)
        return self._mine.worker

    def stop(self) -> None:
        """Ends the workers that are at something, and starts no more."""
        with self._lock:
            self._ended = True
        for each in self._all:
            if not each.waits():
                each.kill()

    def release(self) -> None:
        """Lets those rest that are left, once no thread asks them anything."""
        for each in self._all:
            if each.waits():
                worker.rest(each)
            else:
                each.end()
