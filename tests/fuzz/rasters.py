"""Draws PNG, JPEG and BMP files of wrong fields, under checksums that are right."""

import functools
import io
import random
import struct
import zlib

import numpy as np
from PIL import Image

from fuzz.scars import scarred, whole

_SAMPLES = {0: 1, 2: 3, 3: 1, 4: 2, 6: 4}  # of a pixel, by colour type of PNG
_FORMS = [(0, depth) for depth in (1, 2, 4, 8, 16)] + [(3, d) for d in (1, 2, 4, 8)]
_FORMS += [(colour, depth) for colour in (2, 4, 6) for depth in (8, 16)]
_CHUNKS = (b"PLTE", b"tRNS", b"eXIf", b"iCCP", b"zTXt", b"tEXt", b"iTXt", b"gAMA")
_CHUNKS += (b"acTL", b"fcTL", b"fdAT", b"sBIT", b"bKGD", b"IHDR", b"IDAT", b"IEND")
EXIF = b"II*\0\x08\0\0\0\x01\0\x12\x01\x03\0\x01\0\0\0"  # then the orientation


def png(rng: random.Random) -> bytes:
    """A PNG file, most often of a few pixels and nearly right."""
    width, height = rng.randint(1, 20), rng.randint(1, 20)
    colour, depth = rng.choice(_FORMS)
    if rng.random() < 0.1:
        colour, depth = rng.choice((*_SAMPLES, 9)), rng.choice((1, 2, 4, 8, 16, 32))
    interlace = rng.choice((0,) * 10 + (1, rng.randrange(256)))
    row = (width * _SAMPLES.get(colour, 1) * depth + 7) // 8
    filters = rng.choice((5, 5, 5, 5, 256))
    rows = [bytes([rng.randrange(filters)]) + rng.randbytes(row) for _ in range(height)]
    size = whole(rng, width, odd=0.05), whole(rng, height, odd=0.05)
    last = [whole(rng, n, odd=0.03, most=256) for n in (depth, colour, 0, 0, interlace)]
    chunks = [(b"IHDR", struct.pack(">2I5B", *size, *last))]
    if colour == 3 or rng.random() < 0.05:
        colours = 3 * 2 ** min(depth, 8)
        chunks.append((b"PLTE", rng.randbytes(whole(rng, colours, most=1000))))
    while rng.random() < 0.25:
        name = rng.choice(_CHUNKS)
        chunks.insert(rng.randint(0, len(chunks)), (name, _ancillary(rng, name)))
    packed = zlib.compress(b"".join(rows), rng.choice((0, 1)))
    cut = rng.randint(0, len(packed)) if rng.random() < 0.2 else 0
    chunks += (
        [(b"IDAT", packed[cut:])]
        if not cut
        else [
            (b"IDAT", packed[:cut]),
            (b"IDAT", packed[cut:]),
        ]
    )
    if rng.random() < 0.95:
        chunks.append((b"IEND", b""))
    body = b"".join(_chunk(rng, *chunk) for chunk in chunks)
    return scarred(rng, b"\x89PNG\r\n\x1a\n" + body, odd=0.15)


def _ancillary(rng: random.Random, name: bytes) -> bytes:
    if name == b"eXIf":
        return scarred(rng, EXIF + bytes([rng.randrange(12), 0, 0, 0, 0, 0]))
    if name in (b"zTXt", b"iCCP"):
        text = bytes(rng.choice((10, 1000, 2**17)))
        return b"name\0\0" + scarred(rng, zlib.compress(text))
    if name == b"acTL":
        return struct.pack(">2I", whole(rng, 2), whole(rng, 0))
    return rng.randbytes(rng.choice((0, 1, 2, 4, 6, 13, 26, 256)))


def _chunk(rng: random.Random, name: bytes, body: bytes) -> bytes:
    length = whole(rng, len(body), odd=0.01)
    check = zlib.crc32(name + body) ^ (rng.random() < 0.01)
    return struct.pack(">I", length) + name + body + struct.pack(">I", check)


def jpeg(rng: random.Random) -> bytes:
    """A JPEG file with segments changed, lost, doubled or put in."""
    segments, scan = _segments(rng.randrange(8))
    out = []
    for marker, body in segments:
        if rng.random() < 0.02:
            continue
        if marker in range(0xC0, 0xC3) and rng.random() < 0.4:
            body = _frame(rng, body)
        copies = 2 if rng.random() < 0.03 else 1
        out += [(marker, scarred(rng, body, odd=0.05))] * copies
    if rng.random() < 0.3:
        exif = EXIF + bytes([rng.randrange(12), 0, 0, 0, 0, 0])
        kind = rng.choice(((0xE1, b"Exif\0\0" + exif), (0xE2, b"MPF\0" + exif)))
        kind = rng.choice((kind, (0xDD, b"\0\1"), (0xEE, b"Adobe\0d\0\0\0\0\2")))
        out.insert(rng.randint(0, len(out)), kind)
    parts = [
        struct.pack(">BBH", 0xFF, m, whole(rng, len(b) + 2, odd=0.01, most=2**16)) + b
        for m, b in out
    ]
    return b"\xff\xd8" + b"".join(parts) + scarred(rng, scan, odd=0.25)


def _frame(rng: random.Random, body: bytes) -> bytes:
    """The start of frame with another precision, size, or number of components."""
    depth, height, width, count = struct.unpack_from(">BHHB", body)
    fields = whole(rng, depth, odd=0.05, most=256), whole(rng, height, most=2**16)
    fields += whole(rng, width, most=2**16), whole(rng, count, odd=0.05, most=256)
    return struct.pack(">BHHB", *fields) + scarred(rng, body[6:], odd=0.2)


@functools.cache
def _segments(number: int) -> tuple[list[tuple[int, bytes]], bytes]:
    """(marker, body) of each segment of a small JPEG, and its scan to the end."""
    mode = ("L", "RGB", "CMYK", "L", "RGB", "L", "RGB", "YCbCr")[number]
    shape = (number * 5 + 3, 11, 3)
    pixels = np.random.default_rng(number).integers(0, 255, shape, np.uint8)
    image = Image.fromarray(pixels).convert(mode)
    data = io.BytesIO()
    image.save(data, "JPEG", progressive=number in (3, 4), subsampling=number % 3)
    content, at, out = data.getvalue(), 2, []
    while content[at + 1] != 0xDA:
        length = struct.unpack_from(">H", content, at + 2)[0]
        out.append((content[at + 1], content[at + 4 : at + 2 + length]))
        at += 2 + length
    return out, content[at:]


def bmp(rng: random.Random) -> bytes:
    """A BMP file of one of its header sizes."""
    header = rng.choice((40, 40, 40, 12, 56, 108, 124, 64, rng.randrange(256)))
    depth = rng.choice((1, 4, 8, 16, 24, 32, rng.randrange(256)))
    width, height = rng.randint(1, 20), rng.randint(1, 20)
    packing = rng.choice((0, 0, 0, 1, 2, 3, 4, 5, 6))
    row = (width * depth + 31) // 32 * 4
    colours = 2**depth if depth <= 8 else 0
    pixels = rng.randbytes(max(0, row * height + rng.choice((0, 0, 0, -1, 1, 9))))
    palette = rng.randbytes(4 * whole(rng, colours, most=300))
    offset = 14 + header + len(palette)
    height = -height if rng.random() < 0.1 else height
    if header == 12:
        info = struct.pack("<I4H", 12, width, abs(height), 1, min(depth, 2**16 - 1))
    else:
        numbers = whole(rng, len(pixels)), whole(rng, 2835), whole(rng, 2835)
        numbers += whole(rng, 0), whole(rng, 0)
        info = struct.pack("<I", whole(rng, header, odd=0.03))
        info += struct.pack("<I", whole(rng, width))
        info += struct.pack("<I", whole(rng, height % 2**32))
        info += struct.pack("<2HI5I", 1, depth, packing, *numbers)
        info += rng.randbytes(max(0, header - len(info)))
    start = struct.pack("<2sI2H", b"BM", offset + len(pixels), 0, 0)
    start += struct.pack("<I", whole(rng, offset, odd=0.05))
    return scarred(rng, start + info + palette + pixels, odd=0.15)


@functools.lru_cache(maxsize=4096)
def codestream(kind: str, height: int, width: int) -> bytes:
    """A grey picture as one of Pillow's formats stores it, for files that hold such."""
    pixels = np.arange(height * width, dtype=np.uint32).reshape(height, width) % 251
    data = io.BytesIO()
    Image.fromarray(pixels.astype(np.uint8)).save(data, kind)
    return data.getvalue()
