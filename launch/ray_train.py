"""Trains on the hosts of a Ray cluster, and goes on when a worker is lost.

    python launch/ray_train.py -n 2 --gpus=4 --config=RECIPE --workdir=/shared/run
    python launch/ray_train.py --commands=commands.txt --gpus=1

The first trains one run with two workers of four GPUs each, and hands what is not its
own to `python -m jaxseg.main`; the second trains the members that `python -m
jaxseg.sweep ... --commands` printed, each as a task, finished ones skipped.

Needs: `pip install 'jaxseg[ray]'` on every host; data, runs and $JAXSEG_CACHE on a file
system that all share; a cluster that `ray start` began, named by --address or
$RAY_ADDRESS, or none, and Ray starts one on this machine.

Workers are plain actors, each the parent of one `jaxseg.main`, and not Ray Train's
JaxTrainer (read in Ray 2.60, where it is alpha): that one joins JAX itself inside the
actor, so a lost peer aborts the others after 100 s of silence; it does so on GPUs and
TPUs alone; it sets CUDA_VISIBLE_DEVICES to 0..n-1 whatever Ray assigned, so two workers
on one host would share a GPU; and it restarts on every exception, bad configs too. A
process instead speaks by its exit code: on 75 (stopped after saving) and 69 (a peer was
lost), and when a worker or its host dies, all are started again from the last
checkpoint, at most --restarts times.
"""

import argparse
import json
import os
import pathlib
import shlex
import signal
import socket
import subprocess
import sys
import time

STOPPED, LOST = 75, 69  # exit codes of README's table
_GRACE = 60.0  # seconds in which the others end when one has failed
_PATIENCE = 30.0  # seconds between two lines that say what is waited for


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("-n", type=int, default=1, help="workers, each a process")
    parser.add_argument("--gpus", type=float, default=0, help="of each worker")
    parser.add_argument("--cpus", type=float, default=1, help="of each worker")
    parser.add_argument("--address", help="of the cluster; default $RAY_ADDRESS")
    parser.add_argument("--restarts", type=int, default=20, help="after 75 and 69")
    parser.add_argument("--commands", type=pathlib.Path, help="members of a sweep")
    options, rest = parser.parse_known_args()
    if options.n < 1:
        parser.error(f"-n is {options.n}; it must be at least 1")
    if options.commands and rest:
        parser.error(f"--commands takes no {rest[0]!r}: its lines say everything")
    sys.stdout.reconfigure(line_buffering=True)  # a log shows a restart at once
    ray = _ray(parser)
    ray.init(address=options.address, log_to_driver=True)
    asked: list[int] = []
    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, lambda number, frame: asked.append(number))
    try:
        if options.commands:
            return _members(ray, options, asked)
        return _train(ray, options, rest, asked)
    finally:
        ray.shutdown()


def _ray(parser: argparse.ArgumentParser):
    """The module, which is an extra."""
    os.environ.setdefault("RAY_DEDUP_LOGS", "0")  # hosts often say the same
    try:
        import ray
        import ray.util
    except ImportError:
        parser.exit(2, "ray is not installed: pip install 'jaxseg[ray]'.\n")
    return ray


class Worker:
    """One process of a run or of a sweep, on the host where Ray puts it."""

    def __init__(self):
        self.process = None
        self.asked = False

    def address(self) -> str:
        """host:port for the coordinator, if this is worker 0."""
        import ray

        with socket.socket() as probe:
            probe.bind(("", 0))
            return f"{ray.util.get_node_ip_address()}:{probe.getsockname()[1]}"

    def run(self, words: list[str], name: str, folder: str, extra: dict) -> int:
        """The exit code of `python words`, whose lines are shown with `name`."""
        if self.asked:
            return STOPPED
        # it stops by itself when this actor is gone, and does not go on alone
        own = {"JAXSEG_PARENT": str(os.getpid()), "PYTHONUNBUFFERED": "1"}
        self.process = subprocess.Popen(
            [sys.executable, *words],
            cwd=folder if os.path.isdir(folder) else None,
            env=os.environ | own | extra,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
        )
        for line in self.process.stdout:
            print(f"[{name}] {line}", end="", flush=True)
        return self.process.wait()

    def stop(self) -> None:
        """Asks the process to save and stop."""
        self.asked = True
        if self.process and self.process.poll() is None:
            self.process.send_signal(signal.SIGTERM)


def _train(ray, options, rest: list[str], asked: list[int]) -> int:
    """Trains one run, again and again where that helps; its exit code."""
    for restart in range(options.restarts + 1):
        code = _attempt(ray, options, rest, asked)
        if code not in (STOPPED, LOST) or asked or restart == options.restarts:
            return code
        print(f"restart {restart + 1} of {options.restarts}, after exit code {code}")
    return code


def _attempt(ray, options, rest: list[str], asked: list[int]) -> int:
    """The exit code of the first worker that fails, else 0."""
    resources = {"CPU": options.cpus, "GPU": options.gpus}
    bundle = {name: count for name, count in resources.items() if count}
    group = ray.util.placement_group([bundle] * options.n, strategy="SPREAD")
    try:
        if not _ready(ray, group, options, asked):
            return STOPPED
        workers = [_start(ray, options, group, k) for k in range(options.n)]
        try:
            return _watch(ray, workers, options, rest, asked)
        finally:
            for worker in workers:
                ray.kill(worker)
    finally:
        ray.util.remove_placement_group(group)


def _ready(ray, group, options, asked: list[int]) -> bool:
    """Whether the hosts are there; waits for them, and says so."""
    said = time.monotonic()
    while not asked:
        if ray.wait([group.ready()], timeout=1)[0]:
            return True
        if time.monotonic() - said > _PATIENCE:
            said = time.monotonic()
            print(
                f"waiting for {options.n} x ({options.cpus:g} CPUs, {options.gpus:g} "
                f"GPUs); the cluster has {ray.available_resources()} free"
            )
    return False


def _start(ray, options, group, k: int):
    """Worker `k`, in its place of the group; it hears `stop` while it runs."""
    from ray.util.scheduling_strategies import PlacementGroupSchedulingStrategy

    strategy = PlacementGroupSchedulingStrategy(group, placement_group_bundle_index=k)
    return (
        ray.remote(Worker)
        .options(
            num_cpus=options.cpus,
            num_gpus=options.gpus,
            max_concurrency=2,
            scheduling_strategy=strategy,
        )
        .remote()
    )


def _watch(ray, workers: list, options, rest: list[str], asked: list[int]) -> int:
    """Runs the workers to their end; the exit code of the first that fails, else 0."""
    try:
        coordinator = ray.get(workers[0].address.remote())
    except ray.exceptions.RayError:
        return LOST
    running = {}
    for k, worker in enumerate(workers):
        extra = {"JAXSEG_COORDINATOR": coordinator, "JAXSEG_PROCESS": str(k)}
        extra["JAXSEG_PROCESSES"] = str(options.n)
        words = ["-m", "jaxseg.main", *rest]
        running[worker.run.remote(words, str(k), os.getcwd(), extra)] = worker
    first, end, told = 0, float("inf"), False
    while running and time.monotonic() < end:
        done, _ = ray.wait([*running], timeout=1)
        for future in done:
            del running[future]
            code = _code(ray, future)
            if code and not first:
                first, end = code, time.monotonic() + _GRACE
        if asked and not told:
            told = True
            for worker in running.values():
                worker.stop.remote()
    return first


def _code(ray, future) -> int:
    """The exit code of a worker's process; 69 where a signal, or Ray, ended it."""
    try:
        code = ray.get(future)
    except ray.exceptions.RayError as error:
        print(f"a worker was lost: {str(error).splitlines()[0]}")
        return LOST
    return LOST if code < 0 else code


def _members(ray, options, asked: list[int]) -> int:
    """Trains the members of a sweep, as many at once as the cluster has room for."""
    commands = [shlex.split(line) for line in options.commands.read_text().splitlines()]
    waiting = {}
    for words in filter(None, commands):
        if words[:3] != ["python", "-m", "jaxseg.main"]:
            print(
                f"{options.commands} holds the line {shlex.join(words)!r}, no command "
                "of python -m jaxseg.sweep --commands."
            )
            return 2
        if not is_finished(place := _workdir(words)):
            waiting[place] = words
    print(f"{len(waiting)} of {len(commands)} members to train")
    failed = _run_members(ray, options, waiting, asked)
    for place, code in failed.items():
        print(f"{place}: exit code {code}")
    return STOPPED if asked else next(iter(failed.values()), 0)


def _run_members(
    ray, options, waiting: dict[str, list[str]], asked: list[int]
) -> dict[str, int]:
    """{member that failed: its exit code}."""
    actor = ray.remote(Worker).options(
        num_cpus=options.cpus, num_gpus=options.gpus, max_concurrency=2
    )
    tries = dict.fromkeys(waiting, 0)
    running, failed, told = {}, {}, False

    def start(place: str) -> None:
        tries[place] += 1
        worker, words = actor.remote(), waiting[place][1:]
        name = pathlib.Path(place).name
        running[worker.run.remote(words, name, os.getcwd(), {})] = place, worker

    for place in waiting:
        start(place)
    while running:
        done, _ = ray.wait([*running], timeout=1)
        for future in done:
            place, worker = running.pop(future)
            code = _code(ray, future)
            ray.kill(worker)
            again = code in (STOPPED, LOST) and tries[place] <= options.restarts
            if again and not asked:
                print(f"{place} is started again, after exit code {code}")
                start(place)
            elif code:
                failed[place] = code
        if asked and not told:
            told = True
            for _, worker in running.values():
                worker.stop.remote()
    return failed


def _workdir(words: list[str]) -> str:
    """The run directory of a command; a sweep writes it last."""
    return words[-1].removeprefix("--workdir=")


def is_finished(place: str) -> bool:
    """Whether a run says that it is finished; it is asked again by `jaxseg.main`."""
    try:
        record = json.loads((pathlib.Path(place) / "run.json").read_text())
    except (OSError, ValueError):
        return False
    return isinstance(record, dict) and record.get("status") == "finished"


if __name__ == "__main__":
    sys.exit(main())
