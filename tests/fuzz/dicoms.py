"""Draws DICOM files whose header contradicts itself or its pixels."""

import io
import random
import struct
import warnings

import numpy as np
from pydicom import dcmwrite, uid
from pydicom.dataset import Dataset, FileMetaDataset
from pydicom.encaps import encapsulate

from fuzz.rasters import codestream
from fuzz.scars import scarred, whole

_PLAIN = (uid.ExplicitVRLittleEndian, uid.ImplicitVRLittleEndian)
_PACKED = (uid.RLELossless, uid.JPEGBaseline8Bit, uid.JPEG2000Lossless, uid.JPEG2000)
_PACKED += (uid.JPEGLosslessSV1, uid.JPEGLSLossless, uid.JPEGExtended12Bit)
_PACKED += (uid.DeflatedExplicitVRLittleEndian, uid.MPEG2MPML)
_NUMBERS = ("Rows", "Columns", "BitsAllocated", "BitsStored", "HighBit")
_NUMBERS += ("PixelRepresentation", "SamplesPerPixel", "PlanarConfiguration")
_TEXTS = {
    "PhotometricInterpretation": ("MONOCHROME1", "RGB", "PALETTE COLOR", "", "x" * 20),
    "NumberOfFrames": ("1", "0", "2", "99999999", "x", ""),
    "RescaleSlope": ("2", "-1", "0", "nan", "1e400", "x", ""),
    "RescaleIntercept": ("-1024", "inf", "x"),
    "PixelSpacing": ("1\\1", "0\\0", "1", "x\\y", "nan\\1"),
    "ImagerPixelSpacing": ("0.1\\0.2", "-1\\-1"),
    "WindowCenter": ("1", "1\\2", "x"),
    "WindowWidth": ("1", "0", "nan"),
    "PresentationLUTShape": ("INVERSE", "IDENTITY", "x"),
    "PatientID": ("a" * 300, "\x00", "ü"),
    "SpecificCharacterSet": ("ISO_IR 100", "x", "ISO 2022 IR 87"),
}


def dicom(rng: random.Random) -> bytes:
    """A DICOM file of a few pixels."""
    rows, columns = rng.randint(1, 20), rng.randint(1, 20)
    bits = rng.choice((8, 8, 12, 16, 1, 7))
    ds = Dataset()
    ds.SOPClassUID, ds.SOPInstanceUID = uid.SecondaryCaptureImageStorage, "1.2.3"
    ds.PatientID, ds.PhotometricInterpretation = "someone", "MONOCHROME2"
    values = (rows, columns, 8 if bits <= 8 else 16, bits, bits - 1, 0, 1, 0)
    for name, usual in zip(_NUMBERS, values, strict=True):
        if rng.random() > 0.005:
            setattr(ds, name, whole(rng, usual, odd=0.03, most=2**16))
    for name, texts in _TEXTS.items():
        if rng.random() < 0.05:
            _set(ds, name, rng.choice(texts))
    for name in ("PixelPaddingValue", "SmallestImagePixelValue"):
        if rng.random() < 0.1:
            ds.add_new(name, "US", whole(rng, 0, odd=0.5, most=2**16))
    if rng.random() < 0.08:
        ds.ModalityLUTSequence = [_table(rng)]
    packed = rng.random() < 0.4
    syntax = rng.choice(_PACKED if packed else _PLAIN)
    if rng.random() < 0.98:
        pixels = _pixels(rng, syntax, rows, columns, bits)
        ds.add_new("PixelData", "OB" if packed or bits <= 8 else "OW", pixels)
    return scarred(rng, _written(ds, syntax), odd=0.2)


def _set(ds: Dataset, name: str, text: str) -> None:
    """Gives an element a text that its kind may not allow."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        try:
            setattr(ds, name, text.split("\\") if "\\" in text else text)
        except (ValueError, OverflowError):
            setattr(ds, name, None)


def _table(rng: random.Random) -> Dataset:
    table = Dataset()
    descriptor = [whole(rng, 4, odd=0.2, most=2**16), 0, rng.choice((8, 12, 16, 99))]
    table.LUTDescriptor = descriptor[: rng.choice((3, 3, 3, 2))]
    table.ModalityLUTType = "US"
    table.add_new("LUTData", "OW", rng.randbytes(rng.choice((8, 8, 0, 3))))
    return table


def _pixels(
    rng: random.Random, syntax: uid.UID, rows: int, columns: int, bits: int
) -> bytes:
    if syntax in _PLAIN or syntax == uid.DeflatedExplicitVRLittleEndian:
        top = 2**bits if rng.random() < 0.9 else 2**16
        kind = "<u1" if bits <= 8 else "<u2"
        count = max(0, rows * columns + rng.choice((0,) * 9 + (-1, 1, 2)))
        numbers = [rng.randrange(top) for _ in range(count)]
        pixels = np.array(numbers, np.uint32).astype(kind).tobytes()
        return pixels + b"\0" * (len(pixels) % 2)
    if syntax == uid.RLELossless:
        frame = _run_lengths(rng, rows * columns)
    else:
        kind = "JPEG2000" if syntax in (uid.JPEG2000Lossless, uid.JPEG2000) else "JPEG"
        frame = codestream(kind, rows, columns)
    frame = scarred(rng, frame, odd=0.3)
    if rng.random() < 0.1:  # a box or segment that never ends
        frame = frame.replace(b"jp2c", b"\0\0\0\0", 1) + b"\0\0\0\0jp2c"
    frames = [frame] * rng.choice((1, 1, 1, 2)) or [b"\0"]
    return encapsulate([f or b"\0" for f in frames], has_bot=rng.random() < 0.5)


def _run_lengths(rng: random.Random, count: int) -> bytes:
    """A frame of DICOM's RLE: a header of 64 bytes, then segments of PackBits."""
    segments = rng.choice((1, 1, 2, 3, 255))
    body = b""
    while count > 0:
        run = min(count, 128)
        literal = bytes([run - 1]) + rng.randbytes(run)
        body += literal if rng.random() < 0.7 else bytes([(257 - run) % 256, 7])
        count -= run
    places = [64 + k * len(body) for k in range(min(segments, 15))]
    header = [whole(rng, segments, odd=0.05), *places, *[0] * 15][:16]
    return struct.pack("<16I", *header) + body * min(segments, 15)


def _written(ds: Dataset, syntax: uid.UID) -> bytes:
    ds.file_meta = FileMetaDataset()
    ds.file_meta.TransferSyntaxUID = syntax
    ds.file_meta.MediaStorageSOPClassUID = uid.SecondaryCaptureImageStorage
    ds.file_meta.MediaStorageSOPInstanceUID = "1.2.3"
    out = io.BytesIO()
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        dcmwrite(out, ds, enforce_file_format=True)
    return out.getvalue()
