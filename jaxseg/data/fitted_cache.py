"""Keeps examples as a view shows them, so that a record is decoded once on a host.

Image, mask, label of the image and object ids of an example are kept as bytes at the
size of the view; at native scale (fit "crop") at that of the whole image, of which a
window reads its own part. What an epoch, a seed or a supervision changes (windows,
labelled pixels, classes of whole images, weights) is computed from them as before.

Files are named after their recipe: the records with their digests, all settings of the
view, the versions of OpenCV and NumPy, and the source of this folder. Nothing else
decides over them, so a run with the cache is the same bit for bit as one without.
Masks are packed to 2 or 4 bits a pixel, and a mask of one value takes none. They lie in
"fitted" in the cache of the program ($JAXSEG_CACHE); `rm -r` of that empties it, also
while runs read.
"""

import dataclasses
import functools
import hashlib
import json
import pathlib
import threading
from typing import Any, NamedTuple

import cv2
import numpy as np
from absl import logging
from jaxtyping import Integer, UInt, UInt8

from jaxseg.data import joined_split, prepared, slot_file
from jaxseg.labels import IGNORE

FOLDER = "fitted"
_HEAD = 16  # bytes: label of the image, value of a mask of one value or -1, type of ids
_ID_TYPES = (np.dtype("<u2"), np.dtype("<u4"), np.dtype("<i4"))
_LOCK = threading.Lock()


@dataclasses.dataclass(frozen=True)
class Cache:
    """Where fitted examples are kept, and how many bytes at most."""

    folder: str
    limit: int


class Fitted(NamedTuple):
    """An example as a view shows it."""

    image: UInt[np.ndarray, "h w c"]  # u8 or u16
    mask: UInt8[np.ndarray, "h w"]
    label: int  # of the image
    ids: Integer[np.ndarray, "h w"] | None  # of objects, where they were asked for


def cache(folder: pathlib.Path, gib: float) -> Cache | None:
    """The cache below `folder`, of at most `gib` * 2^30 bytes; None for 0."""
    limit = int(gib * 2**30)
    return Cache(str(folder / FOLDER), limit) if limit else None


def of(
    view: Any, split: prepared.Split, instances: bool
) -> "Kept | KeptOfParts | None":
    """What is kept of a split as `view` shows it; None where nothing can be.

    `view` is a `pipeline.View`. A cache that cannot be opened is a warning: training
    never stops because of it. Nothing is kept of data of elsewhere, which are scored
    once, nor of a data set without digests of its records. What is kept of a fold is
    that of the stored splits it draws on, so all folds share it.
    """
    if view.cache is None:
        return None
    with _LOCK:  # threads that read ask at once
        return _opened(view, view.cache, split, instances)


class Kept:
    """The examples of one split in a file of slots."""

    def __init__(
        self, slots: slot_file.SlotFile, view: Any, split: prepared.Split, ids: bool
    ):
        self._slots, self._ids = slots, ids
        self._sizes = view.sizes(split).tolist()
        self._parts = _parts(view, split, ids).tolist()
        self._channels = split.card["channels"]
        self._type = np.dtype(f"<u{view.bits // 8}")
        self._classes = len(split.classes)

    def read(self, index: int) -> Fitted | None:
        """The example, whose image must not be written to; None where it is not there.

        Its bytes are compared with their digest first.
        """
        payload = self._slots.read(index)
        if payload is None:
            return None
        height, width = shape = self._sizes[index]
        mask, ids, _ = self._parts[index]
        label, uniform, kind, _ = payload[:_HEAD].view("<i4").tolist()
        length = height * width * self._channels * self._type.itemsize
        image = payload[_HEAD : _HEAD + length].view(self._type)
        stored = None
        if self._ids:
            stored = payload[ids : ids + 2 * height * width].view("<u2")
            stored = stored.reshape(shape).astype(_ID_TYPES[kind])
        return Fitted(
            image.reshape(height, width, self._channels),
            np.full(shape, uniform, np.uint8)
            if uniform >= 0
            else unpack(payload[mask:ids], shape, self._classes),
            label,
            stored,
        )

    def full(self) -> bool:
        """Whether every example of the split is there: nothing is decoded any more."""
        return self._slots.full()

    def filled(self, indices: np.ndarray) -> bool:
        """Whether each of these examples i64 [n] is there."""
        return self._slots.filled(indices)

    def write(self, index: int, fitted: Fitted) -> None:
        """Keeps an example; one that its slot cannot hold exactly is left out."""
        (mask, ids, _), image = self._parts[index], fitted.image
        shape = (*self._sizes[index], self._channels)
        if image.dtype != self._type or image.shape != shape:
            return
        payload = np.zeros(self._slots.length(index), np.uint8)
        first = int(fitted.mask[0, 0])
        uniform = first if (fitted.mask == first).all() else -1
        if uniform < 0:
            packed = pack(fitted.mask, self._classes)
            if packed is None:
                return
            payload[mask : mask + len(packed)] = packed
        kind = 0
        if self._ids:
            if fitted.ids.dtype not in _ID_TYPES or fitted.ids.max() >= 2**16:
                return
            kind = _ID_TYPES.index(fitted.ids.dtype)
            stored = np.ascontiguousarray(fitted.ids, "<u2").reshape(-1)
            payload[ids : ids + 2 * stored.size] = stored.view(np.uint8)
        payload[:_HEAD].view("<i4")[:] = fitted.label, uniform, kind, 0
        flat = np.ascontiguousarray(image).reshape(-1).view(np.uint8)
        payload[_HEAD : _HEAD + len(flat)] = flat
        self._slots.write(index, payload)


class KeptOfParts:
    """The examples of a split whose images lie in several stored ones.

    A part that the split takes no image from may be missing (None).
    """

    def __init__(self, parts: list[Kept | None], places: np.ndarray):
        self._parts, self._places = parts, places

    def read(self, index: int) -> Fitted | None:
        """As `Kept.read`."""
        part, position = self._places[index].tolist()
        return self._parts[part].read(position)

    def full(self) -> bool:
        """Whether every example of this split is there."""
        part, position = self._places.T
        return all(
            self._parts[k].filled(position[part == k]) for k in np.unique(part).tolist()
        )

    def write(self, index: int, fitted: Fitted) -> None:
        """As `Kept.write`."""
        part, position = self._places[index].tolist()
        self._parts[part].write(position, fitted)


def _parts(view: Any, split: prepared.Split, ids: bool) -> np.ndarray:
    """i64 [n, 3]: where mask, ids and what follows begin in the slot of each image."""
    area = view.sizes(split).prod(1)
    mask = _HEAD + _whole(area * split.card["channels"] * view.bits // 8, 8)
    after = mask + _whole(area * mask_bits(len(split.classes)), 64) // 8
    return np.stack([mask, after, _whole(after + 2 * area * ids, 8)], axis=1)


def _whole(number: np.ndarray, unit: int) -> np.ndarray:
    return -(-number // unit) * unit


@functools.lru_cache(maxsize=16)
def _opened(
    view: Any, where: Cache, split: prepared.Split, instances: bool
) -> Kept | KeptOfParts | None:
    if type(split) is joined_split.JoinedSplit:
        kept = [_opened(view, where, part, instances) for part in split.parts]
        used = np.bincount(split.places[:, 0], minlength=len(kept)) > 0
        if any(one is None for one, needed in zip(kept, used, strict=True) if needed):
            return None
        return KeptOfParts(kept, split.places)
    if type(split) is not prepared.Split or split.digests is None or not len(split):
        return None
    recipe = _recipe(view, split, instances)
    family, digest = recipe["family"], _hash(recipe)
    path = pathlib.Path(where.folder) / f"{family}-{digest}{slot_file.SUFFIX}"
    try:
        slots = slot_file.open_file(
            path,
            holds=json.dumps(recipe).encode(),
            sizes=_parts(view, split, instances)[:, 2],
            limit=where.limit,
            family=family,
        )
    except OSError as error:
        _say_off(where.folder, error.strerror or str(error))
        return None
    if slots.count < len(split):
        logging.info(
            "%d of %d images of %s are cached: the others do not fit into "
            "config.data.cache_gib=%g.",
            slots.count,
            len(split),
            split.name,
            where.limit / 2**30,
        )
    return Kept(slots, view, split, instances)


@functools.cache
def _say_off(folder: str, reason: str) -> None:
    logging.warning(
        "images are decoded every time, without a cache: %s cannot be used (%s). Name "
        "another place with JAXSEG_CACHE, or set config.data.cache_gib=0.",
        folder,
        reason,
    )


def _recipe(view: Any, split: prepared.Split, instances: bool) -> dict[str, Any]:
    """Everything that decides over the bytes of an example, as digests and words."""
    unused = {"cache", "overlap"} | ({"size"} if view.fit == "crop" else set())
    settings = {
        field.name: getattr(view, field.name)
        for field in dataclasses.fields(view)
        if field.name not in unused
    }
    shared = {
        "view": settings,
        "code": _code(),
        "opencv": cv2.__version__,
        "numpy": np.__version__,
        "classes": len(split.classes),
        "channels": split.card["channels"],
        "data": _hash(split.card["split_hash"]),
    }
    own = {
        "split": split.name,
        "records": _hash([*zip(split.ids, split.digests, strict=True)]),
        "labels": _hash(split.labels.tolist()),
        "sizes": _hash(view.sizes(split).tolist()),
        "instances": instances,
    }
    return shared | own | {"family": _hash(shared)}


def _hash(content: Any) -> str:
    """The first 16 hex digits of the SHA-256 of what can be said in JSON."""
    return hashlib.sha256(json.dumps(content).encode()).hexdigest()[:16]


@functools.cache
def _code() -> str:
    """The SHA-256 of the source of this folder: whatever makes a view lies in it."""
    files = sorted(pathlib.Path(__file__).parent.glob("*.py"))
    return hashlib.sha256(b"\0".join(path.read_bytes() for path in files)).hexdigest()


def mask_bits(classes: int) -> int:
    """The bits of a pixel that hold one of so many classes or IGNORE: 2, 4 or 8."""
    return 2 if classes < 4 else 4 if classes < 16 else 8


def pack(
    mask: UInt8[np.ndarray, "h w"], classes: int
) -> UInt8[np.ndarray, "bytes"] | None:
    """The mask in `mask_bits` a pixel; None for one with another value in it."""
    bits = mask_bits(classes)
    flat = mask.reshape(-1)
    if bits == 8:
        return np.ascontiguousarray(flat)
    symbols = np.full(256, 255, np.uint8)
    symbols[:classes], symbols[IGNORE] = np.arange(classes), classes
    flat = symbols[flat]
    if flat.max() == 255:
        return None
    each = 16 // bits
    rows = np.pad(flat, (0, -len(flat) % each)).reshape(-1, each)
    out = np.zeros(len(rows), "<u2")
    for k in range(each):
        out |= rows[:, k].astype("<u2") << (bits * k)
    return out.view(np.uint8)


def unpack(
    packed: UInt8[np.ndarray, "bytes"], shape: tuple[int, int], classes: int
) -> UInt8[np.ndarray, "h w"]:
    """The mask of this shape from the bytes of `pack`, and perhaps more behind them."""
    area = shape[0] * shape[1]
    if mask_bits(classes) == 8:
        return packed[:area].reshape(shape)
    each = 16 // mask_bits(classes)
    words = packed[: 2 * -(-area // each)].view("<u2")
    return _words(classes).take(words).view(np.uint8)[:area].reshape(shape)


@functools.cache
def _words(classes: int) -> np.ndarray:
    """[65536] the pixels of 16 bits each, side by side in one word."""
    bits = mask_bits(classes)
    each = 16 // bits
    shifted = np.arange(2**16)[:, None] >> (bits * np.arange(each))
    values = np.arange(2**bits).astype(np.uint8)
    values[classes] = IGNORE
    return values[shifted & (2**bits - 1)].view(f"<u{each}")[:, 0].copy()
