"""Tells a whole JPEG from one that was cut short, or lost a part on the way.

Decoders only warn about such a file, and paint the rest of the picture grey. Here its
markers are walked first, and what they promise is held against the bytes that are
there, before anything is decoded. Then it is decoded with other bytes behind its
compressed data: a whole picture never asks for them; and with other bytes in the place
of the last ones: a whole picture needs these. ITU-T T.81, B (markers), E.1.4
(restarts), F (Huffman codes) and G (progressive),
https://www.w3.org/Graphics/JPEG/itu-t81.pdf
"""

import random
import re
import struct
from typing import NamedTuple

import imagecodecs
import numpy as np

from jaxseg.errors import DataError

_END, _SCAN, _INTERVAL = 0xD9, 0xDA, 0xDD
_ALONE = (0x00, 0x01, *range(0xD0, 0xD9))  # markers without a length behind them
_FRAMES = {n for n in range(0xC0, 0xD0) if n not in (0xC4, 0xC8, 0xCC)} | {0xF7}
_PROGRESSIVE, _LOSSLESS = 0xC2, 0xC3
_HUFFMAN = (0xC0, 0xC1, _PROGRESSIVE, _LOSSLESS)
_DECODED = (0xC0, 0xC1, _PROGRESSIVE)  # by libjpeg, which only warns
_MARKER = re.compile(rb"\xff+[^\x00\xff]")  # 255, 0 is a byte of compressed data
_SLACK = 64  # bytes before the end marker: devices fill up a line of their cache
_FILLING = bytes(random.Random(0).choices(range(255), k=_SLACK))  # has no marker
_CUT = "it is damaged: {}, as after an interrupted copy; copy it again, or leave it out"


class _Frame(NamedTuple):
    kind: int  # marker that begins it
    height: int
    width: int
    sampling: dict[int, tuple[int, int]]  # id of a component -> across, down
    place: int  # of the height in the file


class _Scan(NamedTuple):
    """Compressed data of some components, in pieces between restart markers."""

    components: tuple[int, ...]
    first: int  # coefficient of those that a progressive scan holds
    last: int
    bit: int  # the lowest that it brings them to
    interval: int  # MCUs between restarts; 0 = there are none
    pieces: list[tuple[int, int]]  # where each begins and ends
    restarts: list[int]  # the numbers 0 to 7 of the markers between pieces


def check(data: bytes, tables: bytes | None = None, *, ended: bool = True) -> None:
    """Raises DataError for a JPEG picture that is not there as a whole.

    Of several pictures in a row the first is meant. `tables` are those that pictures in
    a TIFF file share; pictures there need not be `ended` by a marker.
    """
    if not ended:
        data += b"\xff\xd9"
    frame, scans = _walk(data)
    if frame.kind not in _HUFFMAN:
        return
    for scan in scans:
        _check_length(frame, scan)
    _check_scans(frame, scans)
    if frame.kind in _DECODED:
        _check_decoded(data, tables, frame, scans)


def _walk(data: bytes) -> tuple[_Frame, list[_Scan]]:
    """The frame and the scans of the first picture, up to its end marker.

    There are no scans where they have no Huffman codes: arithmetic codes may leave out
    zeros at the end, and JPEG-LS has markers of its own.
    """
    at, interval, frame, scans = 2, 0, None, []
    while found := _MARKER.search(data, at):
        at, marker = found.end(), data[found.end() - 1]
        if marker == _END:
            break
        if marker in _ALONE:
            continue
        length = struct.unpack_from(">H", data.ljust(at + 2, b"\0"), at)[0]
        body = data[at + 2 : at + length]
        if length < 2 or len(body) < length - 2 or (scans and marker < 0xC0):
            raise _damaged(f"its marker {marker:02x} at byte {at - 2} is broken")
        at += length
        if marker in _FRAMES:
            frame = _frame(marker, body, at - length + 3)
            if marker not in _HUFFMAN:
                return frame, []
        elif marker == _INTERVAL:
            interval = int.from_bytes(body[:2], "big")
        elif marker == _SCAN and frame is not None:
            scan = _scan(data, at, body, frame, interval)
            scans.append(scan)
            at = scan.pieces[-1][1]
    else:
        raise _damaged("it has no end marker")
    if frame is None or not scans:
        raise _damaged("it has no picture")
    return frame, scans


def _frame(marker: int, body: bytes, place: int) -> _Frame:
    """The _Frame of what stands behind its marker."""
    if len(body) < 6 or len(body) < 6 + 3 * body[5]:
        raise _damaged("its frame header is too short")
    _, height, width, count = struct.unpack_from(">BHHB", body)
    sampling = {
        body[k]: (body[k + 1] >> 4, body[k + 1] & 15)
        for k in range(6, 6 + 3 * count, 3)
    }
    if not all((height, width, sampling, *map(min, sampling.values()))):
        raise _damaged(f"its frame header says {height} x {width} pixels {sampling}")
    return _Frame(marker, height, width, sampling, place)


def _scan(data: bytes, at: int, body: bytes, frame: _Frame, interval: int) -> _Scan:
    """The _Scan whose header is `body`, and whose compressed data begin at `at`."""
    if not body or len(body) < 4 + 2 * body[0]:
        raise _damaged("its scan header is too short")
    components = tuple(body[1 : 1 + 2 * body[0] : 2])
    if not components or set(components) - set(frame.sampling):
        raise _damaged(f"its scan is of the components {components}")
    first, last, bits = body[1 + 2 * body[0] : 4 + 2 * body[0]]
    pieces, restarts = [], []
    for found in _MARKER.finditer(data, at):
        pieces.append((at, found.start()))
        at, marker = found.end(), data[found.end() - 1]
        if not 0xD0 <= marker <= 0xD7:
            break
        restarts.append(marker - 0xD0)
    else:
        raise _damaged("it has no end marker")
    return _Scan(components, first, last, bits & 15, interval, pieces, restarts)


def _check_length(frame: _Frame, scan: _Scan) -> None:
    """Raises DataError where the bytes of a scan are too few for its blocks.

    A code takes at least one bit. A block of a sequential scan has one code for its
    mean and one for the end of the block; the rest of many blocks of a progressive
    one may be a single code.
    """
    side = 1 if frame.kind == _LOSSLESS else 8
    across, down = (max(s[k] for s in frame.sampling.values()) for k in (0, 1))
    if len(scan.components) == 1:
        x, y = frame.sampling[scan.components[0]]
        wide = -(-frame.width * x // across)  # samples of this component
        high = -(-frame.height * y // down)
        units = blocks = -(-wide // side) * -(-high // side)
    else:
        units = -(-frame.width // (side * across)) * -(-frame.height // (side * down))
        blocks = units * sum(np.prod(frame.sampling[c]) for c in scan.components)
    bits = 2 * blocks
    if frame.kind in (_PROGRESSIVE, _LOSSLESS):
        bits = blocks if not scan.first or frame.kind == _LOSSLESS else 0
    there = sum(stop - start for start, stop in scan.pieces)
    if 8 * there < bits:
        raise _damaged(
            f"its {frame.height} x {frame.width} pixels need at least {-(-bits // 8)} "
            f"bytes of compressed data, but {there} are there"
        )
    if scan.interval:
        needed = -(-units // scan.interval) - 1
        if scan.restarts[:needed] != [k % 8 for k in range(needed)]:
            raise _damaged(
                f"its {needed} restart markers are not all there, or in another order"
            )


def _check_scans(frame: _Frame, scans: list[_Scan]) -> None:
    """Raises DataError where a component, or its last bits, come in no scan."""
    left = {component: np.ones(64, bool) for component in frame.sampling}
    for scan in scans:
        part = slice(None)
        if frame.kind == _PROGRESSIVE:
            part = slice(scan.first, scan.last + 1)
        for component in scan.components:
            left[component][part] = frame.kind == _PROGRESSIVE and scan.bit > 0
    if any(each.any() for each in left.values()):
        raise _damaged("its last scans are missing")


def _check_decoded(
    data: bytes, tables: bytes | None, frame: _Frame, scans: list[_Scan]
) -> None:
    """Raises DataError where the picture needs more bytes than there are, or fewer."""

    def decoded(content: bytes) -> np.ndarray | str:
        try:
            return imagecodecs.jpeg8_decode(content, tables=tables)
        except Exception as error:  # decoders raise anything at all on damaged bytes
            return f"{type(error).__name__}: {error}"

    picture = decoded(data)
    if isinstance(picture, str):
        raise _damaged(f"its compressed data cannot be decoded ({picture})")
    every = [piece for scan in scans for piece in scan.pieces]
    behind = _written(data, [(stop, stop, _FILLING[:16]) for _, stop in every])
    if not np.array_equal(decoded(behind), picture):
        raise _damaged("its compressed data end before its last block")
    tails = [_tail(data, *scan.pieces[-1]) for scan in scans]
    tails = [tail for tail in tails if tail]
    if not tails or not np.array_equal(decoded(_written(data, tails)), picture):
        return
    # nothing changed: perhaps what changed lies beyond the edge of the picture, or all
    # blocks are alike, and the only code that there is was read from any bytes
    whole = _whole_blocks(data, frame)
    other = [(start, stop, _as_long(stop - start)) for start, stop in every]
    picture = decoded(whole)
    if not np.array_equal(decoded(_written(whole, tails)), picture):
        return
    if not np.array_equal(decoded(_written(whole, other)), picture):
        raise _damaged(f"its last {_SLACK} bytes of compressed data belong to no block")


def _tail(data: bytes, start: int, stop: int) -> tuple[int, int, bytes] | None:
    """What is written over the last bytes of a piece; None for a shorter piece."""
    cut = stop - _SLACK
    if cut <= start:
        return None
    if data[cut - 1] == 0xFF:  # it must keep the 0 behind it
        cut -= 1
    return cut, stop, _as_long(stop - cut)


def _as_long(count: int) -> bytes:
    return (_FILLING * (count // _SLACK + 1))[:count]


def _written(data: bytes, parts: list[tuple[int, int, bytes]]) -> bytes:
    """The data with other bytes from here to there; parts in order."""
    out, at = [], 0
    for start, stop, other in parts:
        out += [data[at:start], other]
        at = stop
    return b"".join([*out, data[at:]])


def _whole_blocks(data: bytes, frame: _Frame) -> bytes:
    """The same with a size that shows all of its blocks, where it is sequential.

    A progressive picture has scans of one component each, with fewer blocks.
    """
    if frame.kind == _PROGRESSIVE:
        return data
    sides = []
    for side, k in ((frame.height, 1), (frame.width, 0)):
        unit = 8 * max(s[k] for s in frame.sampling.values())
        if len(frame.sampling) == 1:
            unit = 8
        sides.append(min(-(-side // unit) * unit, 65_500))  # libjpeg reads no larger
    place = frame.place
    return data[:place] + struct.pack(">2H", *sides) + data[place + 4 :]


def _damaged(why: str) -> DataError:
    return DataError(_CUT.format(why) + ".")
