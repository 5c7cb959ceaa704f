"""Keeps bytes of a known size in one sparse file that the processes of a host share.

A file has a header that says what it holds, a table with two words of 64 bits a slot,
and the slots. Whoever has the bytes of a slot first writes them, then its words in the
table, which are sums of the bytes: until both are there and agree, the slot is empty.
So a file that a kill, a crash or a flipped bit left in any state is safe to read. Two
processes may write a slot at once, as they write the same.

All files in a folder together stay below a limit; those that were opened longest ago,
and that nobody has open, are removed for a new one. Files are written, not mapped, for
writing: on a full disk a write is an error, where a mapped page would be a SIGBUS.
"""

import contextlib
import errno
import fcntl
import mmap
import os
import pathlib
import time
from collections.abc import Iterator

import numpy as np
from absl import logging

from jaxseg.data.files import disk

SUFFIX = ".slots"
RESERVE = 2**30  # bytes of the disk that stay free, whatever the limit
BLOCK = 512  # a slot begins and ends at a multiple of so many bytes
_HEADER, _PAUSED = 4096, 4095  # bytes; where a process says that the disk is full
_ALWAYS = 2**22  # bytes of a slot up to which its sums are compared at every read
_WAIT = 10.0  # seconds for another process that opens a file in the same folder
_ODD = 0x9E3779B97F4A7C15  # 2^64 over the golden ratio: no slot passes for another


class SlotFile:
    """An open file of slots; threads may share it."""

    def __init__(
        self, path: pathlib.Path, fd: int, mapped: mmap.mmap, starts: np.ndarray
    ):
        """`starts` i64 [n + 1] are where slots begin and the last one ends; those that
        lie in `mapped` are used. The file of `fd` is closed with this object."""
        self.path, self._fd, self._starts = path, fd, starts.tolist()
        self.count = int(np.searchsorted(starts, len(mapped), "right")) - 1
        self._paused, self._damaged = False, False
        self._proved = np.zeros(len(starts) - 1, bool)
        self._bytes = np.frombuffer(mapped, np.uint8)
        self._table = self._bytes[_HEADER : self._starts[0]].view("<u8")

    def __del__(self) -> None:
        os.close(self._fd)

    def length(self, index: int) -> int:
        """The bytes of a slot: what was asked for, and up to BLOCK - 1 more."""
        return self._starts[index + 1] - self._starts[index]

    def full(self) -> bool:
        """Whether every slot there is to be was written."""
        count = len(self._starts) - 1
        return self.count == count and self.filled(np.arange(count))

    def filled(self, indices: np.ndarray) -> bool:
        """Whether each of these slots i64 [n] was written."""
        words = self._table[: 2 * (len(self._starts) - 1)].reshape(-1, 2)
        return bool(words[indices].any(axis=1).all())

    def read(self, index: int) -> np.ndarray | None:
        """The bytes of a slot u8, read-only and not copied; None where it is empty."""
        if index >= self.count:
            return None
        stored = self._table[2 * index : 2 * index + 2].tolist()
        if stored == [0, 0]:
            return None
        payload = self._bytes[self._starts[index] : self._starts[index + 1]]
        if self._proved[index] and len(payload) > _ALWAYS:
            return payload
        if _sums(payload, index) != stored:
            if not self._damaged:
                logging.warning(
                    "%s is damaged in places; those images are decoded again.",
                    self.path,
                )
            self._damaged = True
            return None
        self._proved[index] = True
        return payload

    def write(self, index: int, payload: np.ndarray) -> None:
        """Fills a slot with u8 [length(index)], unless the disk is (nearly) full.

        Then nothing is written to this file any more until it is opened anew by a
        process that has it alone; one of its processes says so.
        """
        if index >= self.count or self._paused or self._bytes[_PAUSED]:
            return
        try:
            if _free(self._fd) < RESERVE + len(payload):
                raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
            _write(self._fd, payload, self._starts[index])
            sums = np.array(_sums(payload, index), "<u8")
            _write(self._fd, sums.view(np.uint8), _HEADER + 16 * index)
        except OSError as error:
            self._pause(error)

    def _pause(self, error: OSError) -> None:
        first = not (self._paused or self._bytes[_PAUSED])
        self._paused = True
        with contextlib.suppress(OSError):
            os.pwrite(self._fd, b"\1", _PAUSED)
        if first:
            logging.warning(
                "no more images are added to the cache %s (%s; %s are free, a cache "
                "leaves %s): those that it lacks are decoded every time.",
                self.path.parent,
                error.strerror,
                disk.amount(_free(self._fd)),
                disk.amount(RESERVE),
            )


def open_file(
    path: pathlib.Path, *, holds: bytes, sizes: np.ndarray, limit: int, family: str = ""
) -> SlotFile:
    """The file at `path`, made where it is not there, with slots of `sizes` i64 [n].

    `holds` says in less than 4 kB what is in it; a file that holds something else is
    begun anew. It gets as many slots as the files of its folder leave of `limit` bytes,
    once old ones of other families (the beginnings of their names) were removed. Raises
    OSError where it cannot be written, or is in use and holds something else.
    """
    header = holds.ljust(_PAUSED, b"\n")
    if len(header) > _PAUSED:
        raise ValueError(f"a header has at most {_PAUSED} bytes, not {len(header)}.")
    first = -(-(_HEADER + 16 * len(sizes)) // BLOCK) * BLOCK
    starts = first + np.concatenate([[0], np.cumsum(-(-sizes // BLOCK) * BLOCK)])
    path.parent.mkdir(parents=True, exist_ok=True)
    with _alone(path.parent):
        fd = os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o666)
        try:
            sole = _lock(fd, fcntl.LOCK_EX)
            size = os.fstat(fd).st_size
            if size < first or os.pread(fd, _PAUSED, 0) != header:
                if not sole:
                    raise OSError(errno.EBUSY, "another process uses it otherwise")
                size = first
                _begin(fd, path, header.ljust(first, b"\0"))
            room = limit - _others(path, family, int(starts[-1]), limit)
            count = max(0, int(np.searchsorted(starts, room, "right")) - 1)
            end = int(starts[count])
            if end > size or (end < size and sole):
                os.ftruncate(fd, end)
            if sole and _free(fd) > RESERVE:
                os.pwrite(fd, b"\0", _PAUSED)
            os.utime(fd)
            _lock(fd, fcntl.LOCK_SH)
            mapped = mmap.mmap(fd, end, access=mmap.ACCESS_READ)
        except BaseException:
            os.close(fd)
            raise
    return SlotFile(path, fd, mapped, starts)


def _begin(fd: int, path: pathlib.Path, start: bytes) -> None:
    """Empties a file and writes its header and table.

    A hole in the table would be given a page where it is read through the mapping, and
    on a full tmpfs that is a SIGBUS.
    """
    os.ftruncate(fd, 0)
    free = _free(fd)
    if free < RESERVE + len(start):
        path.unlink()
        words = f"{disk.amount(free)} are free, a cache leaves {disk.amount(RESERVE)}"
        raise OSError(errno.ENOSPC, words)
    _write(fd, np.frombuffer(start, np.uint8), 0)


def _others(path: pathlib.Path, family: str, need: int, limit: int) -> int:
    """The bytes of the other files, after old ones went for the `need` of this one."""
    stats = []
    for other in path.parent.glob(f"*{SUFFIX}"):
        with contextlib.suppress(FileNotFoundError):
            if other != path:
                stats.append((other.stat().st_mtime, other.stat().st_size, other))
    total = sum(size for _, size, _ in stats)
    for _, size, other in sorted(stats):
        if total + min(need, limit) <= limit:
            break
        if not (family and other.name.startswith(family)) and _remove(other):
            total -= size
    return total


def _remove(path: pathlib.Path) -> bool:
    """Removes a file of slots that no process has open; whether it is gone."""
    try:
        with open(path, "rb+") as file:
            if not _lock(file.fileno(), fcntl.LOCK_EX):
                return False
            path.unlink()
    except FileNotFoundError:
        return True
    except OSError:
        return False
    return True


@contextlib.contextmanager
def _alone(folder: pathlib.Path) -> Iterator[None]:
    """Inside, no other process opens or removes a file of the folder.

    Raises OSError where that takes too long, or the file system has no locks.
    """
    with open(folder / "lock", "w") as file:
        deadline = time.monotonic() + _WAIT
        while True:
            try:
                fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
                break
            except BlockingIOError:
                if time.monotonic() > deadline:
                    words = f"another process holds {file.name}"
                    raise OSError(errno.EBUSY, words) from None
                time.sleep(0.02)
        yield


def _lock(fd: int, kind: int) -> bool:
    try:
        fcntl.flock(fd, kind | fcntl.LOCK_NB)
    except OSError:
        return False
    return True


def _free(fd: int) -> int:
    stat = os.fstatvfs(fd)
    return stat.f_bavail * stat.f_frsize


def _write(fd: int, payload: np.ndarray, at: int) -> None:
    view = memoryview(payload)
    while len(view):
        n = os.pwrite(fd, view, at)
        view, at = view[n:], at + n


def _sums(payload: np.ndarray, index: int) -> list[int]:
    """Two words of 64 bits that a change of any bit changes, and never both 0.

    A sum and an exclusive or read memory ten times as fast as CRC-32.
    """
    words, own = payload.view("<u8"), (index + 1) * _ODD % 2**64
    total = (int(words.sum(dtype=np.uint64)) + own) % 2**64
    mixed = int(np.bitwise_xor.reduce(words)) ^ own
    return [total, mixed] if total or mixed else [1, 1]
