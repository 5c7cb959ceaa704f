"""Damages every file of a run and of its prepared data, and asks what jaxseg says.

Four victims: a finished run that is scored again, a stopped run that goes on, and the
prepared data, scored and trained on. A damage is detected (the file is named, in a
refusal or in a warning), or harmless (the results are those of the twin, bit for bit);
anything else is a fault.
"""

import pathlib
import shutil
import signal
import time
from typing import NamedTuple

from endurance import damage, doors, twins
from endurance.ledger import Outcome
from jaxseg.data.datasets import phc

_FOREIGN = 1  # seed of the run and of the images that files are taken from
_STOP_AT = 5  # of 12 steps: the stopped run has two checkpoints


class Victim(NamedTuple):
    """What is damaged, and the run that is asked about it afterwards."""

    folder: pathlib.Path  # its files are damaged
    foreign: pathlib.Path  # the like, of another seed
    workdir: pathlib.Path
    cache: pathlib.Path


def cases(count: int, seed: int) -> list[str]:
    """Names "VICTIM seed=S number", the victims in turn."""
    return [
        f"{VICTIMS[i % len(VICTIMS)]} seed={seed} {i // len(VICTIMS)}"
        for i in range(count)
    ]


def run(case: str, twin: twins.Twin, place: pathlib.Path) -> Outcome:
    """What the doors make of one damaged file."""
    name, seed, number = case.split()
    victim = _copy(name, twin, place)
    files = files_of(victim.folder)
    planned = damage.plan(files, int(number) + 1, f"{name} {seed}")[-1]
    note = f"{planned.kind} {planned.file}"
    touched = damage.touched(planned, victim.folder)
    if not damage.apply(planned, victim.folder, victim.foreign):
        return Outcome("unchanged", note=note)
    end = _ask(name, planned.file, victim)
    named = any(_names(end, file, victim) for file in touched)
    if end.fault:
        return Outcome("refused", f"{note}: {end.fault}", note)
    if end.code:
        fault = "" if named else f"{note}: refused without its name: {end.sentence}"
        return Outcome("refused", fault, note)
    changed = twins.unequal_results(victim.workdir, twin.workdir)
    if not changed:
        return Outcome("named" if named else "harmless", note=note)
    fault = "" if named else f"{note}: no word, but {', '.join(changed)} differ"
    return Outcome("named", fault, note)


def files_of(folder: pathlib.Path) -> list[str]:
    """Every file below a folder that may be damaged, sorted; the lock holds nothing."""
    paths = (p for p in folder.rglob("*") if p.is_file() and p.name != "run.lock")
    return sorted(path.relative_to(folder).as_posix() for path in paths)


def _copy(name: str, twin: twins.Twin, place: pathlib.Path) -> Victim:
    shared = twin.workdir.parent
    cache = place / "cache"
    shutil.copytree(twin.cache, cache)
    if name == "finished-run":
        other = twins.make(shared, seed=_FOREIGN).workdir
        run = shutil.copytree(twin.workdir, place / "run")
        return Victim(run, other, run, cache)
    if name == "stopped-run":
        other = twins.make(shared, seed=_FOREIGN).workdir
        run = shutil.copytree(_stopped(shared, twin), place / "run")
        return Victim(run, other, run, cache)
    (data,) = cache.glob("demo/*/phc/1.0.0")
    workdir = place / "run"
    if name == "data-scored":
        shutil.copytree(twin.workdir, workdir)
    return Victim(data, _foreign_data(shared), workdir, cache)


def _stopped(shared: pathlib.Path, twin: twins.Twin) -> pathlib.Path:
    """A run that SIGTERM stopped in the middle."""
    workdir, whole = shared / "stopped", shared / "stopped.whole"
    while not whole.exists():
        shutil.rmtree(workdir, ignore_errors=True)
        words = twins.arguments(workdir)
        door = doors.Door("main", *words, cache=twin.cache, mark="stopped")
        while door.process.poll() is None and twins.steps(workdir)[-1:] < [_STOP_AT]:
            time.sleep(0.02)
        door.process.send_signal(signal.SIGTERM)
        end = door.wait()
        if end.code == 75 and "scoring" not in end.sentence:
            whole.touch()
    return workdir


def _foreign_data(shared: pathlib.Path) -> pathlib.Path:
    """Prepared data of the same names as the twin's, but of other images."""
    raw, data = shared / "foreign-raw", shared / "foreign-data"
    if not raw.exists():
        phc.write_demo(raw, images=20, size=32, seed=_FOREIGN)
    return phc.prepare(raw, data, progress=False)


def _ask(name: str, file: str, victim: Victim) -> doors.Ended:
    options = {"cache": victim.cache, "mark": "mutation"}
    if name in ("finished-run", "data-scored"):
        split = "validation" if "validation" in file else "test"
        words = [f"--run={victim.workdir}", f"--split={split}"]
        return doors.run("evaluate", *words, **options)
    return doors.run("main", *twins.arguments(victim.workdir), **options)


def _names(end: doors.Ended, file: str, victim: Victim) -> bool:
    """Whether the door named the damaged file, its checkpoint or the data set."""
    path = pathlib.Path(file)
    words = [path.name, str(victim.folder / path.parts[0])]
    if path.parts[0] == "checkpoints" and len(path.parts) > 2:
        words += [f"checkpoint {path.parts[1]}", f"step {path.parts[1]}"]
    if victim.folder != victim.workdir:
        words.append(str(victim.folder))
    text = "\n".join(x for x in end.err.splitlines() if _is_warning(x))
    return any(word in text for word in words) or "were there: no" in end.out


def _is_warning(line: str) -> bool:
    """Whether a line of stderr is a refusal, or a warning in absl's format."""
    return line.startswith(("jaxseg", "W", "E"))


VICTIMS = ("finished-run", "stopped-run", "data-scored", "data-trained")
