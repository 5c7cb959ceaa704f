"""Starts the same training twice at once, in one run directory and one cache.

One of the two has the directory; the other says who has it and ends with exit code 2,
or finds the run finished. The run that is left equals its twin.
"""

import pathlib
import random
import time

from endurance import doors, twins
from endurance.ledger import Outcome

_APART = (0.0, 0.05, 0.5, 3.0)  # seconds between the starts, at most


def cases(count: int, seed: int) -> list[str]:
    """One name for each pair."""
    return [f"pair seed={seed + i}" for i in range(count)]


def run(case: str, twin: twins.Twin, place: pathlib.Path) -> Outcome:
    """What became of two processes with the same command."""
    rng = random.Random(case)
    cache = twins.fresh_cache(twin, place, data=False)  # both would draw and prepare
    workdir, mark = place / "run", case
    words = twins.arguments(workdir, workers=rng.choice((0, 0, 2)))
    first = doors.Door("main", *words, cache=cache, mark=mark)
    time.sleep(rng.uniform(0, rng.choice(_APART)))
    second = doors.Door("main", *words, cache=cache, mark=mark)
    ends = [door.wait() for door in (first, second)]
    wrong = [end.fault for end in ends if end.fault]
    codes = sorted(end.code for end in ends)
    refused = [end for end in ends if end.code == 2]
    if codes not in ([0, 0], [0, 2]):
        wrong.append(f"exit codes {codes}: {[end.sentence for end in ends]}")
    wrong += [end.sentence for end in refused if "in use" not in end.sentence]
    if 0 in codes:
        wrong += twins.differences(workdir, twin)
        wrong += [f"litter {name}" for name in twins.litter(cache, twin.cache)]
    verdict = "refused" if refused else "finished"
    return Outcome(verdict, "; ".join(wrong[:8]), tries=2)
