"""Running the members of a sweep, however many at a time, and what came of them."""

import os
import pathlib
import subprocess
import sys
import time
from collections.abc import Mapping, Sequence

from absl import logging
from ml_collections import ConfigDict

from jaxseg import members as numbers
from jaxseg import rundir, together, train
from jaxseg.errors import ConfigError, DataError, Preempted
from jaxseg.report import build, compare

REPORT = "report"
_STOPPED = Preempted.exit_code


def here(
    members: Mapping[str, ConfigDict], workdir: pathlib.Path, *, at_most: int
) -> dict[str, str]:
    """Trains the members in this process; {member: why it failed}.

    At most `at_most` of those that can be are trained as one program; when that
    fails they go on one by one, so that one member cannot take others with it.
    """
    failed = {}
    for names in chunks(members, at_most):
        runs = [(members[name], workdir / name) for name in names]
        if len(runs) > 1:
            _try_together(runs)
        for name, (config, place) in zip(names, runs, strict=True):
            try:
                train.train_and_evaluate(config, place)
                build.build(place)
            except Preempted:
                raise
            except Exception as error:  # the others shall go on, whatever it was
                logging.exception("%s failed", name)
                failed[name] = str(error) or type(error).__name__
    return failed


def _try_together(runs) -> None:
    try:
        together.train_and_evaluate(runs)
    except Preempted:
        raise
    except Exception:
        logging.exception("%d members failed together; one by one", len(runs))


def chunks(members: Mapping[str, ConfigDict], at_most: int) -> list[list[str]]:
    """Names of members that may train together, in lists of at most `at_most`."""
    alike: dict[object, list[str]] = {}
    for name, config in members.items():
        alike.setdefault(numbers.key(config) or name, []).append(name)
    size = max(1, at_most)
    return [g[i : i + size] for g in alike.values() for i in range(0, len(g), size)]


def in_processes(
    commands: Mapping[str, Sequence[str]], workdir: pathlib.Path, *, at_a_time: int
) -> dict[str, str]:
    """Runs the commands, each a process with its share of the cores and a log.

    {member: why it failed}. A finished member ends at once, so this also goes on.
    """
    workdir.mkdir(parents=True, exist_ok=True)
    cores = sorted(os.sched_getaffinity(0))
    shares = [cores[i::at_a_time] or cores for i in range(at_a_time)]
    waiting, running, failed = list(commands.items()), {}, {}
    try:
        while waiting or running:
            for place in [i for i in range(at_a_time) if i not in running]:
                if waiting:
                    name, command = waiting.pop(0)
                    logging.info("starting %s", name)
                    running[place] = name, _start(command, workdir, name, shares[place])
            time.sleep(0.2)
            for place, (name, process) in list(running.items()):
                if process.poll() is not None:
                    del running[place]
                    if process.returncode:
                        failed[name] = _last_line(workdir / f"{name}.log")
                        logging.error("%s failed: %s", name, failed[name])
    finally:
        for _, process in running.values():
            process.terminate()
        for _, process in running.values():
            process.wait()
    return failed


def _start(command, workdir: pathlib.Path, name: str, cores) -> subprocess.Popen:
    with open(workdir / f"{name}.log", "ab") as log:
        process = subprocess.Popen(
            [sys.executable, *command[1:]], stdout=log, stderr=subprocess.STDOUT
        )
    os.sched_setaffinity(process.pid, cores)  # before its threads are made
    return process


def _last_line(path: pathlib.Path) -> str:
    lines = path.read_text(errors="replace").strip().splitlines()
    return lines[-1] if lines else "it said nothing"


def conclude(
    names: Sequence[str], workdir: pathlib.Path, failed: Mapping[str, str]
) -> tuple[int, list[str]]:
    """(exit code, last lines): the comparison of what is finished, and what is not."""
    done = [n for n in names if n not in failed]
    record = {"members": list(names), "failed": dict(failed)}
    rundir.write_json(workdir / "sweep.json", record)
    lines = [f"{len(done)} of {len(names)} members finished in {workdir}"]
    lines += [f"FAILED     {name}: {why}" for name, why in failed.items()]
    if len(done) > 1:
        try:
            paths = compare.build([workdir / n for n in done], workdir / REPORT)
            lines += [f"{kind:<10} {path}" for kind, path in paths.items()]
        except (ConfigError, DataError) as error:
            lines.append(f"no report: {error}")
            return error.exit_code, lines
    return int(bool(failed)), lines
