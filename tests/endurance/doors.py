"""Starts jaxseg's doors as a user does, and lists what a dead one leaves behind."""

import os
import pathlib
import re
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from typing import NamedTuple

from support import runs

MARK = "JAXSEG_ENDURANCE"  # an environment variable that children inherit
XLA = "--xla_backend_optimization_level=0 --xla_llvm_disable_expensive_passes=true"
GRACE = 15.0  # seconds in which children must end after their parent
TIMEOUT = 900.0  # seconds for one door, on a busy machine
_RAISED = re.compile(r"[A-Za-z_][\w.]*(Error|Exception|Interrupt|Finite|Exit)\b")
_SHARED = pathlib.Path("/dev/shm")


class Ended(NamedTuple):
    """How a door ended."""

    code: int
    out: str
    err: str

    @property
    def sentence(self) -> str:
        """What the door said after "jaxseg:", "" when it said nothing."""
        return " ".join(re.findall(r"(?m)^jaxseg(?:\.\w+)?: *(.*)$", self.err))

    @property
    def fault(self) -> str:
        """Why this end breaks the promise of one clear sentence; "" if it does not."""
        if "Traceback (most recent call last)" in self.err:
            lines = self.err.strip().splitlines()
            raised = [line for line in lines if _RAISED.match(line)] or lines
            places = re.findall(r'File "(.*?)", line (\d+)', self.err)
            where = ":".join(places[-1]) if places else "no file"
            return f"traceback: {raised[-1][:200]} ({where})"
        if self.code < 0:
            return f"killed by {signal.Signals(-self.code).name}"
        if self.code and not self.sentence:
            return f"exit code {self.code} without a sentence: {self.err[-200:]}"
        return ""


class Door:
    """A door that runs; its output goes to files, which no orphan keeps open."""

    def __init__(
        self,
        name: str,
        *arguments: object,
        cache: pathlib.Path,
        mark: str,
        prefix: tuple[str, ...] = (),
        **environment: str,
    ):
        own = {"JAX_PLATFORMS": "cpu", "XLA_FLAGS": XLA, "JAXSEG_DATA": ""}
        own |= {"JAXSEG_CACHE": str(cache), "PYTHONPATH": str(runs.ROOT), MARK: mark}
        self.mark, self._output = mark, [tempfile.TemporaryFile("w+") for _ in "oe"]
        self.process = subprocess.Popen(
            [*prefix, sys.executable, "-m", f"jaxseg.{name}", *map(str, arguments)],
            cwd=runs.ROOT,
            env=runs.OUTSIDE | own | environment,
            stdout=self._output[0],
            stderr=self._output[1],
            start_new_session=True,
        )

    def has_spoken(self) -> bool:
        """Whether a line of the door has come on stderr."""
        return os.fstat(self._output[1].fileno()).st_size > 0

    def kill(self) -> None:
        """Sends SIGKILL to the door alone, as the kernel's memory killer does."""
        self.process.send_signal(signal.SIGKILL)

    def wait(self, timeout: float = TIMEOUT) -> Ended:
        """The end of the door; a door that hangs is killed and has code -9."""
        try:
            self.process.wait(timeout)
        except subprocess.TimeoutExpired:
            end_all(self.mark)
            self.process.wait()
        texts = []
        for file in self._output:
            file.seek(0)
            texts.append(file.read())
            file.close()
        return Ended(self.process.returncode, *texts)


def run(name: str, *arguments: object, **options) -> Ended:
    """The end of `python -m jaxseg.NAME`; options are those of `Door`."""
    return Door(name, *arguments, **options).wait()


def alive(mark: str) -> list[int]:
    """Ids of the processes that were started with this mark, or by one that was."""
    wanted = f"{MARK}={mark}".encode()
    return [
        int(process.name)
        for process in _processes()
        if wanted in _read(process / "environ").split(b"\0") and _state(process) != "Z"
    ]


def orphans(mark: str, grace: float = GRACE) -> list[str]:
    """Command lines of the marked processes that live on after `grace` seconds."""
    end = time.monotonic() + grace
    while (left := alive(mark)) and time.monotonic() < end:
        time.sleep(0.2)
    lines = (_read(pathlib.Path(f"/proc/{pid}/cmdline")) for pid in left)
    return [line.replace(b"\0", b" ").decode()[-120:] for line in lines]


def end_all(mark: str) -> None:
    """Kills what was started with this mark, by its ids."""
    for pid in alive(mark):
        try:
            os.kill(pid, signal.SIGKILL)
        except ProcessLookupError:
            continue


def unused_shared_memory(since: float, grace: float = GRACE) -> list[str]:
    """Names of the shared memory made after `since` that no process uses any more.

    What is gone within `grace` seconds was about to be removed, by the tracker of a
    process that has just ended.
    """
    end = time.monotonic() + grace
    while (left := _unused(since)) and time.monotonic() < end:
        time.sleep(0.2)
    return left


def _unused(since: float) -> list[str]:
    paths = [p for p in _SHARED.glob("*") if p.is_file()]  # folders are no memory
    names = [p.name for p in paths if _made(p) >= since]
    if not names:
        return []
    maps = b"".join(_read(process / "maps") for process in _processes())
    return [name for name in names if f"/dev/shm/{name}".encode() not in maps]


def _made(path: pathlib.Path) -> float:
    try:
        return path.stat().st_mtime
    except FileNotFoundError:
        return 0.0


def _processes() -> Iterator[pathlib.Path]:
    return (p for p in pathlib.Path("/proc").iterdir() if p.name.isdigit())


def _state(process: pathlib.Path) -> str:
    text = _read(process / "stat").rpartition(b") ")[2]
    return text[:1].decode() or "Z"


def _read(path: pathlib.Path) -> bytes:
    """The content of a file of /proc; b"" when its process is gone."""
    try:
        return path.read_bytes()
    except OSError:
        return b""
