"""Decides by rule which processes make up a run, before JAX is imported.

The first source that says something decides: flags, then JAXSEG_COORDINATOR,
JAXSEG_PROCESSES and JAXSEG_PROCESS (a flag may fill in for one of them), where
Kubernetes gives the number of an indexed job as JOB_COMPLETION_INDEX; then Slurm, in
a step of `srun`; else one process alone. `line` says what was decided, and by whom.
"""

import math
import re
from collections.abc import Mapping
from typing import NamedTuple

from jaxseg.errors import ConfigError

TIMEOUT = 120.0  # seconds until all processes must have come
SILENCE = 30.0  # seconds without a sign of life after which a process counts as lost
# Slurm gives no port: one above those that a kernel hands out, its own for each job
_PORTS = (61440, 4096)
_NAMES = {
    "coordinator": ("--coordinator", "JAXSEG_COORDINATOR"),
    "processes": ("--num_processes", "JAXSEG_PROCESSES"),
    "process": ("--process_id", "JAXSEG_PROCESS"),
}
_INDEX = "JOB_COMPLETION_INDEX"


class Place(NamedTuple):
    """Where one process stands among those of a run."""

    processes: int = 1
    process: int = 0  # its number, from 0
    coordinator: str = ""  # host:port of process 0; "" for one process alone
    source: str = ""  # who says so
    devices: tuple[int, ...] | None = None  # of the visible ones; None: all of them
    name_comes_late: bool = False  # the coordinator's name may not resolve at first


def place(
    environ: Mapping[str, str],
    *,
    coordinator: str = "",
    processes: int = 0,
    process: int = -1,
) -> Place:
    """The place of this process; the last three arguments are flags, as if not given.

    Raises ConfigError for settings that contradict one another or are incomplete.
    """
    values = {
        "coordinator": coordinator or None,
        "processes": processes or None,
        "process": process if process != -1 else None,
    }
    flags = {name for name, value in values.items() if value is not None}
    for name, (_, variable) in _NAMES.items():
        if values[name] is None and environ.get(variable):
            values[name] = environ[variable]
            if name != "coordinator":
                values[name] = _whole(variable, environ[variable])
    if any(value is not None for value in values.values()):
        return _explicit(values, flags, environ)
    if "SLURM_STEP_NODELIST" in environ:
        return _slurm(environ)
    return Place(source=_why_alone(environ))


def line(place: Place) -> str:
    """The decision in one line, for the log."""
    if place.processes == 1:
        return f"one process alone ({place.source})"
    devices = ""
    if place.devices is not None:
        devices = f", device {', '.join(map(str, place.devices))} of those it sees"
    return (
        f"process {place.process} of {place.processes}, coordinator "
        f"{place.coordinator} (from {place.source}){devices}"
    )


def timeout(environ: Mapping[str, str], flag: float = 0) -> float:
    """Seconds until all processes must have come: the flag, the variable, or 120.

    Raises ConfigError for a number that is not above 0.
    """
    if flag:
        return _seconds("--coordinator_timeout_s", str(flag))
    return _seconds_of(environ, "JAXSEG_COORDINATOR_TIMEOUT", TIMEOUT)


def silence(environ: Mapping[str, str]) -> float:
    """Seconds of silence after which a process counts as lost: JAXSEG_PEER_TIMEOUT."""
    return _seconds_of(environ, "JAXSEG_PEER_TIMEOUT", SILENCE)


def host_and_port(coordinator: str) -> tuple[str, int]:
    """The parts of "host:port" or "[v6]:port"; ConfigError for anything else."""
    match = re.fullmatch(
        r"\[([0-9a-fA-F:.%\w]+)\]:(\d+)|([^\s:/\[\]]+):(\d+)", coordinator
    )
    port = match and int(match[2] or match[4])
    if not match or not 0 < port < 65536:
        raise ConfigError(
            f"the coordinator is {coordinator!r}; give the host of process 0 and a "
            "free port there, such as node1:7777."
        )
    return match[1] or match[3], port


def _explicit(values: dict, flags: set[str], environ: Mapping[str, str]) -> Place:
    """The place that flags and variables name."""
    source = "flags" if flags else "the environment"
    if flags and len(flags) < sum(value is not None for value in values.values()):
        source = "flags and the environment"
    kubernetes = "KUBERNETES_SERVICE_HOST" in environ
    if values["process"] is None and environ.get(_INDEX):
        values["process"] = _whole(_INDEX, environ[_INDEX])
        source = f"{source}, with the number from {_INDEX}"
    coordinator, count, number = values.values()
    if count is not None and count < 1:
        raise ConfigError(f"{_name('processes', flags)} is {count}; it is 1 or more.")
    if number is not None and not 0 <= number < (count or math.inf):
        raise ConfigError(
            f"{_name('process', flags)} is {number}; the processes of {count or 'all'} "
            "are counted from 0."
        )
    if count == 1:
        return Place(source=source)
    absent = [" or ".join(_NAMES[n]) for n, value in values.items() if value is None]
    if absent:
        present = [_name(n, flags) for n, value in values.items() if value is not None]
        raise ConfigError(
            f"{' and '.join(present)} alone join no processes: give also "
            f"{' and '.join(absent)}."
        )
    host_and_port(coordinator)
    return Place(count, number, coordinator, source, name_comes_late=kubernetes)


def _name(value: str, flags: set[str]) -> str:
    return _NAMES[value][0 if value in flags else 1]


def _why_alone(environ: Mapping[str, str]) -> str:
    """What speaks for one process, where another may have been meant."""
    if "SLURM_JOB_ID" in environ:
        tasks = environ.get("SLURM_NTASKS", "1")
        return f"a Slurm job without srun: srun would start its {tasks} task(s)"
    if _INDEX in environ:
        return f"{_INDEX} without JAXSEG_COORDINATOR and JAXSEG_PROCESSES"
    return "no flags, no JAXSEG_COORDINATOR, no srun"


def _slurm(environ: Mapping[str, str]) -> Place:
    """The place of a task of `srun`."""
    tasks = environ.get("SLURM_STEP_NUM_TASKS") or environ.get("SLURM_NTASKS", "1")
    tasks = _whole("SLURM_NTASKS", tasks)
    if tasks == 1:
        return Place(source="Slurm, a step of one task")
    needed = ("SLURM_JOB_ID", "SLURM_PROCID", "SLURM_LOCALID")
    absent = [name for name in needed if name not in environ]
    if absent:
        raise ConfigError(
            f"this is a Slurm step of {tasks} tasks, but {', '.join(absent)} is not "
            "set: start the processes by srun, and let it hand its environment on."
        )
    job, number, local = (_whole(name, environ[name]) for name in needed)
    port = _PORTS[0] + job % _PORTS[1]
    host = first_host(environ["SLURM_STEP_NODELIST"])
    devices = _own_devices(environ, _tasks_here(environ, tasks), local)
    return Place(tasks, number, f"{host}:{port}", "Slurm", devices)


def first_host(nodes: str) -> str:
    """The first host of a Slurm node list such as "n[01-03,7],m2"."""
    first = re.match(r"(?:[^,\[]|\[[^\]]*\])*", nodes)[0]
    return re.sub(r"\[([^\],-]*)[^\]]*\]", r"\1", first)


def _tasks_here(environ: Mapping[str, str], tasks: int) -> int:
    """How many tasks of the step run on this host, from "2(x3),1" and its number."""
    written = environ.get("SLURM_STEP_TASKS_PER_NODE", str(tasks))
    counts: list[int] = []
    for part in written.split(","):
        match = re.fullmatch(r"(\d+)(?:\(x(\d+)\))?", part)
        counts += [int(match[1])] * int(match[2] or 1) if match else []
    node = _whole("SLURM_NODEID", environ.get("SLURM_NODEID", "0"))
    return counts[node] if node < len(counts) else tasks


def _own_devices(
    environ: Mapping[str, str], tasks: int, local: int
) -> tuple[int, ...] | None:
    """The share of a task in the GPUs that all tasks of its host see; None: all.

    With --gpus-per-task each task sees its own alone, with --gpus-per-node all see all.
    """
    visible = [v for v in environ.get("CUDA_VISIBLE_DEVICES", "").split(",") if v]
    if tasks == 1 or len(visible) < 2:
        return None
    each, left = divmod(len(visible), tasks)
    if left or not each:
        raise ConfigError(
            f"{tasks} tasks on this host see {len(visible)} GPUs, which cannot be "
            "dealt out evenly; ask for as many tasks as GPUs, or for --gpus-per-task."
        )
    return tuple(range(local * each, (local + 1) * each))


def _whole(name: str, value: str) -> int:
    try:
        return int(value)
    except ValueError:
        raise ConfigError(f"{name} is {value!r}; give a whole number.") from None


def _seconds_of(environ: Mapping[str, str], name: str, default: float) -> float:
    return _seconds(name, environ[name]) if environ.get(name) else default


def _seconds(name: str, value: str) -> float:
    try:
        seconds = float(value)
    except ValueError:
        seconds = math.nan
    if not 0 < seconds < math.inf:
        raise ConfigError(f"{name} is {value!r}; give seconds, above 0.")
    return seconds
