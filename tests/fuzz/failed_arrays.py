"""Draws files of weights and of labelled pixels that were read badly once."""

import gzip
import io
import json
import pickle
import struct
import zipfile

import numpy as np

from fuzz import zarrs
from fuzz.failed import BOMB, of

_MIB = bytes(2**20)


def _zip(**members: bytes | int) -> bytes:
    """A zip archive; a number stands for so many MiB of zeros."""
    out = io.BytesIO()
    with zipfile.ZipFile(out, "w", zipfile.ZIP_DEFLATED, compresslevel=1) as archive:
        for name, content in members.items():
            info = zipfile.ZipInfo(name)  # of 1980: the same bytes every time
            info.compress_type, info._compresslevel = archive.compression, 1
            with archive.open(info, "w") as member:
                pieces = [content] if isinstance(content, bytes) else [_MIB] * content
                for piece in pieces:
                    member.write(piece)
    return out.getvalue()


def _pickled_zip(content: bytes) -> bytes:
    return _zip(**{"archive/data.pkl": content})


def _one_tensor(storage: bytes) -> bytes:
    """A pickle of one tensor of one number, in a storage of this type."""
    pid = b"(\x8c\x07storage" + storage + b"\x8c\x010\x8c\x03cpuK\x01tQ"
    rebuild = b"ctorch._utils\n_rebuild_tensor_v2\n("
    tensor = rebuild + pid + b"K\0(K\x01t(K\x01t\x89ccollections\nOrderedDict\n)RtR"
    return b"\x80\x02}(\x8c\x01a" + tensor + b"u."


@of("torch")
def a_memo_of_4_gib() -> bytes:
    return _pickled_zip(b"\x80\x02Nr" + struct.pack("<I", 2**29 - 1) + b".")


@of("torch")
def a_bytearray_of_8_gib() -> bytes:
    return _pickled_zip(b"\x80\x05\x96" + struct.pack("<Q", 2**33) + b".")


@of("torch")
def a_pickle_that_inflates_beyond_the_cap() -> bytes:
    return _zip(**{"archive/data.pkl": BOMB})


@of("torch")
def a_storage_that_inflates_beyond_the_cap() -> bytes:
    content = _one_tensor(b"ctorch\nFloatStorage\n")
    return _zip(**{"archive/data.pkl": content, "archive/data/0": BOMB})


@of("torch")
def a_legacy_storage_longer_than_the_file() -> bytes:
    start = (0x1950A86A20F9469CFC6C, 1001, {"little_endian": True})
    parts = b"".join(pickle.dumps(part, protocol=2) for part in start)
    number = b"\x8a\x05" + (2**32).to_bytes(5, "little")
    pid = b"(\x8c\x07storagectorch\nFloatStorage\n\x8c\x010\x8c\x03cpu" + number + b"tQ"
    keys = pickle.dumps(["0"], protocol=2)
    return parts + b"\x80\x02" + pid + b"." + keys + struct.pack("<q", 2**32)


@of("torch")
def a_member_that_begins_before_the_file() -> bytes:
    data = bytearray(_pickled_zip(b"\x80\x02N."))
    place = data.rindex(b"PK\5\6") + 16  # of the directory; members shift with it
    (start,) = struct.unpack_from("<I", data, place)
    struct.pack_into("<I", data, place, start + 8)
    return bytes(data)


@of("torch")
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


@of("npz")
def an_array_that_promises_8_gib() -> bytes:
    text = "{'descr': '<i4', 'fortran_order': False, 'shape': (2147483647,)}\n"
    return _arrays(image=_header(text))


@of("npz")
def a_text_of_4_gib() -> bytes:
    text = "{'descr': '<U999999999', 'fortran_order': False, 'shape': (1,)}\n"
    return _arrays(options=_header(text))


@of("npz")
def a_member_that_inflates_beyond_the_cap() -> bytes:
    return _arrays(ids=BOMB)


@of("npz")
def a_header_that_is_no_python() -> bytes:
    return _arrays(image=_header("{'descr': (\n"))


@of("npz")
def a_pickled_array() -> bytes:
    return _arrays(ids=np.array([{"a": 1}], object))


@of("npz")
def no_zip_at_all() -> bytes:
    return b"PK\3\4 and no more"


@of("npz")
def a_flipped_bit_in_a_member() -> bytes:
    data = bytearray(_arrays())
    data[60] ^= 1
    return bytes(data)


@of("npz")
def places_that_are_fractions() -> bytes:
    return _arrays(y=np.zeros(2, np.float64))


@of("npz")
def fewer_labels_than_places() -> bytes:
    return _arrays(label=np.zeros(1, np.uint8))


@of("npz")
def ids_that_are_one_number() -> bytes:
    return _arrays(ids=np.array(7))


@of("npz")
def a_place_outside_the_image() -> bytes:
    return _arrays(x=np.array([0, 9], np.int16))


def _zarr(size: int, chunk: int, content: bytes) -> bytes:
    """A square Zarr array of format 2, whose first chunk is this."""
    array = {"zarr_format": 2, "shape": [size, size], "chunks": [chunk, chunk]}
    array |= {"dtype": "|u1", "compressor": {"id": "gzip"}, "fill_value": 0}
    array |= {"order": "C", "filters": None}
    return zarrs.pack({".zarray": json.dumps(array).encode(), "0.0": content})


@of("zarr")
def a_chunk_that_inflates_beyond_the_cap() -> bytes:
    return _zarr(8, 8, gzip.compress(_MIB * BOMB, 1, mtime=0))


@of("zarr")
def a_chunk_much_larger_than_the_array() -> bytes:
    return _zarr(8, 60_000, gzip.compress(b"123", mtime=0))


@of("zarr")
def a_chunk_for_every_pixel() -> bytes:
    return _zarr(450, 1, gzip.compress(b"1", mtime=0))


@of("safetensors")
def two_sides_that_no_machine_counts_beside_a_side_of_none() -> bytes:
    shape = [2**32 - 2, 2**31, 0]
    header = {"a": {"dtype": "F32", "shape": shape, "data_offsets": [0, 0]}}
    text = json.dumps(header).encode()
    return struct.pack("<Q", len(text)) + text


@of("zarr")
def a_chunk_without_rows() -> bytes:
    array = {"zarr_format": 3, "node_type": "array", "shape": [6, 5]}
    grid = {"name": "regular", "configuration": {"chunk_shape": [0, 2]}}
    array |= {"data_type": "uint8", "chunk_grid": grid, "fill_value": 0}
    array |= {"chunk_key_encoding": {"name": "default"}, "attributes": {}}
    array |= {"codecs": [{"name": "bytes", "configuration": {"endian": "little"}}]}
    return zarrs.pack({"zarr.json": json.dumps(array).encode()})
