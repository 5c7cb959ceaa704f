"""Fuzzes the readers: python tests/fuzz/run.py [--targets=png,rle] [--count=1000].

Every input is read in a process with a memory cap and a clock of processor time, by
each engine that is installed: inputs drawn from seeds, Hypothesis, and Atheris (pip
install -e '.[fuzz]'). Counts are kept in OUT, so the command goes on where it stopped.
In the end a Markdown table is printed, and the shortest input of every fault: exit code
1 when there is one.
"""

import argparse
import base64
import os
import pathlib
import signal
import subprocess
import sys
import time

ROOT = pathlib.Path(__file__).parents[2]
sys.path[:0] = [str(ROOT), str(ROOT / "tests")]

from fuzz import corpus, counts, worker
from fuzz.targets import EVERY, TARGETS

_SHARES = {"drawn": 0.4, "hypothesis": 0.2, "atheris": 0.4}  # of the inputs
_PATIENCE = 20  # times the clock, as wall time, for an input that waits for ever
_LOADING = 90.0  # seconds of processor time to import and to read the first inputs
_SHOWN = 400  # characters of an input


def fuzz(stops: dict[str, int], engine: str, out: pathlib.Path) -> None:
    """Lets an engine read inputs of targets until `stops`, starting it again and again.

    A worker that hangs is killed, one that dies is noted; both with their input.
    """
    boards = {name: counts.Board(out / f"{name}-{engine}.board") for name in stops}
    idle = False
    while left := {n: s for n, s in stops.items() if boards[n]["inputs"] < s}:
        name = next(iter(left))
        errors = out / f"{name}-{engine}.stderr"
        words = [engine, str(out), *(f"{n}={s}" for n, s in left.items())]
        with errors.open("wb") as file:
            process = subprocess.Popen(
                [sys.executable, "-m", "fuzz.worker", *words],
                env=_environment(),
                stdout=subprocess.DEVNULL,
                stderr=file,
            )
        kind = _watch(process, [*boards.values()], EVERY[name].seconds)
        reading = [name for name, board in boards.items() if board.reading]
        if kind and not reading and idle:
            text = errors.read_text(errors="replace")
            raise RuntimeError(f"the worker ends ({kind}): {text[-2000:]}")
        idle = not reading
        for name in reading:
            field = "slow" if kind == "hang" else "ended"
            boards[name].count(field)
            boards[name].reading = False
            fault = counts.Fault(name, field, kind, kind, boards[name].current)
            counts.add_fault(out / f"{name}.faults", fault)


def _environment() -> dict[str, str]:
    own = {"MALLOC_ARENA_MAX": "1", "OMP_NUM_THREADS": "1", "PYTHONHASHSEED": "0"}
    own |= {"OPENBLAS_NUM_THREADS": "1", "OPENCV_LOG_LEVEL": "SILENT"}
    own |= {"JAX_PLATFORMS": "cpu"}
    more = [str(ROOT), str(ROOT / "tests"), os.environ.get("PYTHONPATH", "")]
    return os.environ | own | {"PYTHONPATH": os.pathsep.join(filter(None, more))}


def _watch(
    process: subprocess.Popen, boards: list[counts.Board], seconds: float
) -> str:
    """ "" for a worker that ended well; else "hang", a signal, or "failed"."""
    at, used, began = [board["inputs"] for board in boards], 0.0, time.monotonic()
    while process.poll() is None:
        time.sleep(0.05)
        now = [board["inputs"] for board in boards]
        if now != at:
            at, used, began = now, _processor(process.pid), time.monotonic()
        reading = any(board.reading for board in boards)
        grace = 2 * seconds if reading else _LOADING
        over = _processor(process.pid) - used > grace
        if over or time.monotonic() - began > _PATIENCE * grace:
            process.kill()
            process.wait()
            return "hang"
    if process.returncode < 0:
        return signal.Signals(-process.returncode).name
    return "failed" if process.returncode else ""


def _processor(pid: int) -> float:
    """Seconds of processor time that a process has used."""
    try:
        text = pathlib.Path(f"/proc/{pid}/stat").read_text()
    except OSError:
        return 0.0
    fields = text.rpartition(") ")[2].split()
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")


def table(out: pathlib.Path) -> list[str]:
    """Lines of a Markdown table: a row for each target and engine."""
    head = ["target", "engine", *counts.FIELDS, "peak MiB"]
    lines = ["| " + " | ".join(name.replace("_", " ") for name in head) + " |"]
    lines.append("|---|---|" + "--:|" * (len(head) - 2))
    for name in TARGETS:
        for engine in worker.ENGINES:
            path = out / f"{name}-{engine}.board"
            if path.exists():
                board = counts.Board(path)
                numbers = [f"{board[field]:,}" for field in counts.FIELDS]
                row = [name, engine, *numbers, f"{board.peak / 2**20:.0f}"]
                lines.append("| " + " | ".join(row) + " |")
    return lines


def faults(out: pathlib.Path) -> list[str]:
    """A line for every kind of fault, with its shortest input in base 64."""
    lines = []
    for name in TARGETS:
        for fault in counts.faults(out / f"{name}.faults"):
            data = base64.b64encode(fault.data).decode()
            more = f"... ({len(fault.data):,} bytes)" if len(data) > _SHOWN else ""
            words = f"{fault.kind}, {fault.signature}: {fault.text}"
            lines.append(f"- {name}, {words}; input {data[:_SHOWN]}{more}")
    return lines


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--targets", default=",".join(TARGETS))
    parser.add_argument("--engines", default=",".join(worker.installed()))
    parser.add_argument("--count", type=int, help="inputs of each target, not its own")
    parser.add_argument("--out", type=pathlib.Path, default="/tmp/jaxseg-fuzz")
    parser.add_argument("--table", action="store_true", help="show what is there")
    options = parser.parse_args()
    out, names = options.out.absolute(), options.targets.split(",")
    out.mkdir(parents=True, exist_ok=True)
    chosen = options.engines.split(",")
    total = sum(_SHARES[engine] for engine in chosen)
    for name in () if options.table else names:
        for engine in chosen:
            count = options.count or TARGETS[name].count
            fuzz({name: -int(-count * _SHARES[engine] // total)}, engine, out)
            print(f"{name}, {engine}: done", file=sys.stderr, flush=True)
        fuzz({name: len(corpus.drawers(name))}, "corpus", out)
    lines = faults(out)
    print("\n".join(table(out) + [""] * bool(lines) + lines))
    return int(bool(lines))


if __name__ == "__main__":
    sys.exit(main())
