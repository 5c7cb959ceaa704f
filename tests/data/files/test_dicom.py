"""DICOM: a real radiograph in four forms, every bit and sign, and every broken file."""

import concurrent.futures
import importlib.metadata
import io
import warnings

import hypothesis
import numpy as np
import pydicom
import pytest
from hypothesis import strategies as st
from PIL import Image
from pydicom import uid
from pydicom.encaps import encapsulate, get_frame
from support import dicom_files

from jaxseg.data.files import dicom
from jaxseg.errors import DataError

SETTINGS = hypothesis.settings(
    max_examples=250, deadline=None, derandomize=True, database=None
)
STORED = np.arange(64, dtype=np.uint8).reshape(8, 8)
JPEG = {"syntax": dicom_files.JPEG}


def _packaged(package, name):
    (path,) = [f.locate() for f in importlib.metadata.files(package) if f.name == name]
    return path


@pytest.fixture(scope="module")
def radiograph():
    """The chest radiograph RG1: decoded pixels and tags of its four files."""
    names = [f"RG1_{form}.dcm" for form in ("UNCR", "J2KR", "UNCI", "J2KI")]
    return {n[4:8]: dicom.read(_packaged("pydicom-data", n)) for n in names}


def test_the_real_radiograph_bit_for_bit(radiograph):
    content = _packaged("pydicom-data", "RG1_UNCR.dcm").read_bytes()
    start = content.index(b"\xe0\x7f\x10\x00OW\0\0") + 12  # (7FE0,0010), its length
    stored = np.frombuffer(content, "<u2", 1955 * 1841, start)
    expected = 32767 - stored.reshape(1955, 1841, 1)  # 15 bits, MONOCHROME1
    for name in ("UNCR", "J2KR"):
        image, tags = radiograph[name]
        assert image.dtype == np.uint16 and tags["photometric"] == "MONOCHROME1"
        np.testing.assert_array_equal(image, expected)
        assert (tags["bits"], tags["scale"], tags["offset"]) == (15, -1, 32767)
        assert tags["window"] == [(15000.0, 30000.0)]


def test_the_lossy_radiograph_equals_its_decoded_copy(radiograph):
    np.testing.assert_array_equal(radiograph["J2KI"][0], radiograph["UNCI"][0])
    error = np.abs(radiograph["J2KI"][0].astype(int) - radiograph["J2KR"][0])
    assert 0 < error.max() < 500 and error.mean() < 60
    syntaxes = [tags["transfer_syntax"] for _, tags in radiograph.values()]
    assert len(set(syntaxes)) == 3  # the lossy film is there decoded as well


def test_bright_is_dense_in_the_real_radiograph(radiograph):
    """The middle of the chest (spine, heart) is denser than the air in the corners."""
    image = radiograph["UNCR"][0][..., 0]
    assert np.median(image[900:1200, 850:1000]) > np.median(image[:100, :100]) + 1000


@pytest.mark.parametrize(
    "form", ["expb", "bigendian", "implicit", "RLE", "jp2klossless", "jpeg_ls_lossless"]
)
def test_lossless_syntaxes_are_alike(form):
    """One signed 16-bit image of pydicom's own, in seven transfer syntaxes."""
    plain, _ = dicom.read(_packaged("pydicom", "MR_small.dcm"))
    image, tags = dicom.read(_packaged("pydicom", f"MR_small_{form}.dcm"))
    np.testing.assert_array_equal(image, plain)
    assert tags["offset"] == -32768 and image.dtype == np.uint16


@pytest.mark.parametrize("process", ["Lossless_14", "Lossless_14_1", "LS_lossless"])
def test_lossless_jpeg_of_twelve_bits(tmp_path, process):
    stored = np.random.default_rng(0).integers(0, 4096, (40, 24)).astype(np.uint16)
    path = dicom_files.write(tmp_path / "a.dcm", stored, bits=12)
    dicom_files.gdcm_convert(path, process)
    image, tags = dicom.read(path)
    assert "JPEG" in tags["transfer_syntax"]
    np.testing.assert_array_equal(image[..., 0], stored)
    ds = pydicom.dcmread(path)
    frame = get_frame(ds.PixelData, 0, number_of_frames=1)
    ds.PixelData = encapsulate([frame[: len(frame) // 4 * 2]])
    ds.save_as(path)
    with pytest.raises(DataError, match="broken or truncated"):
        dicom.read(path)


def test_a_lossless_jpeg_is_what_another_decoder_reads():
    path = _packaged("pydicom-data", "JPEG-LL.dcm")
    ds = pydicom.dcmread(path)
    ds.pixel_array_options(decoding_plugin="gdcm")
    image, tags = dicom.read(path)
    stored = image[..., 0] * tags["scale"] + tags["offset"]
    np.testing.assert_array_equal(stored, ds.pixel_array)


def test_jpeg_as_pillow_decodes_it(tmp_path):
    stored = (np.add.outer(np.arange(40), np.arange(56)) * 2).astype(np.uint8)
    path = dicom_files.write(tmp_path / "a.dcm", stored, syntax=dicom_files.JPEG)
    image, _ = dicom.read(path)
    frame = get_frame(pydicom.dcmread(path).PixelData, 0, number_of_frames=1)
    (tmp_path / "a.jpg").write_bytes(frame)
    np.testing.assert_array_equal(image[..., 0], Image.open(tmp_path / "a.jpg"))
    assert image.dtype == np.uint8 and image.shape == (40, 56, 1)
    assert np.abs(image[..., 0].astype(int) - stored).max() <= 4


@pytest.mark.parametrize("bits", [1, 7, 8, 9, 12, 16])
@pytest.mark.parametrize("signed", [False, True])
@pytest.mark.parametrize("dark", [False, True])
@pytest.mark.parametrize("slope", [1, -2.5])
def test_every_bit_and_the_modality_values(tmp_path, bits, signed, dark, slope):
    low = -(2 ** (bits - 1)) if signed else 0
    high = low + 2**bits - 1
    values = np.linspace(low, high, 12).round().astype(int).reshape(3, 4)
    stored = values.astype(("i" if signed else "u") + ("1" if bits <= 8 else "2"))
    path = dicom_files.write(
        tmp_path / "a.dcm",
        stored,
        bits=bits,
        PhotometricInterpretation="MONOCHROME1" if dark else "MONOCHROME2",
        RescaleSlope=slope,
        RescaleIntercept=-1024,
        WindowCenter=[10, 40],
        WindowWidth=[100, 350],
    )
    image, tags = dicom.read(path)
    assert image.dtype == (np.uint8 if bits <= 8 else np.uint16)
    modality = slope * values - 1024.0
    bright = -modality if dark else modality
    assert (image.min(), image.max()) == (0, 2**bits - 1)
    steps = np.diff(image.astype(int).ravel()), np.diff(bright.ravel())
    np.testing.assert_array_equal(np.sign(steps[0]), np.sign(steps[1]))
    seen = tags["scale"] * image[..., 0] + tags["offset"]
    np.testing.assert_array_equal(seen, modality)
    assert tags["window"] == [(10.0, 100.0), (40.0, 350.0)]


def test_modality_table_is_applied(tmp_path):
    item = pydicom.Dataset()
    item.LUTDescriptor, item.ModalityLUTType = [4, 0, 16], "US"
    item.LUTData = np.array([65535, 7, 1000, 0], "<u2").tobytes()
    item["LUTData"].VR = "OW"
    stored = np.array([[0, 1], [2, 3]], np.uint8)
    ds = dict(ModalityLUTSequence=[item], PhotometricInterpretation="MONOCHROME1")
    image, tags = dicom.read(dicom_files.write(tmp_path / "a.dcm", stored, **ds))
    assert image.dtype == np.uint16
    assert image.ravel().tolist() == [0, 65528, 64535, 65535]
    assert (tags["scale"], tags["offset"]) == (-1, 65535)


BROKEN = {
    "a colour image": {"PhotometricInterpretation": "RGB"},
    "only greyscale .*; convert it": {"SamplesPerPixel": 3},
    "3 frames .* save each as a file of its own": {"NumberOfFrames": 3},
    "no Pixel Data": {"PixelData": None},
    "lacks Rows, BitsStored; export the image again": {
        "Rows": None,
        "BitsStored": None,
    },
    "65535 x 65535 pixels": {"Rows": 65535, "Columns": 65535},
    "0 x 8 pixels": {"Rows": 0},
    "32 bits stored in 32; .* save it with 16": {"BitsAllocated": 32, "BitsStored": 32},
    "12 bits stored in 8": {"BitsStored": 12},
    "less than expected|corrupted": {"Rows": 9},
    r"\(9, 8\) pixels, the pixel data \(8, 8\)": {"Rows": 9, **JPEG},
    r"\(4, 16\) pixels, the pixel": {"Rows": 4, "Columns": 16, **JPEG},
    "RLE": {"Rows": 9, "syntax": dicom_files.RLE},
    "extra frames|larger than the given": {"PixelData": bytes(300)},
}


@pytest.mark.parametrize("why", BROKEN)
def test_refuses_with_the_name_of_the_file(tmp_path, why):
    path = dicom_files.write(tmp_path / "broken.dcm", STORED, **BROKEN[why])
    with pytest.raises(DataError, match=why) as error:
        dicom.read(path)
    assert str(error.value).startswith(str(path))


def test_refuses_values_beyond_the_declared_bits(tmp_path):
    data = io.BytesIO()
    wide = np.full((8, 8), 40_000, np.uint16)
    Image.fromarray(wide).save(data, "JPEG2000", irreversible=False, no_jp2=True)
    ds = {"PixelData": encapsulate([data.getvalue()]), "bits": 12}
    path = tmp_path / "a.dcm"
    dicom_files.write(path, wide, syntax=uid.JPEG2000Lossless, **ds)
    with pytest.raises(DataError, match=r"Bits Stored \(12\) allows 0 to 4095"):
        dicom.read(path)


@pytest.mark.parametrize(
    "content, why",
    [(b"", "not a DICOM"), (b"PNG" * 99, "not a DICOM"), (None, "no such file")],
)
def test_refuses_other_files(tmp_path, content, why):
    if content is not None:
        (tmp_path / "a.dcm").write_bytes(content)
    with pytest.raises(DataError, match=why):
        dicom.read(tmp_path / "a.dcm")


@pytest.mark.parametrize("syntax", [dicom_files.PLAIN, dicom_files.JPEG])
@pytest.mark.parametrize("keep", [0.3, 0.7, 0.97])
def test_refuses_a_truncated_file(tmp_path, syntax, keep):
    stored = np.random.default_rng(0).integers(0, 255, (64, 64)).astype(np.uint8)
    path = dicom_files.write(tmp_path / "a.dcm", stored, syntax=syntax)
    data = path.read_bytes()
    path.write_bytes(data[: int(keep * len(data))])
    with pytest.raises(DataError, match="a.dcm"):
        dicom.read(path)


def test_refuses_what_cannot_be_decoded():
    deflated = _packaged("pydicom", "image_dfl.dcm")
    with pytest.raises(DataError, match="Deflated.*Explicit VR Little Endian"):
        dicom.read(deflated)
    with pytest.raises(DataError, match="of 12 bits cannot be decoded"):
        dicom.read(_packaged("pydicom", "JPGExtended.dcm"))


@SETTINGS
@hypothesis.given(
    data=st.data(), syntax=st.sampled_from([uid.RLELossless, *JPEG.values()])
)
def test_any_bytes_are_an_image_or_a_data_error(tmp_path_factory, data, syntax):
    path = tmp_path_factory.mktemp("fuzz") / "a.dcm"
    content = bytearray(dicom_files.write(path, STORED, syntax=syntax).read_bytes())
    for _ in range(data.draw(st.integers(1, 4))):
        at = data.draw(st.integers(128, len(content) - 1))
        content[at] = data.draw(st.integers(0, 255))
    path.write_bytes(content)
    try:
        image, _ = dicom.read(path)
        assert image.ndim == 3
    except DataError as error:
        assert str(path) in str(error)


def test_threads_leave_the_warning_filters_alone(tmp_path):
    path = dicom_files.write(tmp_path / "a.dcm", STORED, PatientID="x" * 64)
    content = path.read_bytes().replace(64 * b"x", 32 * b"x" + b"\\" * 2 + 30 * b"x")
    path.write_bytes(content.replace(b"1.2.4", b"1.2.z"))  # warned about, but harmless
    before = list(warnings.filters)
    with concurrent.futures.ThreadPoolExecutor(8) as pool:
        assert len(list(pool.map(dicom.read, [path] * 64))) == 64
    assert warnings.filters == before
