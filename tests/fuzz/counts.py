"""What a fuzzing run came to, in files that survive the end of its process."""

import base64
import json
import mmap
import pathlib
import struct
from collections.abc import Iterator
from typing import NamedTuple

FIELDS = ("inputs", "accepted", "refused", "untyped", "above_cap", "slow", "ended")
_ROOM = 2**20  # bytes kept of the input that is being read
_NUMBERS = 16


class Board:
    """Counts and the input that is being read, in a file that two processes share."""

    def __init__(self, path: pathlib.Path):
        size = 8 * _NUMBERS + _ROOM
        if not path.exists():
            path.write_bytes(bytes(size))
        with path.open("r+b") as file:
            self._map = mmap.mmap(file.fileno(), size)

    def count(self, name: str, more: int = 1) -> None:
        """Adds to a count."""
        self._set(FIELDS.index(name), self[name] + more)

    def __getitem__(self, name: str) -> int:
        return self._get(FIELDS.index(name))

    def begin(self, data: bytes) -> None:
        """Notes the input that is read from now on, and counts it."""
        kept = data[:_ROOM]
        self._map[8 * _NUMBERS : 8 * _NUMBERS + len(kept)] = kept
        self._set(_NUMBERS - 1, len(kept))
        self.reading = True
        self.count("inputs")

    @property
    def current(self) -> bytes:
        """The input that was begun last."""
        start = 8 * _NUMBERS
        return self._map[start : start + self._get(_NUMBERS - 1)]

    @property
    def reading(self) -> bool:
        """Whether an input is being read, or was when its process ended."""
        return bool(self._get(_NUMBERS - 3))

    @reading.setter
    def reading(self, value: bool) -> None:
        self._set(_NUMBERS - 3, int(value))

    @property
    def peak(self) -> int:
        """Most bytes of memory above those of the start that a process ever had."""
        return self._get(_NUMBERS - 2)

    @peak.setter
    def peak(self, value: int) -> None:
        self._set(_NUMBERS - 2, max(value, self.peak))

    def _get(self, place: int) -> int:
        return struct.unpack_from("<q", self._map, 8 * place)[0]

    def _set(self, place: int, value: int) -> None:
        struct.pack_into("<q", self._map, 8 * place, value)


class Fault(NamedTuple):
    """An input that broke a promise."""

    target: str
    kind: str  # untyped, above_cap, slow, ended
    signature: str  # equal for inputs that fail alike
    text: str
    data: bytes


def add_fault(path: pathlib.Path, fault: Fault) -> None:
    """Appends a fault to a file of one JSON object a line."""
    line = fault._asdict() | {"data": base64.b64encode(fault.data).decode()}
    with path.open("a") as file:
        file.write(json.dumps(line) + "\n")


def faults(path: pathlib.Path) -> Iterator[Fault]:
    """The faults in such a file: the shortest input of each signature, with a count."""
    groups: dict[tuple[str, str, str], list[Fault]] = {}
    for line in path.read_text().splitlines() if path.exists() else []:
        plain = json.loads(line)
        fault = Fault(**plain | {"data": base64.b64decode(plain["data"])})
        groups.setdefault(fault[:3], []).append(fault)
    for group in groups.values():
        shortest = min(group, key=lambda fault: len(fault.data))
        yield shortest._replace(text=f"{len(group)} x {shortest.text}")
