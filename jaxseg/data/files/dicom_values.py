"""Turns the cells of a DICOM image into values: bits, sign, padding, tables, direction.

DICOM PS3.3 C.7.5.1.1.2 (padding), C.8.11.1 and C.11.6 (Presentation LUT Shape), C.11.1
and C.11.2 (tables), PS3.5 8.1.1 (bits), https://www.dicomstandard.org/current
"""

import math
from typing import Any, NamedTuple

import numpy as np
import pydicom
from pydicom.multival import MultiValue

from jaxseg.errors import DataError

_CORE = (0.1, 99.9)  # percentiles of a film: padding beyond one of them is no film


class Stored(NamedTuple):
    """Stored values, and which of them are no part of the film."""

    values: np.ndarray  # i32 [h, w]
    low: int  # the smallest that the header allows
    high: int
    padding: np.ndarray  # bool [h, w]: the header declares the value as padding
    outside: np.ndarray  # bool [h, w]: padding of values that Bits Stored cannot hold


class Modality(NamedTuple):
    """Values after a Modality LUT, or those that slope and intercept are meant for."""

    values: np.ndarray  # i32 [h, w]
    low: int
    high: int
    slope: float
    intercept: float


def stored(cells: np.ndarray, ds: pydicom.Dataset) -> Stored:
    """The stored values of cells, integers [h, w] of 8 or 16 bits.

    They are the Bits Stored that end at High Bit. The bits beside them may hold an
    overlay that the header declares, and copies of the sign; raises DataError when they
    hold anything else, for then Bits Stored or High Bit is wrong.
    """
    bits, signed = int(ds.BitsStored), bool(ds.PixelRepresentation)
    high_bit = int(_one(ds, "HighBit", bits - 1))
    if not bits - 1 <= high_bit < ds.BitsAllocated:
        raise DataError(
            f"High Bit is {high_bit}; with {bits} bits stored in {ds.BitsAllocated} it "
            f"must be {bits - 1} to {ds.BitsAllocated - 1}."
        )
    shift, width = high_bit + 1 - bits, max(8 * cells.itemsize, high_bit + 1)
    overlay = _overlay_bits(ds, shift, high_bit)
    cell = cells.astype(np.int32) & (2**width - 1)
    field = (cell >> shift) & (2**bits - 1)
    values = field - ((field >> (bits - 1)) << bits) if signed else field
    low = -(2 ** (bits - 1)) if signed else 0
    high = low + 2**bits - 1
    padding = _is_padding(values, ds)
    if not shift:
        padding |= _is_padding(cells.astype(np.int32), ds)
    rest = (cell & ~overlay) ^ (field << shift)  # set bits beside those of the value
    above = (2**width - 1) & ~(2 ** (high_bit + 1) - 1) & ~overlay
    wrong = (rest != 0) & ~((values < 0) & (rest == above))
    outside, wrong = wrong & padding, wrong & ~padding
    if (rest[wrong] & (2**shift - 1)).any():
        raise DataError(
            f"High Bit ({high_bit}) with {bits} bits stored leaves the lowest {shift} "
            "bits of a pixel unused, but they are in use; correct High Bit."
        )
    if wrong.any():
        seen = cells[~padding].astype(np.int32) >> shift
        raise DataError(
            f"the pixels run from {seen.min()} to {seen.max()}, but Bits Stored "
            f"({bits}) allows {low} to {high}, and no overlay is declared in the bits "
            "above; correct Bits Stored, or clear those bits."
        )
    return Stored(values, low, high, padding, outside)


def modality(pixels: Stored, ds: pydicom.Dataset) -> Modality:
    """The values after the Modality LUT of the header, or its slope and intercept.

    Raises DataError for a table or a slope that cannot be used.
    """
    tables = ds.get("ModalityLUTSequence") or []
    if len(tables) > 1:
        raise DataError(f"the header holds {len(tables)} Modality LUTs; keep 1.")
    values = pixels.values
    if tables:
        first, table, bits = _table(tables[0], ds)
        at = np.clip(values - first, 0, len(table) - 1)
        return Modality(table[at], 0, 2**bits - 1, 1.0, 0.0)
    source = of_frame(ds, "PixelValueTransformationSequence", "RescaleSlope")
    slope = float(_one(source, "RescaleSlope", 1)) or 1.0  # 0: a broken export
    intercept = float(_one(source, "RescaleIntercept", 0))
    if not (math.isfinite(slope) and math.isfinite(intercept)):
        raise DataError(f"Rescale Slope is {slope}, Rescale Intercept {intercept}.")
    return Modality(values, pixels.low, pixels.high, slope, intercept)


def mirrored(ds: pydicom.Dataset, slope: float) -> bool:
    """Whether small values are shown bright.

    Raises DataError where Presentation LUT Shape says something else than the
    photometric interpretation: viewers do not agree about such files.
    """
    inverse = str(ds.get("PresentationLUTShape") or "").strip().upper() == "INVERSE"
    dark = photometric(ds) == "MONOCHROME1"
    if inverse and not dark:
        raise DataError(
            "Presentation LUT Shape is INVERSE, which belongs to MONOCHROME1, but the "
            "image is MONOCHROME2, and viewers do not agree what is bright; set the "
            "one that is wrong: IDENTITY, or MONOCHROME1."
        )
    return (dark != (slope < 0)) != _voi_falls(ds)


def darken(image: np.ndarray, pixels: Stored) -> np.ndarray:
    """The image i32 [h, w] with its padding as dark as the darkest pixel of the film.

    Padding whose value lies among those of the film stays: it takes no levels away, and
    may be film after all. Raises DataError when nothing but padding is there.
    """
    padding = pixels.padding
    if not padding.any():
        return image
    if padding.all():
        raise DataError("every pixel is Pixel Padding Value; there is no image.")
    film = image[~padding]
    low, high = np.percentile(film, _CORE, method="nearest")
    beyond = padding & ((image < low) | (image > high)) | pixels.outside
    return np.where(beyond, film.min(), image)


def photometric(ds: pydicom.Dataset) -> str:
    """The photometric interpretation in capitals; "" without one."""
    return str(ds.get("PhotometricInterpretation") or "").strip().upper()


def numbers(ds: pydicom.Dataset, name: str) -> list[float]:
    """The numbers of an element, none where it is empty or not there."""
    value = ds.get(name)
    if value is None or value == "":
        return []
    several = isinstance(value, MultiValue | list | tuple)
    return [float(v) for v in (value if several else [value])]


def _one(ds: pydicom.Dataset, name: str, default: float) -> Any:
    """The number of an element that has one; several equal ones are one."""
    values = set(numbers(ds, name))
    if len(values) > 1:
        raise DataError(f"{name} has {len(values)} values, {sorted(values)}; it has 1.")
    return values.pop() if values else default


def of_frame(ds: pydicom.Dataset, macro: str, name: str) -> pydicom.Dataset:
    """What holds the element `name`: the data set, or a macro of its one frame.

    Enhanced objects keep such elements in functional groups (PS3.3 C.7.6.16).
    """
    if name in ds:
        return ds
    for groups in (
        "SharedFunctionalGroupsSequence",
        "PerFrameFunctionalGroupsSequence",
    ):
        for group in (ds.get(groups) or [])[:1]:
            for item in (group.get(macro) or [])[:1]:
                if name in item:
                    return item
    return ds


def _is_padding(values: np.ndarray, ds: pydicom.Dataset) -> np.ndarray:
    """Bool: the values from Pixel Padding Value to Pixel Padding Range Limit."""
    ends = [numbers(ds, f"PixelPadding{n}") for n in ("Value", "RangeLimit")]
    ends = [int(values[0]) for values in ends if values]
    if "PixelPaddingValue" not in ds or not ends:
        return np.zeros(values.shape, bool)
    count = 2 ** int(ds.BitsAllocated)
    if ds.PixelRepresentation:  # written as unsigned by many
        ends = [(end + count // 2) % count - count // 2 for end in ends]
    else:
        ends = [end % count for end in ends]
    return (values >= min(ends)) & (values <= max(ends))


def _overlay_bits(ds: pydicom.Dataset, shift: int, high_bit: int) -> int:
    """The bits of a cell in which the header declares overlays (60xx, retired)."""
    bits = 0
    for group in range(0x6000, 0x6020, 2):
        allocated, position = (ds.get((group, tag)) for tag in (0x0100, 0x0102))
        if allocated is None or position is None or (group, 0x3000) in ds:
            continue  # none, or one that has bits of its own
        if allocated.value != ds.BitsAllocated:
            continue
        if shift <= position.value <= high_bit:
            raise DataError(
                f"an overlay is declared in bit {position.value}, among the bits of "
                "the pixels; correct Overlay Bit Position or Bits Stored."
            )
        bits |= 1 << int(position.value)
    return bits


def _table(item: pydicom.Dataset, ds: pydicom.Dataset) -> tuple[int, np.ndarray, int]:
    """(first value mapped, i32 [n], bits) of a Modality or VOI LUT (PS3.3 C.11.1.1)."""
    descriptor = [int(n) for n in numbers(item, "LUTDescriptor")]
    if len(descriptor) != 3 or not 8 <= descriptor[2] <= 16:
        raise DataError(f"a LUT of {descriptor} (entries, first, bits) cannot be used.")
    length, first, bits = descriptor
    length = length % 65536 or 65536
    if ds.PixelRepresentation and first >= 2**15:
        first -= 2**16
    data = item.get("LUTData")
    if isinstance(data, bytes):
        little = ds.file_meta.TransferSyntaxUID.is_little_endian
        wide = bits > 8 or len(data) >= 2 * length
        table = np.frombuffer(data, ("<u2" if little else ">u2") if wide else np.uint8)
    else:
        table = np.array([data] if isinstance(data, int) else list(data or []))
    table = table.astype(np.int32)[:length] & 0xFFFF
    if len(table) < length or table.max() >= 2**bits:
        raise DataError(
            f"a LUT should hold {length} entries of {bits} bits, but it holds "
            f"{len(table)} up to {table.max(initial=0)}."
        )
    return first, table, bits


def _voi_falls(ds: pydicom.Dataset) -> bool:
    """Whether the first VOI LUT, where there is one that can be read, falls."""
    for item in (ds.get("VOILUTSequence") or [])[:1]:
        try:
            _, table, _ = _table(item, ds)
        except DataError:
            return False  # a viewer's default: nothing else is taken from it
        return bool(table[0] > table[-1])
    return False
