"""Interrupts runs at random moments, starts them again, and compares with the twin.

One case is one run: interrupted several times, by SIGKILL or by signals that a run
answers, then started until it ends. A signal goes to the main process alone; what that
leaves behind is looked for before the next start.
"""

import pathlib
import random
import shutil
import signal
import time
from collections.abc import Callable, Sequence

from endurance import doors, twins
from endurance.ledger import Outcome

# what the interruptions of one run wait for, shuffled
MOMENTS = ("clock", "clock", "step", "step", "end")
_LATEST = 0.7  # of the seconds of a whole run: later than that it may have ended
_HANDLED = {signal.SIGTERM: (75,), signal.SIGINT: (75, 130)}


def cases(count: int, seed: int) -> list[str]:
    """Names of runs interrupted `count` times in all, every other one with workers."""
    runs = -(-count // len(MOMENTS))
    return [f"workers={2 * (i % 2)} seed={seed + i}" for i in range(runs)]


def kill(case: str, twin: twins.Twin, place: pathlib.Path) -> Outcome:
    """What became of a run that was ended by SIGKILL, again and again."""
    return interrupt(case, twin, place, kill_door)


def signalled(case: str, twin: twins.Twin, place: pathlib.Path) -> Outcome:
    """What became of a run that was asked to stop by SIGTERM or Ctrl-C."""
    return interrupt(case, twin, place, _signal)


def interrupt(
    case: str,
    twin: twins.Twin,
    place: pathlib.Path,
    stop: Callable[[doors.Door, random.Random], str],
    moments: Sequence[str] = MOMENTS,
) -> Outcome:
    """What became of a run that `stop` ended at these moments, and that went on.

    `stop` gets a door that runs and a generator, ends the door, and says what was wrong
    with its end.
    """
    words = dict(word.split("=") for word in case.split())
    rng = random.Random(case)
    shutil.rmtree(place, ignore_errors=True)
    # every other run draws and prepares its data, so that this is interrupted as well
    cache = twins.fresh_cache(twin, place, data=rng.random() < 0.5)
    workdir, mark = place / "run", f"{stop.__name__}-{case}"
    arguments = twins.arguments(workdir, workers=int(words["workers"]))
    wrong, done = [], 0
    order = rng.sample(moments, len(moments))
    for kind in sorted(order, key=lambda kind: kind == "end"):
        began = time.time()
        door = doors.Door("main", *arguments, cache=cache, mark=mark)
        if not _moment(kind, door, workdir, twin.seconds, rng):
            door.wait()
            break  # the run has ended: there is nothing to interrupt
        wrong += [said] if (said := stop(door, rng)) else []
        wrong += _left_behind(mark, began)
        done += 1
    end = doors.run("main", *arguments, cache=cache, mark=mark)
    wrong += [end.fault] if end.fault else []
    if end.code:
        wrong += [f"exit code {end.code}: {end.sentence}"]
    else:
        wrong += twins.differences(workdir, twin)
        wrong += [f"litter {n}" for n in twins.litter(cache, twin.cache)]
    wrong = list(dict.fromkeys(wrong))
    return Outcome("equal", "; ".join(wrong[:8]), tries=done)


def _left_behind(mark: str, began: float) -> list[str]:
    """What lives on after its parent, in words; the processes are ended."""
    wrong = []
    if orphans := doors.orphans(mark):
        wrong.append(f"processes still run: {len(orphans)}, such as {orphans[-1]}")
    doors.end_all(mark)
    if left := doors.unused_shared_memory(began):
        wrong.append(f"shared memory is left: {len(left)}, such as {left[0]}")
    return wrong


def _moment(
    kind: str,
    door: doors.Door,
    workdir: pathlib.Path,
    seconds: float,
    rng: random.Random,
) -> bool:
    """Waits for a random moment of the run; False when the run ended before."""
    if kind == "clock":
        event, after = lambda: True, rng.uniform(0, _LATEST * seconds)
    elif kind == "step":
        before = twins.steps(workdir)[-1:]
        event, after = lambda: twins.steps(workdir)[-1:] != before, rng.uniform(0, 1)
    else:
        path = workdir / "checkpoints" / "operating_point.json"
        event, after = path.exists, rng.uniform(0, 2)
    while door.process.poll() is None and not event():
        time.sleep(0.02)
    end = time.monotonic() + after
    while door.process.poll() is None and time.monotonic() < end:
        time.sleep(0.01)
    return door.process.poll() is None


def kill_door(door: doors.Door, rng: random.Random) -> str:
    """Kills a door; what was wrong before, in words."""
    door.kill()
    end = door.wait()
    traceback = "Traceback" in end.err
    return f"before the kill: {end.err[-200:]}" if traceback else ""


def _signal(door: doors.Door, rng: random.Random) -> str:
    number = rng.choice(list(_HANDLED))
    while door.process.poll() is None and not door.has_spoken():
        time.sleep(0.02)  # before its first line Python itself is starting
    door.process.send_signal(number)
    end = door.wait()
    expected = (0, *_HANDLED[number])
    if end.code not in expected:
        return f"{number.name} gave exit code {end.code}: {end.err[-200:]}"
    return end.fault
