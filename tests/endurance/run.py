"""Measures what a run survives: python tests/endurance/run.py [--parts=kills,pairs].

The outcome of every case is kept in OUT/results.jsonl, so the command goes on where it
stopped; OUT also holds the runs that the others are compared with. In the end a
Markdown table of counts is printed, and a line for every broken promise: exit code 1
when there is one. README.md says what each part does.
"""

import argparse
import pathlib
import shutil
import signal
import sys
from collections.abc import Callable
from typing import NamedTuple

sys.path[:0] = map(str, (pathlib.Path(__file__).parents[n] for n in (1, 2)))

from endurance import (
    elastic,
    full_disk,
    interruptions,
    isolation,
    mutations,
    pairs,
    twins,
)
from endurance.ledger import Ledger, Outcome, Row, faults, table


class Part(NamedTuple):
    """A kind of trouble: names of cases for (count, seed), and what one comes to."""

    cases: Callable[[int, int], list[str]]
    run: Callable[[str, twins.Twin, pathlib.Path], Outcome]
    count: int  # of the full measurement


PARTS = {
    "kills": Part(interruptions.cases, interruptions.kill, 50),
    "signals": Part(interruptions.cases, interruptions.signalled, 20),
    "mutations": Part(mutations.cases, mutations.run, 200),
    "disk": Part(full_disk.cases, full_disk.run, 48),
    "isolation": Part(isolation.cases, isolation.run, 4),
    "pairs": Part(pairs.cases, pairs.run, 20),
    "elastic": Part(elastic.cases, elastic.run, 6),
}


def measure(name: str, count: int, seed: int, out: pathlib.Path, only: str) -> None:
    """Runs the cases of one part that are not in the ledger yet.

    Of those, the ones whose name holds the text `only`.
    """
    part, ledger = PARTS[name], Ledger(out / "results.jsonl")
    done = {row.case for row in ledger.rows() if row.part == name}
    todo = [
        case for case in part.cases(count, seed) if case not in done and only in case
    ]
    if not todo:
        return
    twin = twins.make(out)
    for case in todo:
        place = out / "case"
        full_disk.release(place)
        shutil.rmtree(place, ignore_errors=True)
        place.mkdir()
        outcome = part.run(case, twin, place)
        ledger.add(Row(name, case, outcome))
        said = outcome.fault and f"FAULT: {outcome.fault}" or outcome.verdict
        print(f"{name}, {case}: {said} ({outcome.note})", file=sys.stderr, flush=True)


def main() -> int:
    # under nohup Ctrl-C is ignored, and by the runs that are started here as well
    signal.signal(signal.SIGINT, signal.default_int_handler)
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--parts", default=",".join(PARTS), help=", ".join(PARTS))
    parser.add_argument("--count", type=int, help="cases of each part, not its own")
    parser.add_argument("--only", default="", help="cases whose name holds this text")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--out", type=pathlib.Path, default="/tmp/jaxseg-endurance")
    parser.add_argument("--table", action="store_true", help="show what is there")
    options = parser.parse_args()
    out = options.out.absolute()
    for name in () if options.table else options.parts.split(","):
        measure(
            name, options.count or PARTS[name].count, options.seed, out, options.only
        )
    rows = Ledger(out / "results.jsonl").rows()
    lines = faults(rows)
    print("\n".join(table(rows) + [""] * bool(lines) + lines))
    return int(bool(lines))


if __name__ == "__main__":
    sys.exit(main())
