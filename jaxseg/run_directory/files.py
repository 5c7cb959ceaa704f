"""Reads and writes the files of a run directory: its lock and its JSON.

Every file is replaced in one rename, so a kill at any moment leaves the old one or
the new one, and never a half.
"""

import contextlib
import datetime
import fcntl
import json
import os
import pathlib
import socket
import stat
from collections.abc import Callable, Iterator, Sequence
from typing import Any, NamedTuple

from absl import logging

from jaxseg import atomic, errors
from jaxseg.run_directory import older_configs, schemas

LOCK, CONFIG, HISTORY, RUN = "run.lock", "config.json", "history.csv", "run.json"
OPERATING_POINT = pathlib.Path("checkpoints") / "operating_point.json"
TWO_STAGE = "two_stage.json"  # of two runs that were joined
COST = pathlib.Path("eval") / "cost.json"
PROFILE = "profile"  # a trace of the steps that --profile names


@contextlib.contextmanager
def lock(workdir: str | os.PathLike) -> Iterator[None]:
    """Holds `workdir` for one writer; process 0 of a run enters it.

    The kernel drops the lock when its process dies, however it dies, so a lock file
    left behind is taken over. Raises ConfigError naming the holder, and NotWritable.
    """
    path = pathlib.Path(workdir) / LOCK
    check_regular(path)
    with atomic.writable(workdir):
        path.parent.mkdir(parents=True, exist_ok=True)
        file = path.open("ab+", buffering=0)  # what cannot be written is told once
    with file:
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            raise errors.ConfigError(_holder(path)) from None
        except OSError as error:
            logging.warning("%s cannot be locked (%s): start one run.", path, error)
        file.seek(0)
        if file.read().strip():
            logging.info("%s was left by a run that died; taken over.", path)
        now = datetime.datetime.now(datetime.UTC).isoformat(timespec="seconds")
        who = {"host": socket.gethostname(), "pid": os.getpid(), "since": now}
        signed = json.dumps(who).encode()
        try:
            file.truncate(0)
            file.write(signed)
        except OSError as error:
            raise atomic.not_written(path, len(signed), error) from error
        try:
            yield
        finally:
            file.truncate(0)  # kept, not removed: removing would race with a waiter


def irregular(path: str | os.PathLike) -> str:
    """What is wrong where something lies at `path` that is no regular file, or "".

    A named pipe would be waited for, and a device never ends. What is not there is for
    who opens it to say.
    """
    try:
        mode = os.stat(path).st_mode
    except OSError:
        return ""
    if stat.S_ISREG(mode):
        return ""
    return f"{path} is no regular file but a folder, pipe, socket or device"


def check_regular(path: str | os.PathLike) -> None:
    """Raises DataError where something lies at `path` that is no regular file."""
    if wrong := irregular(path):
        raise errors.DataError(f"{wrong}: put the file back as it was, or remove it.")


def write_json(path: str | os.PathLike, obj: Any) -> None:
    """Replaces `path` by `obj` in one step: a reader sees the old file or the new.

    Numbers and arrays of numpy and jax, paths and sets are written as what JSON has.
    Raises ValueError naming a NaN or infinity: write `finite(obj)` where an undefined
    value may become null.
    """
    obj = plain(obj)
    undefined = config_diff({"": obj}, {"": finite(obj)})
    if undefined:
        name = undefined[0].split(":")[0].strip(".") or "the value"
        raise ValueError(f"{path}: {name} is not finite; JSON has no such number.")
    atomic.replace(path, json_text(obj).encode())


def json_text(obj: Any) -> str:
    """The text of a file of JSON with this content, which is `plain`."""
    return json.dumps(obj, indent=1) + "\n"


def read_json(path: str | os.PathLike) -> Any:
    """What `path` holds; raises DataError when it is missing or not JSON."""
    check_regular(path)
    try:
        return json.loads(pathlib.Path(path).read_text("utf-8"))
    except FileNotFoundError:
        raise errors.DataError(
            f"{path} does not exist: is this the directory of a run?"
        ) from None
    except (ValueError, RecursionError) as error:
        raise errors.DataError(f"{path} is not readable as JSON: {error}.") from None
    except OSError as error:
        raise errors.DataError(f"{path} cannot be read: {error.strerror}.") from None


def write(path: str | os.PathLike, value: Any, schema: Any) -> None:
    """Writes JSON of the shape `schema`, one of `schemas`; see `write_json`.

    Raises DataError, and writes nothing, where `value` has another shape.
    """
    value = plain(value)
    schemas.check(value, schema, str(path))
    write_json(path, value)


def read(path: str | os.PathLike, schema: Any) -> Any:
    """The content of a JSON file of the shape `schema`; DataError for another one."""
    value = finite(read_json(path))
    schemas.check(value, schema, str(path))
    return value


def plain(obj: Any) -> Any:
    """`obj` as read back from JSON."""
    return json.loads(json.dumps(obj, default=_plain))


def finite(obj: Any) -> Any:
    """`obj` as read back from JSON, with None for every NaN and infinity."""
    text = json.dumps(obj, default=_plain)
    return json.loads(text, parse_constant=lambda name: None)


class Change(NamedTuple):
    """A key whose value is another one in two configs, as JSON text or "absent"."""

    key: str
    before: str
    after: str

    def __str__(self) -> str:
        return f"{self.key}: {self.before} -> {self.after}"


def config_diff(old: dict[str, Any], new: dict[str, Any]) -> list[str]:
    """Lines like "optim.learning_rate: 0.0001 -> 0.0003", in order of name."""
    return [str(change) for change in config_changes(old, new)]


def config_changes(old: dict[str, Any], new: dict[str, Any]) -> list[Change]:
    """What differs between two configs, in order of name."""
    before, after = dict(_leaves(old)), dict(_leaves(new))
    changes = []
    for name in sorted(before.keys() | after.keys()):
        values = [
            json.dumps(d[name]) if name in d else "absent" for d in (before, after)
        ]
        if values[0] != values[1]:
            changes.append(Change(name, *values))
    return changes


def flat(tree: dict[str, Any]) -> dict[str, Any]:
    """{"a": {"b": 1}} as {"a.b": 1}; what is no number or word becomes JSON text."""
    plain = (bool, int, float, str)
    return {
        k: v if isinstance(v, plain) else json.dumps(v, default=_plain)
        for k, v in _leaves(tree)
    }


def check_config(
    workdir: str | os.PathLike,
    config: dict[str, Any],
    *,
    allowed: tuple[str, ...] = (),
    prepare: Callable[[Sequence[Change]], None] | None = None,
) -> str:
    """ "new" where config.json was written now, "resume" where it says the same.

    It is what `compare_config` says, and its changes are written. `prepare` is called
    with those of a run that was trained before they are.
    """
    compared = compare_config(workdir, config, allowed=allowed)
    if compared.trained and compared.changes and prepare is not None:
        prepare(compared.changes)
    for change in compared.changes:
        logging.info("config changed on resume: %s", change)
    if compared.changes or not (pathlib.Path(workdir) / CONFIG).exists():
        write_json(pathlib.Path(workdir) / CONFIG, config)
    return compared.state


class Compared(NamedTuple):
    """What a config is to the one that lies in a workdir."""

    state: str  # "new" or "resume"
    changes: list[Change]
    trained: bool  # whether the workdir holds what was learned


def compare_config(
    workdir: str | os.PathLike, config: dict[str, Any], *, allowed: tuple[str, ...] = ()
) -> Compared:
    """Compares what a run depends on; writes nothing.

    `allowed` names what may change on resume ("eval" covers "eval.batch_size"), and a
    workdir in which nothing was saved yet takes any config. Raises ConfigError with the
    differences otherwise.
    """
    workdir = pathlib.Path(workdir)
    path, config = workdir / CONFIG, json.loads(json.dumps(config, default=_plain))
    started = (workdir / HISTORY).exists() or any(workdir.glob("checkpoints/[0-9]*"))
    if not path.exists() and started:
        raise errors.ConfigError(
            f"{workdir} holds checkpoints but no {CONFIG}: choose another workdir."
        )
    if not path.exists():
        return Compared("new", [], started)
    before = read(path, schemas.ConfigBlocks)
    changes = config_changes(*map(older_configs.effective, (before, config)))
    refused = [str(c) for c in changes if not _covered(c.key, allowed)]
    if refused and started:
        raise errors.ConfigError(
            f"{workdir} was started with another config: {'; '.join(refused)}. Give "
            "that config again to resume, or choose another workdir. A run of its "
            "own under another config begins with what this one learned by "
            f"--config.parent={workdir} --workdir=ANOTHER; python -m "
            f"jaxseg.main --workdir={workdir} alone goes on as it was."
        )
    if started and not (workdir / RUN).exists():
        raise errors.ConfigError(
            f"{workdir} was trained but holds no {RUN}, which says on what: choose "
            "another workdir."
        )
    return Compared("new" if refused else "resume", changes, started)


def _covered(name, allowed) -> bool:
    return any(name == prefix or name.startswith(f"{prefix}.") for prefix in allowed)


def _holder(path) -> str:
    try:
        who = json.loads(path.read_text())
        who = f"host {who['host']}, process {who['pid']}, since {who['since']}"
    except (ValueError, KeyError, OSError):
        who = "its holder has not signed yet"
    return (
        f"{path.parent} is in use by another run ({who}): wait for it, stop it, or "
        "choose another workdir."
    )


def _plain(value):
    """What json cannot write by itself."""
    if hasattr(value, "tolist"):  # arrays and numbers of numpy and jax
        return value.tolist()
    if isinstance(value, (set, frozenset)):
        return sorted(value)
    if isinstance(value, os.PathLike):
        return os.fspath(value)
    raise TypeError(f"{type(value).__name__} cannot be written as JSON.")


def _leaves(obj, name="") -> Iterator[tuple[str, Any]]:
    """(dotted name, value) of everything that is not a dict; lists stay whole."""
    if isinstance(obj, dict) and (obj or not name):
        for key, value in obj.items():
            yield from _leaves(value, f"{name}.{key}" if name else str(key))
    else:
        yield name, obj
