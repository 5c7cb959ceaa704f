"""Reads drawn inputs within a memory cap; a process that its parent watches.

    python -m fuzz.worker ENGINE FOLDER TARGET=STOP ...

It goes on behind the inputs that the boards in FOLDER have counted.
"""

import contextlib
import importlib.util
import logging
import os
import pathlib
import random
import resource
import signal
import sys
import tempfile
import time
import traceback
import warnings
import zlib
from collections.abc import Callable

from fuzz import corpus
from fuzz.counts import Board, Fault, add_fault
from fuzz.targets import EVERY, Target

WARM_UP = 20  # inputs that load libraries, before the cap is set
_OUT_OF_MEMORY = ("bad_alloc", "insufficient memory", "out of memory")
_OUT_OF_MEMORY += ("cannot allocate", "unable to allocate", "failed to allocate")
_BLOCK = 500  # examples of one call of Hypothesis


class Fed(random.Random):
    """Random numbers made of given bytes, then of a generator seeded by them."""

    def __new__(cls, data: bytes):
        return super().__new__(cls)

    def __init__(self, data: bytes):
        super().__init__(zlib.crc32(data))
        self._data, self._at = data, 0

    def getrandbits(self, k: int) -> int:
        """The next bits of the data."""
        count = (k + 7) // 8
        part = self._data[self._at : self._at + count]
        self._at += count
        if len(part) < count:
            return super().getrandbits(k) if k else 0
        return int.from_bytes(part, "little") >> (8 * count - k)

    def random(self) -> float:
        """A number from 0 up to 1, of the next two bytes."""
        return self.getrandbits(16) / 2**16


def one(
    target: Target, name: str, data: bytes, readers: tuple, places: list[pathlib.Path]
) -> tuple[str, list[Fault]]:
    """("accepted" or "refused", faults) of one input, given to every reader."""
    verdict, wrong = "refused", []
    for read, place in zip(readers, places, strict=True):
        began = time.process_time()
        try:
            if read(data, place) is not None:
                verdict = "accepted"
        except Exception as error:
            kind = _judged(error)
            if kind:
                words = repr(error)[:300]
                wrong.append(Fault(name, kind, _signature(error), words, data))
        took = time.process_time() - began
        if took > target.seconds:
            text = f"{took:.1f} s of processor time"
            wrong.append(Fault(name, "slow", "slow", text, data))
    return verdict, wrong


def _judged(error: Exception) -> str:
    """The kind of fault that an exception is; "" for a refusal in words."""
    chain: BaseException | None = error
    while chain is not None:
        words = str(chain).lower()
        if isinstance(chain, MemoryError) or any(w in words for w in _OUT_OF_MEMORY):
            return "above_cap"
        chain = chain.__cause__ or chain.__context__
    from jaxseg.errors import ConfigError, DataError

    return "" if isinstance(error, ConfigError | DataError) else "untyped"


def _signature(error: BaseException) -> str:
    frames = traceback.extract_tb(error.__traceback__)
    ours = [f for f in frames if f"{os.sep}jaxseg{os.sep}" in f.filename]
    places = [*ours[-1:], *frames[-1:]]
    where = [f"{pathlib.Path(f.filename).name}:{f.lineno}" for f in places]
    return " ".join([type(error).__name__, *dict.fromkeys(where)])


def work(stops: dict[str, int], engine: str, folder: pathlib.Path) -> None:
    """Reads inputs of each target in turn, until its board has counted so many."""
    warnings.simplefilter("ignore")
    logging.disable(logging.CRITICAL)
    with contextlib.ExitStack() as stack:
        if engine == "atheris":
            import atheris

            own = ["jaxseg", "tifffile", "pydicom"]
            stack.enter_context(atheris.instrument_imports(include=own))
        readers = {name: EVERY[name].readers() for name in stops}
    for name, stop in stops.items():
        with tempfile.TemporaryDirectory(dir=_memory_folder()) as scratch:
            places = [pathlib.Path(scratch, str(i)) for i in range(len(readers[name]))]
            for place in places:
                place.mkdir()
            _work_on(name, engine, stop, folder, readers[name], places)


def _work_on(
    name: str,
    engine: str,
    stop: int,
    folder: pathlib.Path,
    readers: tuple,
    places: list[pathlib.Path],
) -> None:
    target, board = EVERY[name], Board(folder / f"{name}-{engine}.board")
    never = resource.RLIM_INFINITY
    resource.setrlimit(resource.RLIMIT_AS, (never, never))
    if board["inputs"] >= stop:
        return
    _warm_up(target, readers, places)
    if engine == "hypothesis":  # loads its tables of characters
        _block(target, WARM_UP, 0, lambda data: None)
    usual = _resident()

    def take(data: bytes) -> None:
        board.begin(data)
        verdict, wrong = one(target, name, data, readers, places)
        if not wrong:
            board.count(verdict)
        for kind in dict.fromkeys(fault.kind for fault in wrong):
            board.count(kind)
        for fault in wrong:
            add_fault(folder / f"{name}.faults", fault)
        board.peak = _resident() - usual
        board.reading = False

    resource.setrlimit(resource.RLIMIT_AS, (_virtual() + target.memory, never))
    ENGINES[engine](target, board, stop, take)


def _warm_up(target: Target, readers: tuple, places: list[pathlib.Path]) -> None:
    """Reads a few inputs, so that lazy libraries are there when the cap is set."""

    def stop(number: int, frame: object) -> None:
        raise TimeoutError

    before = signal.signal(signal.SIGPROF, stop)
    for i in range(WARM_UP):
        signal.setitimer(signal.ITIMER_PROF, 1.0)
        with contextlib.suppress(TimeoutError):
            one(target, "", target.draw(random.Random(i)), readers, places)
        signal.setitimer(signal.ITIMER_PROF, 0)
    signal.signal(signal.SIGPROF, before)


def _memory_folder() -> str | None:
    shared = pathlib.Path("/dev/shm")
    return str(shared) if os.access(shared, os.W_OK) else None


def _virtual() -> int:
    pages = pathlib.Path("/proc/self/statm").read_text().split()[0]
    return int(pages) * resource.getpagesize()


def _resident() -> int:
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024


def _drawn(target: Target, board: Board, stop: int, take: Callable) -> None:
    """Inputs of a seed each."""
    while board["inputs"] < stop:
        take(target.draw(random.Random(f"input {board['inputs']}")))


def _hypothesis(target: Target, board: Board, stop: int, take: Callable) -> None:
    """Inputs of Hypothesis, in blocks."""
    while board["inputs"] < stop:
        _block(target, min(_BLOCK, stop - board["inputs"]), board["inputs"], take)


def _block(target: Target, examples: int, seed: int, take: Callable) -> None:
    """Three of four inputs are drawn from Hypothesis' bytes, others are its own."""
    import hypothesis
    from hypothesis import strategies as st

    fed = st.binary(max_size=256).map(lambda data: target.draw(Fed(data)))
    raw = st.binary(max_size=400)
    if target.text:
        raw = st.text(max_size=80).map(lambda text: text.encode("utf-8", "replace"))

    @hypothesis.seed(seed)
    @hypothesis.settings(
        max_examples=examples,
        database=None,
        deadline=None,
        phases=[hypothesis.Phase.generate],
        suppress_health_check=list(hypothesis.HealthCheck),
    )
    @hypothesis.given(st.one_of(fed, fed, fed, raw))
    def block(data: bytes) -> None:
        take(data)

    block()


# inputs of one process: it keeps what reached new code, under the cap of the readers
_ATHERIS = 20_000


def _atheris(target: Target, board: Board, stop: int, take: Callable) -> None:
    """Inputs that Atheris changes wherever that reaches new lines of code."""
    import atheris

    upto = min(stop, board["inputs"] + _ATHERIS)

    def test_one(data: bytes) -> None:
        if board["inputs"] >= upto:
            os._exit(0)
        raw = data[:1] == b"\x01"
        take(data[1:] if raw else target.draw(Fed(data[1:])))

    with tempfile.TemporaryDirectory() as corpus:
        for i in range(64):
            content = target.draw(random.Random(f"corpus {i}"))
            pathlib.Path(corpus, str(i)).write_bytes(b"\x01" + content)
        words = ["fuzz", f"-runs={stop - board['inputs'] + 10**6}", "-timeout=3600"]
        words += ["-rss_limit_mb=0", f"-seed={board['inputs'] + 1}", "-max_len=16384"]
        words += [f"-artifact_prefix={corpus}/", "-verbosity=0"]
        atheris.Setup([*words, corpus], test_one)
        atheris.Fuzz()


def _corpus(target: Target, board: Board, stop: int, take: Callable) -> None:
    """The inputs that once failed."""
    name = next(name for name, each in EVERY.items() if each is target)
    for draw in [*corpus.drawers(name).values()][board["inputs"] : stop]:
        take(draw())


ENGINES = {"drawn": _drawn, "hypothesis": _hypothesis, "atheris": _atheris}
ENGINES["corpus"] = _corpus


def installed() -> list[str]:
    """The engines that make inputs and are installed here."""
    packages = ("hypothesis", "atheris")
    return ["drawn", *(name for name in packages if importlib.util.find_spec(name))]


if __name__ == "__main__":
    words = dict(word.split("=") for word in sys.argv[3:])
    counts = {name: int(stop) for name, stop in words.items()}
    work(counts, sys.argv[1], pathlib.Path(sys.argv[2]))
