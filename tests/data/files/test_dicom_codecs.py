"""Compressed DICOM of any number of bits, with and without sign, bit for bit."""

import imagecodecs
import numpy as np
import pytest
from pydicom import uid
from pydicom.encaps import encapsulate
from support import dicom_files

from jaxseg.data.files import dicom
from jaxseg.errors import DataError


def _values(bits, signed):
    low = -(2 ** (bits - 1)) if signed else 0
    values = np.random.default_rng(bits).integers(low, low + 2**bits, (20, 24))
    values[0, 0] = low
    return values, f"{'iu'[not signed]}{1 if bits <= 8 else 2}"


def _jpeg_2000(values, kind, bits):
    options = {"codecformat": "j2k", "reversible": True, "bitspersample": bits}
    return imagecodecs.jpeg2k_encode(values.astype(kind), **options)


def _jpeg_ls(values, kind, bits):
    """JPEG-LS knows no sign: negative values are their bits."""
    cells = values & (2**bits - 1)
    return imagecodecs.jpegls_encode(cells.astype(f"u{kind[1]}"))


CODECS = {uid.JPEG2000Lossless: _jpeg_2000, uid.JPEGLSLossless: _jpeg_ls}
NAMES = {uid.JPEG2000Lossless: "JPEG 2000", uid.JPEGLSLossless: "JPEG-LS"}


@pytest.mark.parametrize("syntax", CODECS, ids=NAMES.values())
@pytest.mark.parametrize("signed", [False, True], ids=["unsigned", "signed"])
@pytest.mark.parametrize("bits", [2, 6, 7, 8, 10, 12, 15, 16])
def test_every_bit_comes_back(tmp_path, syntax, signed, bits):
    values, kind = _values(bits, signed)
    frame = CODECS[syntax](values, kind, bits)
    path = dicom_files.write(
        tmp_path / "a.dcm",
        values.astype(kind),
        bits=bits,
        syntax=syntax,
        PixelData=encapsulate([frame]),
    )
    image, _ = dicom.read(path)
    np.testing.assert_array_equal(image[..., 0], values - values.min())


@pytest.mark.parametrize("process", ["Lossless_14", "Lossless_14_1"])
@pytest.mark.parametrize("signed", [False, True], ids=["unsigned", "signed"])
@pytest.mark.parametrize("bits", [8, 12, 16])
def test_lossless_jpeg(tmp_path, process, signed, bits):
    values, kind = _values(bits, signed)
    path = dicom_files.write(tmp_path / "a.dcm", values.astype(kind), bits=bits)
    dicom_files.gdcm_convert(path, process)
    image, _ = dicom.read(path)
    np.testing.assert_array_equal(image[..., 0], values - values.min())


def test_a_sign_that_fewer_bits_cannot_hold_is_refused(tmp_path):
    values = np.arange(480).reshape(20, 24) % 256 - 128
    frame = imagecodecs.jpegls_encode((values & 255).astype(np.uint8))
    path = dicom_files.write(
        tmp_path / "a.dcm",
        values.astype(np.int16),
        bits=12,
        syntax=uid.JPEGLSLossless,
        PixelData=encapsulate([frame]),
    )
    with pytest.raises(DataError, match="8 bits, but the header says 12 with a sign"):
        dicom.read(path)


@pytest.mark.parametrize("syntax", [uid.HTJ2KLossless, uid.JPEG2000MC, uid.MPEG2MPML])
def test_other_compressions_are_refused_by_name(tmp_path, syntax):
    values, kind = _values(8, False)
    data = encapsulate([bytes(64)])
    path = dicom_files.write(
        tmp_path / "a.dcm", values.astype(kind), syntax=syntax, PixelData=data
    )
    with pytest.raises(DataError, match=f"{syntax}.* cannot be read; convert it"):
        dicom.read(path)
