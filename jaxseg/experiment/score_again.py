"""Scores a finished run again, and compares with the scores that are there.

Scores that differ are never replaced: the new ones are written beside them.
"""

import contextlib
import csv
import errno
import math
import os
import pathlib
import re
import shutil
import tempfile
from collections.abc import Iterator
from typing import Any, NamedTuple

import jax

from jaxseg import atomic
from jaxseg.errors import DataError
from jaxseg.evaluation import score_split
from jaxseg.experiment import build, finished_run, from_config
from jaxseg.run_directory import files, seal

EVAL, BESIDE = "eval", "eval_again"
_READ_ONLY = (errno.EACCES, errno.EPERM, errno.EROFS)
ROUNDED = "but for the last digits of probabilities and means"
_SHOWN = 8  # differences that are listed
# relative: another number of devices adds up in another order, and a pixel at the edge
# of a bin of the histograms of probabilities may fall into the next
_ROUNDING = 1e-4


class Difference(NamedTuple):
    """One value that was scored before and is not equal now."""

    text: str
    rounding: bool  # two numbers with a fraction that differ in their last digits


class Again(NamedTuple):
    """The scores of now, and how they stand to those that were there."""

    result: dict[str, Any]  # the content of <split>.json
    same: str  # "yes", ROUNDED, "no", "none were", or "they could not be read"
    folder: pathlib.Path | None  # where they are; None: the run cannot be written
    notes: list[str]  # what differs, what was kept, what was not written


def score_again(
    workdir: str | os.PathLike,
    split: str,
    *,
    data_dir: str = "",
    verify: str = "sample",
) -> Again:
    """Scores `split` of the run again, at its frozen operating point.

    `verify` is how much of the data is compared with its digests: `content.check`.

    `same` is ROUNDED where every count is equal and other numbers agree to 1e-4, as on
    another number of devices. It is also "yes" where an earlier version scored less;
    then its files are completed. Scores that differ stay as they are, the new ones go
    to eval_again/, and `notes` says what differs. Raises ConfigError for a run that is
    not finished, and DataError when the data is not what the run was trained and
    scored on.
    """
    workdir = pathlib.Path(workdir)
    # no run: said before a lock makes a folder
    seal.read(workdir)
    with contextlib.ExitStack() as stack:
        writable = jax.process_index() == 0 and stack.enter_context(held(workdir))
        run = finished_run.with_data(workdir, split, data_dir=data_dir, verify=verify)
        fresh = stack.enter_context(temporary(workdir if writable else None))
        scoring = score_split.Scoring(
            workdir=fresh,
            scorer=run.experiment.scorer,
            variables=run.variables,
            step=run.step,
            training=build.training_images(run.experiment),
            finding=run.experiment.finding,
            evidence=run.experiment.evidence,
            **from_config.scoring_options(run.config),
        )
        result = score_split.score_split(
            scoring, run.experiment.splits[split], run.operating_point
        )
        if jax.process_index():
            return Again(result, "yes", None, [])
        return keep(workdir, split, result, fresh / EVAL, writable=writable)


def keep(
    workdir: pathlib.Path,
    split: str,
    result: dict[str, Any],
    fresh: pathlib.Path,
    *,
    writable: bool,
) -> Again:
    """Puts the `fresh` files in their place, or beside those that differ.

    `fresh` is a folder with what eval/ of the run holds of this split.
    """
    path, target = workdir / EVAL / f"{split}.json", workdir / EVAL
    same, notes = "none were", []
    files.check_regular(path)
    try:
        before = files.read_json(path) if path.exists() else None
    except DataError as error:
        same, kept = "they could not be read", path.with_name(f"{path.name}.unreadable")
        notes = [str(error)]
        if writable:
            atomic.replace(kept, path.read_bytes())
            notes.append(f"it was kept as {kept}, and written anew")
    else:
        if before is not None:
            differ = [*_differences(before, files.read_json(fresh / path.name))]
            for table in sorted(fresh.glob("*.csv")):
                differ += _table_differences(path.parent / table.name, table)
            notes, same = [one.text for one in differ], "yes"
            if differ:
                same = ROUNDED if all(one.rounding for one in differ) else "no"
                target = workdir / BESIDE
    if len(notes) > _SHOWN:
        notes[_SHOWN:] = [f"and {len(notes) - _SHOWN} more"]
    if not writable:
        notes.append(f"{workdir} cannot be written: the new scores were not kept")
        return Again(result, same, None, notes)
    written = []
    for file in sorted(p for p in fresh.rglob("*") if p.is_file()):
        written.append(target / file.relative_to(fresh))
        atomic.replace(written[-1], file.read_bytes())
    if target.name == BESIDE:
        notes.append(f"{path} stays as it was; the new scores are in {target}")
    else:
        seal.renew(workdir, written)
    return Again(result, same, target, notes)


def check_kept(workdir: str | os.PathLike, name: str) -> None:
    """Raises DataError where the scores of that name are not what the run wrote.

    No report is built of such a run. What differs stands in the notes of `keep`, and
    the scores of now in eval_again/, which may be what the run wrote.
    """
    workdir = pathlib.Path(workdir)
    record = seal.read(workdir)
    own = re.compile(rf"{EVAL}/{re.escape(name)}[._]")
    for changed in filter(own.match, seal.changed(workdir, record)):
        path, fresh = workdir / changed, workdir / BESIDE / changed[len(EVAL) + 1 :]
        move = workdir / EVAL / f"{name}.json"
        there = fresh.read_bytes() if fresh.is_file() else b""
        advice = (
            f"{fresh} is what it wrote, copy that over it"
            if seal.is_noted(record, changed, there)
            else f"put it back as it was, or move {move} away and start the same "
            "command again, which then keeps the scores of now"
        )
        raise DataError(
            f"{path} is not what the run wrote (its SHA-256 differs), so no report was "
            f"built: {advice}."
        )


@contextlib.contextmanager
def held(workdir: pathlib.Path) -> Iterator[bool]:
    """Holds the lock of the run; yields False where it cannot be written at all."""
    with contextlib.ExitStack() as stack:
        try:
            stack.enter_context(files.lock(workdir))
        except OSError as error:
            if error.errno not in _READ_ONLY:
                raise
            yield False
            return
        atomic.clean(workdir)
        yield True


@contextlib.contextmanager
def temporary(workdir: pathlib.Path | None) -> Iterator[pathlib.Path]:
    """A folder that ends with the block, in `workdir` or where the system has such."""
    if workdir is None:
        with tempfile.TemporaryDirectory(prefix="jaxseg-") as folder:
            yield pathlib.Path(folder)
        return
    folder = workdir / f"{BESIDE}.{os.getpid()}.tmp"
    try:
        yield folder
    finally:
        shutil.rmtree(folder, ignore_errors=True)


def _differences(before: Any, now: Any, place: str = "") -> Iterator[Difference]:
    """What was scored before and is not equal now; there may be more now.

    An earlier version wrote fewer keys, fewer baselines, and nothing (None) of the
    calibration of more than two classes.
    """
    last = place.rpartition(".")[2]
    if isinstance(before, dict) and isinstance(now, dict):
        for key, value in before.items():
            inside = f"{place}.{key}".lstrip(".")
            if key in now:
                yield from _differences(value, now[key], inside)
            else:
                yield Difference(f"{inside} is there no more", False)
    elif isinstance(before, list) and isinstance(now, list):
        if len(before) > len(now) or (len(before) < len(now) and last != "baselines"):
            text = f"{place} has {len(before)} entries there, {len(now)} now"
            yield Difference(text, False)
        else:
            for i, pair in enumerate(zip(before, now, strict=False)):
                yield from _differences(*pair, f"{place}[{_title(pair[0], i)}]")
    elif before != now and not (before is None and last == "calibration"):
        small = type(before) is type(now) is float and _close(before, now)
        yield Difference(f"{place} is {before!r} there, {now!r} now", small)


def _close(before: float, now: float) -> bool:
    return math.isclose(before, now, rel_tol=_ROUNDING, abs_tol=1e-9)


def _title(row: Any, number: int) -> str:
    """What an entry of a list is called: by its name and class, or its number."""
    names = [row[k] for k in ("name", "class") if k in row] if type(row) is dict else []
    return ", ".join(map(str, names)) or str(number)


def _table_differences(before: pathlib.Path, now: pathlib.Path) -> Iterator[Difference]:
    """What differs between two tables, in the columns that both have."""
    if not before.exists():
        return
    files.check_regular(before)
    try:
        there, here = (
            list(csv.DictReader(path.read_text("utf-8").splitlines()))
            for path in (before, now)
        )
    except (OSError, UnicodeDecodeError, csv.Error) as error:
        yield Difference(f"{before} cannot be read ({error})", False)
        return
    if len(there) != len(here):
        yield Difference(f"{before} has {len(there)} rows, {len(here)} now", False)
        return
    for i, (old, new) in enumerate(zip(there, here, strict=True), 1):
        for name in [key for key in old if key in new]:
            if old[name] != new[name]:
                values = f"{old[name]!r} there, {new[name]!r} now"
                text = f"{before}, row {i}: {name} is {values}"
                yield Difference(text, _rounded(old[name], new[name]))


def _rounded(before: str, now: str) -> bool:
    """Whether two cells are one number with a fraction, but for its last digits."""
    try:
        return "." in before + now and _close(float(before), float(now))
    except ValueError:
        return False
