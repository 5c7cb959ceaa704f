"""Reads radiographs from DICOM files, every stored bit kept and bright always dense.

The returned pixels are the stored values, moved so that the smallest representable
one is 0, and mirrored when the file shows small values as bright: MONOCHROME1, a
negative rescale slope, or a VOI table that falls; two of them undo each other.
`tags["scale"]` and `tags["offset"]` give the values after the Modality LUT:
scale * image + offset. The slope is not multiplied in, because that would round or
overflow, and normalisation (`intensity.py`) removes scale and offset anyway. The VOI
window is a viewer's default that clips, and differs between vendors: it is only noted
in the tags. Pixels that the file declares as padding become as dark as the darkest
pixel of the film, so that the border of a film takes no part of the intensities away
from it. DICOM PS3.3 C.7.5.1.1.2, C.7.6.3, C.11.1, C.11.6, PS3.5 8.1.1, A.4,
https://www.dicomstandard.org/current
"""

import contextlib
import io
import logging
import os
import pathlib
import stat
import threading
import warnings

import numpy as np
import pydicom
from pydicom import uid
from pydicom.filereader import read_dataset

from jaxseg.data.files import dicom_frame, dicom_values
from jaxseg.errors import DataError

MAX_PIXELS = 64_000_000
SUFFIXES = (".dcm", ".dicom", ".dic", ".ima")
_HEADER = 2**16  # bytes that hold the first group of a file, and far more
_MAX_BYTES = 256 * 2**20  # more than any image of MAX_PIXELS needs


def read(path: str | os.PathLike) -> tuple[np.ndarray, dict]:
    """The image, u8 or u16 [h, w, 1] with bright = dense, and the tags of a DICOM file.

    u8 where at most 8 bits are stored, else u16. Raises DataError, naming the file, for
    everything that is not one whole greyscale image of at most 64 million pixels, for
    headers that contradict the pixels or themselves, and for compressions whose decoder
    is not installed.
    """
    path = pathlib.Path(path)
    try:
        with _strict():
            return _read(_content(path))
    except DataError as error:
        raise DataError(f"{path}: {error}") from None
    except FileNotFoundError:
        raise DataError(f"{path}: there is no such file.") from None
    except pydicom.errors.InvalidDicomError:
        raise DataError(f"{path}: this is not a DICOM file.") from None
    except MemoryError as error:
        raise DataError(
            f"{path}: reading it needs more memory than there is."
        ) from error
    except Exception as error:  # a broken file can raise anything inside a decoder
        reason = " ".join(str(error).split()) or type(error).__name__
        raise DataError(f"{path}: broken or truncated DICOM: {reason}") from error


def is_dicom(path: str | os.PathLike) -> bool:
    """Whether a file that may have any name begins as DICOM does."""
    path = pathlib.Path(path)
    if path.suffix.lower() in SUFFIXES:
        return True
    if not path.is_file():
        return False
    with open(path, "rb") as file:
        return file.read(132)[128:] == b"DICM"


def pixel_sides(path: str | os.PathLike) -> tuple[float, float] | None:
    """Height and width of a pixel in millimetres; None where the header says none.

    Those at the object come before those at the detector.
    """
    names = ("PixelSpacing", "ImagerPixelSpacing", "NominalScannedPixelSpacing")
    try:
        with _strict():
            with open(path, "rb") as file:
                syntax = _syntax(io.BytesIO(file.read(_HEADER)))
            if syntax not in dicom_frame.READABLE:
                return None
            ds = pydicom.dcmread(path, force=True, stop_before_pixels=True)
            ds = dicom_values.of_frame(ds, "PixelMeasuresSequence", names[0])
            sides = [dicom_values.numbers(ds, name) for name in names]
    except Exception:  # a broken file can raise anything; `read` says what it is
        return None
    return next(((each[0], each[1]) for each in sides if len(each) == 2), None)


def _content(path: pathlib.Path) -> io.BytesIO:
    """The bytes of a file: no length that they declare makes a reader take more."""
    status = path.stat()
    if not stat.S_ISREG(status.st_mode):
        raise DataError("this is no regular file.")
    if status.st_size > _MAX_BYTES:
        raise DataError(
            f"larger than {_MAX_BYTES >> 20} MiB: no single radiograph; split it."
        )
    return io.BytesIO(path.read_bytes())


def _read(content: io.BytesIO) -> tuple[np.ndarray, dict]:
    syntax = _syntax(content)
    if syntax not in dicom_frame.READABLE:  # before a deflated file could inflate
        named = f"{syntax.name} ({syntax})" if syntax else "no transfer syntax"
        raise DataError(
            f"{named} cannot be read; convert it to Explicit VR Little Endian."
        )
    content.seek(0)
    ds = pydicom.dcmread(content, force=True)
    ds.file_meta.TransferSyntaxUID = syntax
    _check_header(ds)
    pixels = dicom_values.stored(dicom_frame.decode(ds, syntax), ds)
    values, low, high, slope, intercept = dicom_values.modality(pixels, ds)
    mirrored = dicom_values.mirrored(ds, slope)
    image = dicom_values.darken(high - values if mirrored else values - low, pixels)
    image = image.astype(np.uint8 if high - low < 256 else np.uint16)
    tags = _tags(ds) | {
        "scale": -slope if mirrored else slope,
        "offset": slope * (high if mirrored else low) + intercept,
        "padding": float(pixels.padding.mean()),
    }
    return image[..., None], tags


def _syntax(content: io.BytesIO) -> uid.UID | None:
    """The transfer syntax, read from the first group of the file.

    Old archives write no preamble, some not even that group: what then begins with
    group 8 is uncompressed and little-endian, with or without the types of elements.
    """
    start = content.getvalue()[:132]
    typed = start[4:6].isalpha() and start[4:6].isupper()
    if start[:4] in (b"\x08\x00\x05\x00", b"\x08\x00\x08\x00", b"\x08\x00\x16\x00"):
        return uid.ExplicitVRLittleEndian if typed else uid.ImplicitVRLittleEndian
    if start[128:] == b"DICM":
        content.seek(132)
    elif start[:2] != b"\x02\x00" or not typed:
        raise pydicom.errors.InvalidDicomError
    meta = read_dataset(content, False, True, stop_when=lambda tag, *_: tag.group != 2)
    return meta.get("TransferSyntaxUID")


def _check_header(ds: pydicom.Dataset) -> None:
    """Raises DataError unless the header announces one greyscale image of sane size."""
    if "PixelData" not in ds:
        raise DataError(
            "there is no Pixel Data: no image, or cut short; fetch it again."
        )
    needed = ["Rows", "Columns", "BitsAllocated", "BitsStored", "PixelRepresentation"]
    needed += ["PhotometricInterpretation"]
    missing = [name for name in needed if ds.get(name) is None]
    if missing:
        raise DataError(
            f"the header lacks {', '.join(missing)}; export the image again."
        )
    kind = dicom_values.photometric(ds)
    if kind not in ("MONOCHROME1", "MONOCHROME2") or ds.get("SamplesPerPixel", 1) != 1:
        raise DataError(
            f"a colour image ({kind}, {ds.get('SamplesPerPixel', 1)} samples a pixel); "
            "only greyscale can be used; convert it, or leave it out."
        )
    if int(ds.get("NumberOfFrames", 1) or 1) != 1:
        raise DataError(
            f"{ds.NumberOfFrames} frames in one file; only 1 can be used: save each "
            "as a file of its own."
        )
    if ds.Rows < 1 or ds.Columns < 1 or ds.Rows * ds.Columns > MAX_PIXELS:
        raise DataError(
            f"the header announces {ds.Rows} x {ds.Columns} pixels; allowed are 1 to "
            f"{MAX_PIXELS // 10**6} million: cut it into parts, or export it again."
        )
    bits, allocated = ds.BitsStored, ds.BitsAllocated
    if allocated not in (8, 16) or not 1 <= bits <= allocated:
        raise DataError(
            f"{bits} bits stored in {allocated}; allowed are 1 to 16 stored in 8 or "
            "16: save it with 16."
        )
    if ds.PixelRepresentation not in (0, 1):
        raise DataError(
            f"Pixel Representation is {ds.PixelRepresentation}; allowed are 0 for "
            "unsigned and 1 for signed values; correct the header."
        )


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
    tags["window"] = []
    with contextlib.suppress(ValueError, TypeError):  # it is noted, and used nowhere
        ends = (
            dicom_values.numbers(ds, f"Window{name}") for name in ("Center", "Width")
        )
        tags["window"] = list(zip(*ends, strict=False))
    return tags


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
