"""Reads radiographs from DICOM files, every stored bit kept and bright always dense.

The returned pixels are the stored values, moved so that the smallest representable
one is 0, and mirrored when the file shows small values as bright (MONOCHROME1, or a
negative rescale slope). `tags["scale"]` and `tags["offset"]` give the values after the
Modality LUT: scale * image + offset. The slope is not multiplied in, because that would
round or overflow, and normalisation (`intensity.py`) removes scale and offset anyway.
The VOI window is a viewer's default that clips, and differs between vendors: it is only
noted in the tags. DICOM PS3.3 C.7.6.3, C.11.1, PS3.5 A.4,
https://www.dicomstandard.org/current
"""

import contextlib
import logging
import os
import pathlib
import struct
import threading
import warnings

import numpy as np
import pydicom
from pydicom import uid
from pydicom.encaps import get_frame
from pydicom.filereader import read_file_meta_info
from pydicom.pixels import apply_modality_lut, get_decoder

from jaxseg.errors import DataError

MAX_PIXELS = 64_000_000
_MAX_BYTES = 256 * 2**20  # more than any image of MAX_PIXELS needs
_NATIVE = {uid.ImplicitVRLittleEndian, uid.ExplicitVRLittleEndian}
_NATIVE |= {uid.ExplicitVRBigEndian}
_PILLOW = {uid.JPEGBaseline8Bit, uid.JPEG2000, uid.JPEG2000Lossless}
_GDCM = {uid.JPEGLossless, uid.JPEGLosslessSV1}
_GDCM |= {uid.JPEGLSLossless, uid.JPEGLSNearLossless}
_READABLE = _NATIVE | _PILLOW | _GDCM | {uid.RLELossless, uid.JPEGExtended12Bit}


def read(path: str | os.PathLike) -> tuple[np.ndarray, dict]:
    """The image, u8 or u16 [h, w, 1] with bright = dense, and the tags of a DICOM file.

    u8 where at most 8 bits are stored, else u16. Raises DataError, naming the file, for
    everything that is not one whole greyscale image of at most 64 million pixels, and
    for compressions whose decoder is not installed.
    """
    path = pathlib.Path(path)
    try:
        with _strict():
            return _read(path)
    except DataError as error:
        raise DataError(f"{path}: {error}") from None
    except FileNotFoundError:
        raise DataError(f"{path}: there is no such file.") from None
    except pydicom.errors.InvalidDicomError:
        raise DataError(f"{path}: this is not a DICOM file.") from None
    except Exception as error:  # a broken file can raise anything inside a decoder
        reason = " ".join(str(error).split()) or type(error).__name__
        raise DataError(f"{path}: broken or truncated DICOM: {reason}") from error


def pixel_sides(path: str | os.PathLike) -> tuple[float, float] | None:
    """Height and width of a pixel in millimetres; None where the header says none.

    Those at the object come before those at the detector.
    """
    names = ("PixelSpacing", "ImagerPixelSpacing", "NominalScannedPixelSpacing")
    try:
        with _strict():
            ds = pydicom.dcmread(path, stop_before_pixels=True, specific_tags=[*names])
            sides = [_numbers(ds, name) for name in names]
    except Exception:  # a broken file can raise anything; `read` says what it is
        return None
    return next(((each[0], each[1]) for each in sides if len(each) == 2), None)


def _read(path: pathlib.Path) -> tuple[np.ndarray, dict]:
    if path.stat().st_size > _MAX_BYTES:
        raise DataError(f"larger than {_MAX_BYTES >> 20} MiB: not a single radiograph.")
    syntax = read_file_meta_info(path).get("TransferSyntaxUID")
    if syntax not in _READABLE:
        named = f"{syntax.name} ({syntax})" if syntax else "no transfer syntax"
        raise DataError(
            f"{named} cannot be read; convert it to Explicit VR Little Endian."
        )
    ds = pydicom.dcmread(path)
    _check_header(ds)
    stored = _decode(ds, syntax)
    low, high = _stored_range(ds)
    if stored.min() < low or stored.max() > high:
        raise DataError(
            f"the pixels run from {stored.min()} to {stored.max()}, but Bits Stored "
            f"({ds.BitsStored}) allows {low} to {high}."
        )
    if "ModalityLUTSequence" in ds:
        table = ds.ModalityLUTSequence[0]
        low, high = 0, 2 ** int(table.LUTDescriptor[2]) - 1
        stored, slope, intercept = apply_modality_lut(stored, ds), 1.0, 0.0
    else:
        slope = float(ds.get("RescaleSlope", 1) or 1)
        intercept = float(ds.get("RescaleIntercept", 0) or 0)
    mirrored = (ds.PhotometricInterpretation == "MONOCHROME1") != (slope < 0)
    wide = stored.astype(np.int32)
    image = high - wide if mirrored else wide - low
    image = image.astype(np.uint8 if high - low < 256 else np.uint16)
    tags = _tags(ds) | {
        "scale": -slope if mirrored else slope,
        "offset": slope * (high if mirrored else low) + intercept,
    }
    return image[..., None], tags


def _check_header(ds: pydicom.Dataset) -> None:
    """Raises DataError unless the header announces one greyscale image of sane size."""
    if "PixelData" not in ds:
        raise DataError("there is no Pixel Data: no image, or the file is cut short.")
    needed = ["Rows", "Columns", "BitsAllocated", "BitsStored", "PixelRepresentation"]
    missing = [name for name in needed if ds.get(name) is None]
    if missing:
        raise DataError(f"the header lacks {', '.join(missing)}.")
    kind = ds.get("PhotometricInterpretation")
    if kind not in ("MONOCHROME1", "MONOCHROME2") or ds.get("SamplesPerPixel", 1) != 1:
        raise DataError(f"a colour image ({kind}); only greyscale can be used.")
    if int(ds.get("NumberOfFrames", 1) or 1) != 1:
        raise DataError(f"{ds.NumberOfFrames} frames in one file; only 1 can be used.")
    if ds.Rows < 1 or ds.Columns < 1 or ds.Rows * ds.Columns > MAX_PIXELS:
        raise DataError(
            f"the header announces {ds.Rows} x {ds.Columns} pixels; allowed are 1 to "
            f"{MAX_PIXELS // 10**6} million."
        )
    bits, allocated = ds.BitsStored, ds.BitsAllocated
    if allocated not in (8, 16) or not 1 <= bits <= allocated:
        raise DataError(
            f"{bits} bits stored in {allocated}; allowed are 1 to 16 stored in 8 or 16."
        )


def _decode(ds: pydicom.Dataset, syntax: uid.UID) -> np.ndarray:
    """The stored values [h, w], by a decoder that refuses cut-off data."""
    if syntax in _NATIVE:
        plugin = ""
    elif syntax == uid.RLELossless:
        plugin = "pydicom"
    elif syntax == uid.JPEGExtended12Bit and ds.BitsStored != 8:
        raise DataError(
            f"{syntax.name} of {ds.BitsStored} bits cannot be decoded, only of 8; "
            "convert it with: gdcmconv --raw"
        )
    elif syntax in _PILLOW or syntax == uid.JPEGExtended12Bit:
        plugin = "pillow"
    else:
        plugin = "gdcm"
    if plugin == "gdcm" and plugin not in get_decoder(syntax).available_plugins:
        raise DataError(
            f"{syntax.name} needs a decoder that is not installed; install it with: "
            "pip install jaxseg[dicom]"
        )
    size = coded = (int(ds.Rows), int(ds.Columns))
    if syntax.is_encapsulated and syntax != uid.RLELossless:
        coded = _coded_size(get_frame(ds.PixelData, 0, number_of_frames=1)) or size
    if coded != size:  # checked before decoding: the codestream may announce billions
        raise DataError(f"the header says {size} pixels, the pixel data {coded}.")
    ds.pixel_array_options(decoding_plugin=plugin)
    return ds.pixel_array


def _coded_size(frame: bytes) -> tuple[int, int] | None:
    """(h, w) from a JPEG, JPEG-LS or JPEG 2000 codestream; None where it has none."""
    if frame[:4] == b"\xff\x4f\xff\x51":  # JPEG 2000: SOC, SIZ
        right, bottom, left, top = struct.unpack_from(">4I", frame, 8)
        return bottom - top, right - left
    at = 2
    while at + 9 <= len(frame) and frame[at] == 0xFF:
        marker, length = frame[at + 1], struct.unpack_from(">H", frame, at + 2)[0]
        if marker == 0xFF:  # a fill byte before the marker
            at += 1
        elif marker == 0xF7 or (0xC0 <= marker <= 0xCF and marker not in (0xC4, 0xCC)):
            return struct.unpack_from(">2H", frame, at + 5)
        else:
            at += 2 + length
    return None


def _stored_range(ds: pydicom.Dataset) -> tuple[int, int]:
    count = 2 ** int(ds.BitsStored)
    return (-count // 2, count // 2 - 1) if ds.PixelRepresentation else (0, count - 1)


def _tags(ds: pydicom.Dataset) -> dict:
    """What the header tells beside the pixels; absent text is ""."""
    text = {
        "patient_id": "PatientID",
        "study_uid": "StudyInstanceUID",
        "image_uid": "SOPInstanceUID",
        "photometric": "PhotometricInterpretation",
        "view": "ViewPosition",
    }
    tags = {name: str(ds.get(key) or "").strip() for name, key in text.items()}
    tags["transfer_syntax"] = ds.file_meta.TransferSyntaxUID.name
    tags["bits"] = int(ds.BitsStored)
    tags["window"] = list(
        zip(_numbers(ds, "WindowCenter"), _numbers(ds, "WindowWidth"), strict=False)
    )
    return tags


def _numbers(ds: pydicom.Dataset, name: str) -> list[float]:
    value = ds.get(name)
    if value is None:
        return []
    values = value if isinstance(value, pydicom.multival.MultiValue) else [value]
    return [float(v) for v in values]


_lock = threading.Lock()
_readers = 0
_undo = contextlib.ExitStack()


@contextlib.contextmanager
def _strict():
    """Inside, warnings about pixels are errors, and those about odd headers silent.

    The filters of `warnings` belong to the whole process, so threads that read at the
    same time share one change: the first makes it, the last takes it back.
    """
    global _readers
    with _lock:
        _readers += 1
        if _readers == 1:
            _undo.enter_context(warnings.catch_warnings())
            warnings.filterwarnings("ignore", module=r"pydicom\b")
            for module in (r"pydicom\.pixels\b", r"pydicom\.encaps", r"PIL\b"):
                warnings.filterwarnings("error", module=module)
            warnings.filterwarnings("error", "(?s).*end of file", module=r"pydicom\b")
            warnings.filterwarnings("ignore", ".*excess padding")
            logger = logging.getLogger("pydicom")
            _undo.callback(logger.setLevel, logger.level)
            logger.setLevel(logging.CRITICAL)
    try:
        yield
    finally:
        with _lock:
            _readers -= 1
            if not _readers:
                _undo.close()
