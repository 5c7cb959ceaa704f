"""Fills the disk of a run, of its cache, of its log and of its scores.

A tmpfs of every size from nothing to what is needed stands for the disk; root and
mount are needed. A door that meets the end of the space says so in one sentence; with
more space the same command ends like the twin. TensorBoard's log is the exception: a
run goes on without it.
"""

import contextlib
import os
import pathlib
import re
import shutil
import subprocess
from collections.abc import Iterator

from endurance import doors, twins
from endurance.ledger import Outcome

_PLACES = ("run", "cache", "log", "scores")
_LEAST = 16 * 2**10  # bytes of the smallest tmpfs
_LARGE = 256 * 2**20
_WORDS = re.compile(r"disk|space|bytes|No space|full", re.IGNORECASE)


def cases(count: int, seed: int) -> list[str]:
    """Names "PLACE i/n": size i of n, from the smallest tmpfs to what is needed."""
    sizes = -(-count // len(_PLACES))
    return [f"{place} {i}/{sizes}" for place in _PLACES for i in range(sizes)]


def unusable() -> str:
    """Why no tmpfs can be mounted here; "" when one can."""
    if os.geteuid():
        return "mounting a tmpfs needs root"
    if not shutil.which("mount"):
        return "there is no mount command"
    probe = pathlib.Path("/tmp/jaxseg-endurance-probe")
    probe.mkdir(exist_ok=True)
    try:
        with _tmpfs(probe, _LEAST):
            return ""
    except subprocess.CalledProcessError as error:
        return f"mount is refused: {error.stderr.decode().strip()}"


def run(case: str, twin: twins.Twin, place: pathlib.Path) -> Outcome:
    """What a run makes of a disk of one size, and then of enough."""
    if reason := unusable():
        return Outcome(f"not tried, {reason}", tries=0)
    kind, _, share = case.partition(" ")
    i, n = map(int, share.split("/"))
    workdir, cache = place / "run", place / "cache"
    shutil.copytree(twin.cache, cache)
    disk = {"run": workdir, "cache": cache, "log": workdir / "tb"}.get(kind, workdir)
    if kind == "cache":
        shutil.rmtree(cache)
    needed = _used(twin.cache if kind == "cache" else twin.workdir)
    needed = _used(twin.workdir / "tb") if kind == "log" else needed
    size = int(_LEAST * (1.2 * needed / _LEAST) ** (i / max(n - 1, 1)))
    disk.mkdir(parents=True, exist_ok=True)
    note = f"{size:,} of {needed:,} bytes"
    with _tmpfs(disk, size if kind != "scores" else needed + size):
        if kind == "scores":
            shutil.copytree(twin.workdir, workdir, dirs_exist_ok=True)
            _fill(disk)
            words, door = [f"--run={workdir}", "--split=test"], "evaluate"
        else:
            words, door = twins.arguments(workdir), "main"
        first = doors.run(door, *words, cache=cache, mark="disk")
        wrong = [first.fault] if first.fault else []
        if first.code and not _WORDS.search(first.sentence):
            wrong.append(f"the sentence does not say what is full: {first.sentence}")
        if first.code and kind == "log":
            wrong.append(f"the log stopped the run: {first.sentence}")
        (disk / "filler").unlink(missing_ok=True)
        _resize(disk, _LARGE)
        again = doors.run(door, *words, cache=cache, mark="disk")
        if again.code or again.fault:
            wrong.append(f"with space again: {again.fault or again.sentence}")
        else:
            names = twins.unequal_results(workdir, twin.workdir)
            wrong += [f"with space again {name} differs" for name in names]
    verdict = "refused" if first.code else "finished"
    return Outcome(verdict, "; ".join(f"{note}: {x}" for x in wrong), note)


@contextlib.contextmanager
def _tmpfs(folder: pathlib.Path, size: int) -> Iterator[None]:
    words = ["mount", "-t", "tmpfs", "-o", f"size={size}", "tmpfs", str(folder)]
    subprocess.run(words, check=True, capture_output=True)
    try:
        yield
    finally:
        subprocess.run(["umount", "--lazy", str(folder)], check=True)


def release(place: pathlib.Path) -> None:
    """Unmounts what a measurement that was killed left mounted below `place`."""
    lines = pathlib.Path("/proc/mounts").read_text().splitlines()
    for folder in [line.split()[1] for line in lines]:
        if folder.startswith(f"{place}/"):
            subprocess.run(["umount", "--lazy", folder], check=True)


def _resize(folder: pathlib.Path, size: int) -> None:
    words = ["mount", "-o", f"remount,size={size}", str(folder)]
    subprocess.run(words, check=True)


def _fill(folder: pathlib.Path) -> None:
    """Takes every free byte of a file system."""
    with contextlib.suppress(OSError), open(folder / "filler", "wb", 0) as file:
        while True:
            file.write(bytes(4096))


def _used(folder: pathlib.Path) -> int:
    blocks = (p.stat().st_blocks * 512 for p in folder.rglob("*") if p.is_file())
    return sum(blocks)
