"""Inputs that once hung, filled the memory, ended the process, or raised anything.

Each is drawn here, and read by a test in every run of the suite: `inputs` by target.
"""

import io
import json
import lzma
import pickle
import struct
import zipfile
import zlib
from collections.abc import Callable

import numpy as np
from PIL import Image

_BOMB = 300  # MiB, more than the cap of any target that reads them
_MIB = bytes(2**20)
_DRAWN: dict[str, dict[str, Callable[[], bytes]]] = {}


def _of(target: str) -> Callable[[Callable[[], bytes]], Callable[[], bytes]]:
    def keep(draw: Callable[[], bytes]) -> Callable[[], bytes]:
        _DRAWN.setdefault(target, {})[draw.__name__] = draw
        return draw

    return keep


def drawers(target: str) -> dict[str, Callable[[], bytes]]:
    """{name: function that draws it} of every input that once failed as this target."""
    return _DRAWN.get(target, {})


def _packed_zeros(packer) -> bytes:
    """Zeros that are more than the memory cap, packed piece by piece."""
    parts = (packer.compress(bytes(2**20)) for _ in range(_BOMB))
    return b"".join(parts) + packer.flush()


def _zip(**members: bytes | int) -> bytes:
    """A zip archive; a number stands for so many MiB of zeros."""
    out = io.BytesIO()
    with zipfile.ZipFile(out, "w", zipfile.ZIP_DEFLATED, compresslevel=1) as archive:
        for name, content in members.items():
            with archive.open(name, "w") as member:
                pieces = [content] if isinstance(content, bytes) else [_MIB] * content
                for piece in pieces:
                    member.write(piece)
    return out.getvalue()


def _tags(*tags: tuple[int, int, int, int], later: int = 0) -> bytes:
    """A directory of a little-endian TIFF: (code, kind, count, value) of each tag."""
    entries = b"".join(struct.pack("<HHII", *tag) for tag in tags)
    return struct.pack("<H", len(tags)) + entries + struct.pack("<I", later)


def _grey(width: int, height: int, packing: int, *more) -> list:
    """The tags of a grey page of 8 bits."""
    tags = [(256, 4, 1, width), (257, 4, 1, height), (258, 3, 1, 8)]
    tags += [(259, 3, 1, packing), (262, 3, 1, 1), (277, 3, 1, 1), (278, 4, 1, height)]
    return sorted([*tags, *more])


def _jpeg2000() -> bytes:
    data = io.BytesIO()
    Image.fromarray(np.arange(64, dtype=np.uint8).reshape(8, 8)).save(data, "JPEG2000")
    return data.getvalue()


@_of("tiff")
def a_page_that_names_itself_as_the_next() -> bytes:
    page = _grey(4, 4, 1, (273, 4, 1, 8), (279, 4, 1, 16))
    return b"II*\0" + struct.pack("<I", 8) + _tags(*page, later=8)


@_of("tiff")
def pages_of_two_sizes_in_a_circle() -> bytes:
    place = (273, 4, 1, 8), (279, 4, 1, 16)
    size = len(_tags(*_grey(4, 4, 1, *place)))
    pages = (
        _tags(*_grey(4, k, 1, *place), later=8 + size * (k % 3)) for k in (1, 2, 3)
    )
    return b"II*\0" + struct.pack("<I", 8) + b"".join(pages)


@_of("tiff")
def a_chain_of_overlapping_directories() -> bytes:
    """Every few bytes begin a directory of no tags that names the next one."""
    count = 100_000
    parts = [b"II*\0" + struct.pack("<I", 8)]
    for i in range(count):
        parts.append(struct.pack("<HI", 0, 8 + 6 * (i + 1)))
    page = _grey(4, 4, 1, (273, 4, 1, 8), (279, 4, 1, 16))
    return b"".join(parts) + _tags(*page)


@_of("tiff")
def pixels_that_inflate_far_beyond_the_size() -> bytes:
    packed = _packed_zeros(zlib.compressobj(1))
    page = _grey(4, 4, 8, (273, 4, 1, 200), (279, 4, 1, len(packed)))
    head = b"II*\0" + struct.pack("<I", 8) + _tags(*page)
    return head.ljust(200, b"\0") + packed


@_of("tiff")
def lzma_pixels_that_inflate_far_beyond_the_size() -> bytes:
    packed = _packed_zeros(lzma.LZMACompressor(preset=0))
    page = _grey(4, 4, 34925, (273, 4, 1, 200), (279, 4, 1, len(packed)))
    head = b"II*\0" + struct.pack("<I", 8) + _tags(*page)
    return head.ljust(200, b"\0") + packed


@_of("tiff")
def sixty_four_channels_of_the_largest_size() -> bytes:
    page = [(256, 4, 1, 500), (257, 4, 1, 500), (258, 3, 1, 64), (259, 3, 1, 1)]
    page += [(262, 3, 1, 1), (273, 4, 1, 8), (277, 3, 1, 64), (278, 4, 1, 500)]
    page += [(279, 4, 1, 16), (284, 3, 1, 1), (339, 3, 1, 1)]
    return b"II*\0" + struct.pack("<I", 8) + _tags(*page)


@_of("tiff")
def jpeg_2000_with_a_box_of_length_0() -> bytes:
    packed = _jpeg2000().replace(b"\0\0\0\x14ftyp", b"\0\0\0\0ftyp", 1)
    page = _grey(8, 8, 34712, (273, 4, 1, 200), (279, 4, 1, len(packed)))
    head = b"II*\0" + struct.pack("<I", 8) + _tags(*page)
    return head.ljust(200, b"\0") + packed


@_of("tiff")
def no_directory_at_all() -> bytes:
    return b"II*\0" + bytes(19)


@_of("tiff")
def a_width_in_several_numbers() -> bytes:
    page = _grey(4, 4, 1, (273, 4, 1, 8), (279, 4, 1, 16))
    page = [(c, k, 2 if c == 256 else n, v) for c, k, n, v in page]
    return b"II*\0" + struct.pack("<I", 8) + _tags(*page)


@_of("csv")
def two_bytes_of_utf_16() -> bytes:
    return b"\xff\xfe"


@_of("csv")
def a_table_of_other_columns() -> bytes:
    return b"a,b\n1,2\n"


@_of("csv")
def a_row_cut_short() -> bytes:
    columns = b"split,position,id,group,label,height,width,ignored,c0,c1"
    return columns + b"\ntrain,0,im0"


@_of("csv")
def a_step_that_is_no_number() -> bytes:
    return b'step,epoch,loss\n0,0,1\na"b",1,1\n'


@_of("csv")
def a_cell_of_140_000_letters() -> bytes:
    return b"stem,split\nim0,train\n" + b"x" * 140_000 + b",test\n"


@_of("csv")
def a_quote_that_never_ends() -> bytes:
    columns = b"split,position,id,group,label,height,width,ignored,c0,c1"
    return columns + b'\ntrain,0,im0,g,0,0,"a,0,0,0\ntrain,1,im1,g,0,0,a,0,0,0\n'


@_of("json")
def lists_in_lists() -> bytes:
    return b"[" * 100_000


@_of("json")
def dicts_in_dicts() -> bytes:
    return b'{"a":' * 100_000


@_of("json")
def a_number_of_5_000_digits() -> bytes:
    return b"9" * 5000


@_of("json")
def bytes_that_are_no_text() -> bytes:
    return b"{!\xba"


@_of("json")
def a_card_cut_short() -> bytes:
    return b'{"name": "toy", "sp'


def _config(**changes) -> bytes:
    from jaxseg.config import base

    return json.dumps(base.base().to_dict() | changes).encode()


@_of("json")
def a_config_whose_schedule_is_a_list_of_lists() -> bytes:
    return _config(log_every=[[1]])


@_of("json")
def a_config_whose_count_is_a_word() -> bytes:
    return _config(batch_size="many", epochs="x")


@_of("json")
def a_config_of_empty_blocks() -> bytes:
    names = ("data", "model", "loss", "sampler", "augment", "optim", "eval")
    return json.dumps({name: {} for name in names}).encode()


@_of("json")
def a_config_with_a_key_with_dots() -> bytes:
    return _config(**{"../x": 1})


def _pickled_zip(content: bytes) -> bytes:
    return _zip(**{"archive/data.pkl": content})


def _one_tensor(storage: bytes) -> bytes:
    """A pickle of one tensor of one number, in a storage of this type."""
    pid = b"(\x8c\x07storage" + storage + b"\x8c\x010\x8c\x03cpuK\x01tQ"
    rebuild = b"ctorch._utils\n_rebuild_tensor_v2\n("
    tensor = rebuild + pid + b"K\0(K\x01t(K\x01t\x89ccollections\nOrderedDict\n)RtR"
    return b"\x80\x02}(\x8c\x01a" + tensor + b"u."


@_of("torch")
def a_memo_of_4_gib() -> bytes:
    return _pickled_zip(b"\x80\x02Nr" + struct.pack("<I", 2**29 - 1) + b".")


@_of("torch")
def a_bytearray_of_8_gib() -> bytes:
    return _pickled_zip(b"\x80\x05\x96" + struct.pack("<Q", 2**33) + b".")


@_of("torch")
def a_pickle_that_inflates_beyond_the_cap() -> bytes:
    return _zip(**{"archive/data.pkl": _BOMB})


@_of("torch")
def a_storage_that_inflates_beyond_the_cap() -> bytes:
    content = _one_tensor(b"ctorch\nFloatStorage\n")
    return _zip(**{"archive/data.pkl": content, "archive/data/0": _BOMB})


@_of("torch")
def a_legacy_storage_longer_than_the_file() -> bytes:
    start = (0x1950A86A20F9469CFC6C, 1001, {"little_endian": True})
    parts = b"".join(pickle.dumps(part, protocol=2) for part in start)
    number = b"\x8a\x05" + (2**32).to_bytes(5, "little")
    pid = b"(\x8c\x07storagectorch\nFloatStorage\n\x8c\x010\x8c\x03cpu" + number + b"tQ"
    keys = pickle.dumps(["0"], protocol=2)
    return parts + b"\x80\x02" + pid + b"." + keys + struct.pack("<q", 2**32)


@_of("torch")
def a_directory_that_begins_before_the_file() -> bytes:
    data = bytearray(_pickled_zip(b"\x80\x02N."))
    end = data.rindex(b"PK\5\6")
    data[end + 12 : end + 20] = struct.pack("<2I", 2**31, 2**31)
    return bytes(data)


@_of("torch")
def a_type_of_numbers_that_is_a_text() -> bytes:
    """A storage whose type is a text: numpy would take it for strings."""
    content = _one_tensor(b"\x8c\x09U99999999")
    return _zip(**{"archive/data.pkl": content, "archive/data/0": b""})


def _arrays(**changes: np.ndarray | bytes | int) -> bytes:
    """A file of labelled pixels, some of whose arrays are others."""
    usual = {
        "ids": np.array(["a", "b"]),
        "size": np.array([8, 9]),
        "image": np.zeros(2, np.int32),
        "y": np.zeros(2, np.int16),
        "x": np.zeros(2, np.int16),
        "label": np.zeros(2, np.uint8),
        "options": np.array('{"name": "clicks"}'),
    }
    members = {f"{n}.npy": _npy(array) for n, array in (usual | changes).items()}
    return _zip(**members)


def _npy(array: np.ndarray | bytes | int) -> bytes | int:
    if not isinstance(array, np.ndarray):
        return array
    out = io.BytesIO()
    np.lib.format.write_array(out, array, allow_pickle=True)
    return out.getvalue()


def _header(text: str) -> bytes:
    return b"\x93NUMPY\1\0" + struct.pack("<H", len(text)) + text.encode()


@_of("npz")
def an_array_that_promises_8_gib() -> bytes:
    text = "{'descr': '<i4', 'fortran_order': False, 'shape': (2147483647,)}\n"
    return _arrays(image=_header(text))


@_of("npz")
def a_text_of_4_gib() -> bytes:
    text = "{'descr': '<U999999999', 'fortran_order': False, 'shape': (1,)}\n"
    return _arrays(options=_header(text))


@_of("npz")
def a_member_that_inflates_beyond_the_cap() -> bytes:
    return _arrays(ids=_BOMB)


@_of("npz")
def a_header_that_is_no_python() -> bytes:
    return _arrays(image=_header("{'descr': (\n"))


@_of("npz")
def a_pickled_array() -> bytes:
    return _arrays(ids=np.array([{"a": 1}], object))


@_of("npz")
def no_zip_at_all() -> bytes:
    return b"PK\3\4 and no more"


@_of("npz")
def a_flipped_bit_in_a_member() -> bytes:
    data = bytearray(_arrays())
    data[60] ^= 1
    return bytes(data)


@_of("npz")
def places_that_are_fractions() -> bytes:
    return _arrays(y=np.zeros(2, np.float64))


@_of("npz")
def fewer_labels_than_places() -> bytes:
    return _arrays(label=np.zeros(1, np.uint8))


@_of("npz")
def ids_that_are_one_number() -> bytes:
    return _arrays(ids=np.array(7))


@_of("npz")
def a_place_outside_the_image() -> bytes:
    return _arrays(x=np.array([0, 9], np.int16))


def _dicom(pixels: bytes, syntax: str, **tags: object) -> bytes:
    from pydicom import dcmwrite
    from pydicom.dataset import Dataset, FileMetaDataset

    ds, meta = Dataset(), FileMetaDataset()
    ds.SOPClassUID = meta.MediaStorageSOPClassUID = "1.2.840.10008.5.1.4.1.1.7"
    ds.SOPInstanceUID = meta.MediaStorageSOPInstanceUID = "1.2.3"
    ds.Rows = ds.Columns = ds.BitsAllocated = ds.BitsStored = 8
    ds.HighBit, ds.PixelRepresentation, ds.SamplesPerPixel = 7, 0, 1
    ds.PhotometricInterpretation = "MONOCHROME2"
    for name, value in tags.items():
        setattr(ds, name, value)
    ds.add_new("PixelData", "OB", pixels)
    meta.TransferSyntaxUID = syntax
    ds.file_meta, out = meta, io.BytesIO()
    dcmwrite(out, ds, enforce_file_format=True)
    return out.getvalue()


def _frame(kind: str) -> bytes:
    from pydicom.encaps import encapsulate

    data = io.BytesIO()
    pixels = np.arange(64, dtype=np.uint8).reshape(8, 8)
    Image.fromarray(pixels).save(data, kind)
    return encapsulate([data.getvalue()])


@_of("dicom")
def fewer_bits_than_the_lossless_frame_has() -> bytes:
    syntax = "1.2.840.10008.1.2.4.70"  # JPEG Lossless, which a C++ library decodes
    return _dicom(_frame("JPEG"), syntax, BitsStored=5, HighBit=4)


@_of("dicom")
def an_element_of_4_gib() -> bytes:
    data = _dicom(bytes(64), "1.2.840.10008.1.2.1")
    at = data.index(b"\xe0\x7f\x10\0OB\0\0") + 8
    return data[:at] + struct.pack("<I", 2**32 - 16) + data[at + 4 :]


@_of("dicom")
def jpeg_2000_with_a_box_that_has_no_end() -> bytes:
    packed = _frame("JPEG2000").replace(b"\0\0\0\x14ftyp", b"\0\0\0\0ftyp", 1)
    return _dicom(packed, "1.2.840.10008.1.2.4.90")


@_of("overrides")
def a_block_with_a_number_for_a_key() -> bytes:
    return b"--config.model.unet={1: 2}"


@_of("overrides")
def a_module_that_is_false() -> bytes:
    return b"--config.loss.mine.weight=1.0\n--config.loss.mine.module=false"


@_of("overrides")
def a_fraction_where_names_belong() -> bytes:
    return b"--config.doctor.ignore=0.5"


@_of("overrides")
def an_open_block_with_a_number_for_a_key() -> bytes:
    return b"--config.model.fields={1: 2}"


def _says(word: str) -> None:
    _DRAWN.setdefault("none", {})[word] = word.encode


for _word in ("accept", "refuse", "raise", "memory", "hidden memory", "slow", "abort"):
    _says(_word)
