"""Damages one file of a folder in one of the ways in which files are really damaged."""

import pathlib
import random
from typing import NamedTuple

KINDS = ("flip", "truncate", "delete", "empty", "swap", "foreign", "zeros")
_BLOCK = 512  # bytes that a lost sector leaves as zeros


class Damage(NamedTuple):
    """One way to damage one file; drawn by `plan`, done by `apply`."""

    kind: str
    file: str  # below the folder
    seed: int


def plan(
    files: list[str], count: int, seed: str, *, kinds: tuple[str, ...] = KINDS
) -> list[Damage]:
    """`count` damages that go through every file before any is damaged again."""
    rng = random.Random(seed)
    out: list[Damage] = []
    while len(out) < count:
        for file in rng.sample(files, len(files)):
            out.append(Damage(rng.choice(kinds), file, rng.randrange(2**31)))
    return out[:count]


def touched(damage: Damage, folder: pathlib.Path) -> list[str]:
    """The files below `folder` that it changes: two where they change places."""
    if damage.kind != "swap":
        return [damage.file]
    other = _other(folder / damage.file, folder, random.Random(damage.seed))
    return [damage.file, other.relative_to(folder).as_posix()]


def _other(
    path: pathlib.Path, folder: pathlib.Path, rng: random.Random
) -> pathlib.Path:
    others = [p for p in folder.rglob(f"*{path.suffix}") if p.is_file()]
    return rng.choice(sorted(p for p in others if p != path) or [path])


def apply(damage: Damage, folder: pathlib.Path, foreign: pathlib.Path) -> bool:
    """Whether the file is another now; some damages change nothing in some files.

    `foreign` is a folder of the same kind made with other settings: its file of the
    same name, or else one of the same suffix, takes the place of ours.
    """
    path, rng = folder / damage.file, random.Random(damage.seed)
    before = path.read_bytes()
    if damage.kind == "delete":
        path.unlink()
    elif damage.kind == "swap":
        other = _other(path, folder, rng)
        path.write_bytes(other.read_bytes())
        other.write_bytes(before)
    elif damage.kind == "foreign":
        path.write_bytes(_foreign(path, folder, foreign, rng))
    else:
        path.write_bytes(_BYTES[damage.kind](bytearray(before), rng))
    return not path.exists() or path.read_bytes() != before


def _foreign(
    path: pathlib.Path, folder: pathlib.Path, foreign: pathlib.Path, rng: random.Random
) -> bytes:
    same = foreign / path.relative_to(folder)
    if same.is_file():
        return same.read_bytes()
    like = [p for p in foreign.rglob(f"*{path.suffix}") if p.is_file()]
    return rng.choice(sorted(like)).read_bytes() if like else path.read_bytes()


def _flip(content: bytearray, rng: random.Random) -> bytes:
    if content:
        content[rng.randrange(len(content))] ^= 1 << rng.randrange(8)
    return bytes(content)


def _zeros(content: bytearray, rng: random.Random) -> bytes:
    at = rng.randrange(len(content)) if content else 0
    end = min(at + _BLOCK, len(content))
    content[at:end] = bytes(end - at)
    return bytes(content)


_BYTES = {
    "flip": _flip,
    "truncate": lambda content, rng: bytes(content[: rng.randrange(len(content) or 1)]),
    "empty": lambda content, rng: b"",
    "zeros": _zeros,
}
