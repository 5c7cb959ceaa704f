"""The manifest of a folder: digests of its files, so that damage is noticed.

`manifest.json` holds a record, the SHA-256 and size of every file, and the SHA-256
of itself. Whoever reads the folder later knows that it holds what was written, or
which file does not.
"""

import concurrent.futures
import hashlib
import json
import pathlib
from typing import Any

from absl import logging

from jaxseg import atomic, errors
from jaxseg.run_directory import files

NAME = "manifest.json"
SET_ASIDE = "set_aside"


def seal(folder: pathlib.Path, record: dict[str, Any], *, skip: tuple[str, ...] = ()):
    """Writes the manifest of `folder` as it stands, with `record` inside.

    `record` is JSON without NaN; files named in `skip` stay outside.
    """
    names = _files(folder, skip)
    with concurrent.futures.ThreadPoolExecutor() as pool:
        sums = list(pool.map(_sha256, (folder / name for name in names)))
    sizes = [(folder / name).stat().st_size for name in names]
    listed = {n: [s, d] for n, s, d in zip(names, sizes, sums, strict=True)}
    content = {**record, "files": listed}
    (folder / NAME).write_bytes(_sealed(content))


def add(folder: pathlib.Path, name: str, value: Any) -> None:
    """Puts one more thing into a sealed manifest, in one step.

    `value` is JSON without NaN. Raises DataError where the manifest is damaged.
    """
    record, wrong = read(folder)
    if wrong:
        raise errors.DataError(f"{wrong}: nothing can be added to it.")
    atomic.replace(folder / NAME, _sealed({**record, name: plain(value)}))


def read(folder: pathlib.Path) -> tuple[dict[str, Any], str | None]:
    """(record, None), or ({}, what is wrong with the manifest)."""
    path = folder / NAME
    if wrong := files.irregular(path):
        return {}, wrong
    try:
        outer = json.loads(path.read_text("utf-8"))
        content, expected = outer["content"], outer["sha256"]
    except FileNotFoundError:
        return {}, f"{path} is missing"
    except (OSError, ValueError, TypeError, KeyError, RecursionError):
        return {}, f"{path} cannot be read"
    if _digest(content) != expected:
        return {}, f"{path} is damaged"
    return content, None


def problem(folder: pathlib.Path) -> str | None:
    """None when every file is as it was written, else the first that is not."""
    record, wrong = read(folder)
    if wrong:
        return wrong
    try:
        for name, (size, _) in record["files"].items():
            there = (folder / name).stat().st_size
            if wrong := files.irregular(folder / name):
                return wrong
            if there != size:
                return f"{folder / name} has {there} bytes instead of {size}"
        with concurrent.futures.ThreadPoolExecutor() as pool:
            paths = [folder / name for name in record["files"]]
            for path, digest in zip(paths, pool.map(_sha256, paths), strict=True):
                if digest != record["files"][path.relative_to(folder).as_posix()][1]:
                    return f"{path} is damaged (its SHA-256 differs)"
    except FileNotFoundError as error:
        return f"{error.filename} is missing"
    except OSError as error:
        return f"{error.filename} cannot be read ({error.strerror})"
    return None


def newest_good(
    directory: pathlib.Path, steps: list[int], *, move: bool
) -> tuple[int, str]:
    """(newest of `steps` whose folder is as written, what was wrong with newer ones).

    The step is -1 when none is good; then nothing is moved. Otherwise the damaged
    newer ones are named in one warning and, with `move`, go to `set_aside/`.
    """
    steps, bad = sorted(steps, reverse=True), []
    for step in steps:
        wrong = problem(directory / str(step))
        if wrong is None:
            break
        bad.append(f"checkpoint {step}: {wrong}")
    message = "; ".join(bad) or "none is there"
    if len(bad) == len(steps):
        return -1, message
    if bad and move:
        (directory / SET_ASIDE).mkdir(exist_ok=True)
        for damaged in steps[: len(bad)]:
            taken = len(list((directory / SET_ASIDE).glob(f"{damaged}.*")))
            target = directory / SET_ASIDE / f"{damaged}.{taken}"
            (directory / str(damaged)).rename(target)
        message += f" (moved to {directory / SET_ASIDE})"
    if bad:
        logging.warning("%s. Using checkpoint %d instead.", message, step)
    return step, message


def plain(record: Any) -> Any:
    """`record` as JSON has it; numbers of numpy and jax become Python's.

    Raises ValueError for a number that is not finite.
    """
    text = json.dumps(record, allow_nan=False, default=lambda value: value.item())
    return json.loads(text)


def check_tree(stored: dict[str, str], wanted: dict[str, str], *, source: str) -> None:
    """Raises ConfigError naming the leaves in which two trees differ."""
    lines = []
    for name in [*stored, *(name for name in wanted if name not in stored)]:
        have, want = stored.get(name, "nothing"), wanted.get(name, "nothing")
        if have != want:
            lines.append(f"{name} is {have} there and {want} here")
    if lines:
        more = f" (and {len(lines) - 3} more)" if len(lines) > 3 else ""
        raise errors.ConfigError(
            f"{source} does not fit this config: {'; '.join(lines[:3])}{more}. Use the "
            "config of that run, or another workdir."
        )


def _sealed(content: dict[str, Any]) -> bytes:
    outer = {"sha256": _digest(content), "content": content}
    return json.dumps(outer, indent=1).encode()


def _files(folder, skip) -> list[str]:
    paths = (p for p in folder.rglob("*") if p.is_file())
    names = (path.relative_to(folder).as_posix() for path in paths)
    return sorted(name for name in names if name not in (*skip, NAME))


def _sha256(path) -> str:
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def _digest(content) -> str:
    return hashlib.sha256(json.dumps(content, sort_keys=True).encode()).hexdigest()
