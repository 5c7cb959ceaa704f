"""Runs the members of a sweep, one by one, together or in processes; reports them."""

import contextlib
import os
import pathlib
import signal
import subprocess
import sys
import time
from collections.abc import Iterator, Mapping, Sequence

import jax
from absl import logging
from ml_collections import ConfigDict

from jaxseg import atomic, interrupts
from jaxseg.errors import ConfigError, DataError, Preempted
from jaxseg.report.comparison import build
from jaxseg.report.run import build as run_build
from jaxseg.run_directory import files
from jaxseg.sweep import members, score_table, vmap_loop, vmap_step
from jaxseg.train import loop, open_run

RECORD = "sweep.json"  # which members there are, and why some failed
_STOPPED = Preempted.exit_code


def here(
    configs: Mapping[str, ConfigDict], workdir: pathlib.Path, *, at_most: int
) -> dict[str, str]:
    """Trains the members in this process; {member: why it failed}.

    At most `at_most` of those that can be are trained as one program; when that
    fails they go on one by one, so that one member cannot take others with it. Members
    that are finished stay as they are. Raises Preempted when asked to stop, and
    ConfigError for a workdir that is itself a run.
    """
    check_place(workdir)
    failed, waiting = {}, {}
    for name, config in configs.items():
        with _noted(name, failed):
            if not _finished(config, workdir / name):
                waiting[name] = config
    logging.info("%d of %d members to train", len(waiting), len(configs))
    for names in chunks(waiting, at_most if jax.process_count() == 1 else 1):
        runs = [(waiting[name], workdir / name) for name in names]
        if len(runs) > 1:
            with _noted(f"training {len(runs)} members together", {}):
                vmap_loop.train_and_evaluate(runs)
        for name, (config, place) in zip(names, runs, strict=True):
            with _noted(name, failed):
                loop.train_and_evaluate(config, place)
                _report(place)
    return failed


def check_place(workdir: pathlib.Path) -> None:
    """Raises ConfigError for a workdir that holds a run instead of members."""
    if (workdir / files.CONFIG).exists():
        raise ConfigError(f"{workdir} is itself a run: give members another --workdir.")


def _finished(config: ConfigDict, place: pathlib.Path) -> bool:
    """Whether a member is; ConfigError where another run lies in its place."""
    with contextlib.ExitStack() as stack:
        record = open_run.claim(stack, place, config)
    if not open_run.is_finished(record):
        return False
    if not (place / "report.html").exists():
        _report(place)
    return True


def _report(place: pathlib.Path) -> None:
    if jax.process_index() == 0:
        run_build.build(place)


@contextlib.contextmanager
def _noted(name: str, failed: dict[str, str]) -> Iterator[None]:
    """Notes in `failed` why `name` did, so that the others go on whatever it was."""
    try:
        yield
    except Preempted:
        raise
    except Exception as error:
        why = " ".join(str(error).split())
        expected = hasattr(error, "exit_code")  # says by itself what to do
        failed[name] = why if expected else f"{type(error).__name__}: {why}"
        logging.error("%s failed: %s", name, failed[name], exc_info=not expected)


def chunks(configs: Mapping[str, ConfigDict], at_most: int) -> list[list[str]]:
    """Names of members that may train together, in lists of at most `at_most`."""
    alike: dict[object, list[str]] = {}
    for name, config in configs.items():
        alike.setdefault(vmap_step.key(config) or name, []).append(name)
    size = max(1, at_most)
    return [g[i : i + size] for g in alike.values() for i in range(0, len(g), size)]


def in_processes(
    commands: Mapping[str, Sequence[str]], workdir: pathlib.Path, *, at_a_time: int
) -> dict[str, str]:
    """Runs the commands, each a process with its share of the cores and a log.

    {member: why it failed}. A finished member ends at once, so this also goes on.
    Raises Preempted when this process or one of them was asked to stop; all have
    stopped then. ConfigError for a workdir that is itself a run.
    """
    check_place(workdir)
    workdir.mkdir(parents=True, exist_ok=True)
    shares = _shares(at_a_time)
    waiting, running, failed = list(commands.items()), {}, {}
    with _asked_to_stop() as asked:
        try:
            while (waiting or running) and not asked:
                for place in [i for i in range(at_a_time) if i not in running]:
                    if waiting:
                        name, command = waiting.pop(0)
                        logging.info("starting %s", name)
                        process = _start(command, workdir, name, shares[place])
                        running[place] = name, process
                time.sleep(0.2)
                for place, (name, process) in list(running.items()):
                    if process.poll() is None:
                        continue
                    del running[place]
                    if process.returncode == _STOPPED:
                        asked.append(process.returncode)
                    elif process.returncode:
                        failed[name] = _reason(process, workdir / f"{name}.log")
                        logging.error("%s failed: %s", name, failed[name])
        finally:
            _end([process for _, process in running.values()], asked)
    if asked:
        raise Preempted(f"stopped in {workdir}; start the same command again to go on.")
    return failed


def _shares(count: int) -> list[list[int]]:
    """The cores of each of `count` places; none where they cannot be shared out."""
    if not hasattr(os, "sched_getaffinity"):  # macOS
        return [[]] * count
    cores = sorted(os.sched_getaffinity(0))
    return [cores[i::count] or cores for i in range(count)]


def _start(command, workdir: pathlib.Path, name: str, cores) -> subprocess.Popen:
    with open(workdir / f"{name}.log", "ab") as log:
        process = subprocess.Popen(
            [sys.executable, *command[1:]],
            env=os.environ | {interrupts.PARENT: str(os.getpid())},
            stdout=log,
            stderr=subprocess.STDOUT,
        )
    if cores:
        os.sched_setaffinity(process.pid, cores)  # before its threads are made
    return process


@contextlib.contextmanager
def _asked_to_stop() -> Iterator[list[int]]:
    """A list that gets every SIGTERM and SIGINT, which then end nothing by themselves.

    Without it a SIGTERM would end this process and leave its children behind.
    """
    asked: list[int] = []
    both = (signal.SIGTERM, signal.SIGINT)
    before = [signal.signal(s, lambda number, _: asked.append(number)) for s in both]
    try:
        yield asked
    finally:
        for number, handler in zip(both, before, strict=True):
            signal.signal(number, handler)


def _end(processes: Sequence[subprocess.Popen], asked: list[int]) -> None:
    """Asks processes to save and stop, and waits; asked once more, it ends them."""
    for process in processes:
        process.terminate()
    patience = len(asked)
    while any(process.poll() is None for process in processes):
        if len(asked) > patience:
            for process in processes:
                process.kill()
        time.sleep(0.1)


def _reason(process: subprocess.Popen, log: pathlib.Path) -> str:
    lines = log.read_text(errors="replace").strip().splitlines()
    last = lines[-1].removeprefix("jaxseg: ") if lines else "it said nothing"
    if process.returncode > 0:
        return last
    return f"ended by {signal.Signals(-process.returncode).name}; its log ends: {last}"


def conclude(
    names: Sequence[str], workdir: pathlib.Path, failed: Mapping[str, str]
) -> tuple[int, list[str]]:
    """(exit code, last lines): the comparison of what is finished, and what is not."""
    done = [n for n in names if n not in failed]
    record = {"members": list(names), "failed": dict(failed)}
    atomic.clean(workdir, deep=False)
    files.write_json(workdir / RECORD, record)
    lines = [f"{len(done)} of {len(names)} members finished in {workdir}"]
    lines += [f"FAILED     {name}: {why}" for name, why in failed.items()]
    if len(done) > 1:
        try:
            lines += score_table.lines(done, workdir)
            paths = build.build([workdir / n for n in done], workdir / members.REPORT)
            lines += [f"{kind:<10} {path}" for kind, path in paths.items()]
        except (ConfigError, DataError) as error:
            lines.append(f"no report: {error}")
            return error.exit_code, lines
    return int(bool(failed)), lines
