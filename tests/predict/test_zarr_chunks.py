"""Chunks of Zarr arrays: those that inflate too far are refused before they do."""

import numcodecs
import numpy as np
import pytest
import zarr

from jaxseg import errors
from jaxseg.predict import zarr_rows

GREY = np.random.default_rng(0).integers(0, 255, (61, 47), np.uint8)
OLDER = {
    "blosc": numcodecs.Blosc(),
    "zlib": numcodecs.Zlib(),
    "gzip": numcodecs.GZip(),
    "zstd": numcodecs.Zstd(),
    "lz4": numcodecs.LZ4(),
    "bz2": numcodecs.BZ2(),
    "lzma": numcodecs.LZMA(),
    "none": None,
}
NEWER = {
    "blosc": zarr.codecs.BloscCodec(),
    "gzip": zarr.codecs.GzipCodec(),
    "zstd": zarr.codecs.ZstdCodec(),
    "zstd_checksum": zarr.codecs.ZstdCodec(checksum=True),
    "none": None,
}
SHARDS = {"none": {}, "shards": {"shards": (16, 16)}}
_FILTERS = [numcodecs.Delta("<u2"), numcodecs.Shuffle(2)]


def _newer(path, array, name, **more):
    usual = {"chunks": (8, 16), "compressors": NEWER[name], "overwrite": True}
    return zarr.create_array(path, data=array, **usual | more)


def _older(path, array, name, **more):
    usual = {"chunks": (8, 16), "compressors": OLDER[name], "zarr_format": 2}
    return zarr.create_array(path, data=array, overwrite=True, **usual | more)


def _read(path):
    return zarr_rows.picture(path, max_pixels=10_000).pixels[..., 0]


@pytest.mark.parametrize("shards", SHARDS)
@pytest.mark.parametrize("name", NEWER)
def test_what_is_sound_is_read_in_every_compression(name, shards, tmp_path):
    _newer(tmp_path / "a.zarr", GREY, name, **SHARDS[shards])
    np.testing.assert_array_equal(_read(tmp_path / "a.zarr"), GREY)


@pytest.mark.parametrize("name", OLDER)
def test_what_is_sound_is_read_in_every_compression_of_format_2(name, tmp_path):
    _older(tmp_path / "a.zarr", GREY, name)
    np.testing.assert_array_equal(_read(tmp_path / "a.zarr"), GREY)
    sixteen = GREY.astype(np.uint16) * 200
    _older(tmp_path / "b.zarr", sixteen, name, filters=_FILTERS)
    np.testing.assert_array_equal(_read(tmp_path / "b.zarr"), sixteen)


ZEROS = bytes(2**20)
PACKED = {name: coder.encode(ZEROS) for name, coder in OLDER.items() if coder}


def _newer_bomb(path, name):
    _newer(path, GREY, name)
    (path / "c/1/2").write_bytes(PACKED[name])


def _older_bomb(path, name):
    _older(path, GREY, name)
    (path / "1.2").write_bytes(PACKED[name])


def _shard_bomb(path, name):
    """The second of its four chunks."""
    _newer(path, GREY, name, chunks=(8, 8), shards=(16, 16))
    index = np.full((4, 2), 2**64 - 1, "<u8")
    index[1] = 3, len(PACKED[name])
    (path / "c/1/2").write_bytes(b"123" + PACKED[name] + index.tobytes() + bytes(4))


CASES = [(_older_bomb, name) for name in PACKED]
CASES += [
    (write, n) for write in (_newer_bomb, _shard_bomb) for n in PACKED if n in NEWER
]


@pytest.mark.parametrize("write, name", CASES)
def test_a_chunk_that_inflates_too_far_is_refused(write, name, tmp_path):
    write(tmp_path / "a.zarr", name)
    with pytest.raises(errors.DataError, match="a.zarr: the chunk .* inflates to more"):
        _read(tmp_path / "a.zarr")
    row = 16 if write is _shard_bomb else 8
    with zarr_rows.Rows(tmp_path / "a.zarr") as rows:
        np.testing.assert_array_equal(rows.read(0, row)[..., 0], GREY[:row])
        with pytest.raises(errors.DataError, match="inflates to more than"):
            rows.read(row, row + 1)


def _zstd_without_length(path):
    _newer(path, GREY, "zstd")
    (path / "c/1/2").write_bytes(b"\x28\xb5\x2f\xfd\x00" + bytes(20))


def _not_zstd(path):
    _newer(path, GREY, "zstd")
    (path / "c/1/2").write_bytes(bytes(20))


def _short_head(path):
    _newer(path, GREY, "blosc")
    (path / "c/1/2").write_bytes(b"123")


def _short_shard(path):
    _newer(path, GREY, "gzip", chunks=(8, 8), shards=(16, 16))
    (path / "c/1/2").write_bytes(b"123")


def _index_beyond(path):
    _shard_bomb(path, "gzip")
    content = (path / "c/1/2").read_bytes()
    (path / "c/1/2").write_bytes(content[100:])


def _gzip_in_gzip(path):
    twice = [zarr.codecs.GzipCodec(), zarr.codecs.GzipCodec()]
    _newer(path, GREY, "none", compressors=twice)


REFUSED = {
    _zstd_without_length: "does not say how long it is when inflated; save it with",
    _not_zstd: "a chunk is no frame of zstd",
    _short_head: "is damaged, or no Zarr array",
    _short_shard: "the shard 2 has 3 bytes, less than its index",
    _index_beyond: "the index of the shard 2 is damaged",
    _gzip_in_gzip: "its chunks are stored through gzip, gzip; save it with one of",
    lambda path: _newer(path, GREY, "none", chunks=(9999, 9999)): "chunks that are sm",
    lambda path: zarr.create_array(
        path, shape=(200, 200), chunks=(1, 1), dtype="u1"
    ): "40,000 chunks of .1, 1., which takes minutes to read",
}


@pytest.mark.parametrize("write", REFUSED)
def test_what_is_not_bounded_is_refused(write, tmp_path):
    write(tmp_path / "a.zarr")
    with pytest.raises(errors.DataError, match=f"a.zarr.* {REFUSED[write]}"):
        zarr_rows.picture(tmp_path / "a.zarr", max_pixels=100_000)
