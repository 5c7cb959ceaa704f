"""DICOM headers about bits, padding, tables and direction: right values, or refused."""

import os
import struct
import tracemalloc

import numpy as np
import pydicom
import pytest
from pydicom import uid
from pydicom.encaps import encapsulate
from support import dicom_files

from jaxseg.data.files import dicom
from jaxseg.errors import DataError

FILM = np.random.default_rng(0).integers(0, 4096, (24, 20)).astype(np.uint16)


def _read(tmp_path, stored, **kwargs):
    return dicom.read(dicom_files.write(tmp_path / "a.dcm", stored, **kwargs))


def _image(tmp_path, stored, **kwargs):
    return _read(tmp_path, stored, **kwargs)[0][..., 0].astype(int)


def _lut(table, *, first=0, bits=16, kind="<u2", entries=None):
    item = pydicom.Dataset()
    length = len(table) if entries is None else entries
    item.add_new("LUTDescriptor", "US", [length % 65536, first, bits])
    item.add_new("ModalityLUTType", "LO", "US")
    item.add_new("LUTData", "OW", np.asarray(table).astype(kind).tobytes())
    return item


@pytest.mark.parametrize("signed", [False, True])
@pytest.mark.parametrize(
    "allocated, bits, high_bit",
    [(8, 6, 7), (8, 1, 4), (16, 12, 15), (16, 10, 15), (16, 8, 11), (16, 1, 15)],
)
def test_values_are_the_bits_that_end_at_high_bit(
    tmp_path, signed, allocated, bits, high_bit
):
    low = -(2 ** (bits - 1)) if signed else 0
    values = np.linspace(low, low + 2**bits - 1, 24).round().astype(int).reshape(4, 6)
    cells = (values << (high_bit + 1 - bits)).astype(f"{'iu'[not signed]}2")
    tags = {"BitsAllocated": allocated, "BitsStored": bits, "HighBit": high_bit}
    image = _image(tmp_path, cells, bits=allocated, **tags)
    np.testing.assert_array_equal(image, values - low)


@pytest.mark.parametrize("extended", [False, True])
@pytest.mark.parametrize("bits", [9, 12, 15])
def test_signed_values_come_with_or_without_their_upper_bits(tmp_path, extended, bits):
    low = -(2 ** (bits - 1))
    values = np.linspace(low, -low - 1, 24).round().astype(int).reshape(4, 6)
    cells = values if extended else values & (2**bits - 1)
    tags = {"BitsStored": bits, "HighBit": bits - 1, "PixelRepresentation": 1}
    image = _image(tmp_path, cells.astype(np.int16), bits=16, **tags)
    np.testing.assert_array_equal(image, values - low)


def test_big_endian_bytes_in_words(tmp_path):
    stored = np.arange(48, dtype=np.uint8).reshape(6, 8)
    ds = dicom_files.dataset(stored)
    ds.file_meta.TransferSyntaxUID = uid.ExplicitVRBigEndian
    ds.PixelData = stored.view(np.uint16).byteswap().tobytes()
    ds["PixelData"].VR = "OW"
    ds.save_as(tmp_path / "a.dcm", enforce_file_format=True)
    np.testing.assert_array_equal(dicom.read(tmp_path / "a.dcm")[0][..., 0], stored)


def test_an_overlay_that_is_declared_is_no_part_of_the_film(tmp_path):
    cells = FILM | np.uint16(0x8000)
    cells[:3] |= 0x1000
    tags = {"bits": 16, "BitsStored": 12, "HighBit": 11}
    path = dicom_files.write(tmp_path / "a.dcm", cells, **tags)
    with pytest.raises(
        DataError, match=r"Bits Stored \(12\) .* no overlay is declared"
    ):
        dicom.read(path)
    ds = pydicom.dcmread(path)
    for group, position in ((0x6000, 15), (0x6002, 12)):
        ds.add_new((group, 0x0100), "US", 16)
        ds.add_new((group, 0x0102), "US", position)
    ds.save_as(path)
    np.testing.assert_array_equal(dicom.read(path)[0][..., 0], FILM)
    ds.add_new((0x6004, 0x0100), "US", 16)
    ds.add_new((0x6004, 0x0102), "US", 3)
    ds.save_as(path)
    with pytest.raises(DataError, match="overlay is declared in bit 3"):
        dicom.read(path)


@pytest.mark.parametrize("syntax", [dicom_files.PLAIN, dicom_files.RLE])
@pytest.mark.parametrize("bits", [8, 10, 11])
def test_bits_stored_that_are_too_few(tmp_path, syntax, bits):
    path = dicom_files.write(tmp_path / "a.dcm", FILM, bits=12, syntax=syntax)
    ds = pydicom.dcmread(path)
    ds.BitsStored, ds.HighBit = bits, bits - 1
    ds.save_as(path)
    with pytest.raises(DataError, match=rf"but Bits Stored \({bits}\) allows 0 to"):
        dicom.read(path)


REFUSED = {
    "lowest 4 bits of a pixel unused": {"HighBit": 15},
    "High Bit is 9; .* must be 11 to 15": {"HighBit": 9},
    "High Bit is 16": {"HighBit": 16},
    "2 Modality LUTs": {"ModalityLUTSequence": [_lut([1]), _lut([1])]},
    r"a LUT of \[4, 0, 7\]": {"ModalityLUTSequence": [_lut(range(4), bits=7)]},
    r"a LUT of \[4, 0, 17\]": {"ModalityLUTSequence": [_lut(range(4), bits=17)]},
    "9 entries of 16 bits, but it holds 4": {
        "ModalityLUTSequence": [_lut(range(4), entries=9)]
    },
    "entries of 12 bits, .* up to 4096": {
        "ModalityLUTSequence": [_lut([1, 4096], bits=12)]
    },
    "RescaleSlope has 2 values": {"RescaleSlope": [1, 2]},
    "Rescale Slope is inf": {"RescaleSlope": "1e999"},
    "INVERSE, which belongs to MONOCHROME1": {"PresentationLUTShape": "INVERSE"},
    "a colour image .YBR_FULL": {"PhotometricInterpretation": "YBR_FULL"},
    "lacks PhotometricInterpretation": {"PhotometricInterpretation": None},
    "Pixel Representation is 2": {"PixelRepresentation": 2},
    "every pixel is Pixel Padding": {
        "PixelPaddingValue": 0,
        "PixelPaddingRangeLimit": 4095,
    },
    "extra frames": {"PixelData": FILM.tobytes() * 2},
    "the size is wrong": {"Rows": 23},
    "an empty|0 frames|broken": {"PixelData": b""},
}


@pytest.mark.parametrize("why", REFUSED)
def test_what_contradicts_itself_is_refused(tmp_path, why):
    with pytest.raises(DataError, match=why) as error:
        _read(tmp_path, FILM, bits=12, **REFUSED[why])
    assert str(error.value).startswith(str(tmp_path / "a.dcm"))


def test_compressed_pixels_that_are_declared_plain(tmp_path):
    stored = FILM.astype(np.uint8)
    path = dicom_files.write(tmp_path / "a.dcm", stored, syntax=dicom_files.JPEG)
    data = path.read_bytes()
    path.write_bytes(
        data.replace(b"1.2.840.10008.1.2.4.50", b"1.2.840.10008.1.2.1\0\0\0")
    )
    with pytest.raises(DataError, match="compressed, but declared Explicit VR Little"):
        dicom.read(path)


@pytest.mark.parametrize("excess", [1, 2, 38])
def test_a_few_bytes_too_many_are_padding(tmp_path, excess):
    data = FILM.tobytes() + bytes(excess)
    np.testing.assert_array_equal(_image(tmp_path, FILM, bits=12, PixelData=data), FILM)


@pytest.mark.parametrize("bits", [8, 10, 12, 16])
@pytest.mark.parametrize("first", [0, 100])
@pytest.mark.parametrize("dark", [False, True])
def test_modality_tables_of_any_bits(tmp_path, bits, first, dark):
    top = 2**bits - 1
    table = np.linspace(top, 0, 3000).round().astype(int)  # falls
    photometric = "MONOCHROME1" if dark else "MONOCHROME2"
    tags = {"PhotometricInterpretation": photometric}
    tags |= {"ModalityLUTSequence": [_lut(table, first=first, bits=bits)]}
    image = _image(tmp_path, FILM, bits=12, **tags)
    values = table[np.clip(FILM.astype(int) - first, 0, 2999)]
    np.testing.assert_array_equal(image, top - values if dark else values)


def test_a_table_of_bytes_and_one_of_65536_entries(tmp_path):
    stored = np.arange(64, dtype=np.uint8).reshape(8, 8)
    falling = np.arange(255, -1, -1)
    tags = {"ModalityLUTSequence": [_lut(falling, bits=8, kind="u1")]}
    np.testing.assert_array_equal(_image(tmp_path, stored, **tags), 255 - stored)
    wide = FILM * 16
    tags = {"ModalityLUTSequence": [_lut(np.arange(65535, -1, -1))]}
    np.testing.assert_array_equal(
        _image(tmp_path, wide, bits=16, **tags), 65535 - wide.astype(int)
    )


def test_a_table_for_signed_values(tmp_path):
    values = (FILM.astype(int) - 2048).astype(np.int16)
    lut = _lut(np.arange(4096), first=65536 - 2048, bits=12)
    np.testing.assert_array_equal(
        _image(tmp_path, values, bits=12, ModalityLUTSequence=[lut]), FILM
    )


DIRECTIONS = [
    ({}, False),
    ({"PhotometricInterpretation": "MONOCHROME1 "}, True),
    ({"PresentationLUTShape": "IDENTITY"}, False),
    (
        {"PhotometricInterpretation": "MONOCHROME1", "PresentationLUTShape": "INVERSE"},
        True,
    ),
    ({"RescaleSlope": [-1, -1]}, True),
    ({"RescaleSlope": "0"}, False),
    ({"RescaleSlope": ""}, False),
    ({"VOILUTSequence": [_lut(np.arange(4095, -1, -1), bits=12)]}, True),
    ({"VOILUTSequence": [_lut(np.arange(4096), bits=12)]}, False),
    ({"VOILUTSequence": [_lut(np.arange(9), bits=3)]}, False),
]


@pytest.mark.parametrize("tags, turned", DIRECTIONS)
def test_bright_is_dense(tmp_path, tags, turned):
    image = _image(tmp_path, FILM, bits=12, **tags)
    np.testing.assert_array_equal(image, 4095 - FILM.astype(int) if turned else FILM)


def test_an_enhanced_object_keeps_its_slope_and_spacing_in_groups(tmp_path):
    value, measures, shared = (pydicom.Dataset() for _ in range(3))
    value.RescaleSlope, value.RescaleIntercept = -1, 5
    measures.PixelSpacing = [0.2, 0.3]
    shared.PixelValueTransformationSequence = [value]
    shared.PixelMeasuresSequence = [measures]
    tags = {"SharedFunctionalGroupsSequence": [shared], "NumberOfFrames": 1}
    image, told = _read(tmp_path, FILM, bits=12, **tags)
    np.testing.assert_array_equal(image[..., 0], 4095 - FILM.astype(int))
    assert (told["scale"], told["offset"]) == (1, 5 - 4095)
    assert dicom.pixel_sides(tmp_path / "a.dcm") == (0.2, 0.3)


@pytest.mark.parametrize("dark", [False, True])
@pytest.mark.parametrize(
    "bits, pads, limit",
    [
        (12, [0], None),
        (12, [4095], None),
        (16, [65535], None),
        (16, [60000, 64999], 65000),
    ],
)
def test_padding_is_as_dark_as_the_darkest_of_the_film(
    tmp_path, dark, bits, pads, limit
):
    film = 100 + FILM // 2
    cells = film.copy()
    cells[:, :4], cells[0] = pads[0], pads[-1]
    padding = np.isin(cells, pads)
    tags = {"PixelPaddingValue": pads[0]} | (
        {"PixelPaddingRangeLimit": limit} if limit else {}
    )
    tags |= {"PhotometricInterpretation": "MONOCHROME1" if dark else "MONOCHROME2"}
    image, told = _read(tmp_path, cells, bits=bits, **tags)
    top = 2**bits - 1
    right = top - film.astype(int) if dark else film.astype(int)
    right[padding] = right[~padding].min()
    np.testing.assert_array_equal(image[..., 0], right)
    assert told["padding"] == padding.mean()


def test_padding_beyond_the_stored_bits_and_written_without_sign(tmp_path):
    values = FILM.astype(int) - 2048
    values[:, :5] = -3024
    tags = {"BitsStored": 12, "HighBit": 11, "PixelPaddingValue": -3024}
    path = dicom_files.write(
        tmp_path / "a.dcm", values.astype(np.int16), bits=16, **tags
    )
    right = FILM.astype(int)
    right[:, :5] = right[:, 5:].min()
    np.testing.assert_array_equal(dicom.read(path)[0][..., 0], right)
    ds = pydicom.dcmread(path)
    ds.add_new("PixelPaddingValue", "US", 65536 - 3024)
    ds.save_as(path)
    np.testing.assert_array_equal(dicom.read(path)[0][..., 0], right)


def test_padding_among_the_values_of_the_film_stays(tmp_path):
    image = _image(tmp_path, FILM, bits=12, PixelPaddingValue=int(FILM[3, 4]))
    np.testing.assert_array_equal(image, FILM)


@pytest.mark.parametrize("start", ["group 2", "explicit", "implicit"])
def test_a_file_without_preamble(tmp_path, start):
    path = dicom_files.write(tmp_path / "a.dcm", FILM, bits=12)
    if start == "group 2":
        path.write_bytes(path.read_bytes()[132:])
    else:
        ds = pydicom.Dataset(pydicom.dcmread(path))
        ds.save_as(path, implicit_vr=start == "implicit", little_endian=True)
        assert path.read_bytes()[128:132] != b"DICM"
    np.testing.assert_array_equal(dicom.read(path)[0][..., 0], FILM)


def _codestream(height, width, components):
    size = struct.pack(">HH8I", 47, 0, width, height, 0, 0, width, height, 0, 0)
    return b"\xff\x4f\xff\x51" + size + struct.pack(">H", components) + bytes(64)


@pytest.mark.parametrize(
    "fragments, why",
    [
        ([_codestream(24, 20, 1)] * 2, "holds 2 frames"),
        ([_codestream(60000, 60000, 1)], r"says \(24, 20\).* data \(60000, 60000\)"),
        ([_codestream(24, 20, 9000)], "9000 components"),
        ([b"\0\0\0\x0cjP  \r\n\x87\n" + bytes(99)], "no codestream of JPEG 2000"),
        ([bytes(64)], "no codestream of JPEG 2000"),
    ],
)
def test_codestreams_are_refused_before_they_are_decoded(tmp_path, fragments, why):
    data = encapsulate([part + bytes(len(part) % 2) for part in fragments])
    with pytest.raises(DataError, match=why):
        _read(tmp_path, FILM, bits=12, syntax=uid.JPEG2000Lossless, PixelData=data)


def test_run_lengths_that_inflate_stop_at_the_size_of_the_image(tmp_path):
    segment = b"\x81\x00" * 250_000  # 128 bytes out of 2
    bomb = struct.pack("<16L", 2, 64, 64 + len(segment), *[0] * 13) + 2 * segment
    path = dicom_files.write(tmp_path / "a.dcm", FILM, bits=12, syntax=dicom_files.RLE)
    ds = pydicom.dcmread(path)
    ds.PixelData = encapsulate([bomb])
    ds.save_as(path)
    tracemalloc.start()
    try:
        with pytest.raises(DataError, match="a.dcm: .*(RLE|packbits|broken)"):
            dicom.read(path)
        assert tracemalloc.get_traced_memory()[1] < 16 * 2**20  # of 64 MB
    finally:
        tracemalloc.stop()


def test_a_pipe_is_no_file(tmp_path):
    os.mkfifo(tmp_path / "a.dcm")
    with pytest.raises(DataError, match="no regular file"):
        dicom.read(tmp_path / "a.dcm")
