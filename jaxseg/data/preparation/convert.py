"""Converts raw files in worker processes, and caches each until the data set is whole.

A cache entry is written whole or not at all, under a name hashed from everything that
decides its content, so a preparation that was killed goes on where it stopped and a
changed file is converted again. An entry is one JSON line and the arrays as PNG.
"""

import dataclasses
import errno
import functools
import hashlib
import io
import json
import pathlib
import shutil
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from typing import Any

import numpy as np
import rich.console
import rich.progress

from jaxseg.data import records
from jaxseg.data.files import disk, paths
from jaxseg.data.files.listing import SPLITS
from jaxseg.data.preparation import workers
from jaxseg.errors import DataError, NotWritten
from jaxseg.labels import IGNORE, Example

_FORMAT = 2  # of an entry; another number makes old caches unused
_SAMPLE = 16  # images converted before the disk space is judged
_SHARD_BYTES = 128 * 2**20


class Refused(DataError):
    """This one file cannot be used; the others can."""


@dataclasses.dataclass(frozen=True)
class Job:
    """One image to convert; `note` is what decides the result beside the files."""

    id: str
    files: tuple[str, ...]  # relative to the source; the first is the image
    note: str = ""


Convert = Callable[[Job], tuple[Example, dict]]
# per split, one generator of (id, record) for each file
Shards = Mapping[str, list[Callable[[], Iterator[tuple[str, dict]]]]]


def convert(
    jobs: Sequence[Job],
    one: Convert,
    *,
    source: pathlib.Path,
    cache: pathlib.Path,
    progress: bool = True,
    processes: int | None = None,
) -> tuple[list[dict], list[dict]]:
    """The rows of the images now in the cache, and the refused ones {file, reason}.

    `one(job)` is the example and further columns of its row, as JSON has them; it
    raises Refused to leave the image out and DataError to stop. It runs in worker
    processes, so it must be a function of a module, or a functools.partial of it; a
    file that ends its worker is refused. A row has entry, id, group, label, dtype,
    height, width, area (share of the pixels above class 0), digest (of the pixels) and
    bytes. Raises NotWritten when the disk has no room for cache and data set.
    """
    cache.mkdir(parents=True, exist_ok=True)
    rows, refused, used = [], [], 0
    results = workers.in_order(
        functools.partial(_staged, one, source, cache),
        jobs,
        name=lambda job: str(source / job.files[0]),
        sizes=[
            sum(workers.file_size(source / name) for name in job.files) for job in jobs
        ],
        broken=lambda job, error: {"refused": str(error)},
        workers=processes,
    )
    results = track(results, total=len(jobs), what="Converting", show=progress)
    for done, (job, result) in enumerate(zip(jobs, results, strict=True), 1):
        if "refused" in result:
            refused.append({"file": job.files[0], "reason": result["refused"]})
        else:
            rows.append(result)
            used += result["bytes"]
        if rows and done == min(_SAMPLE, len(jobs)):
            mean = used / len(rows)
            _check_space(cache, int(mean * (2 * len(jobs) - len(rows))))
    return rows, refused


def shards(rows: Sequence[dict], cache: pathlib.Path, dtype: str) -> Shards:
    """Per split of the rows, generators of (id, record) for TFDS, in their order."""

    def shard(part: list[dict]):
        return lambda: ((r["id"], _record(r, cache, dtype)) for r in part)

    out = {}
    for split in SPLITS:
        inside = [row for row in rows if row["split"] == split]
        parts = cut(inside, [row["bytes"] for row in inside], limit=_SHARD_BYTES)
        out[split] = [shard(part) for part in parts]
    return out


def cut(items: Sequence, sizes: Sequence[int], *, limit: int) -> list[list]:
    """The items in order, in lists whose sizes add up to at most about `limit`."""
    parts, total = [[]], 0
    for item, size in zip(items, sizes, strict=True):
        if parts[-1] and total + size > limit:
            parts.append([])
            total = 0
        parts[-1].append(item)
        total += size
    return parts


def track(items: Iterable, *, total: int, what: str, show: bool) -> Iterator:
    """The items, with a live line on a terminal and else ten lines on stderr."""
    console = rich.console.Console(stderr=True)
    if show and console.is_terminal:
        yield from rich.progress.track(items, what, total, console=console)
        return
    for done, item in enumerate(items, 1):
        yield item
        if show and done * 10 // total > (done - 1) * 10 // total:
            console.file.write(f"{what}: {done} of {total}\n")


def _staged(
    one: Convert, source: pathlib.Path, cache: pathlib.Path, job: Job
) -> dict[str, Any]:
    """The row of a job, from the cache or converted now; {"refused": why} without."""
    try:
        key = [_FORMAT, job.id, job.note, *(_stat(source / f) for f in job.files)]
        name = hashlib.sha256(json.dumps([key, job.files]).encode()).hexdigest()[:32]
        path = cache / f"{name}.entry"
        row = _cached_row(path)
        return row or _converted(path, *one(job))
    except Refused as reason:
        return {"refused": str(reason)}


def _converted(path: pathlib.Path, example: Example, columns: dict) -> dict[str, Any]:
    """The row of an example, after writing its entry."""
    image, mask = example["image"], example["mask"]
    record = records.encode(example)
    arrays = [k for k in ("image", "mask", "instances") if k in record]
    parts = [record[k].getvalue() for k in arrays]
    labelled = max(np.count_nonzero(mask != IGNORE), 1)
    row = {
        "entry": path.name,
        **{k: example[k] for k in ("id", "group", "label")},
        "dtype": str(image.dtype),
        "height": image.shape[0],
        "width": image.shape[1],
        "channels": image.shape[2],
        "area": np.count_nonzero((mask > 0) & (mask != IGNORE)) / labelled,
        "digest": hashlib.sha256(repr(image.shape).encode() + image.data).hexdigest(),
        "bytes": sum(map(len, parts)),
        "parts": dict(zip(arrays, map(len, parts), strict=True)),
        **columns,
    }
    _write(path, [json.dumps(row).encode(), b"\n", *parts])
    return row


def _cached_row(path: pathlib.Path) -> dict | None:
    if not path.is_file():
        return None
    with open(path, "rb") as file:
        line = file.readline()
    try:
        row = json.loads(line)
    except ValueError:
        return None
    whole = path.stat().st_size == len(line) + row["bytes"]  # a lost page, a full disk
    return row if whole else None


def _record(row: dict, cache: pathlib.Path, dtype: str) -> dict:
    """The TFDS record of a row; an 8-bit image is widened when the set has 16 bits."""
    with open(cache / row["entry"], "rb") as file:
        file.readline()
        parts = {name: io.BytesIO(file.read(n)) for name, n in row["parts"].items()}
    if row["dtype"] != dtype:
        png = parts["image"].getvalue()
        image = records.from_png(png, row["channels"], row["id"])
        parts["image"] = records.encode_image(image.astype(dtype))
    return {k: row[k] for k in ("id", "group", "label")} | parts


def _write(path: pathlib.Path, parts: list[bytes]) -> None:
    part = path.with_suffix(".part")
    with disk.room(path.parent, what="what is being converted"):
        with open(part, "wb") as file:
            file.writelines(parts)
        part.replace(path)


def _check_space(cache: pathlib.Path, need: int) -> None:
    free = shutil.disk_usage(cache).free
    if need > free:
        raise NotWritten(
            errno.ENOSPC,
            f"the preparation needs about {disk.amount(need)} more in {cache.parent}, "
            f"but {disk.amount(free)} are free; make room, or choose another folder.",
        )


def _stat(path: pathlib.Path) -> tuple[int, int]:
    try:
        stat = paths.regular(path)
    except DataError as error:
        raise Refused(str(error)) from None
    return stat.st_size, stat.st_mtime_ns
