"""Odd numbers and texts, and damage of bytes: what every kind of drawn file shares.

All of `fuzz` draws from a `random.Random`. The engines hand in one that is seeded, one
that Hypothesis fills and can shrink, or one that Atheris fills from its own bytes.
"""

import random

_EDGES = (0, 1, 2, 3, 7, 8, 15, 16, 17, 31, 32, 63, 64, 127, 128, 255, 256, 1000)
_HUGE = (2**15 - 1, 2**15, 2**16 - 1, 2**16, 2**24, 2**31 - 1, 2**31, 2**32 - 1)
_TEXTS = ("", " ", "0", "-1", "nan", "1e400", "None", "\x00", "\ufeff", "é", "../x")
_TEXTS += ("a" * 300, "1_000", "٣", "0x10", "{}", "[1, 2]", "true", '"', "\n", "\r")
_TEXTS += ("😀", ";", "\ud800")


def whole(
    rng: random.Random, usual: int, *, odd: float = 0.1, most: int = 2**32
) -> int:
    """`usual`, or with the chance `odd` a number at some edge, below `most`."""
    if rng.random() >= odd:
        return usual
    near = usual + rng.choice((-2, -1, 1, 2))
    return rng.choice((near, rng.choice(_EDGES), rng.choice(_HUGE))) % most


def text(rng: random.Random) -> str:
    """A text that some parser may not expect."""
    return rng.choice(_TEXTS)


def scarred(rng: random.Random, content: bytes, *, odd: float = 0.3) -> bytes:
    """The bytes, with the chance `odd` flipped, cut, repeated or overwritten."""
    if not content or rng.random() >= odd:
        return content
    out = bytearray(content)
    for _ in range(rng.choice((1, 1, 2, 4))):
        at = rng.randrange(len(out)) if out else 0
        some = rng.choice((1, 2, 4, 16))
        match rng.randrange(6):
            case 0:
                out[at : at + 1] = bytes([rng.randrange(256)])
            case 1:
                del out[at:]
            case 2:
                del out[at : at + some]
            case 3:
                out[at:at] = out[at : at + some]
            case 4:
                out[at : at + some] = rng.randbytes(some)
            case _:
                out[at : at + some] = rng.choice((b"\x00", b"\xff")) * some
    return bytes(out)


def value(rng: random.Random, depth: int = 2):
    """A value of JSON of any kind."""
    kind = rng.randrange(9 if depth else 7)
    if kind == 7:
        return [value(rng, depth - 1) for _ in range(rng.randrange(4))]
    if kind == 8:
        return {text(rng): value(rng, depth - 1) for _ in range(rng.randrange(3))}
    plain = (None, True, whole(rng, 1, odd=1.0), -1, text(rng), rng.uniform(-2, 2))
    return (*plain, 1e308)[kind]


def changed(rng: random.Random, tree, changes: int):
    """The tree of dicts and lists with a few leaves or branches replaced or removed."""
    out = tree
    for _ in range(changes):
        out = _changed_once(rng, out)
    return out


def _changed_once(rng, tree):
    keys: list = []
    if isinstance(tree, dict | list):
        keys = [*tree] if isinstance(tree, dict) else [*range(len(tree))]
    if not keys or rng.random() < 0.1:
        return value(rng)
    key = rng.choice(keys)
    out = tree.copy()
    what = rng.random()
    if what < 0.15:
        del out[key]
    elif what < 0.25 and isinstance(out, dict):
        out[text(rng)] = out[key]
    else:
        out[key] = _changed_once(rng, out[key])
    return out
