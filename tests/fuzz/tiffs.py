"""Draws TIFF files, classic and big, of both byte orders, tag by tag."""

import lzma
import random
import struct
import zlib
from typing import NamedTuple

from fuzz.rasters import codestream
from fuzz.scars import scarred, whole

_ASCII, _SHORT, _LONG, _RATIONAL, _LONG8 = 2, 3, 4, 5, 16
_LETTERS = {1: "B", 2: "B", 3: "H", 4: "I", 5: "II", 6: "b", 7: "B", 8: "h", 9: "i"}
_LETTERS |= {10: "ii", 11: "f", 12: "d", 13: "I", 16: "Q", 17: "q", 18: "Q"}
_PACKINGS = (1, 1, 1, 1, 8, 8, 32946, 32773, 5, 7, 6, 2, 3, 4, 34712, 33003, 34925)
_PACKINGS += (50000, 50001, 34933, 50002, 34887, 65000)
_TEXTS = (
    "ImageJ=1.53\nimages=1\nunit=um\n",
    "ImageJ=\nimages=9999999\nhyperstack=true\nunit=um",
    '<OME><Image><Pixels PhysicalSizeX="0.5" PhysicalSizeY="nan" /></Image></OME>',
    '<OME><Image><Pixels PhysicalSizeX="x" PhysicalSizeY="0.5" /></Image></OME>',
    '<OME><Image><Pixels SizeX="99999" SizeY="9999" SizeT="99" Type="uint8"/></Image>',
    '{"shape": [3, 4]}',
    '{"shape": [9999999, 999999]}',
    "",
)


class _Tag(NamedTuple):
    code: int
    kind: int
    values: tuple


class _Layout(NamedTuple):
    """How numbers are written: byte order, and whether offsets have 64 bits."""

    order: str
    big: bool

    def pack(self, letters: str, *values: int) -> bytes:
        return struct.pack(self.order + letters, *values)

    @property
    def offset(self) -> str:
        return "Q" if self.big else "I"


def tiff(rng: random.Random) -> bytes:
    """A TIFF file of one or a few pages, or of a chain that comes back to itself."""
    layout = _Layout(rng.choice("<<>"), rng.random() < 0.2)
    start = b"II" if layout.order == "<" else b"MM"
    start += layout.pack("H", 43 if layout.big else 42)
    start += layout.pack("HH", 8, 0) if layout.big else b""
    base = len(start) + struct.calcsize("<" + layout.offset)
    area, directories = bytearray(), []
    size = rng.randint(1, 20), rng.randint(1, 20)
    for _ in range(rng.choice((1, 1, 1, 1, 1, 2, 3))):
        tags = _page(rng, base, area, size)
        directories.append([_entry(rng, layout, base, area, tag) for tag in tags])
    places, at = [], base + len(area)
    for entries in directories:
        places.append(at)
        at += len(_directory(layout, entries, 0))
    body = bytes(area)
    for entries, after in zip(directories, [*places[1:], 0], strict=True):
        after = rng.choice((*places, 8, 1)) if rng.random() < 0.05 else after
        body += _directory(layout, entries, after)
    head = start + layout.pack(layout.offset, places[0])
    return scarred(rng, head + body, odd=0.15)


def _directory(layout: _Layout, entries: list[bytes], after: int) -> bytes:
    count = layout.pack("Q" if layout.big else "H", len(entries))
    return count + b"".join(entries) + layout.pack(layout.offset, after)


def _entry(
    rng: random.Random, layout: _Layout, base: int, area: bytearray, tag: _Tag
) -> bytes:
    """The entry of a tag; what does not fit into it goes to the area."""
    letters = _LETTERS[tag.kind]
    bits = 8 * struct.calcsize("<" + letters[0])
    if tag.kind in (11, 12):
        packed = b"".join(layout.pack(letters, float(v)) for v in tag.values)
    else:
        low = 2 ** (bits - 1) if letters[0].islower() else 2**bits
        packed = b"".join(layout.pack(letters[0], int(v) % low) for v in tag.values)
    count = whole(rng, len(tag.values) // len(letters), odd=0.01)
    room = struct.calcsize("<" + layout.offset)
    if len(packed) <= room:
        place = packed.ljust(room, b"\0")
    else:
        place = layout.pack(layout.offset, whole(rng, base + len(area), odd=0.01))
        area += packed
    return layout.pack("HH" + layout.offset, tag.code, tag.kind, count) + place


def _page(
    rng: random.Random, base: int, area: bytearray, size: tuple[int, int]
) -> list[_Tag]:
    """The tags of a page of this size, or of another; its pixels go to the area."""
    if rng.random() < 0.1:
        size = rng.randint(1, 20), rng.randint(1, 20)
    (width, height), tiled = size, rng.random() < 0.15
    packing = rng.choice(_PACKINGS if rng.random() < 0.6 else (1, 8, 32773))
    samples, bits, planar = rng.choice((1, 1, 3)), rng.choice((8, 16)), 1
    photometric = 2 if samples == 3 else 1
    if rng.random() < 0.3:
        samples = rng.choice((1, 2, 3, 4, 5, 8, 65))
        bits = rng.choice((8, 1, 2, 4, 12, 32, 64, 24))
        planar = rng.choice((1, 2, 2, 3))
        photometric = rng.choice((0, 1, 2, 3, 5, 6, 8, 32803))
    tall, wide = (16, 16) if tiled else (height, width)
    row = (wide * (samples if planar != 2 else 1) * bits + 7) // 8
    strips = samples if planar == 2 else 1
    strips *= -(-height // 16) * -(-width // 16) if tiled else 1
    offsets, lengths = [], []
    for _ in range(strips):
        pixels = rng.randbytes(row * tall)
        packed = scarred(rng, _packed(packing, pixels, wide, tall), odd=0.05)
        offsets.append(base + len(area))
        lengths.append(len(packed))
        area += packed
    shape = whole(rng, width, odd=0.03), whole(rng, height, odd=0.03)
    tags = [
        _Tag(256, _LONG, shape[:1]),
        _Tag(257, _LONG, shape[1:]),
        _Tag(258, _SHORT, (whole(rng, bits, odd=0.03, most=2**16),) * samples),
        _Tag(259, _SHORT, (packing,)),
        _Tag(262, _SHORT, (photometric,)),
        _Tag(277, _SHORT, (whole(rng, samples, odd=0.03, most=2**16),)),
        _Tag(284, _SHORT, (planar,)),
    ]
    if tiled:
        sides = whole(rng, 16, odd=0.1), whole(rng, 16, odd=0.1)
        tags += [_Tag(322, _LONG, sides[:1]), _Tag(323, _LONG, sides[1:])]
    else:
        tags.append(_Tag(278, _LONG, (whole(rng, height, odd=0.05),)))
    tags.append(_Tag(324 if tiled else 273, _LONG, tuple(offsets)))
    tags.append(_Tag(325 if tiled else 279, _LONG, tuple(lengths)))
    tags += _extras(rng, samples)
    kept = [tag for tag in tags if rng.random() > 0.01]
    kept = [_retyped(rng, tag) if rng.random() < 0.02 else tag for tag in kept]
    return sorted(kept) if rng.random() < 0.95 else kept


def _extras(rng: random.Random, samples: int) -> list[_Tag]:
    """Tags that a page may lack: orientation, signs, colours, resolution, texts."""
    colours = tuple(rng.randrange(2**16) for _ in range(3 * rng.choice((2, 16, 256))))
    text = tuple(rng.choice(_TEXTS).encode() + b"\0")
    possible = (
        _Tag(274, _SHORT, (rng.randrange(12),)),
        _Tag(339, _SHORT, (rng.choice((1, 1, 2, 3, 4, 5, 6)),) * samples),
        _Tag(338, _SHORT, (rng.randrange(4),) * rng.choice((1, 1, 2))),
        _Tag(317, _SHORT, (rng.choice((1, 2, 3, 34892)),)),
        _Tag(320, _SHORT, colours),
        _Tag(282, _RATIONAL, (rng.choice((0, 1, 72)), rng.choice((0, 1)))),
        _Tag(283, _RATIONAL, (rng.choice((0, 1, 72)), rng.choice((0, 1)))),
        _Tag(270, _ASCII, text),
        _Tag(530, _SHORT, (rng.choice((1, 2, 4)), rng.choice((0, 1, 2)))),
        _Tag(266, _SHORT, (rng.choice((1, 2)),)),
        _Tag(700, 7, text),
        _Tag(33550, 12, (0.5, 0.5, 0.0)),
        _Tag(rng.randrange(2**16), rng.choice((*_LETTERS,)), (1, 2)),
    )
    return [tag for tag in possible if rng.random() < 0.07]


def _retyped(rng: random.Random, tag: _Tag) -> _Tag:
    """The tag with another type, or with other values."""
    if rng.random() < 0.5:
        return tag._replace(kind=rng.choice((*_LETTERS,)))
    return tag._replace(values=tuple(whole(rng, v, odd=0.5) for v in tag.values))


def _packed(packing: int, pixels: bytes, width: int, height: int) -> bytes:
    """The pixels as this compression has them; those of codecs are of other pixels."""
    if packing in (8, 32946):
        return zlib.compress(pixels, 1)
    if packing == 32773:
        parts = (pixels[i : i + 128] for i in range(0, len(pixels), 128))
        return b"".join(bytes([len(part) - 1]) + part for part in parts)
    if packing == 34925:
        return lzma.compress(pixels, preset=0)
    if packing in (6, 7, 34933):
        return codestream("PNG" if packing == 34933 else "JPEG", height, width)
    if packing in (34712, 33003):
        return codestream("JPEG2000", height, width)
    return pixels
